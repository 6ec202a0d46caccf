"""The rows that `claims.py` checks the claims on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import blockquant as bq

Rows = NDArray[np.float32]

DIM = 384
QUERIES = 200


def datasets(folder: Path, rows: int) -> Iterator[tuple[str, str, Rows, Rows]]:
    """Name, description, rows and queries of each kind."""
    generator = np.random.default_rng(7)
    yield "embeddings", *embeddings(folder, rows)
    gaussian = generator.standard_normal((rows // 2 + QUERIES, 1536), np.float32)
    yield "Gaussian", "independent normal coordinates", gaussian[QUERIES:], gaussian[:QUERIES]
    heavy = generator.standard_t(2, (rows + QUERIES, DIM)).astype(np.float32)
    heavy *= np.exp(generator.standard_normal((DIM,)).astype(np.float32))
    text = "Student's t with 2 degrees of freedom, coordinates of log-normal scales"
    yield "heavy-tailed", text, heavy[QUERIES:], heavy[:QUERIES]
    yield "adversarial", *adversarial(generator, rows)


def embeddings(folder: Path, rows: int) -> tuple[str, Rows, Rows]:
    """The shared embeddings, spread evenly; the shipped sample where they are not there."""
    if not folder.is_dir():
        x, y = bq.sample()
        return "the shipped sample of sentence embeddings", x[:rows], y
    x = np.load(folder / "wordnet-minilm-base.npy", mmap_mode="r")
    y = np.load(folder / "wordnet-minilm-query.npy", mmap_mode="r")
    x, y = (a[:: max(1, len(a) // n)][:n] for a, n in ((x, rows), (y, QUERIES)))
    text = "sentence embeddings (WordNet glosses, all-MiniLM-L6-v2), spread evenly over 50,000"
    return text, x.astype(np.float32), y.astype(np.float32)


def adversarial(generator: np.random.Generator, rows: int) -> tuple[str, Rows, Rows]:
    """What a weak rotation spreads badly, and queries of the same kinds."""

    def some(count: int) -> Rows:
        out = np.zeros((count, DIM))
        places = np.arange(DIM)
        for row in out:
            kind = generator.integers(7)
            sign = generator.choice([-1.0, 1.0], DIM)
            if kind == 0:  # one-hot
                row[generator.integers(DIM)] = 1
            elif kind == 1:  # two-hot
                row[generator.choice(DIM, 2, replace=False)] = 1
            elif kind == 2:  # constant size
                row[:] = sign
            elif kind == 3:  # sparse
                row[generator.choice(DIM, DIM // 32, replace=False)] = 1
            elif kind == 4:  # decaying
                row[:] = sign / (1 + places)
            elif kind == 5:  # sinusoid
                row[:] = np.sin(places * generator.uniform(0.01, 3) + generator.uniform(0, 6))
            else:  # a block
                row[: DIM // 8] = sign[: DIM // 8]
        return out.astype(np.float32)

    text = "one-hot, two-hot, signs, sparse, decaying, sinusoid and block rows, in turn at random"
    return text, some(rows), some(QUERIES)
