"""What an index holds: how it changes while threads read it, and its files and copies."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from blockquant import _core
from blockquant._filled import in_order
from blockquant._locks import give_lock
from blockquant.codes import Codes
from blockquant.files.codes import open_codes
from blockquant.index._ids import Column, Numbers, Strings
from blockquant.index._moment import STAYS, Moment, nothing
from blockquant.quantizer import Quantizer

_Path = str | bytes | os.PathLike[str] | os.PathLike[bytes]
_Self = TypeVar("_Self", bound="State")


class State:
    """Rows with their quantizer, of which threads read one moment while others change them.

    Readers take `_now` once per call. Writers make a new moment under the lock and put it there, so
    that no reader waits, with and without a global interpreter lock.
    """

    _quantizer: Quantizer
    _empty: Codes
    #: What readers read, once per call; writers replace it under the lock.
    _now: Moment
    _lock: threading.Lock
    #: The moment and the rows of a removal that is under way.
    _pending: tuple[Moment, NDArray[np.int64]] | None

    def _begin(self, quantizer: Quantizer, empty: Codes, now: Moment) -> None:
        self._quantizer, self._empty, self._now = quantizer, empty, now
        self._pending = None
        give_lock(self)

    def _settled(self) -> Moment:
        """The last moment. A removal that an interrupt has cut off is taken back."""
        if self._pending is not None:
            moment, rows = self._pending
            if self._now.change < moment.change:
                moment.left[rows] = STAYS
            self._pending = None
        return self._now

    def _publish(self, moment: Moment, leaving: NDArray[np.int64]) -> None:
        """Makes this the last moment, which `leaving` rows do not see."""
        if len(leaving):
            self._pending = moment, leaving
            moment.left[leaving] = moment.change
        self._now = moment
        self._pending = None
        if moment.is_sparse:
            # Without the memory to copy rows, the next change tries again.
            with contextlib.suppress(MemoryError):
                self._now = moment.alone()

    # ---- files and copies

    def save(self, path: _Path) -> None:
        """Writes the index to one file: quantizer, codes and ids of one moment.

        The file is that of :func:`save` with tensors for the ids, and :func:`load` reads it, too.
        Removed rows are not in it. It is written completely or not at all.

        Parameters
        ----------
        path : path-like
            The file. An existing file is replaced.

        Raises
        ------
        OSError
            If the file cannot be written.

        Examples
        --------
        >>> import tempfile, blockquant as bq
        >>> index = bq.Index(dim=384, bits=2)
        >>> ids = index.add(bq.sample()[0][:3], ids=["a", "b", "c"])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     index.save(f"{folder}/index.safetensors")
        ...     list(bq.Index.load(f"{folder}/index.safetensors"))
        ['a', 'b', 'c']
        """
        now = self._now
        arrays = in_order(now.live_filled())
        _core.save(os.fsdecode(path), self._quantizer._core, arrays, _stored_ids(now))

    @classmethod
    def load(cls: type[_Self], path: _Path, verify: bool = True) -> _Self:
        """Reads a file that :meth:`save` wrote. Codes and ids are views of the mapped file.

        Parameters
        ----------
        path : path-like
            The file. A file of :func:`save` has no ids; its rows then get the numbers from 0 on.
        verify : bool
            Whether to compare all tensors with their checksums, as for :func:`load`, and to check
            that ids are valid and none stands twice.

        Returns
        -------
        Index
            The first call of :meth:`add` copies the codes to memory; the file stays as it is.

        Raises
        ------
        TypeError
            If `verify` is not a bool.
        ValueError
            If the file is damaged, as for :func:`load`.
        OSError
            If the file cannot be read.

        Examples
        --------
        >>> import tempfile, pathlib, blockquant as bq
        >>> q = bq.Eden(dim=384, bits=2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "codes.safetensors")
        ...     bq.save(path, q, q.encode(bq.sample()[0]))
        ...     index = bq.Index.load(path)
        >>> index.add(bq.sample()[0][0]).tolist(), len(index)
        ([2000], 2001)
        """
        opened = open_codes(path, verify)
        rows, tensors = len(opened.codes), opened.tensors
        ids: Column | None = None
        if opened.next_id is not None:
            ids = Numbers(np.asarray(tensors["ids"].view("<i8"), np.int64))
        elif "id_offsets" in tensors:
            offsets = np.asarray(tensors["id_offsets"].view("<i8"), np.int64)
            ids = Strings(offsets, tensors["id_bytes"])
        if ids is None and rows:
            ids = Numbers(np.arange(rows))
        next_id = rows if opened.next_id is None else opened.next_id
        index = cls.__new__(cls)
        index._restore(opened.quantizer, opened.codes, ids, next_id)
        return index

    def _restore(
        self, quantizer: Quantizer, codes: Codes, ids: Column | None, next_id: int
    ) -> None:
        """Takes rows with their ids, which are None for an empty index of an undecided kind."""
        now = nothing(codes._filled, None)
        if ids is not None:
            now = Moment.of(codes._filled, ids, ids.kind, next_id)
        self._begin(quantizer, codes[:0], now)

    def __getstate__(self) -> dict[str, Any]:
        own = {name: value for name, value in vars(self).items() if name not in _MADE}
        now = self._now
        codes = self._empty._with(now.live_filled())
        return {**own, "_index": (self._quantizer, codes, _stored_ids(now))}

    def __setstate__(self, state: dict[str, Any]) -> None:
        quantizer, codes, stored = state["_index"]
        ids: Column | None = None
        next_id = 0
        if stored is not None and isinstance(stored[1], int):
            ids, next_id = Numbers(stored[0]), stored[1]
        elif stored is not None:
            ids = Strings(*stored)
        self._restore(quantizer, codes, ids, next_id)
        vars(self).update((name, value) for name, value in state.items() if name != "_index")

    def __copy__(self: _Self) -> _Self:
        """The index at this moment. It shares memory with this one, but no change."""
        twin = type(self).__new__(type(self))
        vars(twin).update((name, value) for name, value in vars(self).items() if name not in _MADE)
        twin._begin(self._quantizer, self._empty, self._now.alone())
        return twin

    def __deepcopy__(self: _Self, memo: dict[int, Any]) -> _Self:
        twin = self.__copy__()
        memo[id(self)] = twin
        return twin


#: Attributes that are made from what an index is pickled as.
_MADE = ("_quantizer", "_empty", "_now", "_lock", "_pending")


def _stored_ids(now: Moment) -> Any:
    """The ids of the live rows as a file and a pickle hold them; None if their kind is unknown."""
    ids = now.live_ids()
    if now.kind is None:
        return None
    if isinstance(ids, Numbers):
        return np.ascontiguousarray(ids.values), now.next_id
    return np.ascontiguousarray(ids.offsets), np.ascontiguousarray(ids.data)
