"""Writers of rows to files, one chunk at a time, as little-endian float32."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np

from blockquant._checks import counted
from blockquant.files.atomic import replacing
from blockquant.files.parquet import needs_pyarrow
from blockquant.files.rows import Array


class RowsWriter:
    """Writes the rows of a file in order. :func:`write_rows` makes it."""

    def __init__(self, file: BinaryIO, rows: int, dim: int, name: str) -> None:
        self._file = file
        self._dim = dim
        self._left = rows
        self._begin(rows, dim, name)

    def write(self, chunk: Array) -> None:
        """Writes the next rows.

        Parameters
        ----------
        chunk : ndarray, (rows, dim)
            The rows.

        Raises
        ------
        ValueError
            If the rows have another dimension, or are more than were announced.
        """
        if chunk.ndim != 2 or chunk.shape[1] != self._dim or len(chunk) > self._left:
            expected = f"at most {counted(self._left, 'row')} of {self._dim}"
            raise ValueError(f"a chunk of shape {chunk.shape}, expected {expected}")
        self._put(np.ascontiguousarray(chunk, "<f4"))
        self._left -= len(chunk)

    def finish(self) -> None:
        """Ends the file.

        Raises
        ------
        ValueError
            If rows are missing.
        """
        if self._left:
            missing = f"{counted(self._left, 'row')} {'is' if self._left == 1 else 'are'} missing"
            raise ValueError(f"{missing} of those that were announced")

    def release(self) -> None:
        """Releases what a library holds, after success and after an error."""

    def _begin(self, rows: int, dim: int, name: str) -> None:
        raise NotImplementedError

    def _put(self, chunk: Array) -> None:
        self._file.write(chunk.reshape(-1).view(np.uint8).data)


class _Npy(RowsWriter):
    def _begin(self, rows: int, dim: int, name: str) -> None:
        header = {"descr": "<f4", "fortran_order": False, "shape": (rows, dim)}
        np.lib.format.write_array_header_1_0(self._file, header)


class _Safetensors(RowsWriter):
    def _begin(self, rows: int, dim: int, name: str) -> None:
        tensor = {"dtype": "F32", "shape": [rows, dim], "data_offsets": [0, 4 * rows * dim]}
        header = json.dumps({name: tensor}).encode()
        header += b" " * (-len(header) % 8)  # Pads the header so that the tensor is aligned.
        self._file.write(len(header).to_bytes(8, "little") + header)


class _Fvecs(RowsWriter):
    def _begin(self, rows: int, dim: int, name: str) -> None:
        if rows == 0:
            raise ValueError("an .fvecs file of 0 rows tells no dimension; take .npy")

    def _put(self, chunk: Array) -> None:
        out = np.empty((len(chunk), 1 + self._dim), "<i4")
        out[:, 0] = self._dim
        out[:, 1:] = chunk.view("<i4")
        super()._put(out)


class _Parquet(RowsWriter):
    def _begin(self, rows: int, dim: int, name: str) -> None:
        self._pyarrow = needs_pyarrow()
        self._kind = self._pyarrow.list_(self._pyarrow.float32(), dim)
        self._schema = self._pyarrow.schema([self._pyarrow.field(name, self._kind, nullable=False)])
        # Values of quantized rows rarely repeat, so a dictionary would only cost time.
        self._writer: Any = self._pyarrow.parquet.ParquetWriter(
            self._file, self._schema, use_dictionary=False
        )

    def _put(self, chunk: Array) -> None:
        values = self._pyarrow.array(chunk.reshape(-1))
        column = self._pyarrow.FixedSizeListArray.from_arrays(values, type=self._kind)
        self._writer.write_batch(self._pyarrow.record_batch([column], schema=self._schema))

    def finish(self) -> None:
        """Ends the file."""
        super().finish()
        self._writer.close()

    def release(self) -> None:
        """Closes the writer."""
        if hasattr(self, "_writer"):
            self._writer.close()


_WRITERS: dict[str, type[RowsWriter]] = {
    ".npy": _Npy,
    ".safetensors": _Safetensors,
    ".parquet": _Parquet,
    ".fvecs": _Fvecs,
}

#: The suffixes of the formats that can be written.
WRITTEN = tuple(_WRITERS)


def written_suffix(path: str | os.PathLike[str]) -> str:
    """The suffix of a file to write, in lower case.

    Raises
    ------
    ValueError
        If the format cannot be written, or needs a library that is not installed.

    Examples
    --------
    >>> written_suffix("rows.NPY")
    '.npy'
    """
    suffix = os.path.splitext(os.fspath(path))[1].lower()
    if suffix not in _WRITERS:
        raise ValueError(f"{path}: expected a name that ends in {', '.join(WRITTEN)}")
    if suffix == ".parquet":
        needs_pyarrow()
    return suffix


@contextmanager
def write_rows(
    path: str | os.PathLike[str], rows: int, dim: int, name: str = "rows"
) -> Iterator[RowsWriter]:
    """Writes rows to a file, which appears only after all rows are written.

    Parameters
    ----------
    path : path-like
        A name that ends in .npy, .safetensors, .parquet or .fvecs. An existing file is replaced.
    rows, dim : int
        The shape of all chunks together.
    name : str
        The name of the tensor or column.

    Yields
    ------
    RowsWriter
        The object whose ``write`` takes the chunks.

    Raises
    ------
    ValueError
        If the suffix is another one, a chunk does not fit, or rows are missing at the end.
    OSError
        If the file cannot be written.

    See Also
    --------
    open_rows : Opens a file of rows.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with write_rows(f"{folder}/x.npy", 3, 2) as out:
    ...         out.write(np.zeros((2, 2)))
    ...         out.write(np.ones((1, 2)))
    ...     np.load(f"{folder}/x.npy").tolist()
    [[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]]
    """
    kind = _WRITERS[written_suffix(path)]
    with replacing(path) as file:
        writer = kind(file, rows, dim, name)
        try:
            yield writer
            writer.finish()
        finally:
            writer.release()
