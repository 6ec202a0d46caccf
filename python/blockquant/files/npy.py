"""NumPy's .npy and .npz.

An array that .npz stores as it is (``numpy.savez``) is read in place like a .npy file, without a
look at its checksum. One that is compressed (``numpy.savez_compressed``) is unpacked as it is read,
from its start again where a row before the last is asked for; only in Fortran order it is unpacked
to memory.
"""

from __future__ import annotations

import errno
import struct
import zipfile
import zlib
from collections.abc import Iterator
from tokenize import TokenError
from typing import Any

import numpy as np

from blockquant.files.rows import Array, Entry, ForwardRows, HeldRows, PlainRows, Rows, chunk_rows

_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def _header(file: Any, name: str | None, offset: int | None) -> Entry:
    """The array whose header a file starts with; `offset` is that of the header."""
    magic = np.lib.format.MAGIC_PREFIX
    start = file.read(len(magic))
    if start != magic:
        raise ValueError(f"it starts with {start!r}, expected {magic!r}")
    version = tuple(file.read(2))
    if version not in _HEADERS:  # version 3 is for names of fields, which floats have not
        raise ValueError(f"it has a header of version {version}, expected (1, 0) or (2, 0)")
    try:
        shape, fortran, dtype = _HEADERS[version](file)
    except TokenError as error:
        raise ValueError(f"its header cannot be read: {error.args[0]}") from None
    stored = "an object" if dtype.hasobject else dtype.name
    place = None if offset is None else offset + file.tell()
    return Entry(name, shape, stored, place, dtype, fortran and len(shape) == 2)


def entries(path: str) -> list[Entry]:
    """The one array of a .npy file."""
    with open(path, "rb") as file:
        return [_header(file, None, 0)]


def open_entry(path: str, entry: Entry) -> Rows:
    """Its rows."""
    return PlainRows(path, entry)


def _members(archive: zipfile.ZipFile) -> Iterator[zipfile.ZipInfo]:
    return (member for member in archive.infolist() if member.filename.endswith(".npy"))


def archive_entries(path: str) -> list[Entry]:
    """The arrays of a .npz file."""
    found = []
    try:
        with zipfile.ZipFile(path) as archive:
            for member in _members(archive):
                with archive.open(member) as file:
                    place = _place(path, member)
                    found.append(_header(file, member.filename[: -len(".npy")], place))
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError) as error:
        raise ValueError(str(error)) from None
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise ValueError("its directory names places that it does not have") from None
    return found


def _place(path: str, member: zipfile.ZipInfo) -> int | None:
    """Where a member's bytes are, if they stand there as they are."""
    if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
        return None
    with open(path, "rb") as file:
        file.seek(member.header_offset)
        head = file.read(30)  # a local header: its last two fields are the sizes of what follows
    if len(head) < 30:
        raise ValueError(f"its member {member.filename} is cut short")
    name, extra = struct.unpack("<HH", head[26:])
    return member.header_offset + 30 + int(name) + int(extra)


def archive_open_entry(path: str, entry: Entry) -> Rows:
    """The rows of one of them."""
    if entry.offset is not None:
        return open_entry(path, entry)
    return HeldRows(path, entry, _unpacked(path, entry)) if entry.fortran else _Packed(path, entry)


def _unpacked(path: str, entry: Entry) -> Array:
    with zipfile.ZipFile(path) as archive, archive.open(f"{entry.name}.npy") as file:
        return np.asarray(np.lib.format.read_array(file, allow_pickle=False))


class _Packed(ForwardRows):
    """Rows of a compressed member."""

    def __init__(self, path: str, entry: Entry) -> None:
        super().__init__(path, entry)
        self._disk = entry.disk

    def _start_before(self, row: int) -> int:
        return 0

    def _pieces_from(self, start: int) -> Iterator[Array]:
        n, dim = self.shape
        step = chunk_rows(dim)
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(f"{self.array}.npy") as file:
                _header(file, None, None)
                for row in range(0, n, step):
                    wanted = min(step, n - row) * dim * self._disk.itemsize
                    found = np.frombuffer(file.read(wanted), np.uint8)
                    if len(found) < wanted:
                        raise self._fault(f"it ends after row {row}, expected {n} rows")
                    rows = found.view(self._disk).reshape(-1, dim)
                    yield rows.astype(self.dtype, copy=False)
                file.read(1)  # the end of the member, where its checksum is compared
        except (OSError, zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise self._fault(f"array {self.array!r} is damaged: {error}") from None
