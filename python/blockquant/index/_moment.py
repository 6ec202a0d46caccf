"""The rows of an index at one moment, which do not change.

A change of the index makes a new moment. It shares the memory of the one before: arrays grow behind
the rows that the old one knows, and a row that is removed stays where it is. So a change costs as
much as the rows that it is about, and those who read a moment need no lock.

Rows keep the order in which they were added. `left` has for each row the number of the change
that removed it. A row is live at the moments before that change, whose numbers are lower. So
removing a row writes one number, which says nothing new to those who read an older moment. Once
more than a quarter of the rows are removed, the live ones are copied, in their order, to arrays of
their own. A removed row has then cost at most some four copies.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockquant._filled import Filled, Room, appended, grown, kept
from blockquant.index._ids import Column, Kind, Numbers, none_yet
from blockquant.index._lookup import Lookup

#: What `left` has for a row that was not removed.
STAYS = np.uint32(2**32 - 1)
#: Of so many rows, one may be removed and still be here.
_ROWS_PER_REMOVED = 4

_Mask = NDArray[np.bool_]
_Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Moment:
    """Rows with their ids, some of which may be removed."""

    filled: Filled
    room: Room
    ids: Column
    #: The kind of ids, once it is known.
    kind: Kind | None
    #: The change that removed each row, or `STAYS`.
    left: NDArray[np.uint32]
    left_room: NDArray[np.uint32] | None
    #: The number of the last change that removed rows.
    change: int
    #: Rows that are removed and still here.
    removed: int
    #: The number that is the next id by default.
    next_id: int
    #: What is derived when it is needed, by any thread: all would derive the same.
    _derived: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, filled: Filled, ids: Column, kind: Kind | None, next_id: int) -> Moment:
        """Rows of which none is removed."""
        left = np.full(len(ids), STAYS)
        return cls(filled, {}, ids, kind, left, None, 0, 0, next_id)

    def __len__(self) -> int:
        return len(self.left) - self.removed

    @property
    def live(self) -> _Mask | None:
        """Which rows are live; None if all are."""
        if not self.removed:
            return None
        mask = self._derived.get("live")
        if mask is None:
            mask = self._derived["live"] = self.left > self.change
        found: _Mask = mask
        return found

    def live_ids(self) -> Column:
        """The ids of the live rows."""
        return self.ids if self.live is None else self.ids.kept(self.live)

    def live_filled(self) -> Filled:
        """The arrays of the live rows."""
        return self.filled if self.live is None else kept(self.filled, self.live)

    @property
    def _lookup(self) -> Lookup:
        lookup: Lookup | None = self._derived.get("lookup")
        if lookup is None:
            lookup = Lookup().added(self.ids.keys(), 0, self._is_live)
            self._derived["lookup"] = lookup
        return lookup

    def _is_live(self, rows: NDArray[np.uint32]) -> _Mask:
        return self.left[rows] > self.change

    def find(self, ids: Column) -> _Rows:
        """The live row of each id, or -1. The ids are of the kind of this index."""

        def is_right(rows: NDArray[np.uint32], places: _Rows) -> _Mask:
            right = self._is_live(rows)
            right[right] = self.ids.are(rows[right], ids, places[right])  # type: ignore[arg-type]
            return right

        if not len(self.left):
            return np.full(len(ids), -1, np.int64)
        return self._lookup.find(ids.keys(), is_right)

    def added(self, more: Filled, ids: Column) -> Moment:
        """With other rows behind these; the ids are new, or those of rows that leave."""
        before, after = len(self.left), len(self.left) + len(ids)
        if after >= 2**32:
            raise ValueError(f"{after} rows, expected at most {2**32 - 1} in an index")
        filled, room = appended(self.filled, self.room, more)
        column = ids.apart() if self.kind is None else self.ids.appended(ids)  # type: ignore[arg-type]
        left_room = grown(self.left_room, self.left, np.full(len(ids), STAYS))
        next_id = self.next_id
        if isinstance(ids, Numbers):
            next_id = max(next_id, int(ids.values.max()) + 1)
        # Where nobody has looked for an id so far, the first who does sorts them all.
        lookup: Lookup | None = self._derived.get("lookup")
        derived = {}
        if lookup is not None:
            derived["lookup"] = lookup.added(ids.keys(), before, self._is_live)
        return replace(
            self,
            filled=filled,
            room=room,
            ids=column,
            kind=ids.kind,
            left=left_room[:after],
            left_room=left_room,
            next_id=next_id,
            _derived=derived,
        )

    def without(self, rows: int) -> Moment:
        """After a change that removes so many rows; the caller writes its number to `left`."""
        change, removed = self.change + 1, self.removed + rows
        lookup = self._derived.get("lookup")
        derived = {} if lookup is None else {"lookup": lookup}
        return replace(self, change=change, removed=removed, _derived=derived)

    @property
    def is_sparse(self) -> bool:
        """Whether so many rows are removed that the others are to be copied together."""
        return _ROWS_PER_REMOVED * self.removed > len(self.left)

    def alone(self) -> Moment:
        """The same rows without the removed ones; nothing is written to memory that it shares."""
        ids = self.live_ids().apart()
        return Moment.of(self.live_filled(), ids, self.kind, self.next_id)


def ascending(rows: _Rows) -> _Rows:
    """The rows in ascending order, each once. It is faster than `numpy.unique`."""
    ordered = np.sort(rows)
    is_first = np.ones(len(ordered), bool)
    is_first[1:] = ordered[1:] != ordered[:-1]
    return ordered[is_first]


def nothing(filled: Filled, kind: Kind | None) -> Moment:
    """The moment before rows are added. `filled` has the arrays of no rows."""
    return Moment.of(filled, none_yet(kind), kind, 0)
