"""Codes: packed indexes and the scalars stored with them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockquant._checks import whole

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
    """

    __slots__ = ("dim", "made_by", "norm", "packed", "residual_norm", "scale")

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
            kind = getattr(array, "dtype", type(array).__name__)
            found = f"{kind} of shape {getattr(array, 'shape', ())}"
            if not isinstance(array, np.ndarray) or array.dtype != dtype or array.ndim != ndim:
                raise TypeError(f"{name} is {found}, expected {dtype} of {ndim} dimensions")
            if len(array) != len(scale):
                raise ValueError(f"{name} has {len(array)} rows, expected {len(scale)} as scale")
        self.packed = packed
        self.scale = scale
        self.norm = norm
        self.residual_norm = residual_norm
        self.dim = whole(dim, "dim")
        self.made_by = made_by

    def __len__(self) -> int:
        return len(self.scale)

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
        """Every stored byte."""
        return sum(array.nbytes for array in self._arrays() if array is not None)

    @property
    def bits_per_dimension(self) -> float:
        """Every stored bit over n·dim; nan for no rows."""
        return 8 * self.nbytes / (len(self) * self.dim) if len(self) else float("nan")

    def __repr__(self) -> str:
        return f"<Codes of {len(self)} rows, {self.nbytes} bytes, by {self.made_by}>"


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
        if not isinstance(other, Codes):
            raise TypeError(f"codes {place} is {type(other).__name__}, expected Codes")
        if other.made_by != first.made_by:
            raise ValueError(
                f"codes {place} were made by {other.made_by}, the first by {first.made_by}"
            )

    def join(name: str) -> Any:
        arrays = [getattr(part, name) for part in parts]
        return None if arrays[0] is None else np.concatenate(arrays)

    return Codes(
        join("packed"), join("scale"), join("norm"), join("residual_norm"), first.dim, first.made_by
    )
