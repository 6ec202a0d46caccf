"""The sets of rows that a search is measured on.

* `embeddings`: the shared ones, d = 384 (`--data` names another folder; without them the shipped
  sample stands for them, and the run says so).
* `repeated`: the embeddings again and again, each time with other noise of .3 of a row's length,
  for rows that are more than there are. A query then has several near copies of its neighbors.
* `lifted`: the embeddings through a fixed random linear map into 1536 dimensions, with noise of .1
  of a row's length. Their distances are nearly those of the embeddings, so that they are like
  embeddings of that many dimensions.
* `Gaussian`: every direction alike, the hardest rows of all, as no row is near a query.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .. import common
from ..common import Rows, unit
from .adapters import gaussian
from .searchers import Found

DIM = 1536
"""Of what is not 384."""
REPEATED = 0.3
LIFTED = 0.1
"""The length of the noise, of that of a row."""
DEPTH = 100
"""Of the true nearest rows."""


@dataclass(frozen=True)
class Set:
    """Rows, queries, and the true nearest rows of each query."""

    kind: str
    """`real`, `repeated`, `lifted` or `Gaussian`."""
    name: str
    x: Rows
    y: Rows
    truth: Found

    def __str__(self) -> str:
        return f"{self.name}, d = {self.x.shape[1]}, {len(self.x)} vectors"


@dataclass(frozen=True)
class Plan:
    """How many rows and queries of a kind are searched."""

    kind: str
    rows: int
    queries: int


FULL = (
    Plan("real", 50_000, 1000),
    Plan("real", 20_000, 500),
    Plan("repeated", 400_000, 200),
    Plan("lifted", 20_000, 300),
    Plan("lifted", 50_000, 300),
    Plan("Gaussian", 20_000, 200),
    Plan("Gaussian", 50_000, 200),
)
QUICK = (
    Plan("real", 1000, 50),
    Plan("repeated", 3000, 50),
    Plan("lifted", 1000, 50),
    Plan("Gaussian", 1000, 50),
)


def make(plan: Plan, found: common.Embeddings) -> Set:
    """The set of a plan, from the embeddings."""
    x, y = (np.asarray(some, np.float32) for some in (found.x, found.y[: plan.queries]))
    name = "sample of the embeddings" if found.is_sample else "embeddings"
    if plan.kind == "real":
        return finish(plan, name, x[: plan.rows], y)
    if plan.kind == "repeated":
        return finish(plan, f"{name} repeated with noise", repeated(x, plan.rows), y)
    if plan.kind == "lifted":
        return finish(plan, f"{name} lifted", *lifted(x[: plan.rows], y))
    rows, queries = gaussian(plan.rows, DIM), gaussian(plan.queries, DIM, 1)
    return finish(plan, "Gaussian rows", rows, queries)


def finish(plan: Plan, name: str, x: Rows, y: Rows) -> Set:
    return Set(plan.kind, name, x, y, nearest(x, y, min(DEPTH, len(x))))


def repeated(x: Rows, rows: int) -> Rows:
    """So many rows: those of `x` in turn, each of length 1 with noise of its own."""
    rng = np.random.default_rng(2)
    parts = []
    for at in range(0, rows, len(x)):
        some = unit(x[: rows - at])
        noise = rng.standard_normal(some.shape, np.float32) / np.float32(np.sqrt(x.shape[1]))
        parts.append(unit(some + REPEATED * noise))
    return np.concatenate(parts)


def lifted(x: Rows, y: Rows) -> tuple[Rows, Rows]:
    """Rows and queries in more dimensions, by one map."""
    rng = np.random.default_rng(3)
    to = rng.standard_normal((x.shape[1], DIM), np.float32) / np.float32(np.sqrt(DIM))

    def lift(some: Rows) -> Rows:
        noise = rng.standard_normal((len(some), DIM), np.float32) / np.float32(np.sqrt(DIM))
        return unit(unit(some) @ to + LIFTED * noise)

    return lift(x), lift(y)


def nearest(x: Rows, y: Rows, k: int) -> Found:
    """By float32 inner products, greatest first, ties by the lower index."""
    found = []
    for some in in_batches(y, 50):
        score = some @ x.T
        best = np.sort(np.argpartition(-score, k - 1, axis=1)[:, :k], axis=1)
        order = np.argsort(-np.take_along_axis(score, best, 1), axis=1, kind="stable")
        found.append(np.take_along_axis(best, order, 1))
    return np.concatenate(found)


def in_batches(y: Rows, size: int) -> Iterator[Rows]:
    return (y[at : at + size] for at in range(0, len(y), size))


def recall(found: Found, truth: Found, k: int) -> float:
    """The share of the true k nearest among the k found, over all queries."""
    k = min(k, truth.shape[1])
    hits = [
        len(np.intersect1d(some, true))
        for some, true in zip(found[:, :k], truth[:, :k], strict=True)
    ]
    return float(np.mean(hits)) / k
