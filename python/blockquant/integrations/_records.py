"""An index with a record beside each row, which the vector stores of frameworks share."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterable
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from blockquant._checks import brief, counted, expected_rows, whole
from blockquant._locks import give_lock
from blockquant.index import Index

Record = TypeVar("Record")
Read = TypeVar("Read")
Done = TypeVar("Done")

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

    Reads do not wait for changes: they count them, and look again if one came in between. A change
    that was cut off, by an interrupt or because it is another thread's of the parent of a forked
    child, is made again before anything else.

    Parameters
    ----------
    metric : str
        ``cosine``, ``ip`` or ``l2``.
    options : dict
        What :class:`blockquant.Index` takes besides the dimension, which the first rows decide.
    """

    _lock: threading.Lock

    def __init__(self, metric: str, options: dict[str, Any]) -> None:
        if metric not in METRICS:
            raise ValueError(f"metric={brief(metric)}, expected one of {', '.join(METRICS)}")
        self.metric = metric
        self.options = options
        self.index: Index | None = None
        self.records: dict[str, Record] = {}
        self._begin()

    def _begin(self) -> None:
        #: The change that is being made. Made twice, it gives what it gives when made once.
        self._change: Callable[[], Any] | None = None
        #: The number of changes that were made.
        self._changes = 0
        give_lock(self)

    def __len__(self) -> int:
        return self._at_one_moment(lambda: len(self.records))

    def __getstate__(self) -> dict[str, Any]:
        with self._lock:
            self._finish()
            return {
                "metric": self.metric,
                "options": self.options,
                "index": copy.copy(self.index),
                "records": self.records.copy(),
            }

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._begin()

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
        now = self.index
        index = Index(dim=rows.shape[1], ids="str", **self.options) if now is None else now
        codes = index.quantizer.encode(rows)[places]
        chosen = {id: records[place] for id, place in last.items()}

        def put() -> None:
            target = index if self.index is None else self.index
            target.add(codes, ids=list(chosen), replace=True)
            self.records.update(chosen)
            self.index = target

        self._do(put)

    def drop(self, ids: Iterable[str]) -> int:
        """Removes the rows with these ids, of which some may be missing; returns how many were."""
        wanted = list(ids)

        def drop() -> int:
            count = 0 if self.index is None else self.index.remove(wanted, missing_ok=True)
            for id in wanted:
                self.records.pop(id, None)
            return count

        return self._do(drop)

    def drop_where(self, keep: Callable[[Record], bool], ids: Iterable[str] | None = None) -> None:
        """Removes the rows whose records a function keeps, among these ids if they are given."""
        self.drop([id for id, record in self.of(ids).items() if keep(record)])

    def clear(self) -> None:
        """Removes all rows; the next ones may have another dimension."""

        def clear() -> None:
            self.index, self.records = None, {}

        self._do(clear)

    def _do(self, change: Callable[[], Done]) -> Done:
        """Makes a change that can be made twice."""
        with self._lock:
            self._finish()
            self._change = change
            done: Done = self._finish()
        return done

    def _finish(self) -> Any:
        """Makes the change that is being made, if there is one. The caller holds the lock."""
        if self._change is None:
            return None
        try:
            done = self._change()
            self._changes += 1
        except Exception:
            self._changes += 1
            self._change = None
            raise
        self._change = None
        return done

    # ---- reads

    def of(self, ids: Iterable[str] | None = None) -> dict[str, Record]:
        """The records of these ids, in their order and without those that are missing; or all."""
        wanted = None if ids is None else list(ids)
        return self._at_one_moment(lambda: self._of(wanted))

    def _of(self, ids: list[str] | None) -> dict[str, Record]:
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
        wanted = None if ids is None else list(ids)
        return self._at_one_moment(lambda: self._search(vector, k, keep, wanted, options)[0])

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
        wanted = None if ids is None else list(ids)

        def read() -> tuple[list[Found], NDArray[np.float32]]:
            found, index = self._search(vector, k, keep, wanted, options)
            if index is None or not found:
                return [], np.empty((0, np.size(vector)), np.float32)
            return found, index.decode([one.id for one in found])

        return self._at_one_moment(read)

    def _search(
        self,
        vector: Any,
        k: int,
        keep: Callable[[Record], bool] | None,
        ids: list[str] | None,
        options: dict[str, Any],
    ) -> tuple[list[Found], Index | None]:
        k = whole(k, "k")
        index = copy.copy(self.index)
        if index is None or not len(index):
            return [], None
        allow = None
        if keep is not None or ids is not None:
            allow = [id for id, record in self._of(ids).items() if keep is None or keep(record)]
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
            if self._change is None:
                found = read()
                if self._change is None and self._changes == before:
                    return found
        with self._lock:
            self._finish()
            return read()
