"""The rows of an index by their ids, and what it says of itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockquant._checks import brief, counted
from blockquant.codes import Codes
from blockquant.index._ids import SPOKEN, Column, Ids, Kind, column
from blockquant.index._moment import Moment
from blockquant.index._state import State
from blockquant.quantizer import Quantizer


class Rows(State):
    """What an index tells of one moment without a search."""

    def __len__(self) -> int:
        return len(self._now)

    def __contains__(self, id: object) -> bool:
        now = self._now
        if not isinstance(id, (int, str, np.integer)):
            return False
        try:
            given = column(id, "id", now.kind)
        except (TypeError, ValueError):  # a bool, or what no row of this index has as its id
            return False
        return bool(now.find(given)[0] >= 0)

    def __iter__(self) -> Iterator[int | str]:
        """The ids of one moment, in the order in which their rows were added."""
        return iter(self._now.live_ids())

    @property
    def ids(self) -> Ids:
        """The ids in the order in which their rows were added, int64 or object (n,), a copy."""
        return self._now.live_ids().all()

    def codes(self, ids: Any = None) -> Codes:
        """The codes of rows.

        Parameters
        ----------
        ids : int, str or array_like (n,), optional
            The ids of the rows; all rows in the order in which they were added, without it.

        Returns
        -------
        Codes
            In the order of the ids. The quantizer of the index decodes and searches them.

        Raises
        ------
        KeyError
            If the index does not have an id (id and position named).
        TypeError
            If the ids are of another kind than those of the index.

        Examples
        --------
        >>> import blockquant as bq
        >>> x, _ = bq.sample()
        >>> index = bq.Index(dim=384, bits=2)
        >>> ids = index.add(x)
        >>> index.codes([3, 1]) == index.quantizer.encode(x[[3, 1]])
        True
        """
        now = self._now
        if ids is None:
            return self._empty._with(now.live_filled())
        rows = self._rows(now, column(ids, "ids", now.kind))
        return self._empty._with({name: array[rows] for name, array in now.filled.items()})

    def decode(self, ids: Any) -> NDArray[np.float32]:
        """Reconstructs rows.

        Parameters
        ----------
        ids : int, str or array_like (n,)
            The ids of the rows.

        Returns
        -------
        ndarray of float32, (n, dim)
            In the order of the ids.

        Raises
        ------
        KeyError
            If the index does not have an id (id and position named).
        TypeError
            If the ids are of another kind than those of the index.

        Examples
        --------
        >>> import blockquant as bq
        >>> index = bq.Index(dim=2, bits=8, method="eden")
        >>> ids = index.add([[3.0, -4.0], [1.0, 2.0]], ids=["a", "b"])
        >>> index.decode("b").round().tolist()
        [[1.0, 2.0]]
        """
        return self._quantizer.decode(self.codes(ids))

    def _rows(self, now: Moment, ids: Column, missing_ok: bool = False) -> NDArray[np.int64]:
        rows = now.find(ids)
        if not missing_ok and (rows < 0).any():
            place = int(np.argmax(rows < 0))
            raise KeyError(
                f"ids: position {place} is {brief(ids.item(place))}, which the index does not have"
            )
        return rows

    @property
    def quantizer(self) -> Quantizer:
        """What encodes the rows."""
        return self._quantizer

    @property
    def dim(self) -> int:
        """Coordinates of a row."""
        return self._quantizer.dim

    @property
    def kind(self) -> Kind | None:
        """The kind of the ids, ``int64`` or ``str``; None before it is known."""
        return self._now.kind

    @property
    def nbytes(self) -> int:
        """Bytes of codes and ids, as a file stores them, without quantizer and header."""
        now = self._now
        each = sum(array.nbytes // len(now.left) for array in now.filled.values() if len(now.left))
        return each * len(now) + (now.ids.nbytes(now.live) if now.kind is not None else 0)

    def __repr__(self) -> str:
        kind = self.kind
        ids = f" with {SPOKEN[kind]} as ids" if kind is not None else ""
        rows = counted(len(self), "row")
        return f"<Index of {rows}{ids}, {self.nbytes} bytes, by {self._quantizer!r}>"
