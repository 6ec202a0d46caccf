"""Parquet, by pyarrow: a column of lists, of fixed size or all of one length.

A row group is read from its start in pieces, never at once.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from blockquant.files.rows import FLOATS, Array, Entry, ForwardRows, Rows, chunk_rows

#: Bytes that are read ahead of what is decoded, instead of a row group.
_BUFFER = 2**20
_NAMES = {"halffloat": "float16", "float": "float32", "double": "float64"}


def needs_pyarrow() -> Any:
    """The library.

    Raises
    ------
    ValueError
        If it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        hint = "pip install 'blockquant[parquet]'"
        raise ValueError(f"parquet needs pyarrow, which is not installed: {hint}") from None
    return pyarrow


def _open(path: str) -> Any:
    with _plain_errors():
        return needs_pyarrow().parquet.ParquetFile(
            path, buffer_size=_BUFFER, pre_buffer=False, page_checksum_verification=True
        )


@contextmanager
def _plain_errors() -> Iterator[None]:
    """What pyarrow finds wrong in a file, as a ValueError: it raises an OSError for much of it."""
    pyarrow = needs_pyarrow()
    try:
        yield
    except pyarrow.ArrowException as error:
        raise ValueError(str(error)) from None
    except OSError as error:
        if error.errno is not None:  # of the system
            raise
        raise ValueError(str(error)) from None


def entries(path: str) -> list[Entry]:
    """The columns of a file; a list column of floats is two-dimensional."""
    pyarrow = needs_pyarrow()
    types = pyarrow.types
    with _open(path) as file, _plain_errors():
        found = []
        for field in file.schema_arrow:
            kind = field.type
            fixed = types.is_fixed_size_list(kind)
            if not (fixed or types.is_list(kind) or types.is_large_list(kind)):
                found.append(Entry(field.name, (file.metadata.num_rows,), f"{kind}, no list"))
                continue
            stored = _NAMES.get(str(kind.value_type), str(kind.value_type))
            shape: tuple[int, ...] = (file.metadata.num_rows,)
            if stored in FLOATS:
                shape += (kind.list_size if fixed else _first_length(file, field.name),)
            found.append(Entry(field.name, shape, stored))
    return found


def _first_length(file: Any, column: str) -> int:
    for batch in file.iter_batches(1, columns=[column], use_threads=False):
        first = batch.column(0)[0].as_py()
        if first is None:
            raise ValueError(f"row 0 of column {column!r} is null, expected a list of floats")
        return len(first)
    return 0


def open_entry(path: str, entry: Entry) -> Rows:
    """The rows of one of them."""
    return _Column(path, entry)


class _Column(ForwardRows):
    def __init__(self, path: str, entry: Entry) -> None:
        super().__init__(path, entry)
        with _open(path) as file:
            groups = range(file.metadata.num_row_groups)
            sizes = [file.metadata.row_group(group).num_rows for group in groups]
        #: The first row of each group.
        self._starts = [0, *np.cumsum(sizes).tolist()][: len(sizes)]

    def _group(self, row: int) -> int:
        return bisect_right(self._starts, row) - 1

    def _start_before(self, row: int) -> int:
        return int(self._starts[self._group(row)])

    def _pieces_from(self, start: int) -> Iterator[Array]:
        groups = list(range(self._group(start), len(self._starts)))
        row = start
        try:
            with _open(self.path) as file, _plain_errors():
                batches = file.iter_batches(
                    chunk_rows(self.shape[1]),
                    row_groups=groups,
                    columns=[self.array],
                    use_threads=False,
                )
                for batch in batches:
                    yield self._floats(batch.column(0), row)
                    row += batch.num_rows
        except ValueError as error:
            if str(error).startswith(self.path):  # of `_floats`
                raise
            reason = str(error).partition("\n")[0]
            raise self._fault(
                f"column {self.array!r} is damaged after row {row}: {reason}"
            ) from None

    def _floats(self, column: Any, start: int) -> Array:
        """A batch of lists as rows; `start` is its first row, for errors."""
        dim = self.shape[1]
        if column.null_count:
            at = start + int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
            raise self._fault(f"row {at} of column {self.array!r} is null, expected {dim} floats")
        lengths = column.value_lengths().to_numpy(zero_copy_only=False)
        if (lengths != dim).any():
            at = int(np.argmax(lengths != dim))
            found = f"row {start + at} of column {self.array!r} has {lengths[at]} values"
            raise self._fault(f"{found}, expected {dim} as row 0")
        values = column.flatten()
        if values.null_count:
            place = int(np.argmax(values.is_null().to_numpy(zero_copy_only=False)))
            row, at = divmod(place, dim)
            raise self._fault(f"row {start + row}, column {at} is null, expected a float")
        return np.asarray(values.to_numpy(zero_copy_only=False)).reshape(-1, dim)
