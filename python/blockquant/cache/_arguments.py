"""Arguments of a cache as the core takes them, or a clear error."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockquant import _core
from blockquant._arrays import as_floats, as_selection, widened
from blockquant._checks import brief, real, whole
from blockquant._methods import PARTS
from blockquant.registry import full_name, is_built_in

_Float = NDArray[np.float32]
#: The types of numbers that a cache takes.
_DTYPES = ("float32", "float16", "bfloat16")
#: The most heads, and the most sequences.
MOST_COUNT = 2**20
#: The most tokens of a window, of sinks and of a rollback.
MOST_TOKENS = 2**30


def coding(
    name: Any, bits: Any, scale_search: Any, what: str
) -> tuple[str, str | None, float, int | None]:
    """Method, scale rule, bits and the number of scales as the core takes them."""
    if not isinstance(name, str):
        raise TypeError(f"{what}s is {type(name).__name__}, expected the name of a method")
    full = full_name(name)
    if not is_built_in(full):
        raise ValueError(f"{what}s={name!r} is a registered method, a cache takes built-in ones")
    method, scale = PARTS[full]
    if scale_search is not None:
        scale_search = whole(scale_search, f"{what}_scale_search", 1, _core.MAX_SCALES)
    return method.name, scale, real(bits, f"{what}_bits", method.most_bits), scale_search


def center_options(center: Any, rotary: Any) -> dict[str, Any]:
    """The center as the core takes it."""
    if isinstance(center, str) and center == "rotary":
        if rotary is None:
            raise ValueError(
                'center="rotary" needs rotary=, the base or the frequencies of the embedding'
            )
        if np.ndim(rotary) == 0:
            return {"center": "rotary", "theta": real(rotary, "rotary", np.inf)}
        frequencies, is_bfloat16 = as_floats(rotary, "rotary")
        if is_bfloat16:
            frequencies = widened(frequencies, True)
        if frequencies.ndim != 1:
            raise ValueError(f"rotary has shape {frequencies.shape}, expected (dim/2,)")
        return {"center": "rotary", "frequencies": np.ascontiguousarray(frequencies, np.float64)}
    if rotary is not None:
        raise ValueError(f'rotary is given with center={brief(center)}, expected center="rotary"')
    if center is None:
        return {"center": "none"}
    if isinstance(center, str):
        if center == "static":
            return {"center": "static"}
        raise ValueError(
            f'center={center!r}, expected "static", "rotary", an array (heads, dim) or None'
        )
    vectors, is_bfloat16 = as_floats(center, "center")
    if vectors.ndim != 2:
        raise ValueError(f"center has shape {vectors.shape}, expected (heads, dim)")
    return {"center": "given", "vectors": widened(vectors, is_bfloat16)}


def dtype_name(dtype: Any) -> str:
    """The name of a type of numbers: a name, NumPy's type or torch's."""
    name = str(dtype).removeprefix("torch.")
    if name not in _DTYPES:
        try:
            name = np.dtype(dtype).name
        except TypeError:
            raise TypeError(
                f"dtype is {brief(dtype)}, expected float32, float16 or bfloat16"
            ) from None
    if name not in _DTYPES:
        raise ValueError(f"dtype={name}, expected float32, float16 or bfloat16")
    return name


def type_name(array: NDArray[Any], is_bfloat16: bool) -> str:
    return "bfloat16" if is_bfloat16 else array.dtype.name


def tensor(x: Any, what: str) -> tuple[NDArray[Any], bool]:
    """Keys or values with rows that are contiguous."""
    array, is_bfloat16 = as_floats(x, what)
    if array.dtype == np.float64:
        raise TypeError(f"{what} is float64, expected float32, float16 or bfloat16: convert it")
    if array.ndim != 4:
        raise ValueError(
            f"{what} has shape {array.shape}, expected (batch, heads, tokens, coordinates)"
        )
    if array.shape[3] > 1 and array.strides[3] != array.itemsize:
        array = np.ascontiguousarray(array)
    return array, is_bfloat16


def mask_arrays(
    mask: Any, shape: tuple[int, ...]
) -> tuple[NDArray[np.uint8] | None, _Float | None]:
    """The mask as bytes or as floats of the full shape."""
    if mask is None:
        return None, None
    array = mask if isinstance(mask, np.ndarray) else None
    if array is None and str(getattr(mask, "dtype", "")) in ("bool", "torch.bool"):
        array = np.asarray(mask)
    if array is None and isinstance(mask, (list, tuple, bool)):
        array = np.asarray(mask)
    if array is not None and array.dtype == bool:
        return _broadcast(np.ascontiguousarray(array).view(np.uint8), shape), None
    floats, is_bfloat16 = as_floats(mask, "mask")
    return None, _broadcast(widened(floats, is_bfloat16), shape)


def _broadcast(array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    try:
        return np.broadcast_to(array, shape)
    except ValueError:
        raise ValueError(
            f"mask has shape {array.shape}, which does not broadcast to (batch, query_heads, "
            f"queries, tokens) = {shape}"
        ) from None


def number(value: Any, what: str) -> float:
    """A real number of any sign; the core refuses those that are not finite."""
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{what} is {brief(value)}, expected a number")
    return float(value)


def wholes(values: Any, what: str) -> list[int]:
    array = np.asarray(values)
    if array.dtype.kind not in "iu" or array.ndim != 1:
        found = f"{array.dtype} of shape {array.shape}"
        raise TypeError(f"{what} is {found}, expected one whole number per sequence")
    return [whole(value, what, 0, MOST_TOKENS) for value in array]


def positions(rows: Any, batch: int) -> list[int]:
    selection = as_selection(rows, batch, "rows", ValueError)
    if selection.dtype == bool:
        return [int(row) for row in np.flatnonzero(selection)]
    return [int(row) % batch for row in selection]
