"""Parquet files with a column of codes, beside any other columns.

The column is that of :meth:`blockquant.Codes.to_arrow`, and the metadata of its field say which
quantizer made the codes. Rows are written in groups of about 32 MB, with a checksum for each page.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from typing import Any, BinaryIO

import numpy as np

from blockquant import _columns, tables
from blockquant.codes import Codes
from blockquant.files import parquet
from blockquant.files.atomic import replacing
from blockquant.files.rows import chunk_rows
from blockquant.quantizer import Quantizer

#: Bytes of rows that make a row group.
_GROUP_BYTES = 32 * 2**20


def kept_fields(
    path: str | os.PathLike[str], keep: Sequence[str], name: str | None = None
) -> list[Any]:
    """The fields of the columns of a Parquet file that are to be kept beside codes.

    Raises
    ------
    ValueError
        If the file is damaged, has not exactly one top-level column of a name, a name comes twice,
        or is that of the column of codes.
    """
    where = os.fspath(path)
    schema = _schema(where)
    for place, each in enumerate(keep):
        count = len(schema.get_all_field_indices(each))
        if count != 1:
            held = ", ".join(map(repr, schema.names)) or "nothing"
            found = "no column" if not count else f"{count} columns"
            raise ValueError(f"{where} holds {found} {each!r} to keep, expected one of {held}")
        if each in keep[:place]:
            raise ValueError(f"the column {each!r} to keep is named twice")
        if each == name:
            raise ValueError(f"the column of codes is called {each!r}, as a column to keep is")
    return [schema.field(each) for each in keep]


class _Kept:
    """Columns of a Parquet file, taken row after row."""

    def __init__(self, path: str, names: Sequence[str], dim: int) -> None:
        self._path, self._names = path, list(names)
        self.fields = kept_fields(path, names)
        self._file = parquet.open_file(path)
        self._batches = self._file.iter_batches(
            chunk_rows(dim), columns=self._names, use_threads=False
        )
        self._rest: Any = None

    def take(self, rows: int) -> list[Any]:
        """The next rows, as a list of batches with the columns in order."""
        taken: list[Any] = []
        while rows:
            if not self.left():
                raise ValueError(f"{self._path} has fewer rows than there are codes")
            part = self._rest.slice(0, rows)
            self._rest = self._rest.slice(part.num_rows)
            rows -= part.num_rows
            taken.append(part)
        return taken

    def left(self) -> bool:
        """Whether there are more rows."""
        while self._rest is None or not self._rest.num_rows:
            try:
                with parquet.plain_errors():
                    batch = next(self._batches, None)
            except ValueError as error:
                columns = ", ".join(map(repr, self._names))
                raise ValueError(f"{self._path}: column {columns} is damaged: {error}") from None
            if batch is None:
                return False
            self._rest = batch.select(self._names)  # A dotted name selects fields as well.
        return True

    def close(self) -> None:
        """Closes the file."""
        self._batches.close()
        self._file.close()


class CodesWriter:
    """Writes codes, and the kept columns of their rows. :func:`write_codes` makes it."""

    def __init__(self, file: BinaryIO, q: Quantizer, name: str, kept: _Kept | None) -> None:
        self._pyarrow = parquet.needs_pyarrow()
        self._q, self._name, self._kept = q, name, kept
        empty = self._column(q.encode(np.empty((0, q.dim), np.float32)))
        fields = [] if kept is None else kept.fields
        self._schema = self._pyarrow.schema([*fields, *empty.schema])
        nested = self._pyarrow.types.is_nested
        self._writer = self._pyarrow.parquet.ParquetWriter(
            file,
            self._schema,
            # Codes rarely repeat, so a dictionary of them would only cost time.
            use_dictionary=[field.name for field in fields if not nested(field.type)],
            write_page_checksum=True,
        )
        self._waiting: list[Any] = []
        self._bytes = 0
        #: The rows that are written, and the bytes of their codes.
        self.rows, self.nbytes = 0, 0

    def _column(self, codes: Codes) -> Any:
        return self._pyarrow.table(self._q.to_arrow(codes, self._name))

    def write(self, codes: Codes) -> None:
        """Writes the codes of the next rows.

        Raises
        ------
        ValueError
            If the codes come from another quantizer, or the file of the kept columns has no more
            rows.
        """
        column = self._column(codes).column(0)
        if self._kept is not None and len(codes):
            beside = self._pyarrow.Table.from_batches(self._kept.take(len(codes)))
            arrays = [*beside.columns, column]
        else:
            arrays = [*([] if self._kept is None else self._empty()), column]
        table = self._pyarrow.table(arrays, schema=self._schema)
        self._waiting.append(table)
        self._bytes += table.nbytes
        self.rows += len(codes)
        self.nbytes += codes.nbytes
        if self._bytes >= _GROUP_BYTES:
            self._flush()

    def _empty(self) -> list[Any]:
        assert self._kept is not None
        return [self._pyarrow.array([], field.type) for field in self._kept.fields]

    def _flush(self) -> None:
        if self._waiting:
            table = self._pyarrow.concat_tables(self._waiting)
            self._writer.write_table(table, max(1, len(table)))
        self._waiting, self._bytes = [], 0

    def finish(self) -> None:
        """Ends the file."""
        self._flush()
        self._writer.close()

    def release(self) -> None:
        """Closes the writer, after success and after an error."""
        self._writer.close()


@contextmanager
def write_codes(
    path: str | os.PathLike[str],
    q: Quantizer,
    *,
    name: str = "codes",
    source: str | os.PathLike[str] | None = None,
    keep: Sequence[str] = (),
) -> Iterator[CodesWriter]:
    """Writes codes to a Parquet file, beside columns of another one.

    Memory holds one row group. The file appears only after all rows are written.

    Parameters
    ----------
    path : path-like
        The file to write. An existing file is replaced.
    q : Quantizer
        The quantizer that makes the codes. Its center is in the file.
    name : str
        The name of the column of codes.
    source : path-like, optional
        The Parquet file of the columns to keep. It has the rows of the codes, in order.
    keep : sequence of str
        The top-level columns of `source` that are written before the codes.

    Yields
    ------
    CodesWriter
        The object whose ``write`` takes the codes.

    Raises
    ------
    ValueError
        If a column to keep is missing or has the name of the codes, `source` has another number of
        rows than there are codes, or pyarrow is not installed.
    OSError
        If a file cannot be read or written.

    Examples
    --------
    >>> import tempfile, numpy as np, blockquant as bq
    >>> q = bq.Eden(dim=384, bits=2)
    >>> x, _ = bq.sample()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with write_codes(f"{folder}/codes.parquet", q) as out:
    ...         for start in range(0, 2000, 500):
    ...             out.write(q.encode(x[start : start + 500]))
    ...     same, codes = bq.load(f"{folder}/codes.parquet")
    >>> same == q, codes == q.encode(x)
    (True, True)
    """
    kept = None
    if source is not None and keep:
        kept_fields(source, keep, name)
        kept = _Kept(os.fspath(source), keep, q.dim)
    with replacing(path) as file, nullcontext() if kept is None else closing(kept):
        writer = CodesWriter(file, q, name, kept)
        try:
            yield writer
            if kept is not None and kept.left():
                raise ValueError(f"{source} has more rows than the codes, {writer.rows}")
            writer.finish()
        finally:
            writer.release()


def code_columns(path: str | os.PathLike[str]) -> list[str]:
    """The columns of codes of a Parquet file, by the metadata of their fields.

    Raises
    ------
    ValueError
        If the file is damaged, or pyarrow is not installed.

    Examples
    --------
    >>> import tempfile, blockquant as bq
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with write_codes(f"{folder}/codes.parquet", bq.Eden(dim=384, bits=2)):
    ...         pass
    ...     code_columns(f"{folder}/codes.parquet")
    ['codes']
    """
    fields = _schema(os.fspath(path))
    return [field.name for field in fields if _columns.is_described(field.metadata)]


def _schema(path: str) -> Any:
    """The types of the columns. Errors name the file."""
    try:
        with parquet.open_file(path) as file, parquet.plain_errors():
            return file.schema_arrow
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def load_codes(path: str | os.PathLike[str], verify: bool = True) -> tuple[Quantizer, Codes]:
    """Reads the quantizer and the codes of the only column of codes of a Parquet file.

    Parameters
    ----------
    path : path-like
        The file.
    verify : bool
        Whether to compare the checksums of the pages, where the file has them.

    Raises
    ------
    ValueError
        If the file is damaged, has no such column or several, or pyarrow is not installed.
    OSError
        If the file cannot be read.
    """
    where = os.fspath(path)
    names = code_columns(where)
    if len(names) != 1:
        found = f"the columns of codes {', '.join(map(repr, names))}" if names else "no codes"
        hint = "blockquant.from_arrow takes one column of a table"
        raise ValueError(f"{where} holds {found}, expected one; {hint}")
    pyarrow = parquet.needs_pyarrow()
    try:
        with parquet.open_file(where, verify) as file, parquet.plain_errors():
            batches = file.iter_batches(columns=names, use_threads=False)
            schema = pyarrow.schema([file.schema_arrow.field(names[0])])
            chosen = (batch.select(names) for batch in batches)
            return tables.from_arrow(pyarrow.RecordBatchReader.from_batches(schema, chosen))
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
