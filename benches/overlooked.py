"""How many places of a search differ from those of a scan of all estimates.

    python benches/overlooked.py [--data ../shared/data] [--rows N] [--queries 2000] [--seeds 2]

The ten best of each query by `search` are compared with those by `search(..., exact=True)`, over
several seeds of the rotation. Lost: of 10,000 places, how many of the exact rows the search does
not find. Differ: at how many of 10,000 places the score is not that of the exact search; a row
that is lost at the first place moves all after it. The greatest of the seeds is in parentheses.

Rows: the shared embeddings, descriptors and hidden states with the metrics that they are made for
(without them the shipped sample, and the second line says so); Gaussian, one-hot and equal ones;
rows and queries that share a mean of ten standard deviations; and rows that depend on the rotation:
few-hot or heavy-tailed in the basis that the seed's own rotation gives, which only one who knows
the seed can make. Where a file has fewer queries than asked for, some of its rows are taken out and
are queries as well. The last table has the greatest of each kind of rows.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

import blockquant as bq
from common import machine

METHODS = (
    ("blockquant/unbiased", 1),
    ("eden/unbiased", 1),
    ("blockquant/unbiased", 2),
    ("eden/unbiased", 2),
    ("turboquant/mse", 2),
    ("blockquant/unbiased", 3),
    ("rabitq/unbiased", 4),
    ("eden/unbiased", 4),
    ("blockquant/unbiased", 4),
    *(("trellis/unbiased", bits) for bits in (1, 2, 3, 4)),
)
#: Shared files, with the metrics that they are for besides inner products.
FILES = {
    "wordnet-minilm": ("ip", "l2"),
    "docs-mpnet768": ("ip", "cosine"),
    "photos-sift128": ("ip", "l2"),
    "smollm2-windows576": ("ip", "cosine"),
}
K = 10
#: Rows, queries and coordinates of what is drawn.
N, D = 20_000, 128
#: The metrics of the drawn rows that do not depend on the rotation.
ALL = ("ip", "l2", "cosine")


def load(folder, rows, queries):
    """Name, metrics, rows and queries of each file that is there, else of the sample."""
    for name, metrics in FILES.items():
        path = folder / f"{name}-base.npy"
        if path.exists():
            x, y = np.load(path)[:rows], np.load(folder / f"{name}-query.npy")
            yield name, metrics, *enough(x.astype(np.float32), y.astype(np.float32), queries)
    if not any((folder / f"{name}-base.npy").exists() for name in FILES):
        x, y = bq.sample()
        yield "shipped sample", ("ip", "l2"), x.astype(np.float32), y.astype(np.float32)


def enough(x, y, queries):
    """The rows and so many queries, of which some were rows; a fifth of the rows at most."""
    more = min(max(0, queries - len(y)), len(x) // 5)
    taken = np.zeros(len(x), bool)
    taken[np.random.default_rng(0).choice(len(x), more, replace=False)] = True
    return x[~taken], np.concatenate([y[:queries], x[taken]])


def drawn(rng, rotation, queries):
    """Name, metrics, rows, queries; `rotation` is R, so x @ R has in R's basis the values of x."""
    gaussian = rng.standard_normal((N, D))
    y = rng.standard_normal((queries, D))
    two = np.zeros((N, D))
    two[np.arange(N)[:, None], rng.integers(D, size=(N, 2))] = rng.standard_normal((N, 2))
    axes = np.eye(D)[np.arange(queries) % D]
    one = np.eye(D)[rng.integers(D, size=N)] * (1 + rng.random((N, 1)))
    mean = 10 * np.sign(rng.standard_normal(D))
    yield "Gaussian", ALL, gaussian, y
    yield "one-hot", ALL, one, y
    yield "equal, 20 of each", ALL, gaussian[: N // 20][rng.integers(N // 20, size=N)], y
    yield "mean of 10 deviations", ALL, gaussian + mean, y + mean
    yield "two-hot in R's basis", ("ip",), two @ rotation, y
    yield "cubed in R's basis, axis queries", ("ip",), gaussian**3 @ rotation, axes @ rotation


def misses(q, x, y, metrics):
    """For each metric: of 10,000 places, those lost and those that differ."""
    codes = q.encode(x)
    for metric in metrics:
        score, index = q.search(codes, y, K, metric)
        best, expected = q.search(codes, y, K, metric, exact=True)
        found = (index[:, None, :] == expected[:, :, None]).any(axis=2)
        yield metric, (1e4 * np.mean(~found), 1e4 * np.mean(score != best))


def line(found, label, metric, name, bits, pairs):
    """Prints the mean and the greatest of the seeds, and keeps the greatest of the rows."""
    pairs = np.array(pairs)
    mean, most = pairs.mean(axis=0), pairs.max(axis=0)
    cells = " ".join(f"{a:7.2f} ({b:6.1f})" for a, b in zip(mean, most, strict=True))
    print(f"{label:<44} {metric:<7} {name:<20} {bits:>4} {cells}", flush=True)
    found.setdefault(label, []).append((mean[0], most[0], most[1], name, bits, metric))


def summary(found):
    print("\nthe greatest of each kind of rows, over methods, bits and metrics\n")
    print(f"{'rows':<44} {'lost':>7} {'seed':>8} {'differ':>8}  by")
    for label, lines in found.items():
        mean, seed, _, name, bits, metric = max(lines)
        differ = max(line[2] for line in lines)
        print(f"{label:<44} {mean:7.2f} {seed:8.1f} {differ:8.1f}  {name} {bits} {metric}")


def main():
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=default, help="the folder of the shared files")
    parser.add_argument("--rows", type=int, help="only the first of each file")
    parser.add_argument("--queries", type=int, default=2000, help="of each kind of rows")
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    print(machine())
    sets = list(load(options.data, options.rows, options.queries))
    if sets[0][0] not in FILES:
        print(f"{options.data} has none of the shared files: the shipped sample stands for them")
    seeds = f"seeds 0 to {options.seeds - 1}, {options.queries} queries or a fifth of the rows"
    print(f"the {K} best, {seeds}; of 10,000 places: mean (greatest of the seeds)\n")
    heads = f"{'lost':>16} {'differ':>16}"
    print(f"{'rows':<44} {'metric':<7} {'method':<20} bits {heads}")
    every = {}
    for label, metrics, x, y in sets:
        label = f"{label}, {len(x):,} × {x.shape[1]}"
        for name, bits in METHODS:
            found = {}
            for seed in range(options.seeds):
                q = bq.create(name, dim=x.shape[1], bits=bits, seed=seed, store_norm=True)
                for metric, pair in misses(q, x, y, metrics):
                    found.setdefault(metric, []).append(pair)
            for metric, pairs in found.items():
                line(every, label, metric, name, bits, pairs)
    for name, bits in METHODS:
        found = {}
        for seed in range(options.seeds):
            q = bq.create(name, dim=D, bits=bits, seed=seed, store_norm=True)
            rotation = q.rotate(np.eye(D)).T.astype(np.float64)
            rng = np.random.default_rng(seed)
            for label, metrics, x, y in drawn(rng, rotation, options.queries):
                label = f"{label}, {N:,} × {D}"
                for metric, pair in misses(q, x, y, metrics):
                    found.setdefault((label, metric), []).append(pair)
        for (label, metric), pairs in found.items():
            line(every, label, metric, name, bits, pairs)
    summary(every)


if __name__ == "__main__":
    sys.exit(main())
