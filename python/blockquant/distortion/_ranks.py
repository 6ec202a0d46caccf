"""Lists of the best, and ranks, of scores that come a chunk at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_Float = NDArray[np.float32]


class Best:
    """The k rows with the highest scores for each of m queries; of equals the earlier row."""

    def __init__(self, m: int, k: int) -> None:
        self._score = np.empty((m, 0), np.float32)
        self._place = np.empty((m, 0), np.intp)
        self._k = k

    def add(self, first: int, scores: _Float) -> None:
        """Takes the scores (m, rows) of the rows that begin at `first`."""
        if scores.shape[1] > self._k:
            # What cannot be among the best of its own chunk is not looked at again.
            part = np.argpartition(scores, -self._k, axis=1)[:, -self._k :]
            part.sort(axis=1)
        else:
            part = np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
        score = np.concatenate([self._score, np.take_along_axis(scores, part, axis=1)], axis=1)
        place = np.concatenate([self._place, part + first], axis=1)
        order = np.argsort(-score, axis=1, kind="stable")[:, : self._k]
        self._score = np.take_along_axis(score, order, axis=1)
        self._place = np.take_along_axis(place, order, axis=1)

    def places(self) -> NDArray[np.intp]:
        """Positions of the rows, best first, (m, k)."""
        return self._place


def recall(truth: NDArray[np.intp], found: NDArray[np.intp], k: int) -> float:
    """Mean over queries of |first k of both|/k, k no more than there are.

    Examples
    --------
    >>> recall(np.array([[4, 2, 7]]), np.array([[2, 4, 9]]), 2)
    1.0
    """
    a, b = np.sort(truth[:, :k], axis=1), found[:, :k]
    # Rows made disjoint: one search finds all.
    apart = np.arange(len(a))[:, None] * (max(a.max(), b.max()) + 1)
    everything = (a + apart).ravel()
    wanted = (b + apart).ravel()
    place = np.minimum(np.searchsorted(everything, wanted), len(everything) - 1)
    return float(np.mean(everything[place] == wanted))


def ranks(scores: _Float) -> NDArray[np.float64]:
    """The rank of each score within its row, less the mean and scaled to unit norm.

    Equal scores share the mean of their ranks. The inner product of two such rows is Spearman's
    rank correlation; of a row without differences all ranks are 0.
    """
    n = scores.shape[1]
    order = np.argsort(scores, axis=1, kind="stable")
    ascending = np.take_along_axis(scores, order, axis=1)
    place = np.broadcast_to(np.arange(n), scores.shape)
    # The first and the last place of the scores that equal the one at a place.
    new = np.diff(ascending, axis=1, prepend=np.nan) != 0
    first = np.maximum.accumulate(np.where(new, place, 0), axis=1)
    ends = np.concatenate([new[:, 1:], np.ones((len(scores), 1), bool)], axis=1)
    last = np.minimum.accumulate(np.where(ends, place, n)[:, ::-1], axis=1)[:, ::-1]
    centred = np.empty(scores.shape)
    np.put_along_axis(centred, order, (first + last - (n - 1)) / 2, axis=1)
    size = np.sqrt(np.einsum("ij,ij->i", centred, centred))
    return np.asarray(centred / np.where(size, size, 1.0)[:, None])
