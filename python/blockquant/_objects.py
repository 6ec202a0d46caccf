"""Rows that come as Python objects, and columns of libraries that want a question of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

# The first use of `np.ma` would import it, and a child that is forked while another thread does so
# waits forever for the lock of that import.
import numpy.ma
from numpy.typing import NDArray

from blockquant._checks import brief, counted


def _library(x: Any) -> str:
    return type(x).__module__.partition(".")[0]


def column_of_datasets(x: Any) -> Any:
    """A column of a data set of ``datasets`` as Arrow; everything else as it is.

    Such a column has the selection of rows of its data set, and gives Python's lists, or what the
    data set is formatted for.
    """
    if _library(x) != "datasets" or type(x).__name__ != "Column" or not hasattr(x, "source"):
        return x
    if hasattr(x.source, "with_format"):
        return x.source.with_format("arrow")[x.column_name]
    return list(x)  # of a struct


def column_of_frame(x: Any) -> Any:
    """What NumPy or Arrow takes of a column of a library that offers neither, or not for all types.

    pandas gives a column of NumPy's types through pyarrow only, and with a copy.
    """
    x = column_of_datasets(x)
    if _library(x) != "pandas" or getattr(x, "ndim", None) not in (1, 2):
        return x
    if x.ndim == 2 and x.shape[1] == 1 and getattr(x.dtypes.iloc[0], "kind", "O") == "O":
        x = x.iloc[:, 0]  # of lists
    kinds = [x.dtype] if x.ndim == 1 else list(x.dtypes)
    is_numpy = all(isinstance(kind, np.dtype) for kind in kinds)
    return x.to_numpy() if is_numpy and (x.ndim == 1 or np.dtype("O") not in kinds) else x


def stacked(objects: NDArray[Any], what: str, dim: int | None) -> NDArray[Any]:
    """Rows that are objects of an array, such as a column of lists or arrays in pandas.

    Objects that are not rows stay as they are.
    """
    if objects.ndim == 1 and not len(objects):
        return np.empty((0, dim or 0), np.float32)
    if objects.ndim == 1 and not any(_is_row(row) for row in objects):
        return objects
    rows = list(objects)
    reject_masks(rows, what)
    refuse_ragged(rows, what)
    return np.stack([np.asarray(row) for row in rows])


def _is_row(value: Any) -> bool:
    return isinstance(value, (list, tuple)) or getattr(value, "ndim", 0) > 0


def _is_null(value: Any) -> bool:
    """Whether an object stands for a missing one, in Python or in pandas."""
    is_nan = isinstance(value, float) and value != value
    return value is None or is_nan or type(value).__name__ in ("NAType", "NaTType")


def refuse_ragged(rows: Sequence[Any], what: str) -> None:
    """Refuses rows that differ in length, and a null in place of a row or of a value."""
    expected = None
    for place, row in enumerate(rows):
        if not _is_row(row):
            found = "null" if _is_null(row) else brief(row)
            raise ValueError(f"{what}: row {place} is {found}, expected a list of floats")
        try:
            values = np.asarray(row)
        except ValueError:
            continue  # Its own parts differ in length.
        if values.dtype == object:
            for at, value in enumerate(values.reshape(-1)):
                if _is_null(value):
                    raise ValueError(f"{what}: row {place}, column {at} is null, expected a float")
        if expected is not None and values.shape != expected:
            found = f"row {place} has {counted(values.size, 'value')}"
            if values.ndim != 1 or len(expected) != 1:
                found = f"row {place} has shape {values.shape}"
            of_first = expected[0] if len(expected) == 1 == values.ndim else expected
            raise ValueError(f"{what}: {found}, expected {of_first} as row 0")
        expected = values.shape


def reject_masks(rows: Sequence[Any], what: str) -> None:
    """NumPy drops the mask of an array in a list: rows and the values of rows are looked at."""
    masked = np.ma.MaskedArray
    for place, row in enumerate(rows):
        inside = row if isinstance(row, (list, tuple)) else ()
        if isinstance(row, masked) or any(isinstance(value, masked) for value in inside):
            raise TypeError(f"{what}: row {place} is masked; fill it or drop the masked rows first")
