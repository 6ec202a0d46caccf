"""Checks of arguments, and the spelling of numbers in errors."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np

#: Printing a Python int takes quadratic time and fails beyond some thousands of digits.
_PRINTED_BITS = 128


class _Brief(reprlib.Repr):
    """Also of numbers that Python refuses to print, alone and in containers."""

    def repr_int(self, x: int, level: int) -> str:
        if x.bit_length() > _PRINTED_BITS:
            return f"(a whole number of {x.bit_length()} bits)"
        return super().repr_int(x, level)


_BRIEF = _Brief()


def brief(value: Any) -> str:
    """A value as errors show it, in a few dozen characters.

    Examples
    --------
    >>> brief(-1), brief(np.float32(2)), brief([10**5000]), brief(float("nan"))
    ('-1', '2.0', '[(a whole number of 16610 bits)]', 'NaN')
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    return _BRIEF.repr(value)


def figure(value: float) -> str:
    """A float32 or wider number with the digits of a float32, as the core spells it.

    Examples
    --------
    >>> figure(0.1), figure(1e39), figure(float("nan")), figure(float("-inf"))
    ('0.1', '1e+39', 'NaN', '-inf')
    """
    return "NaN" if math.isnan(value) else f"{value:.9g}"


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun. `plural` is the plural if it is not the noun with an s.

    Examples
    --------
    >>> counted(1, "row"), counted(2000, "row"), counted(0, "query", "queries")
    ('1 row', '2000 rows', '0 queries')
    """
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


def expected_rows(shape: tuple[int, ...], verb: str, dim: int | None = None) -> str:
    """The error text about an array that is not (n, dim), with advice on how to reshape it.

    Parameters
    ----------
    shape : tuple of int
        The shape of the array.
    verb : str
        What the caller does with the new array, such as ``pass``.
    dim : int, optional
        Coordinates per row, if they are known.

    Examples
    --------
    >>> print(expected_rows((2, 3, 4), "pass"))
    shape (2, 3, 4), expected rows (n, dim); for rows along the last axis pass x.reshape(-1, 4)
    >>> print(expected_rows((2, 3, 4), "pass", 12))
    shape (2, 3, 4), expected rows (n, dim); for one row per x[i] pass x.reshape(2, 12)
    """
    text = f"shape {shape}, expected rows (n, dim)"
    if len(shape) < 3 or 0 in shape:
        return text
    each = math.prod(shape[1:])
    if dim == each != shape[-1]:
        return f"{text}; for one row per x[i] {verb} x.reshape({shape[0]}, {dim})"
    return f"{text}; for rows along the last axis {verb} x.reshape(-1, {shape[-1]})"


def whole(value: Any, what: str, least: int = 1, most: int | None = None) -> int:
    """Checks that a value is a whole number in a range, both ends included.

    Parameters
    ----------
    value : int
        The value. NumPy's integers are accepted, bool is not.
    what : str
        The name of the value in errors.
    least, most : int, optional
        The range. If `most` is None, the range has no upper end.

    Raises
    ------
    TypeError
        If it is not a whole number.
    ValueError
        If it is out of range.

    Examples
    --------
    >>> whole(0, "dim")
    Traceback (most recent call last):
        ...
    ValueError: dim=0, expected a whole number, at least 1
    """
    if type(value) is int and least <= value and (most is None or value <= most):
        return value
    span = f"at least {least}" if most is None else f"{least} to {most}"
    text = f"{what}={brief(value)}, expected a whole number, {span}"
    is_whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not is_whole:
        raise TypeError(text)
    if value < least or (most is not None and value > most):
        raise ValueError(text)
    return int(value)


def flag(value: Any, what: str) -> bool:
    """Checks that a value is True or False.

    Raises
    ------
    TypeError
        If it is neither.

    Examples
    --------
    >>> flag("no", "verify")
    Traceback (most recent call last):
        ...
    TypeError: verify is str, expected bool
    """
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{what} is {type(value).__name__}, expected bool")
    return bool(value)


def real(value: Any, what: str, most: float) -> float:
    """Checks that a value is a number above 0 and at most `most`.

    Raises
    ------
    TypeError
        If it is not a real number.
    ValueError
        If it is not finite, or out of range.

    Examples
    --------
    >>> real(float("nan"), "bits", 16)
    Traceback (most recent call last):
        ...
    ValueError: bits=NaN, expected a number above 0, at most 16
    """
    text = f"{what}={brief(value)}, expected a number above 0, at most {most:g}"
    return _number(value, text, lambda value: 0 < value <= most)


def between(value: Any, what: str) -> float:
    """Checks that a value is a number above 0 and below 1.

    Raises
    ------
    TypeError
        If it is not a real number.
    ValueError
        If it is out of range.

    Examples
    --------
    >>> between(1, "confidence")
    Traceback (most recent call last):
        ...
    ValueError: confidence=1, expected a number between 0 and 1, both excluded
    """
    text = f"{what}={brief(value)}, expected a number between 0 and 1, both excluded"
    return _number(value, text, lambda value: 0 < value < 1)


def fraction(value: Any, what: str) -> float:
    """Checks that a value is a number from 0 to 1.

    Raises
    ------
    TypeError
        If it is not a real number.
    ValueError
        If it is out of range.

    Examples
    --------
    >>> fraction(-0.5, "shrinkage")
    Traceback (most recent call last):
        ...
    ValueError: shrinkage=-0.5, expected a number from 0 to 1
    """
    text = f"{what}={brief(value)}, expected a number from 0 to 1"
    return abs(_number(value, text, lambda value: 0 <= value <= 1))


def _number(value: Any, text: str, is_inside: Callable[[Any], bool]) -> float:
    """Checks that a value is a real number inside a range. `text` is the error."""
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(text)
    if not is_inside(value):  # NaN too
        raise ValueError(text)
    return float(value)
