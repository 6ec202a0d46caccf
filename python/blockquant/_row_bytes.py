"""Arrays of rows as plain bytes, one row after the other, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockquant._checks import counted

_Arrays = dict[str, NDArray[Any]]


def to_bytes(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The rows of all arrays, (n,) or (n, width): row 0 of each array, then row 1, and so on.

    Numbers are little-endian.
    """
    table = np.empty(len(next(iter(arrays.values()))), _layout(arrays))
    for name, array in arrays.items():
        table[name] = array
    return table.tobytes()


def from_bytes(
    data: bytes | bytearray | memoryview, rows: int, like: Mapping[str, NDArray[Any]]
) -> _Arrays:
    """New arrays of the bytes of :func:`to_bytes`, with the names, types and widths of `like`.

    A ValueError says what the length is and should be, or which number is not finite.
    """
    layout = _layout(like)
    size = memoryview(data).nbytes
    if size != rows * layout.itemsize:
        found, expected = counted(size, "byte"), f"{rows * layout.itemsize}: {counted(rows, 'row')}"
        raise ValueError(f"data has {found}, expected {expected} of {layout.itemsize} bytes")
    table = np.frombuffer(memoryview(data).tobytes(), layout) if rows else np.empty(0, layout)
    arrays = {name: np.ascontiguousarray(table[name], array.dtype) for name, array in like.items()}
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            row = int(np.argmin(np.isfinite(array)))
            found = f"row {row} has the {name} {array[row]}"
            raise ValueError(f"data: {found}, expected a finite float32 value")
    return arrays


def _layout(arrays: Mapping[str, NDArray[Any]]) -> np.dtype[Any]:
    """One row, without gaps."""
    fields = ((name, a.dtype.newbyteorder("<"), a.shape[1:]) for name, a in arrays.items())
    return np.dtype(list(fields))
