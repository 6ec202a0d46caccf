"""fvecs files. A row is its dimension as int32, then its values as float32, all little-endian.

Each row is compared with the dimension of the first one when it is read, and not before. So a file
larger than memory opens at once.
"""

from __future__ import annotations

import os

import numpy as np

from blockquant._checks import counted
from blockquant.files.rows import Array, Entry, PlainRows, Rows


def entries(path: str) -> list[Entry]:
    """The one array of a file."""
    size = os.stat(path).st_size
    with open(path, "rb") as file:
        start = file.read(4)
    if len(start) < 4:
        found = counted(size, "byte")
        raise ValueError(f"it is truncated: it has {found}, expected a dimension and values")
    dim = int.from_bytes(start, "little", signed=True)
    row = 4 + 4 * dim
    if dim < 1:
        raise ValueError(f"row 0 at offset 0 has the dimension {dim}, expected at least 1")
    rows, more = divmod(size, row)
    if not rows:
        found = f"it is truncated: it has {counted(size, 'byte')}"
        raise ValueError(f"{found}, expected {row} for a row of dimension {dim}")
    if more:
        expected = f"expected a multiple of {row} for d = {dim}"
        follow = f"{counted(more, 'byte')} after row {rows - 1}"
        raise ValueError(
            f"it has {size} bytes, {expected}: it is truncated, or its rows differ in their"
            f" dimension ({follow})"
        )
    return [Entry(None, (rows, dim), "float32", offset=0, room=size, disk=np.dtype("<i4"))]


def open_entry(path: str, entry: Entry) -> Rows:
    """Its rows."""
    return _Fvecs(path, entry)


class _Fvecs(PlainRows):
    def _columns(self) -> tuple[int, int]:
        return self.shape[0], 1 + self.shape[1]

    def _as_floats(self, found: Array, start: int) -> Array:
        wrong = found[:, 0] != self.shape[1]
        if wrong.any():
            at = int(np.argmax(wrong))
            place = f"row {start + at} at offset {(start + at) * found.strides[0]}"
            raise self._fault(
                f"{place} has the dimension {found[at, 0]}, expected {self.shape[1]} as row 0"
            )
        return found[:, 1:].view("<f4").astype(self.dtype, copy=False)
