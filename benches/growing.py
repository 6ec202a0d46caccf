"""What a search costs after rows were added or deleted, of slices and of files.

    python benches/growing.py [--rows 50000 2000000] [--bits 2] [--method blockquant]

One query, the ten best by inner product, Gaussian rows of 384 dimensions, one thread. Each line is
the least and the median time of some turns, and the median over that of a warm search; the turns of
all lines follow each other. `after` is the search alone, `with` includes the change before it.
What is compared:

* warm: the third search of the same codes and later ones;
* all estimates: `q.inner_product` and `np.argpartition`, which needs nothing derived;
* one row appended: to codes that were searched before;
* one row deleted, in the middle: likewise;
* a mask of all but one row; a slice of all but one row, and a file that was loaded, for the first
  and for the third time.

Then the memory that searches keep per row besides the codes. Exits with 1 if a search after a
change takes more than 2 warm searches, the first search of a slice or a file more than 1.3 scans
of all estimates, or the memory is above 8 bytes per row after batches and d/8 + 8 after single
queries.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

import blockquant as bq
import common

DIM = 384
K = 10
CHUNK = 50_000
#: Warm searches that one after a change may take, and scans that the first may take.
AFTER, FIRST = 2.0, 1.3


class Lines:
    """The times of each line, turn by turn."""

    def __init__(self) -> None:
        self.times: dict[str, list[float]] = {}

    def add(self, label: str, call: Callable[[], object], more: float = 0.0) -> float:
        """Times a call, and counts the seconds of what came before it."""
        start = time.perf_counter()
        call()
        taken = time.perf_counter() - start
        self.times.setdefault(label, []).append(taken + more)
        return taken

    def typical(self, label: str) -> float:
        return median(self.times[label])

    def print(self) -> None:
        warm = self.typical("warm search")
        print(f"{'':<46} {'least ms':>9} {'median ms':>9} {'of warm':>8}")
        for label, times in self.times.items():
            ratio = self.typical(label) / warm
            print(f"{label:<46} {min(times) * 1e3:>9.3f} {median(times) * 1e3:>9.3f} {ratio:>8.2f}")


def encode(q: bq.Quantizer, rows: int) -> bq.Codes:
    """Codes of so many Gaussian rows, which are never in memory at once."""
    rng = np.random.default_rng(1)
    sizes = [min(CHUNK, rows - at) for at in range(0, rows, CHUNK)]
    return bq.concatenate(q.encode(rng.standard_normal((size, DIM), np.float32)) for size in sizes)


def kept(codes: bq.Codes) -> int:
    """The bytes that searches keep with the codes."""
    return codes.search_nbytes


def measure(q: bq.Quantizer, rows: int, turns: int) -> Lines:
    codes = encode(q, rows)
    rng = np.random.default_rng(2)
    y = rng.standard_normal((1, DIM), np.float32)
    row = q.encode(rng.standard_normal((1, DIM), np.float32))
    lines = Lines()

    def search(of: bq.Codes, **options: object) -> Callable[[], object]:
        return lambda: q.search(of, y, K, **options)

    def all_estimates() -> None:
        np.argpartition(-q.inner_product(codes, y), K, axis=1)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "codes.safetensors")
        bq.save(path, q, codes)
        search(codes)()
        for _ in range(turns):
            codes.append(row)  # makes room again, which a deletion gave up
            for _ in range(2):
                search(codes)()
            lines.add("warm search", search(codes))
            lines.add("all estimates", all_estimates)
            mask = np.arange(len(codes)) != rows // 2
            search(codes, mask=mask)()
            lines.add("mask of all but one row", search(codes, mask=mask))
            changed = lines.add("append of one row alone", lambda: codes.append(row))
            lines.add("search after the append", search(codes))
            lines.times.setdefault("append with search", []).append(
                changed + lines.times["search after the append"][-1]
            )
            for _ in range(2):
                search(codes)()
            changed = lines.add("delete of one row alone", lambda: codes.delete(rows // 2))
            lines.add("search after the delete", search(codes))
            lines.times.setdefault("delete with search", []).append(
                changed + lines.times["search after the delete"][-1]
            )
            lines.add("search after the delete, second", search(codes))
            part = codes[1:]
            lines.add("slice of all but one row, first search", search(part))
            search(part)()
            lines.add("slice of all but one row, third search", search(part))
            _, loaded = bq.load(path)
            lines.add("loaded file, first search", search(loaded))
            search(loaded)()
            lines.add("loaded file, third search", search(loaded))
    return lines


def memory(q: bq.Quantizer, rows: int) -> tuple[float, float]:
    """Bytes per row that batches keep, and that single queries keep."""
    codes = encode(q, rows)
    y = np.random.default_rng(3).standard_normal((100, DIM), np.float32)
    for _ in range(3):
        q.search(codes, y, K)
    batches = kept(codes) / len(codes)
    for _ in range(3):
        q.search(codes, y[:1], K)
    return batches, kept(codes) / len(codes)


def judge(lines: Lines, batches: float, single: float) -> list[str]:
    """What is above its limit."""
    warm, scan = lines.typical("warm search"), lines.typical("all estimates")
    wrong = [
        f"{label}: {lines.typical(label) / warm:.2f} warm searches, at most {AFTER}"
        for label in ("search after the append", "search after the delete")
        if lines.typical(label) > AFTER * warm
    ]
    wrong += [
        f"{label}: {lines.typical(label) / scan:.2f} scans, at most {FIRST}"
        for label in lines.times
        if "first" in label and lines.typical(label) > FIRST * scan
    ]
    # Groups of rows are padded, which a tenth of a byte allows for.
    if batches > 8.1:
        wrong.append(f"batches keep {batches:.1f} bytes per row, at most 8")
    if single > DIM / 8 + 8.1:
        wrong.append(f"single queries keep {single:.1f} bytes per row, at most {DIM // 8 + 8}")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[50_000, 2_000_000])
    parser.add_argument("--bits", type=int, default=2)
    parser.add_argument("--method", default="blockquant")
    parser.add_argument("--turns", type=int, default=9)
    options = parser.parse_args()
    bq.set_num_threads(1)
    print(common.machine())
    q = bq.create(options.method, dim=DIM, bits=options.bits)
    print(f"{q!r}, one query, k = {K}, {options.turns} turns")
    wrong = []
    for rows in options.rows:
        print(f"\n{rows:,} rows\n")
        lines = measure(q, rows, options.turns)
        lines.print()
        batches, single = memory(q, min(rows, 50_000))
        print(f"kept per row: {batches:.1f} bytes by batches, {single:.1f} by single queries")
        wrong += [f"{rows:,} rows: {what}" for what in judge(lines, batches, single)]
    print("", *wrong or ["every limit is kept"], sep="\n")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
