"""An index with a record beside each row, which the vector stores of frameworks share."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterable
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from blockquant._checks import brief, counted, expected_rows, whole
from blockquant.index import Index

Record = TypeVar("Record")
Read = TypeVar("Read")

METRICS = ("cosine", "ip", "l2")
#: How often a reader looks without the lock; then writers wait for it.
_TRIES = 3


class Found(NamedTuple):
    """A row that a search found: its id, its record, and its score."""

    id: str
    record: Any
    score: float


class Records(Generic[Record]):
    """Rows with strings as ids and a record each, which always change together.

    Searches do not wait for changes: they count them, and look again if one came in between.

    Parameters
    ----------
    metric : str
        ``cosine``, ``ip`` or ``l2``.
    options : dict
        What :class:`blockquant.Index` takes besides the dimension, which the first rows decide.
    """

    def __init__(self, metric: str, options: dict[str, Any]) -> None:
        if metric not in METRICS:
            raise ValueError(f"metric={brief(metric)}, expected one of {', '.join(METRICS)}")
        self.metric = metric
        self.options = options
        self.index: Index | None = None
        self.records: dict[str, Record] = {}
        #: Odd while rows and records are being changed.
        self._changes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.records)

    def __getstate__(self) -> dict[str, Any]:
        with self._lock:
            state = {**vars(self), "records": self.records.copy(), "index": copy.copy(self.index)}
        del state["_lock"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=threading.Lock())

    # ---- changes

    def put(self, ids: list[str], vectors: Any, records: list[Record]) -> None:
        """Adds rows, or replaces those that have these ids; of equal ids the last one counts.

        Raises
        ------
        ValueError
            If the vectors are not rows of one length, that of the index, or not finite. Nothing is
            added then.
        """
        if len({len(ids), len(vectors), len(records)}) > 1:
            raise ValueError(
                f"found {counted(len(ids), 'id')}, {counted(len(vectors), 'embedding')} and "
                f"{counted(len(records), 'record')}, expected as many of each"
            )
        if not ids:
            return
        rows = np.asarray(vectors)
        if rows.ndim != 2:
            raise ValueError(f"embeddings: {expected_rows(rows.shape, 'pass')}")
        last = {id: place for place, id in enumerate(ids)}
        places = list(last.values())
        index = self.index
        if index is None:
            index = Index(dim=rows.shape[1], ids="str", **self.options)
        codes = index.quantizer.encode(rows)[places]
        with self._lock:
            index = index if self.index is None else self.index
            self._changes += 1
            try:
                index.add(codes, ids=list(last), replace=True)
                self.records.update((ids[place], records[place]) for place in places)
                self.index = index
            finally:
                self._changes += 1

    def drop(self, ids: Iterable[str]) -> int:
        """Removes the rows with these ids, of which some may be missing; returns how many were."""
        wanted = list(ids)
        with self._lock:
            self._changes += 1
            try:
                count = 0
                if self.index is not None:
                    count = self.index.remove(wanted, missing_ok=True)
                for id in wanted:
                    self.records.pop(id, None)
            finally:
                self._changes += 1
        return count

    def drop_where(self, keep: Callable[[Record], bool], ids: Iterable[str] | None = None) -> None:
        """Removes the rows whose records a function keeps, among these ids if they are given."""
        self.drop([id for id, record in self.of(ids).items() if keep(record)])

    def clear(self) -> None:
        """Removes all rows; the next ones may have another dimension."""
        with self._lock:
            self._changes += 1
            self.index, self.records = None, {}
            self._changes += 1

    # ---- reads

    def of(self, ids: Iterable[str] | None = None) -> dict[str, Record]:
        """The records of these ids, in their order and without those that are missing; or all."""
        records = self.records.copy()
        if ids is None:
            return records
        return {id: records[id] for id in ids if id in records}

    def search(
        self,
        vector: Any,
        k: int,
        keep: Callable[[Record], bool] | None = None,
        *,
        ids: Iterable[str] | None = None,
        **options: Any,
    ) -> list[Found]:
        """The k best rows, best first; fewer if fewer are allowed.

        Parameters
        ----------
        vector : array_like, (dim,)
            The query.
        k : int
            Rows to find, at least 1.
        keep : callable, optional
            Which records may be found.
        ids : iterable of str, optional
            The ids of the rows that may be found.
        **options
            ``exact``, ``rerank`` and ``candidates`` of :meth:`blockquant.Index.search`.
        """
        return self._at_one_moment(lambda: self._search(vector, k, keep, ids, options)[0])

    def search_decoded(
        self,
        vector: Any,
        k: int,
        keep: Callable[[Record], bool] | None = None,
        *,
        ids: Iterable[str] | None = None,
        **options: Any,
    ) -> tuple[list[Found], NDArray[np.float32]]:
        """As :meth:`search`, with the reconstructed rows, float32 (n, dim)."""

        def read() -> tuple[list[Found], NDArray[np.float32]]:
            found, index = self._search(vector, k, keep, ids, options)
            if index is None or not found:
                return [], np.empty((0, np.size(vector)), np.float32)
            return found, index.decode([one.id for one in found])

        return self._at_one_moment(read)

    def _search(
        self,
        vector: Any,
        k: int,
        keep: Callable[[Record], bool] | None,
        ids: Iterable[str] | None,
        options: dict[str, Any],
    ) -> tuple[list[Found], Index | None]:
        k = whole(k, "k")
        index = copy.copy(self.index)
        if index is None or not len(index):
            return [], None
        allow = None
        if keep is not None or ids is not None:
            allow = [id for id, record in self.of(ids).items() if keep is None or keep(record)]
            if not allow:
                return [], None
        query = np.asarray(vector).reshape(1, -1)
        k = min(k, len(index))
        scores, found = index.search(query, k, self.metric, allow=allow, **options)
        hits = zip(found[0].tolist(), scores[0].tolist(), strict=True)
        records = self.records
        return [Found(id, records[id], score) for id, score in hits if id in records], index

    def _at_one_moment(self, read: Callable[[], Read]) -> Read:
        """What a function reads while nothing changes."""
        for _ in range(_TRIES):
            before = self._changes
            if before % 2 == 0:
                found = read()
                if self._changes == before:
                    return found
        with self._lock:
            return read()
