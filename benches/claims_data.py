"""The rows that `claims.py` checks the claims on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

import common
from common import Rows

DIM = 384
QUERIES = 200


def datasets(folder: Path | None, rows: int) -> Iterator[tuple[str, str, Rows, Rows]]:
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


def embeddings(folder: Path | None, rows: int) -> tuple[str, Rows, Rows]:
    """Some of the embeddings, spread evenly."""
    found = common.embeddings(folder)
    wanted = ((found.x, rows), (found.y, QUERIES))
    x, y = (a[:: max(1, len(a) // n)][:n].astype(np.float32) for a, n in wanted)
    return f"{found.name}, spread evenly over {len(found.x):,}", x, y


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
