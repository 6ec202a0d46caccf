"""Intervals of a mean from few values."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Two-sided 95 % quantiles of Student's t by degrees of freedom; 1.96 beyond.
_STUDENT = (0.0, 12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16)


def half_interval(values: NDArray[np.float64]) -> float:
    """Half of the 95 % interval of the mean of independent values; infinite for one.

    Examples
    --------
    >>> round(half_interval(np.array([1.0, 2.0, 3.0])), 2)
    2.48
    """
    n = len(values)
    if n < 2:
        return float("inf")
    student = _STUDENT[n - 1] if n <= len(_STUDENT) else 1.96
    return float(student * values.std(ddof=1) / np.sqrt(n))
