"""The distribution of inner-product errors, in bins whose width is relative to the error."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_Float = NDArray[np.float32]

#: A bin is the upper bits of a float32: its sign, its exponent and the next 10 bits.
_SHIFT = 13
_SIGN = 1 << (31 - _SHIFT)


class Errors:
    """Counts of errors in bins of relative width 2⁻¹⁰. All sets of errors have the same bins.

    Examples
    --------
    >>> errors = Errors.of(np.array([-0.5, 0.25, 1.0], np.float32))
    >>> round(errors.quantile(0.5), 2)
    0.5
    """

    def __init__(self, bins: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
        self._bins, self._counts = bins, counts
        size = bins & (_SIGN - 1)
        order = np.argsort(size, kind="stable")
        self._size, self._upto = size[order], np.cumsum(counts[order])

    @classmethod
    def of(cls, errors: _Float) -> Errors:
        """The errors of one array."""
        counts = Counter()
        counts.add(errors)
        return counts.errors()

    @classmethod
    def sum(cls, parts: list[Errors]) -> Errors:
        """The errors of all parts together."""
        bins = np.unique(np.concatenate([part._bins for part in parts]))
        counts = np.zeros(len(bins), np.int64)
        for part in parts:
            counts[np.searchsorted(bins, part._bins)] += part._counts
        return cls(bins, counts)

    @property
    def total(self) -> int:
        """The number of errors."""
        return int(self._upto[-1])

    def quantile(self, level: float) -> float:
        """Quantile of |error|, with a relative accuracy of 2⁻¹¹."""
        target = level * self.total
        at = min(int(np.searchsorted(self._upto, target)), len(self._upto) - 1)
        before = self._upto[at - 1] if at else 0
        share = (target - before) / (self._upto[at] - before)
        low, high = _edges(self._size[at : at + 1])
        return float(low[0] + share * (high[0] - low[0]))

    def beyond(self, size: NDArray[np.float64]) -> NDArray[np.float64]:
        """Share of the errors with |error| above each size."""
        low, _ = _edges(self._size)
        upto = np.concatenate([[0], self._upto])
        return 1 - upto[np.searchsorted(low, size)] / self.total

    def density(self, edges: NDArray[np.float64]) -> NDArray[np.float64]:
        """Density of the signed error between edges."""
        low, high = _edges(self._bins & (_SIGN - 1))
        middle = np.where(self._bins & _SIGN, -1.0, 1.0) * (low + high) / 2
        counts, _ = np.histogram(middle, edges, weights=self._counts)
        return np.asarray(counts / (self.total * np.diff(edges)))


class Counter:
    """Counts errors, chunk by chunk."""

    def __init__(self) -> None:
        self._counts = np.zeros(2 * _SIGN, np.int64)

    def add(self, errors: _Float) -> None:
        """Counts finite errors of any shape."""
        bits = np.ascontiguousarray(errors, np.float32).ravel().view(np.uint32)
        self._counts += np.bincount(bits >> _SHIFT, minlength=2 * _SIGN)

    def errors(self) -> Errors:
        """All errors that were added. There must be at least one."""
        bins = np.flatnonzero(self._counts)
        return Errors(bins, self._counts[bins])


def _edges(size: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The edges of bins of |error|. The first bin, below 2⁻¹³⁶, counts as an error of 0."""
    bits = size.astype(np.uint32) << np.uint32(_SHIFT)
    low = bits.view(np.float32).astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        high = (bits + np.uint32(1 << _SHIFT)).view(np.float32).astype(np.float64)
    return low, np.where(np.isfinite(high) & (size > 0), high, low)
