"""Rows of bytes as one Arrow column, with a description of what they are in the field's metadata.

``docs/format.md`` has the layout. Polars, DuckDB and ``datasets`` drop the metadata of fields, and
the first two make the column one of binary values of any length; such a column is read too, with a
quantizer that says what the metadata would.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockquant import _arrow
from blockquant._checks import counted, whole
from blockquant._filled import ORDER

_KEY = "blockquant"
#: The end of the errors about columns without metadata or without a width.
DROPPED = (
    "Polars, DuckDB and datasets return it: pass the quantizer that made the codes, as in "
    "Codes.from_arrow(column, q)"
)
_VERSION = 1
_FIXED = "w:"
#: The widths of offsets, and the type of values of which only a view lies in the column.
_BINARY, _VIEWS = ("z", "Z"), "vz"
#: A view has the length and the place in a buffer, or, of 12 bytes or fewer, the value.
_VIEW = np.dtype([("length", "i4"), ("start", "V4"), ("buffer", "i4"), ("offset", "i4")])
_INLINE = 12


@dataclass(frozen=True)
class Description:
    """What the metadata says."""

    made_by: str
    dim: int
    arrays: tuple[str, ...]
    center: NDArray[np.float32] | None = None
    #: The groups of fitted axes: method, axes and bits per axis of each.
    groups: tuple[tuple[str, int, float], ...] | None = None

    def to_json(self) -> str:
        """The value of the metadata."""
        told: dict[str, Any] = {
            "version": _VERSION,
            "made_by": self.made_by,
            "dim": self.dim,
            "arrays": list(self.arrays),
        }
        if self.center is not None:
            told["center"] = base64.b64encode(self.center.astype("<f4").tobytes()).decode()
        if self.groups is not None:
            told["groups"] = self.groups
        return json.dumps(told)

    @classmethod
    def from_json(cls, text: bytes, what: str) -> Description:
        """What the value says.

        Raises
        ------
        ValueError
            If it is not what :meth:`to_json` gives, or that of another version.
        """
        try:
            told = json.loads(text)
            if told["version"] != _VERSION:
                found = f"version {told['version']} of codes in Arrow"
                raise ValueError(f"it has {found}, this build reads {_VERSION}")
            made_by, arrays, center = told["made_by"], tuple(told["arrays"]), told.get("center")
            in_order = tuple(name for name in ORDER if name in arrays)
            if not isinstance(made_by, str) or arrays != in_order or arrays[:2] != ORDER[:2]:
                raise ValueError(f"it names the arrays {list(arrays)} by {made_by!r}")
            dim = whole(told["dim"], "dim")
            if center is not None:
                center = np.frombuffer(base64.b64decode(center, validate=True), "<f4")
                center = center.astype(np.float32)
                if len(center) != dim:
                    raise ValueError(f"its center has {counted(len(center), 'coordinate')}")
            groups = _groups(told["groups"]) if "groups" in told else None
        except (ValueError, TypeError, LookupError) as error:
            reason = f"{type(error).__name__}: {error}" if isinstance(error, LookupError) else error
            raise ValueError(f"{what}: the metadata {_KEY!r} is damaged: {reason}") from None
        return cls(made_by, dim, arrays, center, groups)

    def like(self, width: int, what: str) -> dict[str, NDArray[Any]]:
        """Arrays of no rows, of the types and widths that values of so many bytes consist of."""
        scalars = self.arrays[1:]
        packed = width - 4 * len(scalars)
        if packed < 1:
            found = f"{counted(width, 'byte')} per row"
            raise ValueError(f"{what} has {found}, too few for {', '.join(self.arrays)}")
        arrays: dict[str, NDArray[Any]] = {"packed": np.empty((0, packed), np.uint8)}
        return {**arrays, **{name: np.empty(0, np.float32) for name in scalars}}


def _groups(told: Any) -> tuple[tuple[str, int, float], ...]:
    """Groups of axes, as :meth:`Description.to_json` writes them."""
    groups = tuple((method, axes, bits) for method, axes, bits in told)
    for method, axes, bits in groups:
        if not (isinstance(method, str) and type(axes) is int and isinstance(bits, (int, float))):
            raise ValueError(f"it names the group {(method, axes, bits)}")
    return groups


def is_described(metadata: Mapping[bytes, bytes] | None) -> bool:
    """Whether metadata of a field are ours."""
    return metadata is not None and _KEY.encode() in metadata


def column(table: NDArray[np.uint8], name: str, description: Description) -> Any:
    """Rows of bytes, (n, width), as a table of one column, whose memory they are.

    Returns
    -------
    nanoarrow.Array
        A struct of one field, which has the metadata.
    """
    na = _arrow.library("an Arrow column")
    rows, width = table.shape
    kind = na.fixed_size_binary(width)
    field = na.c_schema(kind).modify(
        name=name, metadata={_KEY: description.to_json()}, nullable=False
    )
    schema = na.c_schema(na.struct({name: kind})).modify(children=[field], nullable=False)
    values = na.c_array_from_buffers(kind, rows, [None, table.reshape(-1)], null_count=0)
    return na.Array(na.c_array_from_buffers(schema, rows, [None], children=[values], null_count=0))


@dataclass(frozen=True)
class Column:
    """An Arrow column of bytes that is open."""

    what: str
    #: What the metadata of its field says, if it has ours.
    description: Description | None
    #: The bytes of a value, where the type tells it.
    width: int | None
    _place: int
    _schema: Any
    _chunks: Iterator[Any]

    def tables(self, width: int) -> Iterator[NDArray[np.uint8]]:
        """The values, each of so many bytes: for each chunk (rows, width).

        Raises
        ------
        ValueError
            If a value is null, or has another length.
        """
        first = 0
        kind = _arrow.columns_of(self._schema)[self._place].format
        for parts in _arrow.by_column(self._schema, self._chunks, self.what):
            array, rows = parts[self._place]
            view = array.view()
            expected = f"the {counted(width, 'byte')} of a code"
            _arrow.refuse_nulls(view, rows, self.what, partial(_arrow.row_after, first), expected)
            if len(rows):
                yield self._values(kind, view, rows, width, first)
            first += len(rows)

    def _values(
        self, kind: str, view: Any, rows: range, width: int, first: int
    ) -> NDArray[np.uint8]:
        here = slice(rows.start, rows.stop)
        if kind.startswith(_FIXED):
            self._check_lengths(np.array([int(kind[2:])]), width, first)
            values = np.frombuffer(view.buffer(1), np.uint8)
            return values[rows.start * width : rows.stop * width].reshape(-1, width)
        if kind in _BINARY:
            ends = np.asarray(view.buffer(1))[rows.start : rows.stop + 1].astype(np.int64)
            self._check_lengths(np.diff(ends), width, first)
            values = np.frombuffer(view.buffer(2), np.uint8)
            if ends[0] < 0 or ends[-1] > len(values):
                raise ValueError(f"{self.what} is damaged: its values end at {ends[-1]}")
            return values[int(ends[0]) : int(ends[-1])].reshape(-1, width)
        views = np.frombuffer(view.buffer(1), _VIEW)[here]
        self._check_lengths(views["length"], width, first)
        if width <= _INLINE:
            inline = np.ascontiguousarray(views).view(np.uint8).reshape(-1, _VIEW.itemsize)
            return inline[:, 4 : 4 + width]
        out = np.empty((len(views), width), np.uint8)
        for buffer in np.unique(views["buffer"]).tolist():
            # The first two buffers are the bitmap and the views, the last one has the sizes.
            if not 0 <= buffer < view.n_buffers - 3:
                raise ValueError(f"{self.what} is damaged: it names the buffer {buffer}")
            of_buffer = views["buffer"] == buffer
            begins = views["offset"][of_buffer].astype(np.int64)
            held = np.frombuffer(view.buffer(2 + buffer), np.uint8)
            if begins.min() < 0 or begins.max() + width > len(held):
                raise ValueError(f"{self.what} is damaged: its values leave the buffer {buffer}")
            out[of_buffer] = held[begins[:, np.newaxis] + np.arange(width)]
        return out

    def _check_lengths(self, lengths: NDArray[Any], width: int, first: int) -> None:
        if (lengths != width).any():
            at = int(np.argmax(lengths != width))
            found = f"row {first + at} has {counted(int(lengths[at]), 'byte')}"
            raise ValueError(f"{self.what}: {found}, expected {width}")


def opened(x: Any, name: str | None) -> Column:
    """Opens the column of codes of an Arrow array or table.

    Parameters
    ----------
    x : object
        With the Arrow PyCapsule interface: an array or a stream, of binary values or a table.
    name : str or None
        The column of a table. By default the only one, or the only one with our metadata.

    Raises
    ------
    TypeError
        If `x` is not Arrow, or the column is not one of bytes.
    ValueError
        If there is no such column, or it is not clear which one is meant, or as for
        :meth:`Description.from_json`.
    """
    if not _arrow.offers_arrow(x):
        raise TypeError(f"column is {type(x).__name__}, expected an Arrow array or table")
    schema, chunks = _arrow.opened(x, "column")
    columns = _arrow.columns_of(schema)
    names = [field.name for field in columns]
    asked = [place for place, known in enumerate(names) if name in (None, known)]
    told = [place for place in asked if _text_of(columns[place]) is not None]
    fit = told if len(told) == 1 else asked
    if len(fit) != 1:
        listed = ", ".join(map(repr, names)) or "none"
        wanted = "pick the one of codes with name=" if name is None else f"expected one {name!r}"
        raise ValueError(f"the table has the columns {listed}; {wanted}")
    field = columns[fit[0]]
    what = f"column {field.name!r}" if field.name else "the column"
    if not field.format.startswith(_FIXED) and field.format not in (*_BINARY, _VIEWS):
        raise TypeError(f"{what} has the Arrow type {_arrow.named(field)}, expected binary")
    text = _text_of(field)
    description = None if text is None else Description.from_json(text, what)
    width = int(field.format[2:]) if field.format.startswith(_FIXED) else None
    return Column(what, description, width, fit[0], schema, chunks)


def _text_of(field: Any) -> bytes | None:
    """Our metadata of a field."""
    items = dict(field.metadata.items()) if field.metadata is not None else {}
    text: bytes | None = items.get(_KEY.encode())
    return text
