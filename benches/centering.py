"""What a center brings: recall@10 and error on real rows, without and with it.

    python benches/centering.py [--data ../shared/data] [--rows 20000] [--seeds 3] [--bits 1,2,4]

The center is the mean of the rows. Each pair of columns is without it and with it: recall@10 of
`search` by the metric of the rows, and d·E[error²] of the estimated inner products. The sentence
embeddings are measured as they are, and with one vector added to rows and queries alike whose
square is 0.53 and 0.81 of E|x|²; for the distance it is as long as 3 and 10 standard deviations of
the rows. With the shared data, SIFT descriptors and hidden states of a language model follow.
`search` refuses biased estimates (`mse`) with a center by inner product and cosine; their recall
is that of an order by `inner_product`, which shows why. The last table gives the scalars that a row
stores besides its packed code.
"""

import argparse
from pathlib import Path

import numpy as np

import blockquant as bq
import common

NAMES = ("blockquant/unbiased", "blockquant/mse", "eden/unbiased")
#: File name without its end, title, metric and rows at most.
OTHERS = (
    ("photos-sift128", "SIFT descriptors", "l2", 25_000),
    ("docs-mpnet768", "paragraph embeddings", "ip", 5_000),
    ("smollm2-windows576", "hidden states", "cosine", 7_000),
)
QUERIES = 500


def merits(x, y, metric):
    """What orders the rows as the metric does, the best first, in float64."""
    products = y.astype(np.float64) @ x.T.astype(np.float64)
    if metric == "l2":
        return 2 * products - np.square(x, dtype=np.float64).sum(axis=1), products
    if metric == "cosine":
        return products / np.linalg.norm(x.astype(np.float64), axis=1), products
    return products, products


def measure(q, x, y, metric):
    """recall@10, and d·E[error²] over E|x|²·E|y|² as for unit vectors."""
    codes = q.encode(x)
    merit, products = merits(x, y, metric)
    true = np.argpartition(-merit, 9, axis=1)[:, :10]
    estimates = q.inner_product(codes, y)
    try:
        found = q.search(codes, y, 10, metric)[1]
    except ValueError:  # biased estimates with a center: what an order by them would find
        order = estimates / q.norms(codes) if metric == "cosine" else estimates
        found = np.argpartition(-order, 9, axis=1)[:, :10]
    hits = sum(len(np.intersect1d(a, b)) for a, b in zip(true, found, strict=True))
    square = np.mean(np.square(estimates - products))
    return hits / (10 * len(y)), x.shape[1] * square


def table(x, y, metric, bits, seeds):
    """Prints one line per rate and method."""
    mean = x.mean(axis=0, dtype=np.float64)
    share = mean @ mean / np.mean(np.square(x, dtype=np.float64).sum(axis=1))
    print(f"|mean|² is {share:.2f} of E|x|²; {len(x)} rows, {len(y)} queries, d = {x.shape[1]}")
    print(f"bits {'method':20}   R@10 centered     d·E[e²]   centered")
    for rate in bits:
        for name in NAMES:
            found = []
            for seed in range(seeds):
                for center in (None, mean):
                    options = {"dim": x.shape[1], "bits": rate, "seed": seed, "center": center}
                    q = bq.create(name, store_norm=metric != "ip", **options)
                    found.append(measure(q, x, y, metric))
            recall, error = np.reshape(found, (seeds, 2, 2)).mean(axis=0).T
            print(
                f"{rate:4} {name:20} {recall[0]:6.3f} {recall[1]:8.3f} "
                f"{error[0]:11.5g} {error[1]:10.5g}",
                flush=True,
            )


def scalars(dim):
    """Prints what a row stores besides its packed code."""
    print("\nscalars of a row, in bytes (the scale included)")
    print(f"{'method':20} no center, no norm  no center, norm  center, no norm  center, norm")
    for name in bq.available():
        code = -(-dim * 2 // 8)
        found = [
            bq.theory.bytes_per_vector(name, 2, dim, store_norm=norm, center=center) - code
            for center in (False, True)
            for norm in (False, True)
        ]
        print(f"{name:20} {found[0]:18} {found[1]:16} {found[2]:16} {found[3]:13}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    common.add_data(parser)
    parser.add_argument("--rows", type=int, default=20_000, help="at most so many of each kind")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--bits", default="1,2,4")
    options = parser.parse_args()
    bits = [int(rate) for rate in options.bits.split(",")]
    print(common.machine())
    found = common.embeddings(options.data)
    x, y = common.unit(found.x[: options.rows]), common.unit(found.y[:QUERIES])
    print(f"{found.name}; mean of {options.seeds} seeds")
    way = common.unit(np.random.default_rng(0).standard_normal((1, x.shape[1])))
    spread = np.sqrt(np.mean(np.square(x - x.mean(axis=0)).sum(axis=1)))
    moves = [("ip", 0.0, "as they are")]
    moves += [("ip", np.sqrt(s / (1 - s)), f"and a vector of {s} of E|x|²") for s in (0.53, 0.81)]
    moves += [("l2", t * spread, f"moved by {t} standard deviations") for t in (0, 3, 10)]
    for metric, length, what in moves:
        step = np.float32(length) * way
        print(f"\nembeddings {what}, by {metric}")
        table(x + step, y + step, metric, bits, options.seeds)
    folder = common.DATA if options.data is None else options.data
    for stem, title, metric, most in OTHERS:
        base, queries = (Path(folder) / f"{stem}-{part}.npy" for part in ("base", "query"))
        if not (base.is_file() and queries.is_file()):
            print(f"\n{title}: {base} not found, left out")
            continue
        x = np.load(base, mmap_mode="r")[: min(most, options.rows)].astype(np.float32)
        y = np.load(queries, mmap_mode="r")[:QUERIES].astype(np.float32)
        print(f"\n{title}, by {metric}")
        table(x, y, metric, bits, options.seeds)
    scalars(384)


if __name__ == "__main__":
    main()
