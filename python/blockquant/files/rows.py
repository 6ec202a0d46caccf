"""Rows of a file, which stay on the disk until a slice reads them.

Files are read and not mapped. So memory stays bounded for a file of any size, and a file that is
shortened while it is open gives an error instead of a crash.
"""

from __future__ import annotations

import math
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray

from blockquant._checks import counted, expected_rows, figure

Array = NDArray[Any]

#: The approximate size of a chunk of rows as float32, in bytes.
CHUNK_BYTES = 8 * 2**20

#: The types that rows can be stored as.
FLOATS = ("float16", "bfloat16", "float32", "float64")
#: Bytes of the widest of these types.
_WIDEST = 8


def chunk_rows(dim: int) -> int:
    """The number of rows of a chunk, at least 1.

    Examples
    --------
    >>> chunk_rows(384)
    5461
    """
    return max(1, CHUNK_BYTES // max(1, 4 * dim))


@dataclass(frozen=True)
class Entry:
    """An array in a file."""

    #: None if the file holds one array without a name.
    name: str | None
    shape: tuple[int, ...]
    #: The type of its elements: NumPy's name, or the file's name for a type that NumPy lacks.
    stored: str
    #: The position among the arrays of the file, because several can have one name.
    index: int = 0
    #: The place of its first byte in the file, if the array can be read in place.
    offset: int | None = None
    #: The number of bytes that the file has for its values, if the file says so.
    room: int | None = None
    #: The NumPy type of an element on the disk, and whether the order is that of Fortran.
    disk: Any = None
    fortran: bool = False
    #: The reason why it cannot be opened although its type is right.
    fault: str | None = None

    @property
    def holds_rows(self) -> bool:
        """Whether it is two-dimensional and of floats."""
        return len(self.shape) == 2 and self.stored in FLOATS

    def __str__(self) -> str:
        what = f"{self.stored} of shape {self.shape}"
        return what if self.name is None else f"{self.name!r}: {what}"


_Rows = TypeVar("_Rows", bound="Rows")


def _check_room(entry: Entry) -> None:
    """Raises ValueError if the file has too few bytes for the values of an array."""
    if entry.room is None:
        return
    needed = math.prod(entry.shape) * np.dtype(entry.disk).itemsize
    if entry.room < needed:
        found = counted(max(entry.room, 0), "byte")
        place = "" if entry.offset is None else f" at offset {entry.offset}"
        expected = f"expected {needed} for {entry.stored} of shape {entry.shape}"
        raise ValueError(f"it is truncated: {found} of values{place}, {expected}")


class Rows(ABC):
    """The rows of a file, read in slices. A context manager that closes the file.

    :func:`blockquant.files.open_rows` makes it. ``rows[a:b]`` is an ndarray of these rows,
    ``rows[i]`` is one row, and ``numpy.asarray(rows)`` reads all rows into memory.

    Attributes
    ----------
    path : str
        The file.
    array : str or None
        Name of the array in the file, if it has one.
    shape : tuple of int
        (n, dim).
    dtype : numpy.dtype
        The type of a slice: float16, float32 or float64 in the machine's byte order.
    stored : str
        The type in the file: the name of `dtype`, or ``bfloat16``, which is read as float32.
    groups : list of int
        The first row of each row group of a Parquet file; empty for other formats.
    bad : dict or None
        If it is a dict, rows that a table holds and that are not `dim` floats are read as NaN, and
        the reason is put there under the position of the row. If it is None, they are errors.
    """

    ndim = 2
    groups: Sequence[int] = ()
    bad: dict[int, str] | None = None

    def __init__(self, path: str, entry: Entry) -> None:
        if entry.stored not in FLOATS:
            expected = "float16, bfloat16, float32 or float64"
            raise TypeError(f"it has dtype {entry.stored}, expected {expected}")
        if len(entry.shape) not in (1, 2):
            raise ValueError(f"it has {expected_rows(entry.shape, 'save')}")
        if entry.fault is not None:
            raise ValueError(entry.fault)
        self.path = path
        self.array = entry.name
        rows, dim = (1, *entry.shape)[-2:]
        if dim < 1:
            raise ValueError(f"it has shape {entry.shape}, expected rows of at least one value")
        if math.prod(max(n, 1) for n in entry.shape) * _WIDEST > sys.maxsize:
            raise ValueError(f"it has shape {entry.shape}, which is more than memory can address")
        _check_room(entry)
        self.shape: tuple[int, int] = (rows, dim)
        self.stored = entry.stored
        self.dtype = np.dtype("float32" if entry.stored == "bfloat16" else entry.stored)

    @abstractmethod
    def _read(self, start: int, stop: int) -> Array:
        """The rows from start to stop, at least one, as `dtype` with any strides."""

    @abstractmethod
    def close(self) -> None:
        """Closes the file. Closing it again has no effect."""

    def _fault(self, reason: str) -> ValueError:
        return ValueError(f"{self.path}: {reason}")

    def __enter__(self: _Rows) -> _Rows:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, which: slice | int) -> Array:
        if isinstance(which, (int, np.integer)) and not isinstance(which, bool):
            place = int(which) + (len(self) if which < 0 else 0)
            if not 0 <= place < len(self):
                raise IndexError(f"row {which} of {len(self)} in {self.path}")
            row: Array = self._read(place, place + 1)[0]
            return row
        if not isinstance(which, slice):
            raise TypeError(f"rows of a file are read by a slice, not by {type(which).__name__}")
        start, stop, step = which.indices(len(self))
        if step != 1:
            raise ValueError(f"rows of a file are read in slices of step 1, not {step}")
        if start >= stop:
            return np.empty((0, self.shape[1]), self.dtype)
        return self._read(start, stop)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError(f"{self.path}: rows of a file are always copied to memory")
        return np.asarray(self[:], self.dtype if dtype is None else dtype)

    def chunks(self, rows: int | None = None) -> Iterator[tuple[int, Array]]:
        """Reads all rows in order, one chunk at a time.

        Parameters
        ----------
        rows : int, optional
            Rows per chunk. The default is :func:`chunk_rows`.

        Yields
        ------
        start : int
            Position of the chunk's first row.
        chunk : ndarray, (at most rows, dim)
        """
        step = chunk_rows(self.shape[1]) if rows is None else rows
        for start in range(0, len(self), step):
            yield start, self[start : start + step]

    def not_finite(self, start: int, chunk: Array) -> ValueError | None:
        """An error about the first value of a chunk that is not finite in float32, or None.

        Parameters
        ----------
        start : int
            Position of the chunk in the file. The error names the row of the file.
        chunk : ndarray
            A chunk of :meth:`chunks`.
        """
        with np.errstate(over="ignore"):
            finite = np.isfinite(chunk.astype(np.float32, copy=False))
        if finite.all():
            return None
        row, column = np.argwhere(~finite)[0]
        value = figure(float(chunk[row, column]))
        expected = "expected a finite float32 value"
        return self._fault(f"row {start + row}, column {column} is {value}, {expected}")

    def __repr__(self) -> str:
        name = "" if self.array is None else f"[{self.array!r}]"
        return f"<Rows {self.shape} of {self.stored} in {self.path}{name}>"


class PlainRows(Rows):
    """Rows that are stored uncompressed, row after row, or column after column (Fortran order)."""

    def __init__(self, path: str, entry: Entry) -> None:
        super().__init__(path, entry)
        assert entry.offset is not None
        self._offset = entry.offset
        self._disk = np.dtype(entry.disk)
        self._fortran = entry.fortran
        self._file: BinaryIO | None = open(path, "rb", buffering=0)  # noqa: SIM115

    def _columns(self) -> tuple[int, int]:
        """The number of rows, and the number of elements per row on the disk."""
        return self.shape

    def _read(self, start: int, stop: int) -> Array:
        shape, item = (stop - start, self._columns()[1]), self._disk.itemsize
        if self._fortran:
            found = np.empty(shape, self._disk, order="F")
            for column in range(shape[1]):
                self._fill(found[:, column], (column * len(self) + start) * item, start)
        else:
            found = np.empty(shape, self._disk)
            self._fill(found.reshape(-1), start * shape[1] * item, start)
        return self._as_floats(found, start)

    def _fill(self, part: Array, place: int, start: int) -> None:
        """Reads bytes at a place after the header. Errors name the row `start`."""
        if self._file is None:
            raise self._fault("it is closed")
        self._file.seek(self._offset + place)
        wanted = part.view(np.uint8).data
        while len(wanted):
            got = self._file.readinto(wanted)  # type: ignore[attr-defined]
            if not got:
                raise self._fault(f"it was truncated while it was read, at row {start} or after")
            wanted = wanted[got:]

    def _as_floats(self, found: Array, start: int) -> Array:
        """Elements of the disk as `dtype`. Errors name the row `start`."""
        if self.stored == "bfloat16":
            return widened(found)
        return found.astype(self.dtype, order="C", copy=False)

    def close(self) -> None:
        """Closes the file. Closing it again has no effect."""
        if self._file is not None:
            self._file.close()
            self._file = None


def widened(bits: Array) -> Array:
    """bfloat16 values as float32, from their bits as little-endian uint16."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


class HeldRows(Rows):
    """Rows that are in memory."""

    def __init__(self, path: str, entry: Entry, take: Callable[[str, Entry], Array]) -> None:
        super().__init__(path, entry)
        self._values: Array | None = take(path, entry)

    def _read(self, start: int, stop: int) -> Array:
        if self._values is None:
            raise self._fault("it is closed")
        return np.array(self._values[start:stop], self.dtype, order="C")

    def close(self) -> None:
        """Drops the rows."""
        self._values = None


class ForwardRows(Rows):
    """Rows that can only be read in order, starting at certain places."""

    def __init__(self, path: str, entry: Entry) -> None:
        super().__init__(path, entry)
        self._pieces: Iterator[Array] | None = None
        #: The position of the first row of `_rest`, and the rows that were read but not returned.
        self._at = 0
        self._rest = np.empty((0, self.shape[1]), self.dtype)

    @abstractmethod
    def _start_before(self, row: int) -> int:
        """The last place at or before a row where reading can start."""

    @abstractmethod
    def _pieces_from(self, start: int) -> Iterator[Array]:
        """Pieces of rows, from such a place to the end."""

    def _read(self, start: int, stop: int) -> Array:
        near = self._start_before(start)
        if self._pieces is None or start < self._at or self._at < near:
            self.close()
            self._pieces, self._at = self._pieces_from(near), near
        out = np.empty((stop - start, self.shape[1]), self.dtype)
        filled = 0
        while filled < len(out):
            if not len(self._rest):
                piece = next(self._pieces, None)
                if piece is None:
                    expected = counted(len(self), "row")
                    raise self._fault(f"it is truncated: it ends at row {self._at} of {expected}")
                self._rest = piece
            skipped = min(start + filled - self._at, len(self._rest))
            taken = self._rest[skipped : skipped + len(out) - filled]
            out[filled : filled + len(taken)] = taken
            filled += len(taken)
            self._at += skipped + len(taken)
            self._rest = self._rest[skipped + len(taken) :]
        return out

    def close(self) -> None:
        """Drops the rows that were read. The next read starts again."""
        if self._pieces is not None:
            self._pieces.close()  # type: ignore[attr-defined]
            self._pieces = None
        self._rest = self._rest[:0]


def regular(path: str | os.PathLike[str]) -> str:
    """The path of a regular file, which can be read at any place.

    Raises
    ------
    OSError
        If the file does not exist or is a folder.
    ValueError
        If the path is a pipe or a device.
    """
    where = os.fspath(path)
    with open(where, "rb"):  # The error of `open` gives the reason.
        pass
    if not Path(where).is_file():
        raise ValueError(f"{where} is a pipe or a device, expected a file")
    return where
