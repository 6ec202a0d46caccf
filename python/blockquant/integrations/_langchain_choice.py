"""Which documents a LangChain vector store may find, and which of them differ most."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Filter = Callable[[Any], bool] | Mapping[str, Any] | None


def as_test(filter: Filter) -> Callable[[Any], bool] | None:
    """What tells of a document whether a filter allows it."""
    if filter is None:
        return None
    if callable(filter):
        return filter
    if not isinstance(filter, Mapping):
        raise TypeError(
            f"filter is {type(filter).__name__}, expected a function of a document, or a dict of "
            "the metadata that it must have"
        )
    wanted = dict(filter)
    for key, value in wanted.items():
        names = [key, *value] if isinstance(value, Mapping) else [key]
        if any(str(name).startswith("$") for name in names):
            raise ValueError(
                f"filter: {key!r} uses an operator; a dict compares for equality, pass a function "
                "of a document for anything else"
            )
    missing = object()
    return lambda document: all(
        document.metadata.get(key, missing) == value for key, value in wanted.items()
    )


def clipped(score: float) -> float:
    """A score as a relevance, which lies between 0 and 1."""
    return min(1.0, max(0.0, score))


def diverse(
    query: NDArray[np.float64], rows: NDArray[np.float32], k: int, weight: float
) -> list[int]:
    """The places of at most k rows by maximal marginal relevance, in the order of choice."""
    if not len(rows):
        return []
    every = np.vstack([query.reshape(1, -1), rows.astype(np.float64)])
    norms = np.linalg.norm(every, axis=1, keepdims=True)
    every = np.divide(every, norms, out=np.zeros_like(every), where=norms > 0)
    relevance = every[1:] @ every[0]
    chosen = [int(np.argmax(relevance))]
    redundance = every[1:] @ every[1 + chosen[0]]
    while len(chosen) < min(k, len(rows)):
        worth = weight * relevance - (1 - weight) * redundance
        worth[chosen] = -np.inf
        chosen.append(int(np.argmax(worth)))
        redundance = np.maximum(redundance, every[1:] @ every[1 + chosen[-1]])
    return chosen
