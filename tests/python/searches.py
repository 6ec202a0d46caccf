"""Searches of many kinds, and what the tests of the cascade compare them with.

`python searches.py FOLDER` prints a digest of each search of the codes in the folder, for the
instruction set of BLOCKQUANT_ISA.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np

import blockquant as bq

METRICS = ("ip", "l2", "cosine")

#: Method, dimension and options: every width of the indexes from 1 to 12, whole and fractional
#: rates, with a tail and without, odd and small dimensions, and the method whose rows have no
#: bounds.
QUANTIZERS = (
    ("eden", 1, {"bits": 2}),
    ("blockquant", 2, {"bits": 2}),
    ("eden", 7, {"bits": 3}),
    ("blockquant", 33, {"bits": 2}),
    ("blockquant", 33, {"bits": 2.5}),
    ("rabitq/mse", 33, {"bits": 4}),
    ("blockquant", 64, {"bits": 0.5}),
    ("blockquant/mse", 100, {"bits": 1.5}),
    ("blockquant", 96, {"bits": 5, "block": 2}),
    ("eden", 100, {"bits": 5}),
    ("turboquant/mse", 100, {"bits": 3}),
    ("turboquant/prod", 40, {"bits": 2}),
    ("rabitq", 130, {"bits": 7}),
    ("trellis", 7, {"bits": 1}),
    ("trellis", 33, {"bits": 2}),
    ("trellis/mse", 100, {"bits": 3, "states": 16}),
    ("trellis", 384, {"bits": 1}),
    ("trellis", 384, {"bits": 2}),
    ("trellis", 384, {"bits": 4}),
    ("eden", 384, {"bits": 1}),
    ("eden", 384, {"bits": 2}),
    ("eden", 384, {"bits": 4}),
    ("eden", 100, {"bits": 8}),
    ("blockquant", 384, {"bits": 1}),
    ("blockquant", 384, {"bits": 2}),
    ("blockquant", 384, {"bits": 3}),
    ("blockquant", 384, {"bits": 4}),
)


def name_of(name, dim, options):
    return f"{name} d={dim} " + " ".join(f"{key}={value}" for key, value in options.items())


NAMES = [name_of(*each) for each in QUANTIZERS]


def make(name, dim, options, **more):
    return bq.create(name, dim=dim, store_norm=True, **options, **more)


def rows(rng, kind, n, dim):
    """Rows and queries of a kind."""
    x, y = rng.standard_normal((n, dim)), rng.standard_normal((9, dim))
    if kind == "mean":
        x, y = x + 3, y + 3
    elif kind == "norms":
        x *= 10 ** rng.uniform(-3, 3, (n, 1))
        x[::7] = 0
        y[0] = 0
    elif kind == "equal":
        x = x[rng.integers(3, size=n)]
    elif kind == "massive":
        x[:, 0] += 1000
    elif kind == "near":
        x = x[rng.integers(max(1, n // 50), size=n)] + rng.standard_normal((n, dim)) / 100
        y = x[rng.integers(n, size=9)] + y / 50
    return x.astype(np.float32), y.astype(np.float32)


KINDS = ("Gaussian", "mean", "norms", "equal", "massive", "near")


# ---- ranks


def ranked(q, codes, y, k, metric="ip", mask=None):
    """Scores, ranks and positions of the rows found, for merging."""
    return q._search_ranked(codes, y, k, metric, mask)


def merged(parts, k, metric):
    """The k best of parts of the rows, each with the position of its first row.

    By rank and then position; the rows found are sorted by score and then position.
    """
    score, rank = (np.concatenate([part[i] for _, part in parts], axis=1) for i in (0, 1))
    index = np.concatenate([part[2] + first for first, part in parts], axis=1)
    merit = -score if metric == "l2" else score
    merit = np.where(np.isnan(merit), -np.inf, merit)
    scores, rows = [], []
    for line in range(len(rank)):
        best = np.lexsort((index[line], -rank[line]))[:k]
        best = best[np.lexsort((index[line][best], -merit[line][best]))]
        scores.append(score[line][best])
        rows.append(index[line][best])
    return np.array(scores), np.array(rows)


def core_merged(parts, k, metric):
    """The same by the core."""
    score, _, index = bq._core.merge([(first, *part) for first, part in parts], k, metric)
    return score, index


# ---- the same on every instruction set


def digest(*arrays):
    data = (a if isinstance(a, bytes) else np.ascontiguousarray(a).tobytes() for a in arrays)
    return hashlib.sha256(b"".join(data)).hexdigest()[:24]


def cases():
    """Name, quantizer, rows, queries and a mask of the searches that are compared."""
    for number, (name, dim, options) in enumerate(QUANTIZERS):
        rng = np.random.default_rng(number)
        for kind, n in (("Gaussian", 1500), (KINDS[1 + number % 5], 700)):
            x, y = rows(rng, kind, n, dim)
            label = f"{name_of(name, dim, options)} {kind}"
            yield label, make(name, dim, options), x, y, rng.random(n) < 0.6


def write_codes(folder):
    """Encoding is slow without vector instructions, and tested elsewhere."""
    for label, q, x, _, _ in cases():
        Path(folder, digest(label.encode())).write_bytes(q.encode(x).to_bytes())


def digests(folder):
    """A digest of the ids, scores and ranks of each search."""
    found = {}
    for label, q, x, y, mask in cases():
        codes = q.codes_from(Path(folder, digest(label.encode())).read_bytes(), len(x))
        for metric in METRICS:
            parts = [q.search(codes, y, 10, metric), q.search(codes, y, 7, metric, mask)]
            for _ in range(3):
                parts.append(q.search(codes, y[1:2], 10, metric))
            parts.append(ranked(q, codes, y, 10, metric))
            found[f"{label} {metric}"] = digest(*(array for part in parts for array in part))
    return found


def main():
    for threads in (1, 2):
        bq.set_num_threads(threads)
        print(json.dumps(digests(sys.argv[1])))


if __name__ == "__main__":
    main()
