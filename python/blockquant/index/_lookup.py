"""Finds the rows of ids by sorted keys.

Keys stand in few sorted runs, each at least :data:`_RATIO` times as long as the next one. New keys
make a run, which is merged with the runs before it that are too short. So a key is merged few
times, nothing that another thread reads is changed, and many ids are looked up by few calls of
NumPy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

#: How many times a run is as long as the next one.
_RATIO = 8
#: From so many keys on they are looked up in order, which costs less than jumping in memory.
_MANY = 256

_Int64 = NDArray[np.int64]


class _Run(NamedTuple):
    """Sorted keys with their rows."""

    keys: _Int64
    rows: NDArray[np.uint32]


class Lookup:
    """The rows of keys, of which more than one row can have the same."""

    __slots__ = ("_runs",)

    def __init__(self, runs: tuple[_Run, ...] = ()) -> None:
        self._runs = runs

    def find(
        self, keys: _Int64, is_right: Callable[[NDArray[np.uint32], _Int64], NDArray[np.bool_]]
    ) -> _Int64:
        """The row for each key, or -1.

        ``is_right(rows, places)`` says which of the rows are right for the keys at those places.
        """
        if len(keys) >= _MANY:
            order = np.argsort(keys)
            found = np.empty(len(keys), np.int64)
            found[order] = self._find(keys[order], lambda rows, at: is_right(rows, order[at]))
            return found
        return self._find(keys, is_right)

    def _find(
        self, keys: _Int64, is_right: Callable[[NDArray[np.uint32], _Int64], NDArray[np.bool_]]
    ) -> _Int64:
        found = np.full(len(keys), -1, np.int64)
        places = np.arange(len(keys))
        for run in self._runs:
            if not len(places):
                break
            wanted = keys[places]
            at = run.keys.searchsorted(wanted)
            hits = run.keys.take(at, mode="clip") == wanted
            if not hits.any():
                continue
            tried, at = places[hits], at[hits]
            while len(tried):
                rows = run.rows[at]
                right = is_right(rows, tried)
                found[tried[right]] = rows[right]
                tried, at = tried[~right], at[~right] + 1
                more = (at < len(run.keys)) & (run.keys.take(at, mode="clip") == keys[tried])
                tried, at = tried[more], at[more]
            places = np.flatnonzero(found < 0)
        return found

    def added(
        self, keys: _Int64, first: int, is_live: Callable[[NDArray[np.uint32]], NDArray[np.bool_]]
    ) -> Lookup:
        """With the keys of rows from `first` on; rows that are not live may be forgotten."""
        order = np.argsort(keys, kind="stable")
        run = _Run(keys[order], (order + first).astype(np.uint32))
        runs = list(self._runs)
        while runs and len(runs[-1].keys) < _RATIO * len(run.keys):
            run = _merged(runs.pop(), run, is_live)
        return Lookup((*runs, run))


def _merged(
    first: _Run, second: _Run, is_live: Callable[[NDArray[np.uint32]], NDArray[np.bool_]]
) -> _Run:
    live = is_live(first.rows)
    keys = np.concatenate([first.keys[live], second.keys])
    rows = np.concatenate([first.rows[live], second.rows])
    order = np.argsort(keys, kind="stable")
    return _Run(keys[order], rows[order])
