"""Centring: the residual is what an uncentred quantizer sees, norms stay those of the rows."""

import hashlib

import ml_dtypes
import numpy as np
import pytest

import blockquant as bq

NAMES = list(bq.available())
DIM = 50
every = pytest.mark.parametrize("name", NAMES)


@pytest.fixture
def rows(rng):
    return (rng.standard_normal((70, DIM)) + 3).astype(np.float32)


@pytest.fixture
def center(rng):
    return (rng.standard_normal(DIM) * 0.1 + 3).astype(np.float32)


@every
def test_codes_are_those_of_the_residual(name, rows, center):
    plain = bq.create(name, dim=DIM, bits=2, store_norm=True, seed=5)
    q = bq.create(name, dim=DIM, bits=2, store_norm=True, seed=5, center=center)
    residual = rows - center
    want, got = plain.encode(residual), q.encode(rows)
    np.testing.assert_array_equal(got.packed, want.packed)
    np.testing.assert_array_equal(got.scale, want.scale)
    if name == "turboquant/prod":
        np.testing.assert_array_equal(got.residual_norm, want.residual_norm)
    else:
        np.testing.assert_array_equal(got.residual_norm, want.norm)
    np.testing.assert_allclose(got.norm, np.linalg.norm(rows.astype(float), axis=1), rtol=1e-7)
    np.testing.assert_array_equal(q.decode(got), plain.decode(want) + center)
    y = rows[:4] - 2
    offset = y.astype(float) @ center
    estimate = plain.inner_product(want, y) + offset[:, None]
    np.testing.assert_allclose(q.inner_product(got, y), estimate, rtol=1e-6)


@every
def test_bytes_without_norms(name, rows, center):
    codes = bq.create(name, dim=DIM, bits=2, center=center).encode(rows)
    assert codes.norm is None
    assert (codes.residual_norm is not None) == (name == "turboquant/prod")


@every
def test_a_row_that_is_the_center(name, rows, center):
    q = bq.create(name, dim=DIM, bits=2, store_norm=True, center=center)
    codes = q.encode(np.stack([center, rows[0]]))
    assert codes.scale[0] == 0
    assert codes.residual_norm[0] == 0
    assert codes.norm[0] > 0
    np.testing.assert_array_equal(q.decode(codes)[0], center)
    want = float(rows[1].astype(float) @ center)
    assert q.inner_product(codes, rows[1])[0, 0] == pytest.approx(want, rel=1e-6)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ml_dtypes.bfloat16])
def test_a_sample_is_its_mean(rows, dtype):
    sample = rows.astype(dtype)
    mean = sample.astype(np.float64).mean(axis=0).astype(np.float32)
    q = bq.Eden(DIM, 2, center=sample[:, ::-1].copy()[:, ::-1])
    np.testing.assert_array_equal(q.center, mean)
    assert repr(q) == repr(bq.create("eden", dim=DIM, bits=2, center=mean))
    np.testing.assert_array_equal(bq.Eden(DIM, 2, center=mean.tolist()).center, mean)
    q.center[:] = 7  # a copy
    np.testing.assert_array_equal(q.center, mean)
    assert bq.Eden(DIM, 2).center is None


def test_centers_are_told_apart(rows, center):
    other = center.copy()
    other[3] = np.nextafter(other[3], np.float32(9))
    first, second, plain = (bq.Eden(DIM, 2, center=c) for c in (center, other, None))
    digest = hashlib.sha256(center.astype("<f4").tobytes()).hexdigest()[:12]
    assert repr(first).endswith(f"center=<{digest}>)")
    assert len({repr(first), repr(second), repr(plain)}) == 3
    codes = first.encode(rows)
    for wrong in (second, plain):
        for use in (wrong.decode, lambda c, wrong=wrong: wrong.inner_product(c, rows[:1])):
            with pytest.raises(ValueError, match="were made by"):
                use(codes)
    with pytest.raises(ValueError, match="were made by"):
        bq.concatenate([codes, second.encode(rows)])


@every
@pytest.mark.parametrize(
    ("center", "error", "text"),
    [
        (np.ones(9, np.float32), ValueError, r"center has 9 columns, expected dim=10"),
        (
            np.ones((2, 3, 10)),
            ValueError,
            r"center has shape \(2, 3, 10\), expected rows \(n, dim\); .* x.reshape\(-1, 10\)",
        ),
        (np.ones((0, 10)), ValueError, r"center is a sample of 0 rows, expected at least one"),
        (np.ones(10, int), TypeError, r"center has dtype int64"),
        ("mean", TypeError, r"center is str, expected an array"),
        ([1.0] * 9 + [float("nan")], ValueError, r"center: row 0, column 9 is NaN, expected"),
        ([1e300] + [0.0] * 9, ValueError, r"center: row 0, column 0 is 1e\+?300, expected"),
    ],
)
def test_bad_centers(name, center, error, text):
    with pytest.raises(error, match=text):
        bq.create(name, dim=10, bits=2, center=center)


@every
def test_a_difference_beyond_float32(name):
    center = np.full(4, -3e38, np.float32)
    q = bq.create(name, dim=4, bits=1, center=center)
    x = np.stack([center, np.float32([0, 0, 3e38, 0])])
    with pytest.raises(ValueError, match=r"^row 1 needs the norm of x − center inf, which is beyo"):
        q.encode(x)
    x[1, 2] = 0
    with pytest.raises(ValueError, match=r"^row 1 needs the norm of x − center 6\.0\d*e38"):
        q.encode(x)
    # Norms beyond float32 are an error where they are stored.
    assert q.encode(center).scale[0] == 0
    with pytest.raises(ValueError, match=r"^row 0 needs the norm 6\.0\d*e38"):
        bq.create(name, dim=4, bits=1, center=center, store_norm=True).encode(center)


@every
def test_not_finite_rows_are_named_as_without_a_center(name, rows, center):
    rows[3, 4] = np.inf
    with pytest.raises(ValueError, match=r"^row 3, column 4 is inf, expected a finite"):
        bq.create(name, dim=DIM, bits=2, center=center).encode(rows)


@every
def test_what_centring_is_for(name, rows):
    """Rows about a mean of norm 3√d, of spread 1: the error falls by the ratio of the squares."""
    errors = []
    for center in (None, rows):
        q = bq.create(name, dim=DIM, bits=2, center=center)
        errors.append(np.mean((q.decode(q.encode(rows)).astype(float) - rows) ** 2))
    assert errors[1] < 0.2 * errors[0]


def test_no_theory_of_a_centred_quantizer(sample):
    x, y = sample[0][:300], sample[1][:20]
    measured = bq.measure(bq.Eden(384, 2, center=x), x, y)
    assert measured.nmse_theory is None
    assert measured.nmse < 0.14
