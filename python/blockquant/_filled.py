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
