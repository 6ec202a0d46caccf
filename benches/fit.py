"""How many rows are enough to fit axes, and how long it takes.

    python benches/fit.py [--data ../shared/data] [--seeds 3]

A model of n rows says which bits each axis gets (reverse water-filling of its variances). The error
is Σ λ·4^(−r) with the variances λ of other rows along its axes, and the table has how many percent
it is above that of all rows that are not held back: half of the set, but no more than 5,000 rows,
are. The mean is over the seeds, each with its own choice of rows. Behind it stands the mean of the
estimated shrinkage.

The second table has the CPU seconds of a fit on one thread: of the sums, and of the axes. Each is
the least of three. The output is kept in benches/results/fit.txt.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np

import blockquant as bq
import common

SETS = {
    "wordnet-minilm-base.npy": "sentence embeddings",
    "docs-mpnet768-base.npy": "sentence embeddings",
    "smollm2-windows576-base.npy": "hidden states",
    "photos-sift128-base.npy": "SIFT",
}
#: Rows per coordinate, and bits per coordinate.
RATIOS, BITS = (1, 2, 4, 8, 16, 32), (1, 2, 4)
#: Rows and coordinates whose fit is timed.
TIMED = ((25_000, 128), (25_000, 384), (10_000, 768), (20_000, 1536))
MAX_HELD = 5000


def rates(variances, bits):
    """Bits of each axis: reverse water-filling, by bisection of the level."""
    low, high = 0.0, variances.max()
    for _ in range(100):
        level = (low + high) / 2
        given = np.log2(np.maximum(variances / level, 1)) / 2
        low, high = (level, high) if given.sum() > bits * len(variances) else (low, level)
    return given


def errors(sample, held):
    """The error of other rows at each rate, and the shrinkage."""
    axes = bq.fit(sample)
    variances = (((held - axes.mean) @ axes.axes.T).astype(np.float64) ** 2).mean(axis=0)
    found = [(variances * 4.0 ** -rates(axes.variances, bits)).sum() for bits in BITS]
    return np.array(found), axes.shrinkage


def lines(data, seeds):
    """The lines of the first table."""
    for name, title in SETS.items():
        rows = np.load(data / name).astype(np.float32)
        held = min(MAX_HELD, len(rows) // 2)
        rest, dim = len(rows) - held, rows.shape[1]
        for ratio in (ratio for ratio in RATIOS if 2 * ratio * dim <= rest):
            above, shrinkages = [], []
            for seed in range(seeds):
                mixed = rows[np.random.default_rng(seed).permutation(len(rows))]
                most, _ = errors(mixed[held:], mixed[:held])
                found, shrinkage = errors(mixed[held : held + ratio * dim], mixed[:held])
                above.append(100 * (found / most - 1))
                shrinkages.append(shrinkage)
            cells = "".join(f"{value:9.1f}" for value in np.mean(above, axis=0))
            yield f"{title:<20}{dim:>5}{ratio:>10}{cells}{np.mean(shrinkages):>11.3f}"


def seconds(rows, dim):
    """The least times of the sums and of the axes."""
    x = np.random.default_rng(0).standard_normal((rows, dim), np.float32) * 0.99 ** np.arange(dim)
    x = x.astype(np.float32)
    sums, axes = [], []
    for _ in range(3):
        fit = bq.AxesFit(dim)
        start = time.process_time()
        fit.add(x)
        middle = time.process_time()
        fit.finish()
        sums.append(middle - start)
        axes.append(time.process_time() - middle)
    return min(sums), min(axes)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=common.DATA, help="default: %(default)s")
    parser.add_argument("--seeds", type=int, default=3, help="default: %(default)s")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)  # few rows are what is measured
    print(common.machine())
    print()
    print("percent of error above that of all rows")
    print("rows                    d    n/d" + "".join(f"{f'{b} bits':>9}" for b in BITS))
    for line in lines(arguments.data, arguments.seeds):
        print(line, flush=True)
    print()
    print("CPU seconds of a fit on one thread")
    print("     rows     d     sums     axes")
    bq.set_num_threads(1)
    for rows, dim in TIMED:
        sums, axes = seconds(rows, dim)
        print(f"{rows:>9}{dim:>6}{sums:>9.2f}{axes:>9.2f}", flush=True)


if __name__ == "__main__":
    main()
