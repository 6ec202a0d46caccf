"""Searches of one moment of an index: which rows a filter allows, and which are found."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from blockquant import _core
from blockquant._checks import counted
from blockquant._filled import Filled, Searched
from blockquant._search import are_few, find
from blockquant.index._ids import Column, column
from blockquant.index._moment import Moment, ascending

_Float = NDArray[np.float32]
_Rows = NDArray[np.int64]

#: The position that means a missing row.
NO_ROW = -1


class Filter(NamedTuple):
    """What the caller allows or denies."""

    #: ``allow`` or ``deny``.
    what: str
    #: The ids for all queries, or those for each query; None allows every row.
    ids: Column | list[Column | None]


def as_filter(allow: Any, deny: Any, now: Moment, queries: int) -> Filter | None:
    """Checks the filters of a search."""
    if allow is not None and deny is not None:
        raise ValueError("allow and deny are both given, expected at most one of them")
    what, given = ("allow", allow) if allow is not None else ("deny", deny)
    if given is None:
        return None
    if not _is_one_per_query(given):
        return Filter(what, column(given, what, now.kind, ordered=False))
    if len(given) != queries:
        raise ValueError(
            f"{what} has {counted(len(given), 'filter')}, expected {queries}, one per query, or "
            "ids for all queries"
        )
    each: list[Column | None] = [
        None if ids is None else column(ids, f"{what}[{place}]", now.kind, ordered=False)
        for place, ids in enumerate(given)
    ]
    return Filter(what, each)


def _is_one_per_query(given: Any) -> bool:
    """Whether these are ids, or lists of them."""
    if isinstance(given, np.ndarray) and given.dtype != object:
        return given.ndim == 2
    if not isinstance(given, (list, tuple, np.ndarray)) or len(given) == 0:
        return False
    first = given[0]  # if the others differ, checking them as ids names them
    return first is None or (not isinstance(first, (str, np.generic)) and hasattr(first, "__len__"))


def search(
    core: _core.Quantizer,
    now: Moment,
    queries: _Float,
    k: int,
    metric: str,
    chosen: Filter | None,
    exact: bool,
) -> tuple[_Float, _Rows]:
    """Scores and rows, (m, k) each, padded with `worst` and `NO_ROW`."""
    if chosen is None:
        score, _, row = find(core, now.filled, queries, k, metric, now.live, exact=exact)
        return _padded(score, row, len(queries), k, metric)
    if not isinstance(chosen.ids, list):
        score, row = _filtered(core, now, queries, k, metric, chosen.what, chosen.ids, exact)
        return _padded(score, row, len(queries), k, metric)
    scores, rows = _padded(*_no_hits(core, now, k, metric, exact), len(queries), k, metric)
    for place, ids in enumerate(chosen.ids):
        query = queries[place : place + 1]
        score, row = _filtered(core, now, query, k, metric, chosen.what, ids, exact)
        scores[place, : row.shape[1]], rows[place, : row.shape[1]] = score[0], row[0]
    return scores, rows


def worst(metric: str) -> float:
    """The score that is worse than that of any row."""
    return np.inf if metric == "l2" else -np.inf


def _padded(score: _Float, row: _Rows, queries: int, k: int, metric: str) -> tuple[_Float, _Rows]:
    if row.shape == (queries, k):
        return score, row
    scores = np.full((queries, k), worst(metric), np.float32)
    rows = np.full((queries, k), NO_ROW, np.int64)
    scores[: len(row), : row.shape[1]], rows[: len(row), : row.shape[1]] = score, row
    return scores, rows


def _no_hits(
    core: _core.Quantizer, now: Moment, k: int, metric: str, exact: bool
) -> tuple[_Float, _Rows]:
    """What a search without queries finds; a wrong metric is an error then, too."""
    none = np.empty((0, core.dim), np.float32)
    score, _, row = find(core, now.filled, none, k, metric, None, exact=exact)
    return score[:, :0], row[:, :0]


def _filtered(
    core: _core.Quantizer,
    now: Moment,
    queries: _Float,
    k: int,
    metric: str,
    what: str,
    ids: Column | None,
    exact: bool,
) -> tuple[_Float, _Rows]:
    """Scores and rows under one filter. Ids that the index does not have are ignored."""
    allowed = now.live
    if ids is not None:
        known = now.find(ids)
        known = known[known != NO_ROW]
        if what == "deny":
            if len(known):
                allowed = np.ones(len(now.left), bool) if allowed is None else allowed.copy()
                allowed[known] = False
        else:
            known = ascending(known)
            if are_few(len(known), len(now.left)):
                return _among(core, now.filled, queries, k, metric, known, exact)
            allowed = np.zeros(len(now.left), bool)
            allowed[known] = True
    score, _, row = find(core, now.filled, queries, k, metric, allowed, exact=exact)
    return score, row


def _among(
    core: _core.Quantizer,
    filled: Filled,
    queries: _Float,
    k: int,
    metric: str,
    rows: _Rows,
    exact: bool,
) -> tuple[_Float, _Rows]:
    """As under a mask, at the cost of these rows alone: which rows are found depends on no other.

    The rows ascend, so that ties keep their order.
    """
    some = Filled({name: array[rows] for name, array in filled.items()}, Searched())
    score, _, place = find(core, some, queries, k, metric, None, exact=exact)
    return score, rows[place]
