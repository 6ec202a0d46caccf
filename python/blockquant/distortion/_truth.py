"""Rows and queries of unit norm in chunks, and what is true of them: the same for all methods."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockquant._arrays import as_float32, as_rows
from blockquant._checks import counted
from blockquant.distortion._ranks import Best, ranks

_Float = NDArray[np.float32]

#: Numbers of a chunk, of rows or of inner products: 16 MiB of float32.
_CHUNK = 1 << 22
#: Chunks of fewer bytes in all are kept; others are made again for each run.
_KEPT = 1 << 29
#: Bins of the inner products over [−1, 1].
_BINS = 1 << 12
#: Scores of which the rank correlation is taken: rows, spread evenly, and queries.
_RANKED = (2000, 200)
#: Rows of the longest list that recall is taken of.
MOST_FOUND = 100


class Source:
    """Rows that are read a piece at a time: arrays, mapped files, or anything with a shape (n, d)
    that gives arrays for slices of rows."""

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
        """Some rows, each value looked at."""
        piece = self._rows[first:end]
        if self._is_bits:
            piece = (piece.astype(np.uint32) << np.uint32(16)).view(np.float32)
        return as_float32(piece, self.shape[1], self._what, first)


def _unit(rows: _Float, what: str, first: int = 0) -> _Float:
    wide = rows.astype(np.float64)
    norm = np.sqrt(np.einsum("ij,ij->i", wide, wide))
    if not norm.all():
        row = first + int(np.argmin(norm != 0))
        raise ValueError(f"{what}: row {row} is zero, it has no direction")
    return np.asarray(wide / norm[:, None], dtype=np.float32)


@dataclass(frozen=True)
class Chunk:
    """Some of the rows."""

    #: Of the first one.
    first: int
    #: Of unit norm, (rows, d).
    x: _Float
    #: ⟨x, y⟩, (m, rows).
    product: _Float


class Truth:
    """One pass over the data, before anything is measured.

    Without queries the last tenth of the rows, at most 200, are the queries.
    """

    def __init__(self, x: Any, y: Any) -> None:
        source = Source(x, "x")
        n, d = source.shape
        if y is None:
            held = min(200, max(1, n // 10))
            if n < 2:
                found = counted(n, "row")
                raise ValueError(
                    f"x: {found}, expected at least 2 to hold out a query, or queries besides"
                )
            n -= held
            self.y = _unit(source.float32(n, n + held), "x", n)
        else:
            queries = Source(y, "y")
            self.y = _unit(as_float32(queries.float32(0, queries.shape[0]), d, "y"), "y")
        if n == 0 or len(self.y) == 0:
            found = f"{counted(n, 'row')} and {counted(len(self.y), 'query', 'queries')}"
            raise ValueError(f"{found}, expected at least one of each")
        self._source = source
        m = len(self.y)
        self.shape = (n, m, d)
        self._step = max(1, _CHUNK // max(d, m))
        self._kept: list[Chunk] | None = [] if 4 * n * (d + m) <= _KEPT else None
        #: The rows and queries of which ranks are compared.
        self.ranked = np.unique(np.linspace(0, n - 1, min(n, _RANKED[0])).astype(np.intp))
        squares = 0.0
        counts = np.zeros(_BINS, np.int64)
        best = Best(m, min(n, MOST_FOUND))
        some = []
        for chunk in self._make():
            if self._kept is not None:
                self._kept.append(chunk)
            squares += float(np.square(chunk.product, dtype=np.float64).sum())
            place = ((chunk.product.ravel() + 1) * (_BINS / 2)).astype(np.int64)
            counts += np.bincount(np.clip(place, 0, _BINS - 1), minlength=_BINS)
            best.add(chunk.first, chunk.product)
            some.append(self.pick(chunk, chunk.product))
        #: Mean of ⟨x, y⟩².
        self.square = squares / (n * m)
        #: ⟨x, y⟩ in bins: centres and counts.
        live = np.flatnonzero(counts)
        self.products = (live + 0.5) * (2 / _BINS) - 1
        self.weights = counts[live]
        #: Positions of the rows with the largest products, best first, (m, k).
        self.top = best.places()
        self.ranks = ranks(np.concatenate(some, axis=1))

    def chunks(self) -> Iterator[Chunk]:
        """All rows, in order."""
        return self._make() if self._kept is None else iter(self._kept)

    def pick(self, chunk: Chunk, scores: NDArray[Any]) -> NDArray[Any]:
        """The scores of this chunk of which ranks are compared."""
        end = chunk.first + len(chunk.x)
        low, high = np.searchsorted(self.ranked, (chunk.first, end))
        return scores[: _RANKED[1], self.ranked[low:high] - chunk.first]

    def _make(self) -> Iterator[Chunk]:
        n = self.shape[0]
        for first in range(0, n, self._step):
            end = min(n, first + self._step)
            x = _unit(self._source.float32(first, end), "x", first)
            yield Chunk(first, x, self.y @ x.T)
