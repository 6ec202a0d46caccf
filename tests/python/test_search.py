"""Search: against all estimates in order, with masks, metrics and every kind of bad input."""

import numpy as np
import pytest

import blockquant as bq
from support import kept, unit

METHODS = [
    *("blockquant/unbiased", "eden/mse", "turboquant/mse", "turboquant/prod", "rabitq/mse"),
    *("trellis/unbiased", "trellis/mse"),
]


def reference(q, codes, x, y, k, metric="ip", allowed=None):
    """Positions and scores of all estimates in order, ties to the lower position."""
    product = q.inner_product(codes, y).astype(np.float64)
    if metric == "ip":
        score = product
    else:
        norm = q.norms(codes).astype(np.float64)
        query_norm = np.linalg.norm(y.astype(np.float64), axis=1)[:, None]
        if metric == "l2" and q.center is not None:
            # Of rows and queries less the center: products of the decoded rest.
            rest, shifted = q.decode(codes) - q.center, (y - q.center).astype(np.float64)
            # The residual norm of TurboQuant prod is γ, and its scale is the norm of the rest.
            length = codes.scale if q.name == "turboquant/prod" else codes.residual_norm
            square = length.astype(np.float64) ** 2 + (shifted**2).sum(axis=1)[:, None]
            score = np.maximum(square - 2 * shifted @ rest.T.astype(np.float64), 0)
        elif metric == "l2":
            score = np.maximum(norm**2 + query_norm**2 - 2 * product, 0)
        else:
            score = product / norm / query_norm
    score = score.astype(np.float32)
    order = score if metric == "l2" else -score
    if allowed is not None:
        order = np.where(allowed, order, np.inf)
    index = np.argsort(order, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(score, index, axis=1), index


def most_differing(places):
    """What a search promises: of 10,000 places about 20 differ from those of an exact search.

    A test has fewer places, and a few of them differ by chance: so three standard deviations of
    such a count are added.
    """
    mean = places * 20 / 10_000
    return int(mean + 3 * np.sqrt(mean))


def agree(found, expected, lossless=True):
    (score, index), (expected_score, expected_index) = found, expected
    assert score.dtype == np.float32
    assert index.dtype == np.int64
    assert score.shape == index.shape == expected_index.shape
    overlooked = sum(len(set(a) - set(b)) for a, b in zip(expected_index, index, strict=True))
    assert overlooked <= (0 if lossless else most_differing(expected_index.size))
    if overlooked == 0:
        np.testing.assert_allclose(score, expected_score, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("metric", ["ip", "l2", "cosine"])
def test_finds_the_best_estimates(sample, name, metric):
    x, y = sample[0], sample[1][:100]
    x = x * np.linspace(0.5, 2, len(x), dtype=np.float32)[:, None]
    q = bq.create(name, dim=x.shape[1], bits=2, store_norm=True)
    codes = q.encode(x)
    expected = reference(q, codes, x, y, 10, metric)
    agree(q.search(codes, y, 10, metric), expected, lossless=False)
    one = q.search(codes, y[3], 10, metric)
    np.testing.assert_array_equal(one[1][0], q.search(codes, y, 10, metric)[1][3])


def test_scores_are_the_estimates_bit_for_bit(sample):
    x, y = sample
    q = bq.BlockQuant(x.shape[1], 2)
    codes = q.encode(x)
    score, index = q.search(codes, y, 20)
    estimates = q.inner_product(codes, y)
    np.testing.assert_array_equal(score, np.take_along_axis(estimates, index, axis=1))
    assert (np.diff(score, axis=1) <= 0).all()


@pytest.mark.parametrize("share", [0.0, 0.001, 0.02, 0.5, 1.0])
def test_masks(sample, rng, share):
    x, y = sample[0], sample[1][:50]
    q = bq.BlockQuant(x.shape[1], 2)
    codes = q.encode(x)
    mask = rng.random(len(x)) < share
    mask[: int(share > 0)] = True
    k = min(10, mask.sum())
    expected = reference(q, codes, x, y, k, allowed=mask)
    agree(q.search(codes, y, 10, mask=mask), expected, lossless=False)
    agree(q.search(codes, y, 10, mask=np.flatnonzero(mask)), expected, lossless=False)
    assert set(q.search(codes, y, 10, mask=mask)[1].ravel()) <= set(np.flatnonzero(mask))


@pytest.mark.parametrize("n", [0, 1, 5, 300, 1000])
@pytest.mark.parametrize("k", [1, 7, 10_000])
def test_sizes(rng, n, k):
    x, y = rng.standard_normal((n, 20)), unit(rng.standard_normal((3, 20)))
    q = bq.BlockQuant(20, 2, store_norm=True)
    codes = q.encode(x)
    for metric in ("ip", "l2", "cosine"):
        agree(q.search(codes, y, k, metric), reference(q, codes, x, y, k, metric))
    assert q.search(codes, np.empty((0, 20)), k)[1].shape == (0, min(k, n))


@pytest.mark.parametrize("scale", [1e-30, 1e-18, 1e18, 1e30])
def test_norms_far_from_one(rng, scale):
    """Where keys would leave float32 every row is estimated."""
    x, y = rng.standard_normal((1000, 40)), rng.standard_normal((4, 40)).astype(np.float32)
    q = bq.Eden(40, 2, store_norm=True)
    plain, scaled = q.encode(x), q.encode(x * scale)
    for metric in ("ip", "cosine"):
        expected = q.search(plain, y, 5, metric)[1]
        np.testing.assert_array_equal(q.search(scaled, y, 5, metric)[1], expected)
    score, _ = q.search(scaled, y, 5, "l2")
    assert (score >= 0).all()


def test_zero_rows_and_queries(rng):
    x = rng.standard_normal((600, 16)).astype(np.float32)
    x[::2] = 0
    q = bq.BlockQuant(16, 2, store_norm=True)
    codes = q.encode(x)
    y = np.zeros((1, 16), np.float32)
    for metric in ("ip", "cosine"):
        score, index = q.search(codes, y, 5, metric)
        assert score.tolist() == [[0.0] * 5]
        assert index.tolist() == [[0, 1, 2, 3, 4]]
    score, index = q.search(codes, y, 5, "l2")
    assert score.tolist() == [[0.0] * 5]
    assert index.tolist() == [[0, 2, 4, 6, 8]]
    assert (q.search(codes, x[1:2], 5, "l2")[0] >= 0).all()


def test_a_distance_is_never_negative(sample):
    x = sample[0][:500]
    q = bq.Eden(x.shape[1], 1, store_norm=True)
    score, _ = q.search(q.encode(x), x, 3, "l2")
    assert score.min() >= 0


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"k": 0}, ValueError, "k=0, expected a whole number, at least 1"),
        ({"k": 2.0}, TypeError, r"k=2\.0, expected a whole number"),
        ({"metric": "dot"}, ValueError, "metric=.dot., expected ip, l2 or cosine"),
        ({"metric": 3}, TypeError, "metric is int, expected str"),
        (
            {"metric": "l2"},
            ValueError,
            "needs the norms of the rows: make the quantizer, and .* with store_norm=True",
        ),
        ({"mask": [True] * 9}, ValueError, "mask has 9 entries, expected 10"),
        ({"mask": [10]}, ValueError, "mask: position 10 at 0, expected less than 10"),
        ({"mask": [0, -11]}, ValueError, "mask: position -11 at 1"),
        ({"mask": [0.5]}, TypeError, "mask has dtype float64"),
        ({"mask": np.zeros(0)}, TypeError, "mask has dtype float64, expected booleans or integer"),
        ({"mask": np.zeros(0, str)}, TypeError, "mask has dtype <U1"),
        ({"mask": np.zeros(0, bool)}, ValueError, "mask has 0 entries, expected 10, one per row"),
        ({"mask": [0, 1] * 5}, TypeError, "mask holds 10 integers.* pass a boolean array"),
        ({"mask": np.ones(10, np.uint8)}, TypeError, "pass a boolean array"),
        ({"exact": "no"}, TypeError, "exact is str, expected bool"),
        ({"certified": 1}, TypeError, "certified is int, expected bool"),
        ({"mask": [[True] * 10]}, ValueError, r"mask has shape \(1, 10\)"),
        ({"y": np.ones((1, 7))}, ValueError, "8"),
        ({"y": [[np.nan] * 8]}, ValueError, "y: row 0, column 0 is NaN"),
    ],
)
def test_bad_input(rng, options, error, text):
    q = bq.Eden(8, 2)
    codes = q.encode(rng.standard_normal((10, 8)))
    with pytest.raises(error, match=text):
        q.search(codes, options.pop("y", np.ones((1, 8))), **options)


def test_codes_of_another_quantizer(rng):
    codes = bq.Eden(8, 2, seed=1).encode(rng.standard_normal((10, 8)))
    with pytest.raises(ValueError, match="seed=1"):
        bq.Eden(8, 2).search(codes, np.ones((1, 8)))


@pytest.mark.parametrize("name", ["blockquant/unbiased", "eden/mse"])
def test_centered_codes(sample, name):
    x, y = sample[0] + 0.3, sample[1][:50]
    q = bq.create(name, dim=x.shape[1], bits=2, store_norm=True, center=x.mean(0))
    codes = q.encode(x)
    # Biased estimates with a center are refused by the others.
    for metric in ("ip", "l2", "cosine") if q.scale == "unbiased" else ("l2",):
        expected = reference(q, codes, x, y, 10, metric)
        agree(q.search(codes, y, 10, metric), expected, lossless=False)


def test_growing_codes_are_searched_whole(sample):
    x, y = sample
    q = bq.BlockQuant(x.shape[1], 2)
    codes = q.encode(x[:1000])
    q.search(codes, y[:1])
    codes.append(q.encode(x[1000:]))
    whole = q.search(q.encode(x), y)
    np.testing.assert_array_equal(q.search(codes, y)[1], whole[1])
    codes.delete(np.arange(len(x)) < 500)
    assert q.search(codes, y)[1].max() < len(x) - 500


def test_codes_that_change_while_signs_are_derived(rng, monkeypatch):
    """Signs of rows that are no longer there are not used."""
    x, y = rng.standard_normal((600, 40)), rng.standard_normal((5, 40))
    q = bq.Eden(40, 2)
    codes = q.encode(x)
    derived = []

    class Meanwhile:
        def __getattr__(self, name):
            found = getattr(core, name)
            return self.changing(found) if name == "signs" else found

        def changing(self, derive):
            def then(*parts):
                made = derive(*parts)
                codes.delete([0])
                codes.append(q.encode(rng.standard_normal((1, 40))))
                derived.append(made)
                return made

            return then

    core = q._core
    monkeypatch.setattr(q, "_core", Meanwhile())
    for _ in range(3):
        q.search(codes, y[:1])
    monkeypatch.undo()
    assert derived
    for some in (y[:1], y):
        same = q.search(codes[:], some)
        agree(q.search(codes, some), same)
        agree(q.search(codes, some), reference(q, codes, x, some.astype(np.float32), 10))


@pytest.mark.parametrize("scale", [1e-25, 1e20])
def test_products_of_norms_beyond_float32(rng, scale):
    x, y = rng.standard_normal((1000, 40)), rng.standard_normal((4, 40))
    q = bq.Eden(40, 2, store_norm=True)
    plain, scaled = q.encode(x), q.encode(x * scale)
    expected = q.search(plain, y, 5, "cosine")
    found = q.search(scaled, y * scale, 5, "cosine")
    np.testing.assert_array_equal(found[1], expected[1])
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)
    assert (q.search(scaled, y * scale, 5, "l2")[0] > 0).all() or scale < 1


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
def test_damaged_scales_are_not_first_and_no_panic(rng, bad):
    x, y = rng.standard_normal((1000, 40)), rng.standard_normal((4, 40))
    q = bq.Eden(40, 2)
    codes = q.encode(x)
    scale = codes.scale.copy()
    scale[5:] = bad
    damaged = bq.Codes(codes.packed, scale, None, None, 40, codes.made_by)
    assert q.search(damaged, y, 10)[1].shape == (4, 10)
    scale = codes.scale.copy()
    scale[7] = np.nan
    damaged = bq.Codes(codes.packed, scale, None, None, 40, codes.made_by)
    assert 7 not in q.search(damaged, y, 10)[1]


def test_rows_that_one_bit_does_not_part(rng):
    x, y = rng.standard_normal((5000, 256)), rng.standard_normal((20, 256)).astype(np.float32)
    q = bq.Eden(256, 4, store_norm=True)
    codes = q.encode(x)
    mask = rng.random(len(x)) < 0.7
    for metric in ("ip", "l2", "cosine"):
        expected = reference(q, codes, x, y, 10, metric, mask)
        agree(q.search(codes, y, 10, metric, mask), expected, lossless=False)


@pytest.mark.parametrize("dim", [1, 2, 3, 5])
def test_few_dimensions(rng, dim):
    x, y = rng.standard_normal((700, dim)), rng.standard_normal((6, dim)).astype(np.float32)
    q = bq.Eden(dim, 3, store_norm=True)
    codes = q.encode(x)
    for metric in ("ip", "l2"):
        # Many rows have the same code, so only scores are told apart.
        score = q.search(codes, y, 5, metric)[0]
        expected = reference(q, codes, x, y, 5, metric)[0]
        np.testing.assert_allclose(score, expected, rtol=1e-4, atol=1e-5)


def test_a_large_negative_offset(sample):
    x, y = sample[0], -np.abs(sample[1][:20])
    q = bq.Eden(x.shape[1], 2, store_norm=True, center=np.full(x.shape[1], 3.0, np.float32))
    codes = q.encode(x + 3)
    for metric in ("ip", "cosine"):
        expected = reference(q, codes, x, y, 10, metric)
        agree(q.search(codes, y, 10, metric), expected, lossless=False)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("metric", ["ip", "l2", "cosine"])
def test_an_exact_search_finds_all_the_best(rng, name, metric):
    """Rows of which many are equal, so that places are a matter of ties, in any order of rows."""
    x = rng.standard_normal((150, 40)).astype(np.float32)[rng.integers(150, size=1200)]
    y = rng.standard_normal((30, 40)).astype(np.float32)
    is_unbiased = name.endswith(("/unbiased", "/prod"))
    center = x[:9] if is_unbiased or metric == "l2" else None
    q = bq.create(name, dim=40, bits=2, store_norm=True, center=center)
    codes = q.encode(x)
    for mask in (None, rng.random(len(x)) < 0.6, [7]):
        score, index = q.search(codes, y, 10, metric, mask, exact=True)
        allowed = None if mask is None else np.isin(np.arange(len(x)), np.arange(len(x))[mask])
        k = 10 if allowed is None else min(10, allowed.sum())
        expected = reference(q, codes, x, y, k, metric, allowed)
        np.testing.assert_allclose(score, expected[0], rtol=2e-5, atol=2e-6)
        if metric == "ip":
            np.testing.assert_array_equal(score, expected[0])
            np.testing.assert_array_equal(index, expected[1])
        tied = np.diff(score, axis=1) == 0
        assert (np.diff(index, axis=1)[tied] > 0).all()
        agree((score, index), expected)
    assert kept(codes) == 0


def test_an_exact_search_leaves_what_is_kept_alone(sample):
    x, y = sample
    q = bq.Eden(x.shape[1], 2, store_norm=True)
    codes = q.encode(x)
    for _ in range(2):
        q.search(codes, y[0])
    before = kept(codes)
    assert before > 0
    *found, certain = q.search(codes, y, exact=True, certified=True)
    agree(found, reference(q, codes, x, y, 10))
    assert kept(codes) == before
    assert certain.shape == (len(y),)


def test_an_exact_search_finds_what_the_bounds_overlook(rng):
    """Rows that are few-hot in the rotated basis, which take the chance from the signs' error."""
    d, n = 128, 6000
    q = bq.Eden(d, 1)
    few = np.zeros((n, d))
    few[np.arange(n)[:, None], rng.integers(d, size=(n, 2))] = rng.standard_normal((n, 2))
    x = (few @ q.rotate(np.eye(d))).astype(np.float32)
    y = rng.standard_normal((100, d)).astype(np.float32)
    codes = q.encode(x)
    found, expected = q.search(codes, y, exact=True), reference(q, codes, x, y, 10)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)
