"""Ranks the rows that a search of codes has found by the original rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockquant._arrays import as_rows, widened
from blockquant._checks import brief, counted, figure
from blockquant.index._ids import Column
from blockquant.index._moment import ascending
from blockquant.index._query import NO_ROW, worst

_Float = NDArray[np.float32]
_Rows = NDArray[np.int64]

#: Values of rows that are held at a time, in double precision.
_VALUES = 1 << 21


class Originals:
    """Gives the original rows of ids, from what the caller has of them."""

    def __init__(self, source: Any, dim: int, kind: str | None) -> None:
        self._source = source
        self._dim = dim
        if isinstance(source, (list, tuple)):
            self._source = source = np.asarray(source)
        if isinstance(source, Mapping) or callable(source):
            return
        shape = getattr(source, "shape", None)
        if hasattr(source, "iloc") or shape is None or not hasattr(source, "__getitem__"):
            raise TypeError(
                f"rerank is {type(source).__name__}, expected an array of rows, a mapping from ids "
                "to rows, or a function that gives the rows of ids"
            )
        if tuple(shape[1:]) != (dim,):
            raise ValueError(f"rerank has shape {tuple(shape)}, expected rows (n, {dim})")
        if kind == "str":
            raise TypeError(
                "rerank is an array, in which strings find no row: pass a mapping from ids to "
                "rows, or a function that gives the rows of ids"
            )

    def take(self, ids: Column, rows: _Rows) -> _Float:
        """The original rows of the ids of these rows, finite float32."""
        wanted = ids.take(rows)
        given, is_bfloat16 = as_rows(self._get(wanted), self._dim, "rerank")
        if len(given) != len(rows):
            raise ValueError(
                f"rerank gave {counted(len(given), 'row')}, expected {len(rows)}, one per id"
            )
        found = widened(given, is_bfloat16)
        finite = np.isfinite(found)
        if not finite.all():
            row, column = np.argwhere(~finite)[0]
            value = found[row, column] if is_bfloat16 else given[row, column]
            raise ValueError(
                f"rerank: column {column} of the row of id {brief(wanted[row])} is "
                f"{figure(float(value))}, expected a finite float32 value"
            )
        return found

    def _get(self, ids: NDArray[Any]) -> Any:
        source = self._source
        if isinstance(source, Mapping):
            try:
                return [source[id] for id in ids.tolist()]
            except KeyError:
                missing = next(id for id in ids.tolist() if id not in source)
                raise ValueError(f"rerank has no row of id {brief(missing)}") from None
        if callable(source):
            return source(ids)
        outside = (ids < 0) | (ids >= len(source))
        if outside.any():
            raise ValueError(
                f"rerank has {counted(len(source), 'row')}, none of which is that of id "
                f"{ids[outside][0]}: the row of an id is rerank[id]; pass a mapping from ids to "
                "rows, or a function that gives the rows of ids, if it is another"
            )
        # In the order of the file, and no row twice.
        order = np.argsort(ids)
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return source[ids[order]][back]


def reranked(
    originals: Originals, ids: Column, queries: _Float, rows: _Rows, k: int, metric: str
) -> tuple[_Float, _Rows]:
    """The k best of the rows (m, candidates) by exact scores, ties to the lower row, padded."""
    m, candidates = rows.shape
    scores = np.full((m, k), worst(metric), np.float32)
    best = np.full((m, k), NO_ROW, np.int64)
    for start, stop in _parts(m, max(1, _VALUES // max(1, candidates * queries.shape[1]))):
        some = rows[start:stop]
        query, _ = np.nonzero(some != NO_ROW)
        row = some[some != NO_ROW]
        if not len(row):
            continue
        once = ascending(row)
        place = np.searchsorted(once, row)
        score = _scores(originals.take(ids, once), place, queries[start:stop], query, metric)
        order = np.lexsort((row, score if metric == "l2" else -score, query))
        query, row, score = query[order], row[order], score[order]
        first = np.searchsorted(query, query)
        column = np.arange(len(query)) - first
        kept = column < k
        scores[start + query[kept], column[kept]] = score[kept]
        best[start + query[kept], column[kept]] = row[kept]
    return scores, best


def _parts(count: int, length: int) -> Iterator[tuple[int, int]]:
    return ((start, min(count, start + length)) for start in range(0, count, length))


def _scores(x: _Float, place: _Rows, y: _Float, query: _Rows, metric: str) -> _Float:
    """The exact scores of pairs, each summed alone and so the same in any batch.

    Products of float32 are exact in double precision.
    """
    found = np.empty(len(place), np.float64)
    for start, stop in _parts(len(place), max(1, _VALUES // max(1, x.shape[1]))):
        a = x[place[start:stop]].astype(np.float64)
        b = y[query[start:stop]].astype(np.float64)
        found[start:stop] = _sums((a - b) ** 2 if metric == "l2" else a * b)
    if metric == "cosine":
        norms = [np.sqrt(_sums(rows.astype(np.float64) ** 2)) for rows in (x, y)]
        by = norms[0][place] * norms[1][query]
        found = np.divide(found, by, out=np.zeros_like(found), where=by > 0)
    with np.errstate(over="ignore"):
        return found.astype(np.float32)


def _sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
    total: NDArray[np.float64] = np.add.reduce(np.ascontiguousarray(values), axis=1)
    return total
