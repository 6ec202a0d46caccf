"""Any real floating array becomes rows that the core takes, or a clear error."""

from __future__ import annotations

import sys
from importlib.resources import as_file, files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockquant import _arrow, _objects
from blockquant._checks import brief, counted, expected_rows, figure

Array = NDArray[Any]

_FLOATS = ("float16", "float32", "float64")


def _bfloat16_bits_of_torch(x: Any) -> Array | None:
    """The bits of a bfloat16 torch tensor, which NumPy cannot take; None for everything else."""
    if type(x).__module__.partition(".")[0] != "torch" or str(x.dtype) != "torch.bfloat16":
        return None
    torch: Any = sys.modules["torch"]
    bits: Array = np.from_dlpack(x.detach().view(torch.int16))
    return bits.view(np.uint16)


def _to_numpy(x: Any, what: str, dim: int | None) -> Array:
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(f"{what} is a masked array; fill it or drop the masked rows first")
    if isinstance(x, np.ndarray):
        return x
    x = _objects.column_of_frame(x)
    if _arrow.offers_arrow(x):
        return _arrow.floats(x, what, dim)
    if hasattr(x, "detach") and callable(x.detach):  # a tensor that may record gradients
        x = x.detach()
    if hasattr(x, "__dlpack__"):
        try:
            return np.from_dlpack(x)
        except (BufferError, RuntimeError, TypeError, ValueError, AttributeError) as error:
            if not hasattr(x, "__array__"):
                raise TypeError(f"{what}: cannot take {type(x).__name__}: {error}") from error
    if isinstance(x, (list, tuple)):
        _objects.reject_masks(x, what)
    if hasattr(x, "__array__") or isinstance(x, (list, tuple)):
        try:
            return np.asarray(x)
        except ValueError as error:
            if isinstance(x, (list, tuple)):
                _objects.refuse_ragged(x, what)
            raise ValueError(f"{what}: rows of unequal length: {error}") from error
    raise TypeError(
        f"{what} is {type(x).__name__}, expected an array of float16, bfloat16, float32 or float64"
    )


def as_floats(x: Any, what: str, dim: int | None = None) -> tuple[Array, bool]:
    """A real floating array-like of any shape, as :func:`as_rows` takes it.

    `dim` is the length of rows where there are none to tell it.

    Returns
    -------
    array : ndarray
        In the byte order of the machine, with any strides. bfloat16 values are their uint16 bits.
    is_bfloat16 : bool

    Raises
    ------
    TypeError
        If the elements are not real floating-point numbers.
    ValueError
        If rows differ in length, or a row or value is null.

    Examples
    --------
    >>> as_floats(np.float16([1, 2]), "x")[0].dtype
    dtype('float16')
    """
    bits = _bfloat16_bits_of_torch(x)
    array = _to_numpy(x, what, dim) if bits is None else bits
    is_bfloat16 = bits is not None
    if array.dtype == object:
        array = _objects.stacked(array, what, dim)
    if array.dtype.name == "bfloat16":
        array, is_bfloat16 = array.view(np.uint16), True
    elif bits is None and array.dtype.name not in _FLOATS:
        raise TypeError(
            f"{what} has dtype {array.dtype}, expected float16, bfloat16, float32 or float64"
        )
    if not (array.dtype.isnative and array.flags.aligned):
        array = array.astype(array.dtype.newbyteorder("="), order="C")
    return array, is_bfloat16


def widened(array: Array, is_bfloat16: bool) -> NDArray[np.float32]:
    """The array of :func:`as_floats` as C-contiguous float32, a view where it is that already.

    Examples
    --------
    >>> widened(np.uint16([0x3F80]), True)
    array([1.], dtype=float32)
    """
    if is_bfloat16:
        wide = array.astype(np.uint32) << np.uint32(16)
        array = wide.view(np.float32)
    if array.dtype == np.float32:  # nothing overflows
        return np.ascontiguousarray(array)
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, dtype=np.float32)


def as_rows(x: Any, dim: int | None, what: str = "x") -> tuple[Array, bool]:
    """Rows of a real floating array-like.

    Parameters
    ----------
    x : array_like, (n, dim) or (dim,)
        float16, bfloat16, float32 or float64: NumPy, torch CPU, a list, or anything with DLPack,
        ``__array__`` or the Arrow PyCapsule interface (lists of one length, without nulls).
    dim : int or None
        The expected number of columns, or None for any number.
    what : str
        The name of the array in errors.

    Returns
    -------
    rows : ndarray, (n, dim)
        The rows with any strides. bfloat16 values are their uint16 bits.
    is_bfloat16 : bool

    Raises
    ------
    TypeError
        If the elements are not real floating-point numbers.
    ValueError
        If the shape is wrong.

    Examples
    --------
    >>> rows, _ = as_rows([1.0, 2.0], 2)
    >>> rows.shape
    (1, 2)
    """
    array, is_bfloat16 = as_floats(x, what, dim)
    if array.ndim == 1:
        array = array[np.newaxis]
    if array.ndim != 2:
        raise ValueError(f"{what} has {expected_rows(array.shape, 'pass', dim)}")
    if dim is not None and array.shape[1] != dim:
        raise ValueError(f"{what} has {counted(array.shape[1], 'column')}, expected dim={dim}")
    return array, is_bfloat16


_FLOAT32 = np.dtype(np.float32)


def _is_plain(x: Any, dim: int | None) -> bool:
    """Whether x is what the core takes already.

    Asked first: the questions of :func:`as_rows` take some 5 µs, a search of one query 100.
    """
    return (
        type(x) is np.ndarray
        and x.dtype == _FLOAT32
        and x.ndim == 2
        and x.flags.carray
        and dim in (None, x.shape[1])
    )


def as_float32(x: Any, dim: int | None, what: str = "x", first: int = 0) -> NDArray[np.float32]:
    """Rows as a C-contiguous float32 copy or view; non-finite values are errors.

    Errors count the rows from `first`.

    Examples
    --------
    >>> as_float32(np.ones((2, 3), np.float64), 3).dtype
    dtype('float32')
    """
    if _is_plain(x, dim):
        rows, is_bfloat16 = x, False
    else:
        rows, is_bfloat16 = as_rows(x, dim, what)
    out = widened(rows, is_bfloat16)
    _check_finite(out, out if is_bfloat16 else rows, what, first)
    return out


def as_selection(
    given: Any, rows: int, what: str, wrong: type[Exception] = IndexError
) -> NDArray[np.bool_] | NDArray[np.int64]:
    """Which of the rows are meant: a boolean for each, or their positions, of one dimension.

    Raises
    ------
    TypeError
        If it is neither booleans nor integers, or a masked array.
    wrong
        If it has the wrong shape, or a position is out of range.

    Examples
    --------
    >>> as_selection([0, -1], 3, "rows")
    array([ 0, -1])
    >>> as_selection(np.uint8([255, 0, 1]).view(bool), 3, "rows").view(np.uint8)
    array([1, 0, 1], dtype=uint8)
    """
    if isinstance(given, np.ma.MaskedArray):
        raise TypeError(f"{what} is a masked array; fill it first")
    array = np.asarray(given)
    if array.size == 0 and isinstance(given, (list, tuple, range)):
        array = array.astype(np.int64)  # NumPy gives a list of nothing the type float64
    if array.dtype.kind not in "biu":
        kind = f"has dtype {array.dtype}" if array.ndim else f"is {brief(given)}"
        raise TypeError(f"{what} {kind}, expected booleans or integer positions")
    if array.ndim != 1:
        raise wrong(f"{what} has shape {array.shape}, expected ({rows},) or positions")
    if array.dtype == bool:
        if len(array) != rows:
            raise wrong(f"{what} has {len(array)} entries, expected {rows}, one per row")
        # A view of other bytes can hold more than 0 and 1, with which NumPy and Rust go wrong.
        clean: NDArray[np.bool_] = array.view(np.uint8) != 0
        return clean
    outside = (array < -rows) | (array >= rows)
    if outside.any():
        place = int(np.argmax(outside))
        raise wrong(f"{what}: position {array[place]} at {place}, expected less than {rows}")
    return array.astype(np.int64)


def refuse_ambiguous(selection: NDArray[Any], rows: int, what: str) -> None:
    """Refuses integers that can be a mask as well as positions.

    Raises
    ------
    TypeError
        If there is one integer per row, and each is 0 or 1.

    Examples
    --------
    >>> refuse_ambiguous(np.array([0, 1, 1]), 4, "rows")
    >>> refuse_ambiguous(np.array([0, 1, 1]), 3, "rows")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    TypeError: rows holds 3 integers, all 0 or 1, a mask or positions of 3 rows: pass a boolean ...
    """
    is_integer = selection.dtype != bool
    if is_integer and 0 < rows == len(selection) and ((selection == 0) | (selection == 1)).all():
        raise TypeError(
            f"{what} holds {rows} integers, all 0 or 1, a mask or positions of {rows} rows: "
            "pass a boolean array"
        )


def as_mask(mask: Any, rows: int) -> NDArray[np.bool_]:
    """Which of the rows are meant by a boolean for each, or by positions.

    Raises
    ------
    TypeError
        If it is neither, or integers that can be both.
    ValueError
        If it has the wrong shape, or a position is out of range.

    Examples
    --------
    >>> as_mask([0, -1], 3).tolist()
    [True, False, True]
    """
    selection = as_selection(mask, rows, "mask", ValueError)
    refuse_ambiguous(selection, rows, "mask")
    if selection.dtype == bool:
        return np.ascontiguousarray(selection, bool)
    allowed = np.zeros(rows, dtype=bool)
    allowed[selection] = True
    return allowed


def as_result(
    values: Any, shape: tuple[int, ...], what: str, first: int = 0
) -> NDArray[np.float32]:
    """The return value of a method as float32. Errors count the rows from `first`.

    Raises
    ------
    TypeError
        If `values` is not an array of numbers.
    ValueError
        If the shape is wrong, or a value is not finite in float32.

    Examples
    --------
    >>> as_result([[1.0, float("nan")]], (1, 2), "mine: decode")
    Traceback (most recent call last):
        ...
    ValueError: mine: decode: row 0, column 1 is NaN, expected a finite float32 value
    """
    try:
        with np.errstate(over="ignore"):
            given = np.asarray(values)
            out = given.astype(np.float32, casting="same_kind", copy=False)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{what} gave no array of numbers: {error}") from error
    if out.shape != shape:
        raise ValueError(f"{what} gave shape {out.shape}, expected {shape}")
    _check_finite(out, given, what, first)
    return out


def _check_finite(out: NDArray[np.float32], given: Array, what: str, first: int = 0) -> None:
    finite = np.isfinite(out)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        place = f"row {first + row}, column {column}"
        value = figure(float(given[row, column]))
        raise ValueError(f"{what}: {place} is {value}, expected a finite float32 value")


def sample() -> tuple[NDArray[np.float16], NDArray[np.float16]]:
    """Real sentence embeddings that ship with the package.

    Returns
    -------
    rows, queries
        (2000, 384) and (200, 384) float16 of unit norm: WordNet 3.0 glosses through
        all-MiniLM-L6-v2 (licences in ``blockquant/data/README.md``).

    Examples
    --------
    >>> rows, queries = sample()
    >>> rows.shape, queries.shape
    ((2000, 384), (200, 384))
    """
    folder = files("blockquant") / "data"
    with as_file(folder / "rows.npy") as rows, as_file(folder / "queries.npy") as queries:
        return np.load(rows), np.load(queries)
