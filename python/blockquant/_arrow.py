"""Arrow arrays of rows, through the Arrow PyCapsule interface, without a copy where that goes.

Whatever offers ``__arrow_c_stream__`` or ``__arrow_c_array__`` is taken: arrays, chunked arrays,
tables and readers of pyarrow, columns of pandas and Polars, results of DuckDB. Their memory is read
by nanoarrow, Apache Arrow's library of one megabyte without dependencies of its own, which is
imported when the first such object comes. It imports the structures of the C interface, checks them
against the type, keeps the producer's memory alive while a view of it lives, and releases it once.
pyarrow would be forty times as large, arro3-core wants a newer Python, and reading the structures
with ctypes here would be memory-unsafe code beside what this package is for.

The C interface gives addresses without sizes. So what is checked is that lengths, offsets and
children fit each other; that the buffers are as long as they have to be is the producer's promise.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockquant._checks import counted

_FLOATS: dict[str, np.dtype[Any]] = {
    "e": np.dtype("float16"),
    "f": np.dtype("float32"),
    "g": np.dtype("float64"),
}
_LISTS = ("+l", "+L")
#: nanoarrow 0.9 reads no sizes of list views.
_LIST_VIEWS = ("+vl", "+vL")
_FIXED = "+w:"
_STRUCT = "+s"
#: Positions whose validity is looked at in one step.
_STEP = 2**20


def offers_arrow(x: Any) -> bool:
    """Whether an object has the Arrow PyCapsule interface.

    Examples
    --------
    >>> offers_arrow(np.ones(3))
    False
    """
    return hasattr(x, "__arrow_c_stream__") or hasattr(x, "__arrow_c_array__")


def library(why: str) -> Any:
    """Imports nanoarrow.

    Raises
    ------
    ValueError
        If it is not installed. `why` is the beginning of the error.
    """
    try:
        import nanoarrow
    except ImportError:
        hint = "pip install nanoarrow"
        raise ValueError(f"{why} needs nanoarrow, which is not installed: {hint}") from None
    return nanoarrow


@contextmanager
def _plain_errors(x: Any, what: str) -> Iterator[None]:
    """What the producer or nanoarrow refuses, as one error that names the object."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # a producer raises what it likes
        reason = " ".join(str(error).split())
        raise ValueError(f"{what}: cannot take {type(x).__name__} as Arrow: {reason}") from error


def opened(x: Any, what: str) -> tuple[Any, Iterator[Any]]:
    """The type of an Arrow object, and its chunks.

    Parameters
    ----------
    x : object
        With the Arrow PyCapsule interface. A stream is read to its end.
    what : str
        The name of the object in errors.

    Returns
    -------
    schema : nanoarrow.c_schema.CSchema
    chunks : iterator of nanoarrow.c_array.CArray

    Raises
    ------
    ValueError
        If the object does not give its data, or its structures do not fit its type.
    """
    nanoarrow = library(f"{what} is {type(x).__name__}, and an Arrow object")
    with _plain_errors(x, what):
        if hasattr(x, "__arrow_c_stream__"):
            stream = nanoarrow.c_array_stream(x)
            schema, chunks = stream.get_schema(), _chunks(stream, x, what)
        else:  # A stream that nanoarrow 0.9 makes of an array of views crashes.
            array = nanoarrow.c_array(x)
            array.view()
            schema, chunks = array.schema, iter([array])
        if schema.format is None:
            raise ValueError("its type has no format")
        named(schema)  # a format that nanoarrow does not know is an error here
    return schema, chunks


def _chunks(stream: Any, x: Any, what: str) -> Iterator[Any]:
    while True:
        with _plain_errors(x, what):
            try:
                chunk = stream.get_next()
            except StopIteration:
                stream.release()
                return
            chunk.view()  # compares the structures with the type
        yield chunk


def named(schema: Any) -> str:
    """The type as nanoarrow prints it, such as ``list<item: int64>``."""
    import nanoarrow

    bare = schema.modify(name="", nullable=True)
    return repr(nanoarrow.Schema(bare)).partition("\n")[0].removeprefix("<Schema> ")


def floats(x: Any, what: str, dim: int | None = None) -> NDArray[Any]:
    """The floats of an Arrow object.

    Parameters
    ----------
    x : object
        An array, a stream or a table of one column. Its values are lists of one length (fixed-size
        lists and lists, also in each other), or floats. A table of columns of floats has one
        coordinate per column.
    what : str
        The name of the object in errors.
    dim : int, optional
        The length of the lists where there are none and the type does not tell it.

    Returns
    -------
    ndarray of float16, float32 or float64
        (n,) of floats, (n, length) of lists, and so on. A read-only view of the memory of `x` if it
        comes as one chunk, and not as columns of floats.

    Raises
    ------
    TypeError
        If the type is another one.
    ValueError
        If a row or a value is null, or rows differ in length; both are named.
    """
    schema, chunks = opened(x, what)
    columns = columns_of(schema)
    if schema.format == _STRUCT and len(columns) != 1:
        _refuse_mixed(columns, what)
    is_table_of_floats = schema.format == _STRUCT and columns[0].format in _FLOATS
    readers = [
        _Reader(column, what, place if is_table_of_floats else None)
        for place, column in enumerate(columns)
    ]
    for parts in by_column(schema, chunks, what):
        for reader, (part, places) in zip(readers, parts, strict=True):
            reader.read(part, places)
    if is_table_of_floats:
        return np.column_stack([reader.joined(dim) for reader in readers])
    return readers[0].joined(dim)


def columns_of(schema: Any) -> list[Any]:
    """The types of the columns of a table; an array is one column."""
    return list(schema.children) if schema.format == _STRUCT else [schema]


def row_after(first: int, at: int) -> str:
    """A row in words, by its place among those that begin with the row `first`."""
    return f"row {first + at}"


def by_column(schema: Any, chunks: Iterator[Any], what: str) -> Iterator[list[tuple[Any, range]]]:
    """For each chunk its columns, each with the places of its rows in its buffers."""
    first = 0
    for chunk in chunks:
        rows = range(chunk.offset, chunk.offset + chunk.length)
        if schema.format != _STRUCT:
            yield [(chunk, rows)]
        else:
            refuse_nulls(chunk.view(), rows, what, partial(row_after, first), "a row")
            # Of the array: a child of a view of nanoarrow 0.9 keeps no memory alive.
            children = [chunk.child(place) for place in range(chunk.n_children)]
            yield [(child, _inside(child, rows, what)) for child in children]
        first += len(rows)


def _refuse_mixed(columns: list[Any], what: str) -> None:
    """Refuses a table of several columns that are not all floats."""
    if columns and all(_is_float(column) for column in columns):
        return
    names = ", ".join(f"{column.name!r}" for column in columns) or "none"
    raise TypeError(
        f"{what} is a table of {counted(len(columns), 'column')} ({names}), expected the column of "
        "the rows alone"
    )


def _is_float(schema: Any) -> bool:
    return schema.format in _FLOATS and schema.dictionary is None


def _inside(child: Any, places: range, what: str) -> range:
    """Places in a child as places in its buffers."""
    if len(places) and not 0 <= places.start <= places.stop <= child.length:
        found = f"values {places.start} to {places.stop - 1} of {child.length}"
        raise ValueError(f"{what} is damaged: it names {found}")
    return range(places.start + child.offset, places.stop + child.offset)


def refuse_nulls(
    view: Any, places: range, what: str, where: Callable[[int], str], expected: str
) -> None:
    """Refuses a null among the places of an array. `where` says in words which one it is.

    The bitmap is looked at whatever the number of nulls says, because a slice may not count them.
    """
    if not len(places):
        return
    bitmap = np.asarray(view.buffer(0))
    if not bitmap.size:  # nanoarrow refuses nulls without a bitmap
        return
    for start in range(0, len(places), _STEP):
        step = places[start : start + _STEP]
        first = step.start // 8
        bits = np.unpackbits(bitmap[first : (step.stop + 7) // 8], bitorder="little")
        valid = bits[step.start - 8 * first : step.stop - 8 * first]
        if not valid.all():
            null = where(start + int(np.argmin(valid)))
            raise ValueError(f"{what}: {null} is null, expected {expected}")


class _Reader:
    """Reads the chunks of one column."""

    def __init__(self, schema: Any, what: str, coordinate: int | None) -> None:
        self._schema = schema
        self._what = what
        #: The place of the column in a table of floats.
        self._coordinate = coordinate
        self._parts: list[NDArray[Any]] = []
        #: The length of the lists at each level, as far as it is known.
        self._sizes: list[int | None] = []
        self.rows = 0
        kind = schema
        while kind.format in _LISTS or kind.format.startswith(_FIXED):
            self._sizes.append(_fixed_size(kind, what))
            kind = kind.child(0)
        if not _is_float(kind):
            expected = "lists of float16, float32 or float64"
            expected += "; cast it to lists" if kind.format in _LIST_VIEWS else ""
            raise TypeError(f"{what} has the Arrow type {named(schema)}, expected {expected}")
        self._dtype: np.dtype[Any] = _FLOATS[kind.format]
        self._tensor = _tensor_shape(schema, what)

    def read(self, chunk: Any, places: range) -> None:
        """Takes the values of a chunk at some places of its buffers."""
        if len(places):
            self._parts.append(self._values(self._schema, chunk, places, (len(places),)))
        self.rows += len(places)

    def joined(self, dim: int | None) -> NDArray[Any]:
        """All that was read."""
        if not self._parts:
            sizes = [(dim or 0) if size is None else size for size in self._sizes]
            self._parts = [np.empty((0, *sizes), self._dtype)]
        joined = self._parts[0] if len(self._parts) == 1 else np.concatenate(self._parts)
        return joined if self._tensor is None else joined.reshape(len(joined), *self._tensor)

    def _place(self, at: int, shape: tuple[int, ...]) -> str:
        """A place in a chunk of some shape, in words."""
        row, *inside = (int(index) for index in np.unravel_index(at, shape))
        row += self.rows
        if not self._sizes:  # a column of floats is a coordinate of all rows, or one row
            inside = [row if self._coordinate is None else self._coordinate]
            row = 0 if self._coordinate is None else row
        if not inside:
            return f"row {row}"
        return f"row {row}, column {inside[0] if len(inside) == 1 else tuple(inside)}"

    def _values(
        self, schema: Any, array: Any, places: range, shape: tuple[int, ...]
    ) -> NDArray[Any]:
        """The values at some places, which have a shape together with the lists around them."""
        view = array.view()
        level = len(shape) - 1
        is_last = level == len(self._sizes)
        expected = "a float" if is_last else self._expected(level)
        refuse_nulls(view, places, self._what, lambda at: self._place(at, shape), expected)
        if not len(places):
            return np.empty((*shape, *(size or 0 for size in self._sizes[level:])), self._dtype)
        if is_last:
            held = np.asarray(view.buffer(1)).view(self._dtype)
            return held[places.start : places.stop].reshape(shape)
        size, inside = self._lists(schema, view, places, shape)
        child = array.child(0)
        inside = _inside(child, inside, self._what)
        return self._values(schema.child(0), child, inside, (*shape, size))

    def _expected(self, level: int) -> str:
        size = self._sizes[level]
        return "a list of floats" if size is None else f"a list of {counted(size, 'float')}"

    def _lists(
        self, schema: Any, view: Any, places: range, shape: tuple[int, ...]
    ) -> tuple[int, range]:
        """The length of the lists at some places, and the places of their values."""
        level = len(shape) - 1
        known = self._sizes[level]
        if schema.format.startswith(_FIXED):
            assert known is not None
            return known, range(places.start * known, places.stop * known)
        ends = np.asarray(view.buffer(1))[places.start : places.stop + 1]
        sizes = np.diff(ends)
        size = int(sizes[0]) if known is None else known
        if size < 0:
            raise ValueError(f"{self._what} is damaged: {self._place(0, shape)} has {size} values")
        if (sizes != size).any():
            at = int(np.argmax(sizes != size))
            found = f"{self._place(at, shape)} has {counted(int(sizes[at]), 'value')}"
            raise ValueError(f"{self._what}: {found}, expected {size} as row 0")
        self._sizes[level] = size
        # Python's numbers do not overflow, whatever the offsets are.
        start, stop = int(ends[0]), int(ends[-1])
        if stop - start != size * len(places):
            raise ValueError(f"{self._what} is damaged: its offsets go from {start} to {stop}")
        return size, range(start, stop)


def _fixed_size(schema: Any, what: str) -> int | None:
    """The length of the lists, where the type tells it."""
    _, is_fixed, size = schema.format.partition(_FIXED)
    if is_fixed and not size.isdecimal():  # nanoarrow takes negative numbers
        raise ValueError(f"{what} is damaged: it has lists of {size} values")
    return int(size) if is_fixed else None


def _tensor_shape(schema: Any, what: str) -> tuple[int, ...] | None:
    """The shape of what a fixed-shape tensor of Arrow holds, or None for all other types."""
    metadata = dict(schema.metadata.items()) if schema.metadata is not None else {}
    if metadata.get(b"ARROW:extension:name") != b"arrow.fixed_shape_tensor":
        return None
    try:
        told = json.loads(metadata[b"ARROW:extension:metadata"])
        shape = tuple(int(size) for size in told["shape"])
        permutation = told.get("permutation")
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise ValueError(f"{what} is damaged: its tensor type tells no shape: {error}") from None
    if math.prod(shape) != _fixed_size(schema, what) or min(shape, default=0) < 0:
        raise ValueError(f"{what} is damaged: {named(schema)} is told to have the shape {shape}")
    if permutation is not None and list(permutation) != sorted(permutation):
        raise TypeError(f"{what} has tensors with permuted dimensions, expected rows in order")
    return shape
