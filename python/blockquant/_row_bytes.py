"""Arrays of rows as plain bytes, one row after the other, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockquant._checks import counted

_Arrays = dict[str, NDArray[Any]]


def to_table(arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.uint8]:
    """The rows of all arrays, (n,) or (n, width), as (n, bytes): each array's part after another.

    Numbers are little-endian.
    """
    table = np.empty(len(next(iter(arrays.values()))), _layout(arrays))
    for name, array in arrays.items():
        table[name] = array
    return table.view(np.uint8).reshape(len(table), table.itemsize)


def from_bytes(
    data: bytes | bytearray | memoryview, rows: int, like: Mapping[str, NDArray[Any]]
) -> _Arrays:
    """New arrays of the bytes of :func:`to_table`, with the names, types and widths of `like`.

    A ValueError says what the length is and should be, or which number is not finite.
    """
    width, size = row_bytes(like), memoryview(data).nbytes
    if size != rows * width:
        found, expected = counted(size, "byte"), f"{rows * width}: {counted(rows, 'row')}"
        raise ValueError(f"data has {found}, expected {expected} of {width} bytes")
    table = np.frombuffer(memoryview(data).tobytes(), np.uint8) if rows else np.empty(0, np.uint8)
    return from_table(table.reshape(rows, width), like, "data")


def row_bytes(like: Mapping[str, NDArray[Any]]) -> int:
    """Bytes per row of arrays of these types and widths."""
    return _layout(like).itemsize


def from_table(
    table: NDArray[np.uint8], like: Mapping[str, NDArray[Any]], what: str, first: int = 0
) -> _Arrays:
    """New arrays of the rows of :func:`to_table`, with the names, types and widths of `like`.

    A ValueError says which number is not finite. It counts the rows from `first`.
    """
    fields: NDArray[Any] = np.ascontiguousarray(table).view(_layout(like)).reshape(len(table))
    arrays = {name: np.ascontiguousarray(fields[name], array.dtype) for name, array in like.items()}
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            row = int(np.argmin(np.isfinite(array)))
            found = f"row {first + row} has the {name} {array[row]}"
            raise ValueError(f"{what}: {found}, expected a finite float32 value")
    return arrays


def _layout(arrays: Mapping[str, NDArray[Any]]) -> np.dtype[Any]:
    """One row, without gaps."""
    fields = ((name, a.dtype.newbyteorder("<"), a.shape[1:]) for name, a in arrays.items())
    return np.dtype(list(fields))
