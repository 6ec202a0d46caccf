"""The ids of rows in the order of the rows: int64 numbers, or strings in UTF-8.

A column does not change; appending to it gives another one that shares its memory. So those who
read a column need no lock.
"""

from __future__ import annotations

from collections.abc import Iterator, KeysView, ValuesView
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from blockquant._checks import brief
from blockquant._filled import grown

Kind = Literal["int64", "str"]
#: Ids as callers get them.
Ids = NDArray[np.int64] | NDArray[np.object_]
_Int64 = NDArray[np.int64]
_Rows = NDArray[Any]

#: What can hold ids, besides arrays.
_MANY = (list, tuple, range, set, frozenset, dict, KeysView, ValuesView)
#: All strings are copied for so many bytes per string that is looked at.
_BYTES_PER_ROW = 64
#: What ids are called in errors.
SPOKEN = {"int64": "int64 numbers", "str": "strings"}
#: The number that means a missing row.
NO_NUMBER = -1


class Numbers:
    """Ids that are int64 numbers."""

    kind: Literal["int64"] = "int64"
    padding = NO_NUMBER

    def __init__(self, values: _Int64, room: _Int64 | None = None) -> None:
        self.values = values
        self._room = room

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[int]:
        return iter(self.values.tolist())

    def item(self, row: int) -> int:
        """The id of a row."""
        return int(self.values[row])

    def take(self, rows: _Rows) -> _Int64:
        """The ids of these rows."""
        return self.values[rows]

    def all(self) -> _Int64:
        """The ids of all rows, a copy."""
        return self.values.copy()

    def keys(self) -> _Int64:
        """A number for each id, the same for the same id."""
        return self.values

    def are(self, rows: _Rows, others: Numbers, places: _Rows) -> NDArray[np.bool_]:
        """Whether these rows have the ids at those places of the others; their keys are equal."""
        return np.ones(len(rows), bool)

    def twice(self) -> tuple[int, int] | None:
        """Two rows with the same id, if there are any."""
        order = np.argsort(self.values, kind="stable")
        ordered = self.values[order]
        same = np.flatnonzero(ordered[1:] == ordered[:-1])
        return (int(order[same[0]]), int(order[same[0] + 1])) if len(same) else None

    def appended(self, more: Numbers) -> Numbers:
        """The ids with others after them."""
        room = grown(self._room, self.values, more.values)
        return Numbers(room[: len(self) + len(more)], room)

    def apart(self) -> Numbers:
        """The same ids, to which others are appended in other memory."""
        return Numbers(self.values)

    def kept(self, keep: NDArray[np.bool_]) -> Numbers:
        """The ids of the rows that are kept."""
        return Numbers(self.values[keep])

    def nbytes(self, keep: NDArray[np.bool_] | None) -> int:
        """Bytes of the ids of the rows that are kept."""
        return 8 * (len(self) if keep is None else int(keep.sum()))


class Strings:
    """Ids that are strings, kept as UTF-8 bytes."""

    kind: Literal["str"] = "str"
    padding = None

    def __init__(
        self,
        offsets: _Int64,
        data: NDArray[np.uint8],
        room: tuple[_Int64, NDArray[np.uint8]] | None = None,
        strings: list[str] | None = None,
    ) -> None:
        #: Where each string begins in `data`, and where the last one ends.
        self.offsets = offsets
        self.data = data
        self._room = room
        #: The strings themselves, which a caller holds anyway.
        self._strings = strings

    @classmethod
    def of(cls, strings: list[str]) -> Strings:
        """The column of these strings; raises UnicodeEncodeError for lone surrogates."""
        encoded = [string.encode() for string in strings]
        offsets = np.zeros(len(encoded) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, encoded), np.int64, len(encoded)), out=offsets[1:])
        return cls(offsets, np.frombuffer(b"".join(encoded), np.uint8), None, strings)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __iter__(self) -> Iterator[str]:
        if self._strings is not None:
            return iter(self._strings)
        data = self.data.tobytes()
        return (str(data[start:stop], "utf-8") for start, stop in pairwise(self.offsets.tolist()))

    def item(self, row: int) -> str:
        """The id of a row."""
        start, stop = self.offsets[[row, row + 1]].tolist()
        return str(self.data[start:stop].data, "utf-8")

    def _encoded(self, rows: _Rows) -> list[bytes | memoryview]:
        # Of many rows, slices of a copy cost less than views.
        is_many = _BYTES_PER_ROW * len(rows) >= len(self.data)
        data = self.data.tobytes() if is_many else self.data.data
        rows = rows.astype(np.int64)
        starts, stops = self.offsets[rows].tolist(), self.offsets[rows + 1].tolist()
        return [data[start:stop] for start, stop in zip(starts, stops, strict=True)]

    def take(self, rows: _Rows) -> NDArray[np.object_]:
        """The ids of these rows."""
        found = np.empty(len(rows), object)
        found[:] = [str(encoded, "utf-8") for encoded in self._encoded(rows)]
        return found

    def all(self) -> NDArray[np.object_]:
        """The ids of all rows."""
        found = np.empty(len(self), object)
        found[:] = list(self)
        return found

    def keys(self) -> _Int64:
        """A number for each id, the same for the same id; of this process alone."""
        return np.fromiter(map(hash, self), np.int64, len(self))

    def are(self, rows: _Rows, others: Strings, places: _Rows) -> NDArray[np.bool_]:
        """Whether these rows have the ids at those places of the others; their keys are equal."""
        pairs = zip(self._encoded(rows), others._encoded(places), strict=True)
        return np.fromiter((a == b for a, b in pairs), bool, len(rows))

    def twice(self) -> tuple[int, int] | None:
        """Two rows with the same id, if there are any."""
        if len(set(self)) == len(self):
            return None
        seen: dict[str, int] = {}
        for row, string in enumerate(self):
            first = seen.setdefault(string, row)
            if first != row:
                return first, row
        return None

    def appended(self, more: Strings) -> Strings:
        """The ids with others after them."""
        offsets, data = self._room or (None, None)
        end = len(self.data)
        offsets = grown(offsets, self.offsets, more.offsets[1:] + end)
        data = grown(data, self.data, more.data)
        after = len(self.offsets) + len(more)
        return Strings(offsets[:after], data[: end + len(more.data)], (offsets, data))

    def apart(self) -> Strings:
        """The same ids, to which others are appended in other memory."""
        return Strings(self.offsets, self.data)

    def kept(self, keep: NDArray[np.bool_]) -> Strings:
        """The ids of the rows that are kept."""
        lengths = np.diff(self.offsets)
        offsets = np.zeros(int(keep.sum()) + 1, np.int64)
        np.cumsum(lengths[keep], out=offsets[1:])
        return Strings(offsets, self.data[np.repeat(keep, lengths)])

    def nbytes(self, keep: NDArray[np.bool_] | None) -> int:
        """Bytes of the ids of the rows that are kept, with an offset each."""
        lengths = np.diff(self.offsets) if keep is None else np.diff(self.offsets)[keep]
        return int(lengths.sum()) + 8 * len(lengths)


Column = Numbers | Strings


def none_yet(kind: Kind | None) -> Column:
    """The ids of no rows."""
    if kind == "str":
        return Strings.of([])
    return Numbers(np.empty(0, np.int64))


def column(ids: Any, what: str, kind: Kind | None = None, *, ordered: bool = True) -> Column:
    """The ids that a caller gives: one, or many.

    Parameters
    ----------
    ids : int, str, or array_like (n,)
        Integers of any type, or strings.
    what : str
        The name of the ids in errors.
    kind : str, optional
        The kind of ids that is expected.
    ordered : bool
        Whether the ids belong to rows, so that a set, which has no order, is refused.

    Raises
    ------
    TypeError
        If the ids are neither integers nor strings, or of another kind.
    ValueError
        If they have more than one dimension, an integer is beyond int64, or a string cannot be
        written as UTF-8.

    Examples
    --------
    >>> list(column(["b", "a"], "ids")), list(column(np.uint8([7]), "ids")), list(column(5, "ids"))
    (['b', 'a'], [7], [5])
    >>> column([1.0], "ids")
    Traceback (most recent call last):
        ...
    TypeError: ids: position 0 is 1.0, expected an integer or a string
    """
    values = _values(ids, what, ordered)
    if len(values) == 0:
        return none_yet(kind)
    found = _numbers(values, what) if _is_numeric(values) else _strings(values, what)
    if kind is not None and found.kind != kind:
        raise other_kind(what, found.kind, kind)
    return found


def other_kind(what: str, found: Kind, expected: Kind) -> TypeError:
    """The error about ids that an index does not have."""
    return TypeError(f"{what} are {SPOKEN[found]}, this index has {SPOKEN[expected]} as ids")


def _values(ids: Any, what: str, ordered: bool) -> list[Any] | NDArray[Any]:
    """The ids as a list or an array of one dimension."""
    if isinstance(ids, (str, int, np.integer)):
        return [ids]
    if isinstance(ids, (set, frozenset)) and ordered:
        raise TypeError(f"{what} is a set, which has no order; pass a list, one id per row")
    if isinstance(ids, _MANY):
        return ids if isinstance(ids, list) else list(ids)
    if isinstance(ids, np.ma.MaskedArray):
        raise TypeError(f"{what} is a masked array; fill it or drop the masked ids first")
    if not (hasattr(ids, "__array__") or hasattr(ids, "__dlpack__")):
        raise TypeError(f"{what} is {type(ids).__name__}, expected integers or strings")
    array = np.asarray(ids) if hasattr(ids, "__array__") else np.from_dlpack(ids)
    if array.ndim > 1:
        raise ValueError(f"{what} has shape {array.shape}, expected one dimension")
    array = np.atleast_1d(array)
    return array if array.dtype.kind in "iu" else array.tolist()


def _is_numeric(values: list[Any] | NDArray[Any]) -> bool:
    return isinstance(values, np.ndarray) or not isinstance(values[0], str)


def _numbers(values: list[Any] | NDArray[Any], what: str) -> Numbers:
    if isinstance(values, list):
        if set(map(type, values)) - {int}:
            _check_each(values, (int, np.integer), what)
        least, most = int(min(values)), int(max(values))
    else:
        least, most = int(values.min()), int(values.max())
    low, high = -(2**63), 2**63 - 1
    if least < low or most > high:
        place = next(i for i, value in enumerate(values) if not low <= int(value) <= high)
        raise ValueError(f"{what}: position {place} is {brief(values[place])}, beyond int64")
    return Numbers(np.array(values, np.int64))


def _strings(values: list[Any] | NDArray[Any], what: str) -> Strings:
    strings: list[Any] = list(values)
    if set(map(type, strings)) - {str}:
        _check_each(strings, str, what)
        strings = list(map(str, strings))
    try:
        return Strings.of(strings)
    except UnicodeEncodeError:
        for place, string in enumerate(strings):
            try:
                string.encode()
            except UnicodeEncodeError as error:
                raise ValueError(
                    f"{what}: position {place} is {brief(string)}, not UTF-8: {error}"
                ) from None
        raise


def _check_each(values: list[Any], types: Any, what: str) -> None:
    """Refuses values of other types, and bools, which are integers in Python."""
    kind = "a string as the others" if types is str else "an integer"
    for place, value in enumerate(values):
        if not isinstance(value, types) or isinstance(value, (bool, np.bool_)):
            expected = f"{kind} or a string" if types is not str and place == 0 else kind
            raise TypeError(f"{what}: position {place} is {brief(value)}, expected {expected}")
