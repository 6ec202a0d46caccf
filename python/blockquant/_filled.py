"""The arrays of codes, with what searches keep beside them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockquant import _core

_Float = NDArray[np.float32]
#: The arrays as the core takes them, and as the bytes of a row follow each other.
ORDER = ("packed", "scale", "norm", "residual_norm", "center_product")
Arrays = tuple[NDArray[np.uint8], _Float, _Float | None, _Float | None, _Float | None]


#: Arrays of more rows that begin with those of `Filled`, by name.
Room = dict[str, NDArray[Any]]


def in_order(arrays: dict[str, NDArray[Any]]) -> Arrays:
    """Arrays by name as the core takes them."""
    norm, residual_norm, center_product = (arrays.get(name) for name in ORDER[2:])
    return arrays["packed"], arrays["scale"], norm, residual_norm, center_product


class Searched:
    """What searches have derived from rows, shared by the rows to which others are appended."""

    __slots__ = ("signs", "times")

    def __init__(self, times: int = 0, signs: _core.Signs | None = None) -> None:
        #: Searches with few queries so far.
        self.times = times
        #: The signs of some of the first rows; later searches need them.
        self.signs = signs

    def kept(self, keep: NDArray[np.bool_]) -> Searched:
        """The same of the rows that are kept."""
        signs = None if self.signs is None else self.signs.kept(keep.view(np.uint8))
        return Searched(self.times, signs)


class Filled(dict[str, NDArray[Any]]):
    """The arrays of codes at one moment, with what searches have derived from these rows.

    Both stand in one object, so that a search sees arrays and signs that belong together while
    another thread appends or deletes.
    """

    __slots__ = ("searched",)

    def __init__(self, arrays: dict[str, NDArray[Any]], searched: Searched) -> None:
        super().__init__(arrays)
        self.searched = searched

    def signs(self, core: _core.Quantizer, queries: int) -> _core.Signs | None:
        """The signs for a search with so many queries, or None where it is as fast without them.

        A single search earns back less than deriving them costs, so the second one derives them.
        """
        searched, rows = self.searched, len(self["scale"])
        signs = searched.signs
        if signs is not None and len(signs) == rows:
            return signs
        if queries >= _core.MIN_QUERIES_TO_DERIVE:
            return None
        searched.times += 1
        if searched.times < 2 or (signs is not None and len(signs) > rows):
            return None
        signs = core.signs(in_order(self), signs)
        searched.signs = signs
        return signs


def grown(room: NDArray[Any] | None, now: NDArray[Any], more: NDArray[Any]) -> NDArray[Any]:
    """An array that begins with `now` and `more`: `room`, which begins with `now`, if it is large
    enough, or else a new one of at least twice the rows, so that a row costs O(1) on average.

    Nothing is written over `now`, so that those who read it need not know.

    Examples
    --------
    >>> room = grown(None, np.array([1, 2]), np.array([3]))
    >>> room[:3].tolist(), len(room), grown(room, room[:3], np.array([4])) is room
    ([1, 2, 3], 4, True)
    """
    before, after = len(now), len(now) + len(more)
    if room is None or len(room) < after:
        room = np.empty((max(after, 2 * before), *now.shape[1:]), now.dtype)
        room[:before] = now
    room[before:after] = more
    return room


def appended(filled: Filled, room: Room, more: dict[str, NDArray[Any]]) -> tuple[Filled, Room]:
    """The arrays with more rows, and the room in which they stand; `filled` stays as it is."""
    after = len(filled["scale"]) + len(more["scale"])
    room = {name: grown(room.get(name), array, more[name]) for name, array in filled.items()}
    rows = {name: array[:after] for name, array in room.items()}
    return Filled(rows, filled.searched), room


def kept(filled: Filled, keep: NDArray[np.bool_]) -> Filled:
    """The arrays of the rows that are kept, in arrays of their own."""
    rows = {name: array[keep] for name, array in filled.items()}
    return Filled(rows, filled.searched.kept(keep))
