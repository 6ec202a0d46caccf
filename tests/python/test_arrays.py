"""Arrays of other libraries: only DLPack, only `__array__`, torch-like and real torch."""

import re

import ml_dtypes
import numpy as np
import pytest

import blockquant as bq
from blockquant import _core

X = np.random.default_rng(1).standard_normal((6, 20)).astype(ml_dtypes.bfloat16).astype(np.float32)
Q = bq.create("blockquant", dim=20, bits=2)
WANT = Q.encode(X)


def check(x):
    codes = Q.encode(x)
    np.testing.assert_array_equal(codes.packed, WANT.packed)
    np.testing.assert_array_equal(codes.scale, WANT.scale)


class DLPackOnly:
    def __init__(self, array):
        self._array = array

    def __dlpack__(self, **options):
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self._array.__dlpack_device__()


class ArrayOnly:
    def __init__(self, array):
        self._array = array

    def __array__(self, dtype=None, copy=None):
        return self._array if dtype is None else self._array.astype(dtype)


class FakeTensor:
    """Refuses conversion like a torch tensor that requires a gradient.

    `__array__`, DLPack and `numpy()` all raise.
    """

    def __init__(self, array, requires_grad=False):
        self._array, self.requires_grad, self.shape, self.ndim = (
            array,
            requires_grad,
            array.shape,
            array.ndim,
        )
        self.dtype, self.is_cuda = "torch.float32", False

    def detach(self):
        return FakeTensor(self._array)

    def cpu(self):
        return self

    def numpy(self):
        if self.requires_grad:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad; use detach().")
        return self._array

    def __array__(self, dtype=None, copy=None):
        array = self.numpy()
        return array if dtype is None else array.astype(dtype)

    def __dlpack__(self, **options):
        if self.requires_grad:
            raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self._array.__dlpack_device__()


FakeTensor.__module__, FakeTensor.__name__ = "torch", "Tensor"


@pytest.mark.parametrize("kind", [DLPackOnly, ArrayOnly, FakeTensor])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_foreign_arrays(kind, dtype):
    exact = X.astype(dtype)
    if dtype == np.float16:
        check_values(kind(exact), exact)
    else:
        check(kind(exact))
        check(kind(np.asfortranarray(exact)))


def check_values(x, values):
    codes, want = Q.encode(x), Q.encode(values.astype(np.float32))
    np.testing.assert_array_equal(codes.packed, want.packed)
    np.testing.assert_array_equal(codes.scale, want.scale)


def test_array_only_bfloat16():
    check(ArrayOnly(X.astype(ml_dtypes.bfloat16)))


@pytest.mark.parametrize("kind", [DLPackOnly, ArrayOnly, FakeTensor])
def test_foreign_integers(kind):
    with pytest.raises((TypeError, ValueError), match="int64"):
        Q.encode(kind(np.ones((2, 20), np.int64)))


def test_fake_tensor_with_gradient():
    check(FakeTensor(X, requires_grad=True))


MASKED = np.ma.masked_array(X[1], mask=np.arange(20) == 3)


@pytest.mark.parametrize(
    "rows",
    [
        [X[0], MASKED],
        (X[0], MASKED),
        [X[0].tolist(), [np.ma.masked, *X[1, 1:].tolist()]],
        [X[0].tolist(), [*X[1, 1:].tolist(), MASKED[0:1].reshape(())]],
    ],
)
def test_a_mask_in_a_list_is_not_lost(rows):
    with pytest.raises(TypeError, match="x: row 1 is masked; fill it or drop"):
        Q.encode(rows)
    with pytest.raises(TypeError, match="y: row 1 is masked; fill it or drop"):
        Q.inner_product(WANT, rows)


def test_a_masked_array_is_rejected():
    with pytest.raises(TypeError, match="x is a masked array; fill it or drop"):
        Q.encode(np.ma.masked_array(X))
    with pytest.raises(TypeError, match="x: row 3 is masked"):
        Q.encode([*MASKED[:3].tolist(), np.ma.masked, *X[1, 4:].tolist()])


@pytest.mark.parametrize(
    ("value", "text"),
    [(1e39, "1e+39"), (-1.5e300, "-1.5e+300"), (3.4028236e38, "3.4028236e+38"), (np.nan, "NaN")],
)
def test_a_query_beyond_float32_is_printed_short(value, text):
    y = np.ones((2, 20))
    y[1, 4] = value
    message = f"y: row 1, column 4 is {text}, expected a finite float32 value"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Q.inner_product(WANT, y)


@pytest.mark.parametrize(
    ("shape", "hint"),
    [
        ((2, 3, 20), "; for rows along the last axis pass x.reshape(-1, 20)"),
        ((2, 3, 4, 20), "; for rows along the last axis pass x.reshape(-1, 20)"),
        ((2, 5, 4), "; for one row per x[i] pass x.reshape(2, 20)"),
        ((2, 3, 4), "; for rows along the last axis pass x.reshape(-1, 4)"),
        ((2, 0, 20), ""),
        ((), ""),
    ],
)
def test_an_array_of_more_axes_says_how_to_reshape_it(shape, hint):
    x = np.ones(shape)
    message = f"x has shape {shape}, expected rows (n, dim){hint}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Q.encode(x)
    if hint:
        assert eval(hint.partition("pass ")[2], {"x": x}).ndim == 2


def test_concatenate_takes_any_iterable():
    for parts in ([WANT[:2], WANT[2:]], iter([WANT[:2], WANT[2:]]), (WANT[i] for i in range(6))):
        assert bq.concatenate(parts) == WANT
    for nothing in ([], iter([])):
        with pytest.raises(ValueError, match="no codes to concatenate, expected at least one"):
            bq.concatenate(nothing)
    with pytest.raises(TypeError, match="codes 1 is ndarray, expected Codes"):
        bq.concatenate(iter([WANT, WANT.packed]))


@pytest.mark.parametrize("thing", [None, "text", {}, object(), 3.0])
def test_no_array_at_all(thing):
    with pytest.raises((TypeError, ValueError)):
        Q.encode(thing)


def test_torch():
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(X.copy())
    check(tensor)
    check(tensor.t().contiguous().t())
    check(tensor.double())
    check(tensor.to(torch.bfloat16))
    check(tensor.to(torch.bfloat16).t().contiguous().t())
    check(tensor.clone().requires_grad_())
    check_values(tensor.half(), tensor.half().numpy())
    with pytest.raises((TypeError, ValueError)):
        Q.encode(tensor.int())


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"packed": np.zeros((3, 2), np.int32)}, TypeError, "packed is int32"),
        ({"packed": np.zeros((2, 2), np.uint8)}, ValueError, "packed has 2 rows, expected 3"),
        ({"packed": None}, TypeError, "packed is NoneType"),
        ({"scale": np.ones(3)}, TypeError, "scale is float64"),
        ({"norm": np.ones((3, 1), np.float32)}, TypeError, r"norm is float32 of shape \(3, 1\)"),
        ({"residual_norm": np.ones(1, np.float32)}, ValueError, "residual_norm has 1 row,"),
    ],
)
def test_arrays_that_are_no_codes_are_named(change, error, text):
    arrays = {
        "packed": np.zeros((3, 2), np.uint8),
        "scale": np.ones(3, np.float32),
        "norm": None,
        "residual_norm": None,
    }
    with pytest.raises(error, match=text):
        bq.Codes(**(arrays | change), dim=8, made_by="")


def test_a_count_that_overflows_is_an_error():
    with pytest.raises(ValueError, match="more bits than can be counted"):
        _core.unpack(np.zeros((1, 0), np.uint8), 1 << 60, 16)
