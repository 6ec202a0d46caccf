"""The best rows and the ranks of scores that arrive one chunk at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_Float = NDArray[np.float32]

#: Numbers that are multiplied at a time: 8 MiB of float64.
_NUMBERS = 1 << 20


def products(x: _Float, y: _Float, pairs: tuple[NDArray[np.intp], ...]) -> NDArray[np.float64]:
    """⟨x, y⟩ of some pairs in float64, so that equal rows have equal products.

    The order of the additions in a matrix product depends on the position of a row. Here each pair
    is summed separately, in an order that depends only on the dimension.

    Parameters
    ----------
    x, y : ndarray of float32, (n, d) and (m, d)
    pairs : pair of ndarray of int, (p,)
        Positions in x and positions in y.

    Returns
    -------
    ndarray of float64, (p,)

    Examples
    --------
    >>> x = np.float32([[1, 2], [3, 4]])
    >>> products(x, x, (np.array([0, 1]), np.array([1, 1])))
    array([11., 25.])
    """
    out = np.empty(len(pairs[0]))
    step = max(1, _NUMBERS // x.shape[1])
    for first in range(0, len(out), step):
        left, right = (place[first : first + step] for place in pairs)
        terms = np.multiply(x[left], y[right], dtype=np.float64)
        terms.sum(axis=1, out=out[first : first + step])
    return out


class Best:
    """The k rows with the highest scores for each query, and their true products with the query.

    Among rows with equal scores the earlier one counts as better. :func:`products` computes the
    products.

    Examples
    --------
    >>> x, y = np.float32([[1, 0], [0, 1], [0, 1]]), np.float32([[0, 1]])
    >>> best = Best(y, 2)
    >>> best.add(0, x, np.float32([[0.4, 0.3, 0.5]]))
    >>> best.places(), best.products()
    (array([[2, 0]]), array([[1., 0.]]))
    """

    def __init__(self, y: _Float, k: int) -> None:
        m = len(y)
        self._y, self._k = y, k
        self._score = np.empty((m, 0), np.float32)
        self._place = np.empty((m, 0), np.intp)
        self._product = np.empty((m, 0))

    def add(self, first: int, x: _Float, scores: _Float) -> None:
        """Adds a chunk of rows x with their scores (m, rows). Its first row is row `first`."""
        if scores.shape[1] > self._k:
            # A row that is not among the best of its own chunk cannot be among the best of all.
            part = np.argpartition(scores, -self._k, axis=1)[:, -self._k :]
            part.sort(axis=1)
        else:
            part = np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
        score = np.concatenate([self._score, np.take_along_axis(scores, part, axis=1)], axis=1)
        place = np.concatenate([self._place, part + first], axis=1)
        product = np.concatenate([self._product, np.empty(part.shape)], axis=1)
        order = np.argsort(-score, axis=1, kind="stable")[:, : self._k]
        self._score = np.take_along_axis(score, order, axis=1)
        self._place = np.take_along_axis(place, order, axis=1)
        self._product = np.take_along_axis(product, order, axis=1)
        query, column = np.nonzero(self._place >= first)
        row = self._place[query, column] - first
        self._product[query, column] = products(x, self._y, (row, query))

    def places(self) -> NDArray[np.intp]:
        """Positions of the rows, best first, (m, k)."""
        return self._place

    def products(self) -> NDArray[np.float64]:
        """True products of these rows with the queries, (m, k)."""
        return self._product


def recall(truth: NDArray[np.float64], found: NDArray[np.float64], k: int) -> float:
    """Mean share, over queries, of the first k rows found that belong to the true k best.

    A row belongs to them if its product reaches the k-th greatest. So it does not matter which of
    several equal rows is found.

    Parameters
    ----------
    truth : ndarray of float64, (m, ≥ k)
        The greatest products of each query, the greatest first.
    found : ndarray of float64, (m, ≥ k)
        True products of the rows found, in the order in which they were found.
    k : int
        Where there are fewer rows, all of them are compared.

    Examples
    --------
    >>> recall(np.array([[0.9, 0.7, 0.7, 0.1]]), np.array([[0.7, 0.7, 0.1]]), 2)
    1.0
    """
    k = min(k, truth.shape[1])
    return float(np.mean(found[:, :k] >= truth[:, k - 1 : k]))


def ranks(scores: _Float) -> NDArray[np.float64]:
    """The rank of each score within its row, centered and scaled to unit norm.

    Equal scores share the mean of their ranks. The inner product of two such rows is Spearman's
    rank correlation. If all scores of a row are equal, all its ranks are 0.
    """
    n = scores.shape[1]
    order = np.argsort(scores, axis=1, kind="stable")
    ascending = np.take_along_axis(scores, order, axis=1)
    place = np.broadcast_to(np.arange(n), scores.shape)
    # The first and the last place of the run of equal scores that contains each place.
    new = np.diff(ascending, axis=1, prepend=np.nan) != 0
    first = np.maximum.accumulate(np.where(new, place, 0), axis=1)
    ends = np.concatenate([new[:, 1:], np.ones((len(scores), 1), bool)], axis=1)
    last = np.minimum.accumulate(np.where(ends, place, n)[:, ::-1], axis=1)[:, ::-1]
    centered = np.empty(scores.shape)
    np.put_along_axis(centered, order, (first + last - (n - 1)) / 2, axis=1)
    size = np.sqrt(np.einsum("ij,ij->i", centered, centered))
    return np.asarray(centered / np.where(size, size, 1.0)[:, None])
