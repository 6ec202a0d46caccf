"""Codes: packed indexes and the scalars stored with them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockquant import _row_bytes
from blockquant._arrays import as_selection, refuse_ambiguous
from blockquant._checks import brief, counted, whole
from blockquant._exchange import Exchange, read_alike
from blockquant._filled import Arrays, Filled, Room, Searched, appended, in_order, kept

_Float = NDArray[np.float32]


class Codes(Exchange):
    """The codes of a batch of rows.

    Parameters
    ----------
    packed : ndarray of uint8, (n, bytes)
        The indexes, least significant bit first, rows aligned to bytes.
    scale : ndarray of float32, (n,)
        s = ‖x‖·S; with a center that of x − center.
    norm : ndarray of float32, (n,), or None
        ‖x‖, where the quantizer stores norms and has no center; see :meth:`Quantizer.norms`.
    residual_norm : ndarray of float32, (n,), or None
        γ of TurboQuant ``prod``; for other methods ‖x − center‖, where the quantizer has a center
        and stores norms.
    dim : int
        Coordinates of a row.
    made_by : str
        What the codes belong to; decoding with another quantizer is an error. A quantizer that
        differs in `scale_search` alone is no other one here.
    center_product : ndarray of float32, (n,), or None
        ⟨center, x − center⟩, where the quantizer has a center and its estimates are unbiased, or it
        stores norms.

    Raises
    ------
    TypeError
        If an array has another type or number of dimensions, or dim is not a whole number.
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

    __slots__ = ("_filled", "_room", "dim", "made_by")

    #: The arrays, rows × something each.
    _filled: Filled
    #: Arrays of more rows that begin with `_filled`; of no other codes.
    _room: Room

    def __init__(
        self,
        packed: NDArray[np.uint8],
        scale: _Float,
        norm: _Float | None,
        residual_norm: _Float | None,
        dim: int,
        made_by: str,
        center_product: _Float | None = None,
    ) -> None:
        parts = (
            ("scale", scale, "float32", 1),
            ("packed", packed, "uint8", 2),
            ("norm", norm, "float32", 1),
            ("residual_norm", residual_norm, "float32", 1),
            ("center_product", center_product, "float32", 1),
        )
        for name, array, dtype, ndim in parts:
            if array is None and name not in ("scale", "packed"):
                continue
            if not isinstance(array, np.ndarray) or array.dtype != dtype or array.ndim != ndim:
                kind = getattr(array, "dtype", type(array).__name__)
                found = f"{kind} of shape {getattr(array, 'shape', ())}"
                expected = f"{dtype} of {counted(ndim, 'dimension')}"
                raise TypeError(f"{name} is {found}, expected {expected}")
            if len(array) != len(scale):
                found = counted(len(array), "row")
                raise ValueError(f"{name} has {found}, expected {len(scale)} as scale")
        # The core reads no number from an address that its type does not divide.
        self._filled = Filled(
            {
                name: array if array.flags.aligned else array.copy()
                for name, array, *_ in parts
                if array is not None
            },
            Searched(),
        )
        self._room = {}
        self.dim = whole(dim, "dim")
        self.made_by = made_by

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
        """‖x‖, float32 (n,), or None; with a center :meth:`Quantizer.norms` has it."""
        return self._filled.get("norm")

    @property
    def residual_norm(self) -> _Float | None:
        """γ, or ‖x − center‖, float32 (n,), or None."""
        return self._filled.get("residual_norm")

    @property
    def center_product(self) -> _Float | None:
        """⟨center, x − center⟩, float32 (n,), or None."""
        return self._filled.get("center_product")

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy shares the rows, never the room after them: both would write there.
        *leading, center_product = self._arrays()
        return Codes, (*leading, self.dim, self.made_by, center_product)

    @classmethod
    def _of(cls, arrays: Arrays, dim: int, made_by: str) -> Codes:
        """Codes of the arrays as the core gives them."""
        packed, scale, norm, residual_norm, center_product = arrays
        return cls(packed, scale, norm, residual_norm, dim, made_by, center_product)

    def _with(self, arrays: dict[str, NDArray[Any]]) -> Codes:
        """Codes of the same quantizer with other rows."""
        return Codes._of(in_order(arrays), self.dim, self.made_by)

    def __len__(self) -> int:
        return len(self.scale)

    def _from_bytes(self, data: bytes | bytearray | memoryview, rows: int) -> Codes:
        """Codes of the bytes of :meth:`to_bytes`, with the arrays that these codes hold."""
        return self._with(_row_bytes.from_bytes(data, rows, self._held()))

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
            If `other` is not a Codes.
        ValueError
            If `other` comes from another quantizer, or holds other arrays.

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
        check_alike(other, self, "the codes to append", "these")
        filled, self._room = appended(self._filled, self._room, other._filled)
        self._filled = filled

    def delete(self, rows: Any) -> None:
        """Removes rows in place; the rows after them move up, as in a list.

        ``codes[~mask]`` is the same as new codes. Arrays taken from these codes before stay as
        they are.

        Parameters
        ----------
        rows : array_like
            A boolean mask (n,), positions (negative ones count from the end, and one may stand
            twice), one position, or a slice. Of n integers that are all 0 or 1 it is not clear
            whether they are a mask or positions: a mask has to be boolean.

        Raises
        ------
        TypeError
            If it is none of these, or integers that can be both.
        IndexError
            If it has another shape, or a position is out of range.

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
        selection = _selection(rows, len(self))
        if not isinstance(rows, slice) and not _is_one_position(rows):
            refuse_ambiguous(selection, len(self), "rows")
        keep[selection] = False
        self._filled = kept(self._filled, keep)
        self._room = {}

    def __getitem__(self, rows: Any) -> Codes:
        """The rows of a slice, a boolean mask, positions, or one position, as Codes.

        Integers are always positions, as in NumPy, also n of them that are all 0 or 1: a row may be
        taken twice, and these codes stay as they are.
        """
        if isinstance(rows, tuple):  # codes[a, b], or codes[np.nonzero(…)]
            if len(rows) != 1:
                raise IndexError(f"codes have rows only, found {len(rows)} indexes: {brief(rows)}")
            rows = rows[0]
        rows = _selection(rows, len(self))

        picked = {name: array[rows] for name, array in self._filled.items()}
        return self._with(picked)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Codes):
            return NotImplemented
        return self.made_by == other.made_by and all(
            np.array_equal(a, b) if a is not None and b is not None else (a is None) == (b is None)
            for a, b in zip(self._arrays(), other._arrays(), strict=True)
        )

    __hash__ = None  # type: ignore[assignment]

    def _arrays(self) -> Arrays:
        return in_order(self._filled)

    @property
    def nbytes(self) -> int:
        """Every stored byte; room for rows to come is not counted."""
        return sum(array.nbytes for array in self._arrays() if array is not None)

    @property
    def search_nbytes(self) -> int:
        """Memory of the signs that searches keep with these codes; it is not stored.

        Searches with few queries keep dim/8 + 8 bytes per row, dim rounded up to a multiple of 64,
        from the second one on. With fitted axes they keep that for each group of axes, a byte for
        each axis of a first group of at most 128 axes in place of its signs, and 4 or 8 bytes for
        scalars of the row. Searches with more queries per call keep nothing.
        """
        signs = self._filled.searched.signs
        return 0 if signs is None else signs.nbytes

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
        If one of them is not a Codes.
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
        check_alike(other, first, f"codes {place}", "the first")

    def join(name: str) -> NDArray[Any]:
        return np.concatenate([part._filled[name] for part in parts])

    return first._with({name: join(name) for name in first._filled})


def check_alike(other: Any, first: Codes, what: str, whose: str) -> None:
    """Refuses what cannot follow `first`."""
    if not isinstance(other, Codes):
        raise TypeError(f"{what} is {type(other).__name__}, expected Codes")
    if not read_alike(other.made_by, first.made_by):
        raise ValueError(f"{what} were made by {other.made_by}, {whose} by {first.made_by}")
    found, expected = (
        {name: array.shape[1:] for name, array in codes._filled.items()} for codes in (other, first)
    )
    if found != expected:
        raise ValueError(f"{what} have the arrays {found}, {whose} {expected}")


def _is_one_position(rows: Any) -> bool:
    if isinstance(rows, np.ndarray):
        return rows.ndim == 0 and rows.dtype.kind in "iu"
    return isinstance(rows, (int, np.integer)) and not isinstance(rows, bool)


def _selection(rows: Any, n: int) -> Any:
    """An index of rows alone: a slice, booleans, or positions."""
    if isinstance(rows, slice):
        return rows
    return as_selection([rows] if _is_one_position(rows) else rows, n, "rows")
