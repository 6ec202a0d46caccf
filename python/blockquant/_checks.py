"""Numbers that callers give, or an error that names them."""

from __future__ import annotations

import reprlib
from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np

#: Digits of a Python int are quadratic to print and refused beyond some thousands.
_PRINTED_BITS = 128


def brief(value: Any) -> str:
    """A value as errors show it, in a few dozen characters.

    Examples
    --------
    >>> brief(-1), brief(np.float32(2)), brief(10**5000)
    ('-1', '2.0', '(a whole number of 16610 bits)')
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, int) and value.bit_length() > _PRINTED_BITS:
        return f"(a whole number of {value.bit_length()} bits)"
    return reprlib.repr(value)


def whole(value: Any, what: str, least: int = 1, most: int | None = None) -> int:
    """A whole number in a range, both ends included.

    Parameters
    ----------
    value : int
        NumPy's integers too, but no bool.
    what : str
        What errors call it.
    least, most : int, optional
        The range; None has no end.

    Raises
    ------
    TypeError
        If it is no whole number.
    ValueError
        If it is out of range.

    Examples
    --------
    >>> whole(0, "dim")
    Traceback (most recent call last):
        ...
    ValueError: dim=0, expected a whole number, at least 1
    """
    span = f"at least {least}" if most is None else f"{least} to {most}"
    text = f"{what}={brief(value)}, expected a whole number, {span}"
    is_whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not is_whole:
        raise TypeError(text)
    if value < least or (most is not None and value > most):
        raise ValueError(text)
    return int(value)


def real(value: Any, what: str, most: float) -> float:
    """A number above 0, whole or not.

    Raises
    ------
    TypeError
        If it is no real number.
    ValueError
        If it is not finite, or out of range.

    Examples
    --------
    >>> real(float("nan"), "bits", 16)
    Traceback (most recent call last):
        ...
    ValueError: bits=nan, expected a number above 0, at most 16
    """
    text = f"{what}={brief(value)}, expected a number above 0, at most {most:g}"
    return _number(value, text, lambda value: 0 < value <= most)


def between(value: Any, what: str) -> float:
    """A number above 0 and below 1.

    Raises
    ------
    TypeError
        If it is no real number.
    ValueError
        If it is out of range.

    Examples
    --------
    >>> between(1, "confidence")
    Traceback (most recent call last):
        ...
    ValueError: confidence=1, expected a number between 0 and 1, both left out
    """
    text = f"{what}={brief(value)}, expected a number between 0 and 1, both left out"
    return _number(value, text, lambda value: 0 < value < 1)


def _number(value: Any, text: str, is_inside: Callable[[Any], bool]) -> float:
    """A real number that is inside, or an error of this text."""
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(text)
    if not is_inside(value):  # NaN too
        raise ValueError(text)
    return float(value)


def counted(number: int, noun: str) -> str:
    """A number with its noun, in the plural but for 1.

    Examples
    --------
    >>> counted(1, "row"), counted(2000, "row")
    ('1 row', '2,000 rows')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
