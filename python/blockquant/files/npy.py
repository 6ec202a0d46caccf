"""NumPy's .npy and .npz.

An array that .npz stores uncompressed (``numpy.savez``) is read in place like a .npy file, and its
checksum is not compared. A compressed array (``numpy.savez_compressed``) is decompressed as it is
read. Reading an earlier row starts again at the beginning. A compressed array in Fortran order is
decompressed into memory.
"""

from __future__ import annotations

import errno
import io
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from tokenize import TokenError
from typing import Any

import numpy as np

from blockquant._checks import counted
from blockquant.files.rows import Array, Entry, ForwardRows, HeldRows, PlainRows, Rows, chunk_rows

#: For each version, the bytes of the header's length and the function that reads the header.
#: Version 3 differs from 2 only in the encoding of the names of fields, which floats do not have.
_HEADERS = {
    (1, 0): (2, np.lib.format.read_array_header_1_0),
    (2, 0): (4, np.lib.format.read_array_header_2_0),
    (3, 0): (4, np.lib.format.read_array_header_2_0),
}
#: The longest header that NumPy reads.
_MOST_HEADER = 10_000
#: Python 2 wrote whole numbers as 50L.
_LONG = re.compile(rb"(?<=\d)L(?=[\s,)])")


def _header(
    file: Any, size: int, name: str | None = None, index: int = 0, offset: int | None = 0
) -> Entry:
    """Reads the header at the start of a file and returns its array.

    Parameters
    ----------
    file : file
        An open file at its start. Afterwards its position is that of the first value.
    size : int
        Size of the file in bytes.
    name, index
        The name and index of the entry.
    offset : int or None
        Place of this file in the archive, or None if it cannot be read in place.
    """
    magic = np.lib.format.MAGIC_PREFIX
    start = file.read(len(magic))
    if start != magic:
        if magic.startswith(start):
            raise ValueError(f"it is truncated: it has {counted(size, 'byte')}, less than a header")
        raise ValueError(f"it is not a .npy file: it starts with {start!r}, expected {magic!r}")
    version = tuple(file.read(2))
    if version not in _HEADERS:
        if len(version) < 2:
            raise ValueError(f"it is truncated: it has {counted(size, 'byte')}, less than a header")
        raise ValueError(f"it has a header of version {version}, expected (1, 0), (2, 0) or (3, 0)")
    width, read = _HEADERS[version]
    length = file.read(width)
    count = int.from_bytes(length, "little")
    if count > _MOST_HEADER:
        raise ValueError(f"its header has {count} bytes, expected at most {_MOST_HEADER}")
    text = file.read(count)
    end = len(magic) + len(version) + width + count
    if len(length) < width or len(text) < count:
        raise ValueError(
            f"it is truncated: it has {counted(size, 'byte')}, its header ends at {end}"
        )
    try:
        shape, fortran, dtype = read(io.BytesIO(length + _LONG.sub(b" ", text)))
    except (TokenError, SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"its header cannot be read: {error.args[:1]}") from None
    if not all(type(n) is int and n >= 0 for n in shape):  # True is an int too
        raise ValueError(f"its header gives the shape {shape}, expected whole numbers, at least 0")
    return Entry(
        name,
        shape,
        "an object" if dtype.hasobject else dtype.name,
        index,
        offset=None if offset is None else offset + end,
        room=size - end,
        disk=dtype,
        fortran=fortran and len(shape) == 2,
    )


def entries(path: str) -> list[Entry]:
    """The one array of a .npy file."""
    with open(path, "rb") as file:
        return [_header(file, os.fstat(file.fileno()).st_size)]


def open_entry(path: str, entry: Entry) -> Rows:
    """The rows of a .npy file."""
    return PlainRows(path, entry)


def _members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    return [member for member in archive.infolist() if member.filename.endswith(".npy")]


def archive_entries(path: str) -> list[Entry]:
    """The arrays of a .npz file."""
    found = []
    try:
        with zipfile.ZipFile(path) as archive:
            for index, member in enumerate(_members(archive)):
                name = member.filename[: -len(".npy")]
                with archive.open(member) as file, _of_array(name):
                    place = _place(path, member)
                    found.append(_header(file, member.file_size, name, index, place))
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError) as error:
        raise ValueError(_cut(path) + str(error)) from None
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise ValueError("its directory names places that it does not have") from None
    return found


@contextmanager
def _of_array(name: str) -> Iterator[None]:
    """Puts the name of an array in front of an error."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise ValueError(f"array {name!r}: {error}") from None


def _cut(path: str) -> str:
    """The first words of the error about an archive that cannot be read.

    The directory of an archive is at its end, so a truncated one still starts as an archive.
    """
    with open(path, "rb") as file:
        start = file.read(4)
    return "it is truncated or damaged: " if start == b"PK\x03\x04" else "it is not a .npz file: "


def _place(path: str, member: zipfile.ZipInfo) -> int | None:
    """The place of a member's bytes in the file, or None if they are compressed or encrypted."""
    if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
        return None
    with open(path, "rb") as file:
        file.seek(member.header_offset)
        head = file.read(30)  # A local header ends with the sizes of the name and the extra field.
    if len(head) < 30:
        raise ValueError(f"it is truncated: {len(head)} bytes of a local header, expected 30")
    name, extra = struct.unpack("<HH", head[26:])
    return member.header_offset + 30 + int(name) + int(extra)


def archive_open_entry(path: str, entry: Entry) -> Rows:
    """The rows of one array of a .npz file."""
    if entry.offset is not None:
        return open_entry(path, entry)
    return HeldRows(path, entry, _unpacked) if entry.fortran else _Packed(path, entry)


@contextmanager
def _opened(path: str, entry: Entry) -> Iterator[Any]:
    """Opens an array by its position, because two arrays can have one name."""
    with zipfile.ZipFile(path) as archive, archive.open(_members(archive)[entry.index]) as file:
        yield file


def _unpacked(path: str, entry: Entry) -> Array:
    n, dim = entry.shape
    with _opened(path, entry) as file:
        disk = _header(file, 0).disk
        found = np.frombuffer(file.read(n * dim * disk.itemsize), np.uint8)
    rows: Array = found.view(disk).reshape(n, dim, order="F")
    return rows


class _Packed(ForwardRows):
    """Rows of a compressed member."""

    def __init__(self, path: str, entry: Entry) -> None:
        super().__init__(path, entry)
        self._entry = entry

    def _start_before(self, row: int) -> int:
        return 0

    def _pieces_from(self, start: int) -> Iterator[Array]:
        n, dim = self.shape
        step = chunk_rows(dim)
        try:
            with _opened(self.path, self._entry) as file:
                disk = _header(file, 0).disk
                for row in range(0, n, step):
                    wanted = min(step, n - row) * dim * disk.itemsize
                    found = np.frombuffer(file.read(wanted), np.uint8)
                    if len(found) < wanted:
                        expected = counted(n, "row")
                        raise self._fault(f"it is truncated after row {row} of {expected}")
                    rows = found.view(disk).reshape(-1, dim)
                    yield rows.astype(self.dtype, copy=False)
                file.read(1)  # At the end of the member `zipfile` compares its checksum.
        except (OSError, zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise self._fault(f"array {self.array!r} is damaged: {error}") from None
