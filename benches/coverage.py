"""How often the intervals contain the true inner product, beside the confidence they state.

    python benches/coverage.py [--data FOLDER] [--seeds 8] [--only fitted]

The first table is over all rows of the embeddings, with a new rotation and other queries for each
seed and the default rotation. The second is over the eight row families of docs/specification.md,
section 2, with one row of each and 16 queries per seed, at three distances from the row. The third
is over codes along fitted axes of four kinds of real rows: axes are fitted to a random half, and
rows of the other half are stored. Where axes have no bits, intervals are as wide as Cauchy and
Schwarz make them for that part, so that more pairs than stated are covered. `--only fitted` makes
the third table alone, which is kept in benches/results/coverage_fitted.txt.

* covered: the share of pairs whose interval contains the product;
* `±`: one standard error of that share: first binomial, as if all pairs were independent, then
  between the seeds, which accounts for the dependence of the pairs of one rotation;
* off: how far the share is below the confidence, in units of the greater error; `<` marks more
  than 3;
* width: the mean width over that with a Haar rotation, on 2,000 rows, at each confidence; for
  fitted axes over that of plain codes of the same method and bits.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

import blockquant as bq
import common
from common import unit
from fitted import KINDS

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "python"))
from support import FAMILIES, families

CONFIDENCES = (0.9, 0.99, 0.999)
CASES = [
    (name, bits)
    for name in (
        "blockquant/unbiased",
        "blockquant/mse",
        "eden/unbiased",
        "eden/mse",
        "rabitq/unbiased",
        "rabitq/mse",
    )
    for bits in (1, 2, 4)
]
QUERIES = 10
#: Methods along fitted axes, and the most rows that are stored.
FITTED = ("trellis/unbiased", "trellis/mse", "blockquant/unbiased", "eden/unbiased")
STORED = 5000


def make(name, bits, dim, seed, rotation="hadamard"):
    return bq.create(name, dim=dim, bits=bits, seed=seed, store_norm=True, rotation=rotation)


def covered(q, codes, y, true):
    """For each confidence which of the pairs are covered, and the mean width."""
    for confidence in CONFIDENCES:
        low, high = q.interval(codes, y, confidence)
        yield (low <= true) & (true <= high), float((high - low).mean(dtype=np.float64))


def report(shares, pairs):
    """The columns of one line; shares (seeds, confidences) of as many pairs each."""
    shares = np.asarray(shares)
    mean = shares.mean(axis=0)
    columns = []
    for i, confidence in enumerate(CONFIDENCES):
        binomial = np.sqrt(confidence * (1 - confidence) / (pairs * len(shares)))
        between = shares[:, i].std(ddof=1) / np.sqrt(len(shares))
        off = (confidence - mean[i]) / max(binomial, between)
        mark = "<" if off > 3 else " "
        columns.append(f"{mean[i]:.5f} ±{binomial:.5f} ±{between:.5f} {off:5.1f}{mark}")
    return " ".join(columns)


def embeddings(x, y, seeds):
    dim = x.shape[1]
    print(f"\nall {len(x)} rows, {QUERIES} queries a seed, {seeds} seeds, d = {dim}\n")
    heads = "".join(f" {f'covered at {c:g}, errors, off':<32}" for c in CONFIDENCES)
    print(f"{'method':<20} bits{heads} width/Haar")
    for name, bits in CASES:
        shares = []
        for seed in range(seeds):
            q = make(name, bits, dim, seed)
            some = y[seed * QUERIES : (seed + 1) * QUERIES]
            true = some.astype(np.float64) @ x.T.astype(np.float64)
            shares.append([hit.mean() for hit, _ in covered(q, q.encode(x), some, true)])
        few, some = x[:2000], y[:QUERIES]
        true = some.astype(np.float64) @ few.T.astype(np.float64)
        widths = []
        for rotation in ("hadamard", "haar"):
            q = make(name, bits, dim, 0, rotation)
            widths.append([width for _, width in covered(q, q.encode(few), some, true)])
        ratio = " ".join(f"{a / b:.4f}" for a, b in zip(*widths, strict=True))
        columns = report(shares, len(x) * QUERIES)
        print(f"{name:<20} {bits:>4} {columns} {ratio}", flush=True)


def of_families(dim, seeds):
    print(f"\nrow families, one row and 16 queries a seed, {seeds} seeds, d = {dim}\n")
    heads = "".join(f" {f'covered at {c:g}, errors, off':<32}" for c in CONFIDENCES)
    print(f"{'method':<20} bits {'family':<14}{heads}")
    for name, bits in (("blockquant/unbiased", 1), ("blockquant/unbiased", 2), ("eden/mse", 2)):
        shares = np.empty((len(FAMILIES), seeds, len(CONFIDENCES)))
        for seed in range(seeds):
            rng = np.random.default_rng(seed)
            q = make(name, bits, dim, seed)
            rows = unit(families(dim, rng))
            # Gaussian ones, and those of the family after.
            others = np.stack([families(dim, rng) for _ in range(16)])
            others = np.roll(others, -1, axis=1)
            others[::2] = rng.standard_normal(others[::2].shape)
            codes = q.encode(rows)
            for family in range(len(FAMILIES)):
                near = np.repeat([1.0, 0.5, 0.0, 0.0], 4)[:, None]
                y = unit(near * rows[family] + unit(others[:, family]) * (1 - 0.9 * near))
                true = y.astype(np.float64) @ rows[family].astype(np.float64)
                one = codes[family : family + 1]
                found = covered(q, one, y, true[:, None])
                shares[family, seed] = [hit.mean() for hit, _ in found]
        for family, share in zip(FAMILIES, shares, strict=True):
            print(f"{name:<20} {bits:>4} {family:<14} {report(share, 16)}", flush=True)


def of_fitted(folder, seeds):
    for stem, title, metric in KINDS:
        if not (folder / f"{stem}-base.npy").is_file():
            print(f"\n{title}: not found in {folder}, left out")
            continue
        x, y = (np.load(folder / f"{stem}-{part}.npy") for part in ("base", "query"))
        # Cosines are products of unit rows.
        x, y = (unit(a) if metric == "cosine" else a.astype(np.float32) for a in (x, y))
        order = np.random.default_rng(5).permutation(len(x))
        axes = bq.fit(x[order[: len(x) // 2]])
        x, dim = x[order[len(x) // 2 :][:STORED]], x.shape[1]
        print(f"\n{title}, axes fitted to {axes.rows} rows, d = {dim}")
        print(f"{len(x)} other rows, {QUERIES} queries a seed, {seeds} seeds\n")
        heads = "".join(f" {f'covered at {c:g}, errors, off':<32}" for c in CONFIDENCES)
        print(f"{'method':<20} bits{heads} width/plain")
        for name in FITTED:
            for bits in (1, 2, 4):
                shares, widths = [], []
                for seed in range(seeds):
                    some = y[seed * QUERIES : (seed + 1) * QUERIES]
                    true = some.astype(np.float64) @ x.T.astype(np.float64)
                    options = {"dim": dim, "bits": bits, "seed": seed, "store_norm": True}
                    q = bq.create(name, axes=axes, **options)
                    hits, wide = zip(*covered(q, q.encode(x), some, true), strict=True)
                    shares.append([hit.mean() for hit in hits])
                    if seed == 0:
                        plain = bq.create(name, **options)
                        _, others = zip(*covered(plain, plain.encode(x), some, true), strict=True)
                        widths = [a / b for a, b in zip(wide, others, strict=True)]
                ratio = " ".join(f"{width:.4f}" for width in widths)
                columns = report(shares, len(x) * QUERIES)
                print(f"{name:<20} {bits:>4} {columns} {ratio}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    common.add_data(parser)
    parser.add_argument("--rows", type=int, help="only the first of them")
    parser.add_argument("--seeds", type=int, default=8, help="of the embeddings")
    parser.add_argument("--family-seeds", type=int, default=1000)
    parser.add_argument("--only", choices=["fitted"], help="this table alone")
    options = parser.parse_args()
    print(common.machine())
    if options.only is not None:
        of_fitted(common.DATA if options.data is None else options.data, options.seeds)
        return
    found = common.embeddings(options.data)
    x, y = unit(found.x[: options.rows]), unit(found.y)
    embeddings(x, y, options.seeds)
    of_families(x.shape[1], options.family_seeds)
    if not found.is_sample:
        of_fitted(common.DATA if options.data is None else options.data, options.seeds)


if __name__ == "__main__":
    main()
