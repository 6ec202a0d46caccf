"""A center: codes are those of the residual, and queries are centered too."""

import hashlib

import ml_dtypes
import numpy as np
import pytest

import blockquant as bq
from support import most_bits

NAMES = list(bq.available())
DIM = 50
every = pytest.mark.parametrize("name", NAMES)


def is_unbiased(name):
    return name.endswith(("/unbiased", "/prod"))


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
    assert got.norm is None
    np.testing.assert_allclose(q.norms(got), np.linalg.norm(rows.astype(float), axis=1), rtol=3e-7)
    products = residual.astype(float) @ center
    np.testing.assert_allclose(got.center_product, products, rtol=1e-6)
    np.testing.assert_array_equal(q.decode(got), plain.decode(want) + center)
    y = rows[:4] - 2
    offset, along = y.astype(float) @ center, np.zeros(4)
    if is_unbiased(name):  # else the query is not centered
        along = offset / (center.astype(float) @ center)
    across = (y - np.outer(along, center)).astype(np.float32)
    estimate = plain.inner_product(want, across) + offset[:, None] + np.outer(along, products)
    np.testing.assert_allclose(q.inner_product(got, y), estimate, rtol=1e-5)


@every
@pytest.mark.parametrize("is_centered", [False, True])
@pytest.mark.parametrize("store_norm", [False, True])
@pytest.mark.parametrize("dim", [5, 64, 100])
def test_every_stored_byte_counts(name, is_centered, store_norm, dim, rng):
    x = rng.standard_normal((6, dim)).astype(np.float32)
    center = x[0] + 1 if is_centered else None
    q = bq.create(name, dim=dim, bits=2, store_norm=store_norm, center=center)
    codes = q.encode(x)
    optional = codes.norm, codes.residual_norm, codes.center_product
    arrays = [a for a in (codes.packed, codes.scale, *optional) if a is not None]
    is_prod = name == "turboquant/prod"
    assert (codes.norm is not None) == (store_norm and not is_centered)
    assert (codes.residual_norm is not None) == (is_prod or (is_centered and store_norm))
    has_product = is_centered and (store_norm or is_unbiased(name))
    assert (codes.center_product is not None) == has_product
    assert (q.norms(codes) is not None) == store_norm
    assert codes.nbytes == sum(a.nbytes for a in arrays)
    told = bq.theory.bytes_per_vector(name, 2, dim, store_norm=store_norm, center=is_centered)
    assert codes.nbytes == 6 * told
    assert codes.bits_per_dimension == pytest.approx(8 * codes.nbytes / (6 * dim))


@every
def test_a_row_that_is_the_center(name, rows, center):
    q = bq.create(name, dim=DIM, bits=2, store_norm=True, center=center)
    codes = q.encode(np.stack([center, rows[0]]))
    assert codes.scale[0] == 0
    assert codes.residual_norm[0] == 0
    assert codes.center_product[0] == 0
    np.testing.assert_allclose(q.norms(codes)[0], np.linalg.norm(center), rtol=1e-6)
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
def test_what_a_center_is_for(name, rows):
    """Rows about a mean of norm 3√d, of spread 1: the error falls by the ratio of the squares."""
    errors = []
    for center in (None, rows):
        q = bq.create(name, dim=DIM, bits=2, center=center)
        errors.append(np.mean((q.decode(q.encode(rows)).astype(float) - rows) ** 2))
    assert errors[1] < 0.2 * errors[0]


def recall(true, found):
    """Share of the ten rows with the greatest true merit among those found."""
    best = np.argpartition(-true, 9, axis=1)[:, :10]
    return np.mean([len(np.intersect1d(a, b)) for a, b in zip(best, found, strict=True)]) / 10


def moved(sample, deviations):
    """The sample's rows and queries, moved by so many standard deviations of the rows."""
    x, y = (part.astype(np.float32) for part in sample)
    spread = np.sqrt(((x - x.mean(axis=0)) ** 2).sum(axis=1).mean())
    way = np.random.default_rng(5).standard_normal(x.shape[1])
    step = (deviations * spread * way / np.linalg.norm(way)).astype(np.float32)
    return x + step, y + step


def nearness(x, y):
    """What orders rows by their distance from each query, the nearest first."""
    wide = x.astype(float)
    return 2 * y.astype(float) @ wide.T - (wide**2).sum(axis=1)


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("method", ["blockquant", "eden", "rabitq", "trellis"])
def test_translation_does_not_cost_recall(sample, method, bits):
    """By l2 the estimate depends on y − m and x − m only: what both share does not count."""
    found = []
    plain = bq.create(method, dim=384, bits=bits, store_norm=True)
    for deviations in (0, 3, 10):
        x, y = moved(sample, deviations)
        mean = x[::3].mean(axis=0, dtype=float)
        q = bq.create(method, dim=384, bits=bits, store_norm=True, center=mean)
        score, index = q.search(q.encode(x), y, 10, "l2")
        found.append(recall(nearness(x, y), index))
        assert (np.diff(score, axis=1) >= 0).all()
    assert min(found) > max(found) - 0.02
    x, y = moved(sample, 0)
    _, index = plain.search(plain.encode(x), y, 10, "l2")
    assert min(found) > recall(nearness(x, y), index) - 0.02
    if bits == 1:  # hardly a row is found without a center
        x, y = moved(sample, 10)
        _, index = plain.search(plain.encode(x), y, 10, "l2")
        assert recall(nearness(x, y), index) < 0.1


@pytest.mark.parametrize("metric", ["ip", "cosine"])
@pytest.mark.parametrize("method", ["blockquant", "eden", "rabitq", "trellis", "turboquant/prod"])
def test_a_shared_mean_does_not_cost_recall(sample, method, metric):
    x, y = moved(sample, 2)
    product = y.astype(float) @ x.astype(float).T
    merit = product / (np.linalg.norm(x, axis=1) if metric == "cosine" else 1)
    result = []
    for center in (x, None):
        q = bq.create(method, dim=384, bits=1, store_norm=True, center=center)
        codes = q.encode(x)
        _, index = q.search(codes, y, 10, metric)
        error = np.mean((q.inner_product(codes, y) - product) ** 2)
        result.append((recall(merit, index), error))
    (centered, low), (plain, high) = result
    assert centered > plain + 0.2
    assert low < 0.2 * high


@every
@pytest.mark.parametrize("metric", ["ip", "cosine", "l2"])
@pytest.mark.parametrize("count", [200, 3000])
def test_scores_are_the_estimates(name, metric, count, rng):
    x = (rng.standard_normal((count, DIM)) + 3).astype(np.float32)
    y = (rng.standard_normal((6, DIM)) + 3).astype(np.float32)
    q = bq.create(name, dim=DIM, bits=2, store_norm=True, center=x)
    codes = q.encode(x)
    if metric != "l2" and not is_unbiased(name):
        with pytest.raises(ValueError, match=f'metric "{metric}" with a center needs unbiased est'):
            q.search(codes, y, 5, metric)
        return
    score, index = q.search(codes, y, 5, metric)
    estimate = q.inner_product(codes, y).astype(float)
    if metric == "cosine":
        length = np.linalg.norm(y.astype(float), axis=1)
        estimate /= np.outer(length, q.norms(codes).astype(float))
    if metric == "l2":
        shifted = (y - q.center).astype(float)
        residual = codes.scale if name == "turboquant/prod" else codes.residual_norm
        decoded = q.decode(codes).astype(float) - q.center
        square = residual.astype(float) ** 2 + (shifted**2).sum(axis=1)[:, None]
        estimate = 2 * shifted @ decoded.T - square
    got = -score if metric == "l2" else score
    close = {"rtol": 2e-5, "atol": 1e-4}
    np.testing.assert_allclose(np.take_along_axis(estimate, index, 1), got, **close)
    # Bounds overlook few rows, and none of these.
    np.testing.assert_allclose(got, -np.sort(-estimate, axis=1)[:, :5], **close)


@pytest.mark.parametrize("metric", ["ip", "cosine"])
@pytest.mark.parametrize("deviations", [0, 3])
def test_the_length_of_a_query_does_not_matter(sample, metric, deviations):
    x, y = moved(sample, deviations)
    q = bq.BlockQuant(dim=384, bits=2, store_norm=True, center=x)
    codes = q.encode(x)
    _, want = q.search(codes, y, 10, metric)
    for power in (-40, -3, 1, 20):
        _, index = q.search(codes, np.ldexp(y, power), 10, metric)
        np.testing.assert_array_equal(index, want)


@pytest.mark.parametrize("deviations", [0, 3, 10])
@pytest.mark.parametrize("name", ["blockquant/unbiased", "blockquant/mse", "eden/unbiased"])
def test_intervals_keep_their_coverage_and_become_narrower(sample, name, deviations):
    x, y = moved(sample, deviations)
    true = y.astype(float) @ x.astype(float).T
    wide, held = [], []
    for seed in range(3):
        for center in (x, None):
            q = bq.create(name, dim=384, bits=2, seed=seed, store_norm=True, center=center)
            low, high = q.interval(q.encode(x), y, 0.95)
            wide.append(np.mean(high - low, dtype=float))
            held.append(np.mean((low <= true) & (true <= high)))
    centered, plain = np.reshape(wide, (3, 2)).mean(axis=0)
    # The pairs of a row stand or fall together at the worst: 3 · 2,000 rows, four errors.
    assert np.mean(held[::2]) > 0.95 - 4 * np.sqrt(0.05 * 0.95 / 6000)
    assert centered < plain / max(1, deviations)


def test_a_center_near_zero_does_no_harm(sample):
    """The mean of rows that are centered already: its direction is that of rounding errors."""
    x, y = (part.astype(np.float32) for part in sample)
    x -= x.mean(axis=0)
    true = y.astype(float) @ x.astype(float).T
    plain = bq.Eden(dim=384, bits=4)
    loss = np.mean((plain.inner_product(plain.encode(x), y) - true) ** 2)
    for center in (np.full(384, 1e-9), np.full(384, 1e-30), x.mean(axis=0), np.zeros(384)):
        q = bq.Eden(dim=384, bits=4, center=center, store_norm=True)
        codes = q.encode(x)
        assert np.mean((q.inner_product(codes, y) - true) ** 2) < 1.01 * loss
        low, high = q.interval(codes, y, 0.9)
        assert abs(np.mean((low <= true) & (true <= high)) - 0.9) < 0.02


@every
def test_a_zero_row_has_no_cosine(name, rows, center):
    q = bq.create(name, dim=DIM, bits=min(8, most_bits(name)), store_norm=True, center=center)
    x = np.concatenate([np.zeros((1, DIM), np.float32), rows])
    codes = q.encode(x)
    assert q.norms(codes)[0] == 0
    if is_unbiased(name):
        score, index = q.search(codes, rows[:2], len(x), "cosine")
        assert (score[index == 0] == 0).all()


@pytest.mark.parametrize("shift", [0, 1.5])
@pytest.mark.parametrize(
    ("name", "bits"),
    [("blockquant/unbiased", 2), ("eden/mse", 2), ("blockquant/none", 1), ("rabitq/unbiased", 1)],
)
def test_theory_with_a_center(sample, name, bits, shift):
    """Rows and queries that share a mean; each figure within what five seeds spread, and 1 %."""
    x, y = (part.astype(np.float32) for part in sample)
    way = np.random.default_rng(2).standard_normal(384)
    step = (shift * way / np.linalg.norm(way)).astype(np.float32)
    x, y = x + step, y + step
    found = {}
    for seed in range(5):
        unit = x / np.linalg.norm(x, axis=1, keepdims=True)
        q = bq.create(name, dim=384, bits=bits, seed=seed, store_norm=True, center=unit)
        measured = bq.measure(q, x, y)
        for field in ("nmse", "ip_error", "variance", "q50", "q99", "half_width"):
            expected = getattr(measured, f"{field}_theory")
            if expected is None:
                assert field == "half_width"
                assert name.endswith("none")
                continue
            found.setdefault(field, []).append(getattr(measured, field) / expected)
    assert len(found) >= 5
    for field, ratios in found.items():
        error = 4 * np.std(ratios, ddof=1) / np.sqrt(5) + 0.01
        assert abs(np.mean(ratios) - 1) < error, (field, ratios)
