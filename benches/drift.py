"""Fitted axes and rows that are not like their sample, on four kinds of real rows.

Usage: python benches/drift.py [--data ../shared/data] [--rows N]

At most 16,000 rows of each kind, or as many as `--rows` says, are divided in up to four ways.
`alike`: a random half of the rows is the sample, and the other half is stored. `halves`: the sample
is the half below the median of the first axis. `quarters`: it is the lowest quarter along that
axis, and the highest one is stored. `other`: the sample is of other material, the shipped sentence
embeddings or hidden states of single tokens, and a random half is stored. Methods are `trellis` at
d·b/8 + 4 bytes per row (+ 8 for l2, with norms), and with axes at d·b/8 + 8.

R@10 is the share of the ten truly nearest rows that a search for ten finds, without axes and with
them by the `reserve`. `drift` is that of the stored codes without a reserve, and beside it stand
the measured error of decoded rows over the predicted one, and that of inner products. The output is
kept in benches/results/drift.txt.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import blockquant as bq
import common
from common import Rows
from fitted import BITS, KINDS, QUERIES

RESERVES = (0.0, 0.05, 0.1, 0.2, 0.4)
#: Files with rows of other material; sentence embeddings have the shipped sample.
OTHER = {"smollm2-windows576": "smollm2-tokens576"}
HEADS = ["rows", "bits", "plain", *(f"{r:g}" for r in RESERVES), "drift", "nmse", "ip_error"]


def read(path: Path, metric: str, rows: int | None) -> Rows:
    """The first rows of a file."""
    x = np.asarray(np.load(path, mmap_mode="r")[:rows], np.float32)
    # The cosine of rows is the product of unit rows.
    return common.unit(x) if metric == "cosine" else x


def splits(folder: Path, stem: str, metric: str, x: Rows) -> Iterator[tuple[str, Rows, Rows]]:
    """Name, sample and stored rows."""
    order = np.random.default_rng(5).permutation(len(x))
    half = len(x) // 2
    yield "alike", x[order[:half]], x[order[half:]]
    whole = bq.fit(x)
    along = np.argsort((x - whole.mean) @ whole.axes[0], kind="stable")
    yield "halves", x[along[:half]], x[along[half:]]
    yield "quarters", x[along[: half // 2]], x[along[-(half // 2) :]]
    if stem == "wordnet-minilm":
        yield "other", bq.sample()[0].astype(np.float32), x[order[half:]]
    elif stem in OTHER:
        other = read(folder / f"{OTHER[stem]}.npy", "ip", None)
        # The first token of each run, of which there is one per 257, is a hundred times as long.
        yield "other", common.unit(np.delete(other, np.s_[::257], axis=0)), x[order[half:]]


def recall(found: Rows, truth: Rows) -> float:
    hits = [len(np.intersect1d(a, b)) for a, b in zip(found, truth, strict=True)]
    return float(np.mean(hits)) / truth.shape[1]


def lines(name: str, sample: Rows, x: Rows, y: Rows, metric: str) -> Iterator[list[str]]:
    """The cells of one split at each rate."""
    metric = "ip" if metric == "cosine" else metric
    products = y.astype(np.float64) @ x.T.astype(np.float64)
    squares = np.square(x, dtype=np.float64).sum(axis=1)
    scores = products if metric == "ip" else 2 * products - squares
    truth = np.argpartition(-scores, 9, axis=1)[:, :10]
    axes = bq.fit(sample)
    dim = x.shape[1]
    for bits in BITS:
        plain = bq.create("trellis", dim=dim, bits=bits, store_norm=metric == "l2")
        held = [(plain, plain.encode(x))]
        for reserve in RESERVES:
            q = bq.create("trellis", dim=dim, bits=bits, axes=axes, reserve=reserve)
            held.append((q, q.encode(x)))
        found = [recall(q.search(codes, y, 10, metric)[1], truth) for q, codes in held]
        q, codes = held[1]
        predicted = q.predicted
        assert predicted is not None
        nmse = np.square(q.decode(codes) - x, dtype=np.float64).sum() / squares.sum()
        size = squares.mean() * np.square(y, dtype=np.float64).sum(axis=1).mean()
        error = dim * np.square(q.inner_product(codes, y) - products).mean() / size
        ratios = q.drift(codes), nmse / predicted.nmse, error / predicted.ip_error
        cells = [f"{value:.4f}" for value in found] + [f"{ratio:.2f}" for ratio in ratios]
        yield [name if bits == BITS[0] else "", f"{bits}", *cells]


def main() -> int:
    """Prints a table for each kind of rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=common.DATA, help="folder of the rows")
    parser.add_argument("--rows", type=int, default=16_000, help="at most so many of each kind")
    options = parser.parse_args()
    # Quarters of the least kinds are fewer rows than four per coordinate.
    warnings.filterwarnings("ignore", message=".* rows are few")
    bq.set_num_threads(1)
    print(common.machine())
    print(f"\n{__doc__.partition(chr(10) * 2)[2].partition(chr(10) * 2)[2].rstrip()}")
    start = time.perf_counter()
    for stem, title, metric in KINDS:
        path = options.data / f"{stem}-base.npy"
        if not path.is_file():
            print(f"\n{title}: not found in {options.data}, left out")
            continue
        x = read(path, metric, options.rows)
        y = read(options.data / f"{stem}-query.npy", metric, QUERIES)
        print(f"\n{title}, d = {x.shape[1]}, {metric}, {len(x)} rows, {len(y)} queries")
        print("  ".join([f"{HEADS[0]:<8}", f"{HEADS[1]:>4}", *(f"{h:>8}" for h in HEADS[2:])]))
        for name, sample, stored in splits(options.data, stem, metric, x):
            for cells in lines(name, sample, stored, y, metric):
                shown = [f"{cells[0]:<8}", f"{cells[1]:>4}", *(f"{c:>8}" for c in cells[2:])]
                print("  ".join(shown), flush=True)
    print(f"\n{time.perf_counter() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
