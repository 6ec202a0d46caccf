"""Rows and queries of unit norm in chunks, with their true inner products.

All methods are measured against the same truth. A zero row or query has no direction, so it is left
out and counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockquant._arrays import as_float32, as_rows
from blockquant._checks import counted
from blockquant.measurement._ranks import Best, ranks

_Float = NDArray[np.float32]

#: Numbers per chunk of rows or of inner products: 16 MiB of float32.
_CHUNK = 1 << 22
#: If all chunks together have at most so many bytes, they are kept. Otherwise each run makes them
#: again.
_KEPT = 1 << 29
#: Bins of the inner products over [−1, 1].
_BINS = 1 << 12
#: The most rows, spread evenly, and the most queries whose scores are ranked.
_RANKED = (2000, 200)
#: The greatest k of recall@k.
MOST_FOUND = 100
#: Length of the list of the true best rows, which float32 products choose. Rounding swaps rows with
#: close products, so the list is longer than 100: it then contains the 100th greatest product.
_LISTED = 128


class Source:
    """Rows that are read in pieces.

    They are an array, a mapped file, or any object with a shape (n, d) that gives arrays for slices
    of rows.
    """

    def __init__(self, x: Any, what: str) -> None:
        self._what = what
        self._is_bits = False
        shape: Any = getattr(x, "shape", ())
        lazy = not isinstance(x, np.ndarray) and not hasattr(x, "__dlpack__")
        if not (lazy and len(shape) == 2 and hasattr(x, "__getitem__")):
            x, self._is_bits = as_rows(x, None, what)
            shape = x.shape
        self._rows = x
        self.shape: tuple[int, int] = (int(shape[0]), int(shape[1]))

    def float32(self, first: int, end: int) -> _Float:
        """The rows from first to end. Values that are not finite raise an error."""
        piece = self._rows[first:end]
        if self._is_bits:
            piece = (piece.astype(np.uint32) << np.uint32(16)).view(np.float32)
        return as_float32(piece, self.shape[1], self._what, first)


def _split(rows: _Float) -> tuple[_Float, NDArray[np.float64]]:
    """Rows scaled to unit norm, and their norms. None of them may be zero."""
    wide = rows.astype(np.float64)
    norm = np.sqrt(np.einsum("ij,ij->i", wide, wide))
    return np.asarray(wide / norm[:, None], dtype=np.float32), norm


def _unit(rows: _Float) -> _Float:
    return _split(rows)[0]


@dataclass(frozen=True)
class Chunk:
    """Some of the rows."""

    #: Position of the first row among the rows that are measured.
    first: int
    #: Rows of unit norm, (rows, d).
    x: _Float
    #: Their norms before, (rows,).
    norm: NDArray[np.float64]
    #: ⟨x, y⟩, (m, rows).
    product: _Float


class Truth:
    """The true inner products and ranks of the rows and queries.

    It takes two passes over the rows. The first one finds the zero rows. If `y` is None, the last
    tenth of the rows, at most 200, are the queries. A `share` of the other rows, drawn at random
    but always the same, is a sample to fit axes to, and is not measured.
    """

    def __init__(self, x: Any, y: Any, share: float | None = None) -> None:
        source = self._source = Source(x, "x")
        n, d = source.shape
        scan = max(1, _CHUNK // d)
        self._live = _live(source, scan)
        positions = np.flatnonzero(self._live)
        #: The number of rows and queries that are left out because they are zero.
        self.zero_rows = _none_left("x", n, len(positions))
        self.zero_queries = 0
        if y is None:
            held = min(200, max(1, len(positions) // 10))
            if len(positions) < 2:
                raise ValueError(
                    f"x: {counted(len(positions), 'row')} that can be measured, expected at least "
                    "2, one of them to hold out as a query, or queries besides"
                )
            start = int(positions[-held])
            pieces = _pieces(source, self._live, start, n, scan)
            self.y = _unit(np.concatenate(list(pieces)))
            positions, self._live = positions[:-held], self._live[:start]
        else:
            queries = Source(y, "y")
            rows = as_float32(queries.float32(0, queries.shape[0]), d, "y")
            some = rows.any(axis=1)
            self.y = _unit(rows[some])
            self.zero_queries = _none_left("y", len(rows), len(self.y))
        self._drawn = np.zeros(len(self._live), np.bool_)
        if share is not None:
            count = round(share * len(positions))
            if not 0 < count < len(positions):
                left = counted(len(positions), "row")
                raise ValueError(f"sample: {share:g} of {left}, expected some of them and not all")
            mixed = np.random.default_rng(0).permutation(positions)
            self._drawn[mixed[:count]] = True
            self._live = self._live & ~self._drawn
            positions = np.flatnonzero(self._live)
        n, m = len(positions), len(self.y)
        if n == 0 or m == 0:
            found = f"{counted(n, 'row')} and {counted(m, 'query', 'queries')}"
            raise ValueError(f"{found}, expected at least one of each")
        self.shape = (n, m, d)
        self._step = max(1, _CHUNK // max(d, m))
        self._kept: list[Chunk] | None = [] if 4 * n * (d + m) <= _KEPT else None
        #: The rows whose ranks are compared.
        self.ranked = np.unique(np.linspace(0, n - 1, min(n, _RANKED[0])).astype(np.intp))
        squares = 0.0
        counts = np.zeros(_BINS, np.int64)
        best = Best(self.y, min(n, _LISTED))
        some_rows, some_products = [], []
        for chunk in self._make():
            if self._kept is not None:
                self._kept.append(chunk)
            squares += float(np.square(chunk.product, dtype=np.float64).sum())
            place = ((chunk.product.ravel() + 1) * (_BINS / 2)).astype(np.int64)
            counts += np.bincount(np.clip(place, 0, _BINS - 1), minlength=_BINS)
            best.add(chunk.first, chunk.x, chunk.product)
            some_rows.append(chunk.x[self._picked(chunk)])
            some_products.append(self.pick(chunk, chunk.product))
        #: Mean of ⟨x, y⟩².
        self.square = squares / (n * m)
        #: A histogram of ⟨x, y⟩: centers of the bins and counts.
        live = np.flatnonzero(counts)
        self.products = (live + 0.5) * (2 / _BINS) - 1
        self.weights = counts[live]
        #: The greatest products of each query in float64, in descending order, (m, k).
        self.top = -np.sort(-best.products(), axis=1)
        # Equal rows share the product of the first of them, and so their rank.
        same = _first_equal(np.concatenate(some_rows))
        self.ranks = ranks(np.concatenate(some_products, axis=1)[:, same])

    def chunks(self) -> Iterator[Chunk]:
        """All rows, in order."""
        return self._make() if self._kept is None else iter(self._kept)

    def sample(self) -> Iterator[_Float]:
        """The unit rows that were drawn to fit axes to, in order, in pieces."""
        pieces = _pieces(self._source, self._drawn, 0, len(self._drawn), self._step)
        return map(_unit, pieces)

    def pick(self, chunk: Chunk, scores: NDArray[Any]) -> NDArray[Any]:
        """The scores of this chunk that are ranked."""
        return scores[: _RANKED[1], self._picked(chunk)]

    def _picked(self, chunk: Chunk) -> NDArray[np.intp]:
        """The rows of this chunk whose ranks are compared."""
        end = chunk.first + len(chunk.x)
        low, high = np.searchsorted(self.ranked, (chunk.first, end))
        return self.ranked[low:high] - chunk.first

    def _make(self) -> Iterator[Chunk]:
        first = 0
        for rows in _pieces(self._source, self._live, 0, len(self._live), self._step):
            x, norm = _split(rows)
            yield Chunk(first, x, norm, self.y @ x.T)
            first += len(x)


def unit_pieces(source: Source) -> Iterator[_Float]:
    """Rows of unit norm in pieces, without zero rows."""
    step = max(1, _CHUNK // source.shape[1])
    return map(_unit, _pieces(source, _live(source, step), 0, source.shape[0], step))


def _live(source: Source, step: int) -> NDArray[np.bool_]:
    """Which rows are not zero. Values that are not finite raise an error."""
    n = source.shape[0]
    out = np.empty(n, np.bool_)
    for first in range(0, n, step):
        end = min(n, first + step)
        out[first:end] = source.float32(first, end).any(axis=1)
    return out


def _pieces(
    source: Source, live: NDArray[np.bool_], first: int, end: int, step: int
) -> Iterator[_Float]:
    """Pieces of the rows between two positions, without zero rows. No piece is empty."""
    for start in range(first, end, step):
        stop = min(end, start + step)
        keep = live[start:stop]
        if keep.any():
            rows = source.float32(start, stop)
            yield rows if keep.all() else rows[keep]


def _none_left(what: str, given: int, left: int) -> int:
    """The number of rows that are left out. If all are, it raises ValueError."""
    if given and not left:
        raise ValueError(
            f"{what}: all of its rows ({given}) are zero, expected at least one that is not"
        )
    return given - left


def _first_equal(rows: _Float) -> NDArray[np.intp]:
    """For each row the position of the first row that equals it.

    Examples
    --------
    >>> _first_equal(np.float32([[1, 2], [0, 1], [1, 2]]))
    array([0, 1, 0])
    """
    plain = np.ascontiguousarray(
        rows + np.float32(0)
    )  # Adding 0 turns negative zeros into positive ones.
    whole = plain.view(np.dtype((np.void, plain.dtype.itemsize * plain.shape[1]))).ravel()
    _, first, inverse = np.unique(whole, return_index=True, return_inverse=True)
    return np.asarray(first[inverse.ravel()], np.intp)
