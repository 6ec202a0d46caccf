"""Parquet files, read with pyarrow. Rows are a top-level column of lists, list views or tensors.

The lists have a fixed size or all have the same length. pyarrow reads the name of a column as a
dotted path: "emb.vec" selects the field "vec" of a struct "emb" as well as the column "emb.vec",
and a name selects all columns of that name. So a column is found by its name and its position among
the columns of that name.

A row group is read from its start in pieces, and never as a whole.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from blockquant._checks import counted
from blockquant.files.rows import FLOATS, Array, Entry, ForwardRows, Rows, chunk_rows

#: Bytes that are read ahead of the decoder, instead of a whole row group.
_BUFFER = 2**20
#: The first and the last bytes of a file. The size of the footer is in the 4 bytes before the end.
_MAGIC = b"PAR1"
_NAMES = {"halffloat": "float16", "float": "float32", "double": "float64"}


def needs_pyarrow() -> Any:
    """Imports pyarrow.

    Raises
    ------
    ValueError
        If pyarrow is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        hint = "pip install pyarrow"
        raise ValueError(f".parquet files need pyarrow, which is not installed: {hint}") from None
    return pyarrow


def is_parquet(path: str) -> bool:
    """Whether a file begins as a Parquet file does.

    Examples
    --------
    >>> is_parquet(__file__)
    False
    """
    with open(path, "rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def open_file(path: str, verify: bool = True) -> Any:
    """The file as pyarrow opens it, which a damaged or truncated one is not.

    `verify` says whether the checksums of the pages that have them are compared.
    """
    pyarrow = needs_pyarrow()
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(len(_MAGIC))
        file.seek(max(0, size - len(_MAGIC)))
        end = file.read()
    if start == _MAGIC != end or (size < 3 * len(_MAGIC) and _MAGIC.startswith(start)):
        found = counted(size, "byte")
        raise ValueError(f"it is truncated: its {found} do not end with {_MAGIC!r}, as its footer")
    with plain_errors():
        return pyarrow.parquet.ParquetFile(
            path, buffer_size=_BUFFER, pre_buffer=False, page_checksum_verification=verify
        )


@contextmanager
def plain_errors() -> Iterator[None]:
    """What pyarrow finds wrong in a file, as a ValueError: it raises an OSError for much of it."""
    pyarrow = needs_pyarrow()
    try:
        yield
    except MemoryError:
        raise
    except pyarrow.ArrowException as error:
        raise ValueError(str(error)) from None
    except OSError as error:
        if error.errno is not None:  # of the system
            raise
        raise ValueError(str(error)) from None


def entries(path: str) -> list[Entry]:
    """The columns of a file; a list column of floats is two-dimensional."""
    with open_file(path) as file, plain_errors():
        return [_entry(file, index) for index in range(len(file.schema_arrow))]


def _entry(file: Any, index: int) -> Entry:
    """The column at a place among the top-level ones."""
    field, rows = file.schema_arrow.field(index), int(file.metadata.num_rows)
    # What a tensor of the extension type is has its shape there; each is stored as a list.
    tensor = getattr(field.type, "shape", None)
    kind = getattr(field.type, "storage_type", field.type)
    if not hasattr(kind, "value_type") or not _is_list(kind):
        return Entry(field.name, (rows,), f"{field.type}, not a list", index)
    stored = _NAMES.get(str(kind.value_type), str(kind.value_type))
    if stored not in FLOATS:
        return Entry(field.name, (rows,), stored, index)
    if tensor is not None:
        return Entry(field.name, (rows, *tensor), stored, index)
    if hasattr(kind, "list_size"):
        return Entry(field.name, (rows, kind.list_size), stored, index)
    for batch in file.iter_batches(1, columns=[field.name], use_threads=False):
        first = _column(file, batch, index)[0].as_py()
        if first is None:
            fault = f"row 0 of column {field.name!r} is null, expected a list of floats"
            return Entry(field.name, (rows, 0), stored, index, fault=fault)
        return Entry(field.name, (rows, len(first)), stored, index)
    fault = f"column {field.name!r} has no rows, and its type does not fix the length of its lists"
    return Entry(field.name, (0, 0), stored, index, fault=fault)


def _is_list(kind: Any) -> bool:
    """Whether a type is one of lists; views are not in every pyarrow."""
    types = needs_pyarrow().types
    kinds = ("fixed_size_list", "list", "large_list", "list_view", "large_list_view")
    return any(getattr(types, f"is_{name}", lambda _: False)(kind) for name in kinds)


def _column(file: Any, batch: Any, index: int) -> Any:
    """The lists of the top-level column at a place, of a batch that was asked for by its name."""
    schema = file.schema_arrow
    name = schema.field(index).name
    namesake = schema.get_all_field_indices(name).index(index)
    column = batch.column(batch.schema.get_all_field_indices(name)[namesake])
    return getattr(column, "storage", column)


def open_entry(path: str, entry: Entry) -> Rows:
    """The rows of one of them."""
    return _Column(path, entry)


class _Column(ForwardRows):
    def __init__(self, path: str, entry: Entry) -> None:
        super().__init__(path, entry)
        self._index = entry.index
        with open_file(path) as file:
            groups = range(file.metadata.num_row_groups)
            sizes = [file.metadata.row_group(group).num_rows for group in groups]
        self.groups = [0, *np.cumsum(sizes).tolist()][: len(sizes)]

    def _group(self, row: int) -> int:
        return bisect_right(self.groups, row) - 1

    def _start_before(self, row: int) -> int:
        return int(self.groups[self._group(row)])

    def _pieces_from(self, start: int) -> Iterator[Array]:
        groups = list(range(self._group(start), len(self.groups)))
        row = start
        try:
            with open_file(self.path) as file, plain_errors():
                for group in groups:
                    # One at a time: a batch of several would fail where only the last is damaged.
                    batches = file.iter_batches(
                        chunk_rows(self.shape[1]),
                        row_groups=[group],
                        columns=[self.array],
                        use_threads=False,
                    )
                    for batch in batches:
                        column = _column(file, batch, self._index)
                        if self.bad is None:
                            yield self._floats(column, row)
                        else:
                            yield self._good_floats(column, row, self.bad)
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
        if "view" in str(column.type):  # as lists, whose values lie one after the other
            column = column.cast(needs_pyarrow().large_list(column.type.value_type))
        lengths = column.value_lengths().to_numpy(zero_copy_only=False)
        if (lengths != dim).any():
            at = int(np.argmax(lengths != dim))
            values = counted(int(lengths[at]), "value")
            found = f"row {start + at} of column {self.array!r} has {values}"
            raise self._fault(f"{found}, expected {dim} as row 0")
        values = column.flatten()
        if values.null_count:
            place = int(np.argmax(values.is_null().to_numpy(zero_copy_only=False)))
            row, at = divmod(place, dim)
            raise self._fault(f"row {start + row}, column {at} is null, expected a float")
        return np.asarray(values.to_numpy(zero_copy_only=False)).reshape(-1, dim)

    def _good_floats(self, column: Any, start: int, bad: dict[int, str]) -> Array:
        """The same with NaN in the rows that are not `dim` floats, whose reasons go to `bad`."""
        try:
            return self._floats(column, start)
        except ValueError as error:
            if len(column) == 1:
                bad[start] = str(error)
                return np.full((1, self.shape[1]), np.nan, self.dtype)
        middle = len(column) // 2
        halves = (column.slice(0, middle), start), (column.slice(middle), start + middle)
        return np.concatenate([self._good_floats(*half, bad) for half in halves])
