"""One set of tests for every method: shapes, inputs, errors, corner cases and bytes."""

import itertools

import ml_dtypes
import numpy as np
import pytest

import blockquant as bq
from blockquant._methods import PARTS
from support import supports

NAMES = list(bq.available())
DIMS = [1, 2, 3, 5, 7, 8, 17, 31, 33, 63, 64, 65, 100, 130]
SEARCHED = [name for name, (m, scale) in PARTS.items() if m.has_scale_search and scale != "none"]
# Each method with and without a center, and with a search over scales where it has one.
PLAIN = [*NAMES, *(f"{name} searched" for name in SEARCHED)]
every = pytest.mark.parametrize("name", [*PLAIN, *(f"{name} centered" for name in NAMES)])
plain = pytest.mark.parametrize("name", PLAIN)
# The search starts at 3 bits: its tests run at so many bits more.
MORE_BITS = 2


def rows(n, dim, seed=0):
    return np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)


def split(name, dim, options):
    """The name of the method, and the options with what the name of the test has besides."""
    name, _, more = name.partition(" ")
    if more == "centered" and dim > 0:
        options = {**options, "center": rows(1, dim, 9)[0]}
    return name, options | ({"scale_search": 5} if more == "searched" else {})


def rate(name, bits):
    return bits + MORE_BITS if name.endswith(" searched") else bits


def make(name, dim, bits=2, **options):
    bits = rate(name, bits)
    name, options = split(name, dim, options)
    return bq.create(name, dim=dim, bits=bits, **options)


def same(a, b):
    for field in ("packed", "scale", "norm", "residual_norm", "center_product"):
        left, right = getattr(a, field), getattr(b, field)
        assert (left is None) == (right is None)
        if left is not None:
            np.testing.assert_array_equal(left, right)
            assert left.dtype == right.dtype


def test_available_covers_the_papers():
    assert {
        "blockquant/none",
        "blockquant/mse",
        "blockquant/unbiased",
        "eden/mse",
        "eden/unbiased",
    } <= set(NAMES)
    assert {"turboquant/mse", "turboquant/prod", "rabitq/mse", "rabitq/unbiased"} <= set(NAMES)
    assert {"trellis/none", "trellis/mse", "trellis/unbiased"} <= set(NAMES)
    for short in ("blockquant", "eden", "rabitq", "trellis"):
        assert make(short, 8).scale == "unbiased"


@every
@pytest.mark.parametrize("dim", DIMS)
def test_round_trip(name, dim):
    for bits in (1, 2, 4):
        q = make(name, dim, bits, store_norm=True)
        x = rows(7, dim)
        codes = q.encode(x)
        assert len(codes) == 7
        assert codes.packed.dtype == np.uint8
        assert codes.packed.flags.c_contiguous
        assert codes.packed.shape[0] == 7
        assert codes.scale.dtype == np.float32
        assert codes.scale.shape == (7,)
        norms = np.linalg.norm(x.astype(float), axis=1)
        np.testing.assert_allclose(q.norms(codes), norms, rtol=1e-5)
        x_hat = q.decode(codes)
        assert x_hat.dtype == np.float32
        assert x_hat.shape == x.shape
        assert np.isfinite(x_hat).all()
        assert make(name, dim, bits).encode(x).norm is None


@every
def test_more_bits_are_better(name):
    x = rows(50, 64)
    errors = []
    for bits in (1, 2, 3, 4):
        q = make(name, 64, bits)
        errors.append(np.mean((q.decode(q.encode(x)) - x) ** 2))
    assert all(a > b for a, b in itertools.pairwise(errors))
    assert errors[-1] < 0.1


@every
@pytest.mark.parametrize("bits", [0, -1, 17, 2.3e9, float("nan")])
def test_impossible_bits(name, bits):
    with pytest.raises((ValueError, TypeError)):
        make(name, 8, bits)


@every
@pytest.mark.parametrize("dim", [0, -3])
def test_impossible_dim(name, dim):
    with pytest.raises((ValueError, OverflowError)):
        make(name, dim)


def test_unknown_names():
    with pytest.raises(ValueError, match="nosuch"):
        bq.create("nosuch", dim=4, bits=2)
    with pytest.raises(ValueError, match=r"\w"):
        bq.create("eden/prod", dim=4, bits=2)
    with pytest.raises(ValueError, match=r"\w"):
        bq.Eden(4, 2, rotation="nosuch")
    with pytest.raises(ValueError, match=r"\w"):
        bq.TurboQuant(4, 2, variant="nosuch")
    with pytest.raises(ValueError, match=r"\w"):
        bq.BlockQuant(4, 2, block=5)


@every
def test_layout_and_dtype_of_the_input(name):
    q = make(name, 24, store_norm=True)
    coarse = rows(9, 24).astype(ml_dtypes.bfloat16).astype(np.float16).astype(np.float32)
    want = q.encode(coarse)
    wide = np.zeros((18, 72), np.float32)
    wide[::2, ::3] = coarse
    big_endian = coarse.astype(">f4")
    read_only = coarse.copy()
    read_only.flags.writeable = False
    for x in (
        np.asfortranarray(coarse),
        wide[::2, ::3],
        coarse[::-1, ::-1].copy()[::-1, ::-1],
        coarse.astype(np.float16),
        np.asfortranarray(coarse.astype(np.float16)),
        coarse.astype(np.float64),
        coarse.astype(np.float64)[:, ::-1].copy()[:, ::-1],
        coarse.astype(ml_dtypes.bfloat16),
        np.asfortranarray(coarse.astype(ml_dtypes.bfloat16)),
        big_endian,
        read_only,
        coarse.tolist(),
    ):
        before = np.array(x, copy=True)
        same(q.encode(x), want)
        np.testing.assert_array_equal(np.asarray(x), before)


@every
def test_broadcast_rows(name):
    q = make(name, 12)
    row = rows(1, 12)
    same(q.encode(np.broadcast_to(row, (5, 12))), q.encode(np.repeat(row, 5, axis=0)))


@every
@pytest.mark.parametrize("dim", [3, 64, 100])
def test_row_alone_equals_row_in_batch(name, dim):
    q = make(name, dim, store_norm=True)
    x = rows(70, dim)
    batch = q.encode(x)
    for i in (0, 1, 33, 69):
        same(q.encode(x[i : i + 1]), batch[i : i + 1])
        same(q.encode(x[i]), batch[i : i + 1])
        np.testing.assert_array_equal(q.decode(batch[i : i + 1]), q.decode(batch)[i : i + 1])


@every
def test_threads_do_not_change_bytes(name):
    q = make(name, 100, store_norm=True)
    x, y = rows(600, 100), rows(5, 100, 1)
    results = []
    try:
        for threads in (1, 2):
            bq.set_num_threads(threads)
            codes = q.encode(x)
            results.append((codes, q.decode(codes), q.inner_product(codes, y)))
    finally:
        bq.set_num_threads(2)
    same(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][1], results[1][1])
    np.testing.assert_array_equal(results[0][2], results[1][2])


@every
def test_same_seed_same_bytes_other_seed_other(name):
    x = rows(5, 64)
    same(make(name, 64, seed=3).encode(x), make(name, 64, seed=3).encode(x))
    assert not np.array_equal(
        make(name, 64, seed=3).encode(x).packed, make(name, 64, seed=4).encode(x).packed
    )


@every
def test_empty_batch(name):
    q = make(name, 16, store_norm=True)
    codes = q.encode(np.empty((0, 16), np.float32))
    assert len(codes) == 0
    assert codes.packed.shape == (0, q.encode(rows(1, 16)).packed.shape[1])
    assert q.decode(codes).shape == (0, 16)
    assert q.inner_product(codes, rows(3, 16)).shape == (3, 0)
    assert q.inner_product(q.encode(rows(4, 16)), np.empty((0, 16), np.float32)).shape == (0, 4)


@plain
def test_zero_rows(name):
    q = make(name, 20, store_norm=True)
    x = rows(4, 20)
    x[1] = 0
    x[3] = -0.0
    codes = q.encode(x)
    assert codes.scale[1] == codes.scale[3] == 0
    assert codes.norm[1] == 0
    x_hat = q.decode(codes)
    assert not x_hat[1].any()
    assert not x_hat[3].any()
    assert x_hat[0].any()
    assert not q.inner_product(codes, x)[:, 1].any()


@plain
@pytest.mark.parametrize("rotation", ["haar", "hadamard"])
@pytest.mark.parametrize("power", [-100, -99, 99, 100])
def test_huge_and_tiny_norms(name, rotation, power):
    """A power of two changes only the scale; 2^±100 is about 1e±30."""
    q = make(name, 64, rotation=rotation, store_norm=True)
    x = rows(6, 64)
    plain, scaled = q.encode(x), q.encode(x * np.float32(2.0) ** power)
    np.testing.assert_array_equal(plain.packed, scaled.packed)
    np.testing.assert_allclose(scaled.scale, plain.scale * np.float32(2.0) ** power, rtol=1e-6)
    np.testing.assert_allclose(scaled.norm, plain.norm * np.float32(2.0) ** power, rtol=1e-6)
    np.testing.assert_allclose(
        q.decode(scaled) * np.float32(2.0) ** -power, q.decode(plain), rtol=1e-5, atol=1e-6
    )


@every
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ml_dtypes.bfloat16])
def test_not_finite_names_row_and_column(name, bad, dtype):
    x = rows(300, 10)
    x[211, 7] = bad
    x[250, 2] = bad
    with pytest.raises(ValueError, match=r"(?i)row 211\b.*column 7\b"):
        make(name, 10).encode(x.astype(dtype))


@every
def test_wrong_inputs_say_what(name):
    q = make(name, 10)
    for x, word in (
        (np.ones((2, 10), np.int32), "int32"),
        (np.ones((2, 10), bool), "bool"),
        (np.ones((2, 10), complex), "complex128"),
        (np.ones((2, 10), object), "object"),
        (np.full((2, 10), "1.0"), "U"),
    ):
        with pytest.raises((TypeError, ValueError), match=word):
            q.encode(x)
    with pytest.raises(ValueError, match=r"10.*\b9\b|\b9\b.*10"):
        q.encode(rows(2, 9))
    with pytest.raises(ValueError, match=r"\w"):
        q.encode(rows(1, 11)[0])
    for shape in ((), (2, 2, 10)):
        with pytest.raises((TypeError, ValueError)):
            q.encode(np.ones(shape, np.float32))


@every
def test_float64_beyond_float32(name):
    x = rows(2, 10).astype(np.float64)
    x[1, 4] = 1e300
    with pytest.raises(ValueError, match=r"^row 1, column 4 is 1e300, expected"):
        make(name, 10).encode(x)


def test_scalars_beyond_float32():
    """Rows are finite, but the norm or the scale is beyond float32."""
    row = np.zeros((2, 4), np.float32)
    row[1] = 3e38
    with pytest.raises(ValueError, match=r"^row 1 needs the norm 6\.0\d*e38, which is beyond"):
        make("eden/unbiased", 4, 1).encode(row)
    row[1] = 3.4e38, 0, 0, 0
    with pytest.raises(ValueError, match=r"^row 1 needs the scale \d\.\d*e38, which is beyond"):
        make("eden/unbiased", 4, 1).encode(row)


@pytest.mark.parametrize("name", ["blockquant/mse", "eden/mse", "rabitq/mse", "trellis/mse"])
@pytest.mark.parametrize("bits", [1, 2, 4])
def test_recoding_does_not_shrink(name, bits):
    """A decoded row keeps its norm over further cycles, far within the quantizer's noise."""
    q = make(name, 64, bits)
    first = x_hat = q.decode(q.encode(rows(100, 64)))
    for _ in range(5):
        x_hat = q.decode(q.encode(x_hat))
    ratio = np.linalg.norm(x_hat, axis=1) / np.linalg.norm(first, axis=1)
    assert abs(ratio.mean() - 1) < 1e-3
    assert np.abs(ratio - 1).max() < 0.05


@pytest.mark.parametrize("name", ["blockquant/none", "turboquant/mse", "trellis/none"])
@pytest.mark.parametrize("bits", [1, 2, 4])
def test_recoding_with_unit_scale(name, bits):
    """By definition, S = 1 multiplies the norm by |c|/sqrt(d) in every cycle.

    So no cycle loses more than the factor sqrt(1 - nmse) of the codebook. A hidden scale rule would
    show here.
    """
    q = make(name, 64, bits)
    x_hat = rows(100, 64)
    for _ in range(5):
        codes = q.encode(x_hat)
        before, x_hat = x_hat, q.decode(codes)
        np.testing.assert_allclose(codes.scale, np.linalg.norm(before, axis=1), rtol=1e-5)
        ratio = np.linalg.norm(x_hat, axis=1) / np.linalg.norm(before, axis=1)
        nmse = {1: 0.38, 2: 0.14, 4: 0.015}[bits]
        assert ratio.mean() > np.sqrt(1 - nmse)
        assert ratio.mean() < 1.005


@every
def test_slice_mask_concatenate(name):
    q = make(name, 30, store_norm=True)
    x = rows(20, 30)
    codes, want = q.encode(x), q.decode(q.encode(x))
    np.testing.assert_array_equal(q.decode(codes[5:15]), want[5:15])
    np.testing.assert_array_equal(q.decode(codes[::-3]), want[::-3])
    mask = np.arange(20) % 3 == 1
    np.testing.assert_array_equal(q.decode(codes[mask]), want[mask])
    np.testing.assert_array_equal(q.decode(codes[[4, 2, 2]]), want[[4, 2, 2]])
    np.testing.assert_array_equal(q.decode(codes[np.array([-1, 0])]), want[[-1, 0]])
    assert len(codes[3]) == 1
    assert len(codes[20:]) == 0
    np.testing.assert_array_equal(q.decode(codes[-1]), want[-1:])
    with pytest.raises(IndexError):
        codes[20]
    same(bq.concatenate([codes[:7], codes[7:7], codes[7:]]), codes)
    with pytest.raises(ValueError, match=r"\w"):
        bq.concatenate([])
    with pytest.raises(ValueError, match=r"\w"):
        bq.concatenate([codes, make(name, 31, store_norm=True).encode(rows(2, 31))])
    with pytest.raises(ValueError, match=r"\w"):
        bq.concatenate([codes, make(name, 30).encode(x)])


@every
@pytest.mark.parametrize("dim", [1, 5, 64, 130])
@pytest.mark.parametrize("bits", [1, 2, 3, 8, 1.5, 2.5])
def test_inner_product_is_decode_dot(name, dim, bits):
    bits = rate(name, bits)
    name, options = split(name, dim, {})
    q = supports(name, bits, dim, **options)
    if q is None:
        pytest.skip("this method has no such rate")
    x, y = rows(33, dim), rows(4, dim, 1)
    codes = q.encode(x)
    got = q.inner_product(codes, y)
    assert got.shape == (4, 33)
    assert got.dtype == np.float32
    x_hat = q.decode(codes).astype(np.float64)
    want = y.astype(float) @ x_hat.T
    if q.center is not None and name.endswith(("/unbiased", "/prod")):
        # What is estimated along the center is replaced by what is stored.
        center = q.center.astype(float)
        along = y @ center / (center @ center)
        want += np.outer(along, codes.center_product - (x_hat - center) @ center)
    size = np.linalg.norm(y, axis=1)[:, None] * np.linalg.norm(x_hat, axis=1)
    assert np.all(np.abs(got - want) <= 1e-4 * (size + 1e-3))
    np.testing.assert_array_equal(q.inner_product(codes, y[2]), got[2:3])
    np.testing.assert_array_equal(q.inner_product(codes[3:9], y), got[:, 3:9])
    np.testing.assert_array_equal(
        q.inner_product(codes, np.asfortranarray(y).astype(np.float64)), got
    )


@every
def test_bad_queries(name):
    q = make(name, 10)
    codes = q.encode(rows(3, 10))
    y = rows(3, 10)
    y[2, 4] = np.nan
    with pytest.raises(ValueError, match=r"(?i)row 2\b.*column 4\b"):
        q.inner_product(codes, y)
    with pytest.raises(ValueError, match=r"\w"):
        q.inner_product(codes, rows(2, 11))
    with pytest.raises((TypeError, ValueError)):
        q.inner_product(codes, np.ones((2, 10), int))


@every
def test_codes_of_another_quantizer(name):
    q, codes = make(name, 32), make(name, 32).encode(rows(3, 32))
    assert q.decode(codes).shape == (3, 32)  # another quantizer with equal parameters decodes too
    other = "eden/mse" if name != "eden/mse" else "blockquant/unbiased"
    for wrong in (make(name, 40), make(name, 32, 3), make(name, 32, seed=1), make(other, 32)):
        with pytest.raises(ValueError, match=r"\w"):
            wrong.decode(codes)
        with pytest.raises(ValueError, match=r"\w"):
            wrong.inner_product(codes, rows(1, 32))


@every
def test_representations(name):
    q = make(name, 32)
    codes = q.encode(rows(3, 32))
    assert "32" in repr(q)
    assert repr(codes)
    assert q.dim == 32
    assert q.bits == rate(name, 2)
    assert q.seed == 0
    assert q.rotation == "hadamard"
