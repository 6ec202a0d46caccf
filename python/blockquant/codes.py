"""Codes: packed indexes and the scalars stored with them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockquant import _core
from blockquant._checks import brief, counted, whole

_Float = NDArray[np.float32]


class Codes:
    """The codes of a batch of rows.

    Parameters
    ----------
    packed : ndarray of uint8, (n, bytes)
        The indexes, least significant bit first, rows aligned to bytes.
    scale : ndarray of float32, (n,)
        s = ‖x‖·S; with a center that of x − center.
    norm : ndarray of float32, (n,), or None
        ‖x‖, where the quantizer stores it.
    residual_norm : ndarray of float32, (n,), or None
        γ of TurboQuant ``prod``; for other methods ‖x − center‖, where the quantizer has a center
        and stores norms.
    dim : int
        Coordinates of a row.
    made_by : str
        What the codes belong to; decoding with another quantizer is an error.

    Raises
    ------
    TypeError
        If an array has another type or number of dimensions, or dim is no whole number.
    ValueError
        If the arrays differ in their number of rows, or dim is below 1.

    Examples
    --------
    >>> import blockquant as bq
    >>> codes = bq.Eden(dim=384, bits=1).encode(bq.sample()[0])
    >>> len(codes), codes.nbytes, round(codes.bits_per_dimension, 3)
    (2000, 104000, 1.083)
    >>> len(codes[10:20]), len(codes[codes.scale > 0])
    (10, 2000)

    Notes
    -----
    The rows change by :meth:`append` and :meth:`delete` only.
    """

    __slots__ = ("_filled", "_index", "_room", "dim", "made_by")

    #: The arrays, rows × something each.
    _filled: dict[str, NDArray[Any]]
    #: Arrays of more rows that begin with `_filled`; of no other codes.
    _room: dict[str, NDArray[Any]]
    #: What a search derives from these rows and keeps with them.
    #: With the arrays that it was derived from: they may have changed meanwhile.
    _index: tuple[dict[str, NDArray[Any]], _core.Sketch | None] | None

    def __init__(
        self,
        packed: NDArray[np.uint8],
        scale: _Float,
        norm: _Float | None,
        residual_norm: _Float | None,
        dim: int,
        made_by: str,
    ) -> None:
        parts = (
            ("scale", scale, "float32", 1),
            ("packed", packed, "uint8", 2),
            ("norm", norm, "float32", 1),
            ("residual_norm", residual_norm, "float32", 1),
        )
        for name, array, dtype, ndim in parts:
            if array is None and name in ("norm", "residual_norm"):
                continue
            if not isinstance(array, np.ndarray) or array.dtype != dtype or array.ndim != ndim:
                kind = getattr(array, "dtype", type(array).__name__)
                found = f"{kind} of shape {getattr(array, 'shape', ())}"
                expected = f"{dtype} of {counted(ndim, 'dimension')}"
                raise TypeError(f"{name} is {found}, expected {expected}")
            if len(array) != len(scale):
                found = counted(len(array), "row")
                raise ValueError(f"{name} has {found}, expected {len(scale)} as scale")
        self._filled = {name: array for name, array, *_ in parts if array is not None}
        self._room = {}
        self.dim = whole(dim, "dim")
        self.made_by = made_by
        self._changed()

    @property
    def packed(self) -> NDArray[np.uint8]:
        """The indexes, uint8 (n, bytes)."""
        return self._filled["packed"]

    @property
    def scale(self) -> _Float:
        """s, float32 (n,)."""
        return self._filled["scale"]

    @property
    def norm(self) -> _Float | None:
        """‖x‖, float32 (n,), or None."""
        return self._filled.get("norm")

    @property
    def residual_norm(self) -> _Float | None:
        """γ, float32 (n,), or None."""
        return self._filled.get("residual_norm")

    def _changed(self) -> None:
        """Drops what was derived from the rows; called by everything that changes them."""
        self._index = None

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy shares the rows, never the room after them: both would write there.
        return Codes, (*self._arrays(), self.dim, self.made_by)

    def __len__(self) -> int:
        return len(self.scale)

    def append(self, other: Codes) -> None:
        """Adds the rows of other codes of the same quantizer at the end, in place.

        What is here is not copied, except when the room is used up: then twice as much is made, so
        that k rows cost O(k) on average. Arrays taken from these codes before, and slices of them,
        stay as they are and do not grow. Codes that are mapped from a file move to memory at the
        first append; the file stays as it is.

        Parameters
        ----------
        other : Codes
            Also these codes themselves.

        Raises
        ------
        TypeError
            If it is no Codes.
        ValueError
            If it comes from another quantizer, or holds other arrays.

        Examples
        --------
        >>> import blockquant as bq
        >>> q = bq.Eden(dim=384, bits=1)
        >>> x, _ = bq.sample()
        >>> codes = q.encode(x[:1000])
        >>> codes.append(q.encode(x[1000:]))
        >>> codes == q.encode(x)
        True
        """
        _check_alike(other, self, "the codes to append", "these")
        before = len(self)
        after = before + len(other)
        room = self._room
        if not room or len(room["scale"]) < after:
            size = max(after, 2 * before)
            room = {
                name: np.empty((size, *array.shape[1:]), array.dtype)
                for name, array in self._filled.items()
            }
            for name, array in self._filled.items():
                room[name][:before] = array
        for name, array in other._filled.items():
            room[name][before:after] = array
        self._room = room
        self._filled = {name: array[:after] for name, array in room.items()}
        self._changed()

    def delete(self, rows: Any) -> None:
        """Removes rows in place; the rows after them move up, as in a list.

        ``codes[~mask]`` is the same as new codes. Arrays taken from these codes before stay as
        they are.

        Parameters
        ----------
        rows : array_like
            A boolean mask (n,), positions (negative ones count from the end, and one may stand
            twice), one position, or a slice.

        Raises
        ------
        IndexError
            If a mask has another length, or a position is out of range.

        Examples
        --------
        >>> import blockquant as bq
        >>> codes = bq.Eden(dim=384, bits=1).encode(bq.sample()[0])
        >>> codes.delete(codes.scale < 1)
        >>> codes.delete([0, -1])
        >>> len(codes)
        1998
        """
        keep = np.ones(len(self), bool)
        keep[_positions(rows)] = False
        self._filled = {name: array[keep] for name, array in self._filled.items()}
        self._room = {}
        self._changed()

    def __getitem__(self, rows: Any) -> Codes:
        """The rows of a slice, a boolean mask, positions, or one position, as Codes."""
        if isinstance(rows, (int, np.integer)) and not isinstance(rows, bool):
            rows = [rows]
        if self.scale[rows].ndim != 1:
            raise IndexError(f"codes have rows only; {rows!r} does not select rows")

        def pick(values: _Float | None) -> _Float | None:
            return None if values is None else values[rows]

        return Codes(
            self.packed[rows],
            self.scale[rows],
            pick(self.norm),
            pick(self.residual_norm),
            self.dim,
            self.made_by,
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Codes):
            return NotImplemented
        return self.made_by == other.made_by and all(
            np.array_equal(a, b) if a is not None and b is not None else (a is None) == (b is None)
            for a, b in zip(self._arrays(), other._arrays(), strict=True)
        )

    __hash__ = None  # type: ignore[assignment]

    def _arrays(self) -> tuple[NDArray[Any] | None, ...]:
        return self.packed, self.scale, self.norm, self.residual_norm

    @property
    def nbytes(self) -> int:
        """Every stored byte; room for rows to come is not counted."""
        return sum(array.nbytes for array in self._arrays() if array is not None)

    @property
    def sketch_nbytes(self) -> int:
        """Memory of the sketch that the first search derives from the codes; it is not stored."""
        sketch = None if self._index is None else self._index[1]
        return 0 if sketch is None else sketch.nbytes

    @property
    def bits_per_dimension(self) -> float:
        """Every stored bit over n·dim; NaN for no rows."""
        return 8 * self.nbytes / (len(self) * self.dim) if len(self) else float("nan")

    def __repr__(self) -> str:
        return f"<Codes of {counted(len(self), 'row')}, {self.nbytes} bytes, by {self.made_by}>"


def concatenate(codes: Iterable[Codes]) -> Codes:
    """Joins codes of the same quantizer.

    Parameters
    ----------
    codes : iterable of Codes
        At least one.

    Returns
    -------
    Codes
        All rows, in order.

    Raises
    ------
    TypeError
        If one is no Codes.
    ValueError
        If there are none, or they come from different quantizers.

    Examples
    --------
    >>> import blockquant as bq
    >>> codes = bq.Eden(dim=384, bits=1).encode(bq.sample()[0])
    >>> bq.concatenate([codes[:5], codes[5:]]) == codes
    True
    """
    parts = list(codes)
    if not parts:
        raise ValueError("no codes to concatenate, expected at least one")
    first = parts[0]
    for place, other in enumerate(parts):
        _check_alike(other, first, f"codes {place}", "the first")

    def join(name: str) -> Any:
        arrays = [getattr(part, name) for part in parts]
        return None if arrays[0] is None else np.concatenate(arrays)

    return Codes(
        join("packed"), join("scale"), join("norm"), join("residual_norm"), first.dim, first.made_by
    )


def _check_alike(other: Any, first: Codes, what: str, whose: str) -> None:
    """Refuses what cannot follow `first`."""
    if not isinstance(other, Codes):
        raise TypeError(f"{what} is {type(other).__name__}, expected Codes")
    if other.made_by != first.made_by:
        raise ValueError(f"{what} were made by {other.made_by}, {whose} by {first.made_by}")
    found, expected = (
        {name: array.shape[1:] for name, array in codes._filled.items()} for codes in (other, first)
    )
    if found != expected:
        raise ValueError(f"{what} have the arrays {found}, {whose} {expected}")


def _positions(rows: Any) -> Any:
    """An index of rows alone: a slice, or an array of one dimension."""
    if isinstance(rows, slice):
        return rows
    array = np.asarray(rows)
    if array.size == 0 and array.dtype == np.float64:  # an empty list
        array = array.astype(np.intp)
    if array.dtype.kind in "iu" and array.ndim == 0:
        array = array[np.newaxis]
    if array.dtype.kind not in "biu" or array.ndim != 1:
        raise IndexError(f"{brief(rows)} does not select rows: expected a mask or positions")
    return array
