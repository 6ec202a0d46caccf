"""What fitted axes cost in encoding and decoding, beside the same method without them.

    python -m benches.fitted_times [--data FOLDER] [--rows N]

The rows are embeddings, d = 384, and embeddings through a random map into 1536 dimensions with a
little noise (`peers/sets.py`), whose spectrum is that of real rows. Axes are fitted on other rows
than those that are timed, four for each coordinate where there are as many.

Times are microseconds per row of CPU time on one thread, N rows per call. The quantizers with and
without axes take turns, and the figures are medians over the rounds; `×` is the median of the
ratios of a round. `axes` is the number of axes that have bits: each costs d products per row.
Encoding may take 3 times as long as without axes at d = 384, and 6 times at d = 1536. What takes
longer is marked `!`, and then the exit status is 1.

The output is kept in benches/results/fitted_times.txt.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

import blockquant as bq

from . import common
from .common import Rows
from .peers.sets import lifted

METHODS, BITS = ("trellis", "blockquant", "eden"), (1, 2, 4)
#: The most times of encoding without axes, by dimension.
LIMITS = {384: 3.0, 1536: 6.0}
#: Rows per coordinate of a fit, and rounds.
RATIO, ROUNDS = 4, 31


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def turns(plain: Callable[[], object], fitted: Callable[[], object]) -> tuple[float, float, float]:
    """The median seconds of both, and the median of their ratios."""
    plain(), fitted()
    took = np.array([(seconds(plain), seconds(fitted)) for _ in range(ROUNDS)])
    ratios = took[:, 1] / took[:, 0]
    return float(np.median(took[:, 0])), float(np.median(took[:, 1])), float(np.median(ratios))


def lines(x: Rows, axes: bq.Axes) -> Iterator[tuple[str, float]]:
    """The lines of a table, each with how many times as long encoding takes with axes."""
    dim = x.shape[1]
    for name in METHODS:
        for bits in BITS:
            plain = bq.create(name, dim=dim, bits=bits)
            fitted = bq.create(name, dim=dim, bits=bits, axes=axes)
            one, other = plain.encode(x), fitted.encode(x)
            encode = turns(partial(plain.encode, x), partial(fitted.encode, x))
            decode = turns(partial(plain.decode, one), partial(fitted.decode, other))
            coded = sum(axes for _, axes, _ in fitted.groups)
            cells = "".join(
                f"{1e6 * some[0] / len(x):>9.2f}{1e6 * some[1] / len(x):>9.2f}{some[2]:>7.2f}"
                for some in (encode, decode)
            )
            mark = " !" if encode[2] > LIMITS[dim] else ""
            yield f"{name:<12}{bits:>4}{coded:>7}{cells}{mark}", encode[2]


def main() -> int:
    """Prints the tables; the status is 1 if encoding takes longer than it may."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    common.add_data(parser)
    parser.add_argument("--rows", type=int, default=960, help="rows per call (%(default)s)")
    options = parser.parse_args()
    bq.set_num_threads(1)
    warnings.simplefilter("ignore", UserWarning)  # the shipped sample has few rows
    print(common.machine())
    found = common.embeddings(options.data)
    slow = 0
    for dim, limit in LIMITS.items():
        rows = np.asarray(found.x[: options.rows + RATIO * dim], np.float32)
        if dim != rows.shape[1]:
            rows = lifted(rows, rows[:1])[0]
        x, sample = rows[: options.rows], rows[options.rows :]
        print(f"\n{found.name}, d = {dim}: {len(sample)} rows fitted, {len(x)} per call")
        print(f"{'':<23}{'encode, µs per row':>25}{'decode, µs per row':>25}")
        print(f"{'method':<12}bits   axes" + 2 * "    plain   fitted      ×")
        for line, ratio in lines(x, bq.fit(sample)):
            print(line, flush=True)
            slow += ratio > limit
    print(f"\nencoding takes longer than it may in {slow} cases")
    return int(slow > 0)


if __name__ == "__main__":
    sys.exit(main())
