"""What centring brings: recall@10 and error on embeddings, with and without the mean as center.

    python benches/centring.py [--data FOLDER] [--rows N] [--seeds 3]

Rows and queries are unit vectors, the center is the mean of the rows. A pair of columns is without
and with it: recall@10 of the estimated inner products, and d·E[error²]. Also for the same rows with
a constant vector added to all of them, of the length that `--shift` says, where the mean is large
beside the spread.
"""

import argparse

import numpy as np

import blockquant as bq
import common

NAMES = ("blockquant/unbiased", "blockquant/mse", "eden/unbiased")


def top(scores):
    return np.argpartition(-scores, 9, axis=1)[:, :10]


def measure(q, x, y, chunk=100):
    """recall@10 and d·E[error²], a chunk of queries at a time."""
    codes = q.encode(x)
    hits, square = 0, 0.0
    for first in range(0, len(y), chunk):
        queries = y[first : first + chunk]
        true, found = queries @ x.T, q.inner_product(codes, queries)
        pairs = zip(top(true), top(found), strict=True)
        hits += sum(len(np.intersect1d(a, b)) for a, b in pairs)
        square += float(np.square(found - true, dtype=np.float64).sum())
    return hits / (10 * len(y)), x.shape[1] * square / (len(x) * len(y))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    common.add_data(parser)
    parser.add_argument("--rows", type=int, help="only the first of them")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--shift", type=float, default=2.0)
    options = parser.parse_args()
    print(common.machine())
    found = common.embeddings(options.data)
    x, y = common.unit(found.x[: options.rows]), common.unit(found.y)
    shift = common.unit(np.random.default_rng(0).standard_normal((1, x.shape[1]))) * options.shift
    print(f"{len(x)} rows, {len(y)} queries, d = {x.shape[1]}, mean of {options.seeds} seeds")
    for rows, what in ((x, "as they are"), (x + shift.astype(np.float32), "shifted")):
        mean = rows.mean(axis=0, dtype=np.float64)
        spread = np.mean(np.sum((rows - mean) ** 2, axis=1))
        print(f"\nrows {what}: |mean|² is {mean @ mean / (mean @ mean + spread):.3f} of E|x|²")
        print(
            f"{'bits':4} {'method':20} {'R@10':>6} {'centred':>7}   {'d·E[e²]':>8} {'centred':>8}"
        )
        for bits in (1, 2):
            for name in NAMES:
                found = []
                for seed in range(options.seeds):
                    for center in (None, mean):
                        q = bq.create(name, dim=rows.shape[1], bits=bits, seed=seed, center=center)
                        found.append(measure(q, rows, y))
                result = np.reshape(found, (-1, 2, 2)).mean(axis=0)
                recall, error = result[:, 0], result[:, 1]
                print(
                    f"{bits:4} {name:20} {recall[0]:6.3f} {recall[1]:7.3f}   "
                    f"{error[0]:8.4f} {error[1]:8.4f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
