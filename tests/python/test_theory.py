"""Measurements confirm docs/specification.md, sections 1 and 2.

Section 1 has identities, unbiasedness, variance and the law of intervals; section 2 has the quality
of rotations.
"""

import math

import numpy as np
import pytest
from scipy import stats

import blockquant as bq
import reference as ref
from support import FAMILIES, cosines, families, rotate

RATES = [1, 2, 3, 4]
METHODS = ["blockquant", "eden", "rabitq", "trellis"]


def squared_sine(x, x_hat):
    return 1 - cosines(x, x_hat) ** 2


def loss(x, x_hat):
    x = x.astype(np.float64)
    return np.sum((x - x_hat) ** 2, axis=1) / np.sum(x**2, axis=1)


@pytest.mark.parametrize("rotation", ["haar", "hadamard"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bits", RATES)
@pytest.mark.parametrize("dim", [50, 96])
def test_error_of_every_row(rng, rotation, method, bits, dim):
    """|x - x_hat|^2/|x|^2 is exactly sin^2 for `mse` and tan^2 for `unbiased`, in every row."""
    x = (rng.standard_normal((40, dim)) * 7).astype(np.float32)
    for scale in ("mse", "unbiased"):
        q = bq.create(f"{method}/{scale}", dim=dim, bits=bits, rotation=rotation)
        x_hat = q.decode(q.encode(x))
        sine = squared_sine(x, x_hat)
        want = sine if scale == "mse" else sine / (1 - sine)
        np.testing.assert_allclose(loss(x, x_hat), want, rtol=2e-3, atol=1e-6)
        along = np.sum(x.astype(float) * x_hat, axis=1) / np.sum(x.astype(float) ** 2, axis=1)
        np.testing.assert_allclose(along, 1 - sine if scale == "mse" else np.ones(40), atol=1e-5)


@pytest.mark.parametrize("dim", [30, 64])
def test_scales_share_one_code(rng, dim):
    x = rng.standard_normal((20, dim)).astype(np.float32)
    for method in ("blockquant", "trellis"):
        scales = "none", "mse", "unbiased"
        codes = [bq.create(f"{method}/{s}", dim=dim, bits=2).encode(x) for s in scales]
        for other in codes[1:]:
            np.testing.assert_array_equal(codes[0].packed, other.packed)
    one_bit = bq.create("rabitq", dim=dim, bits=1), bq.create("eden", dim=dim, bits=1)
    np.testing.assert_array_equal(one_bit[0].encode(x).packed, one_bit[1].encode(x).packed)
    x_hat = [q.decode(q.encode(x)) for q in one_bit]
    np.testing.assert_allclose(x_hat[0], x_hat[1], atol=1e-5)


def errors_over_seeds(name, rotation, bits, dim, seeds, pairs):
    """Error, tan, |y perp|, <x, y> and sin^2 for each seed and pair of unit rows (x, y).

    <x, y> is about 0.6.
    """
    generator = np.random.default_rng(11)
    x = generator.standard_normal((pairs, dim))
    x[0] = np.eye(dim)[0]
    x[1] = 1 / np.arange(1, dim + 1)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    y = 0.6 * x + 0.8 * generator.standard_normal((pairs, dim)) / math.sqrt(dim)
    y /= np.linalg.norm(y, axis=1, keepdims=True)
    x32, true = x.astype(np.float32), np.sum(x * y, axis=1)
    out = []
    for seed in range(seeds):
        q = bq.create(name, dim=dim, bits=bits, rotation=rotation, seed=seed)
        x_hat = q.decode(q.encode(x32)).astype(np.float64)
        sine = squared_sine(x, x_hat)
        out.append(
            (
                np.sum((x_hat - x) * y, axis=1),
                np.sqrt(sine / (1 - sine)),
                np.sqrt(1 - true**2),
                true,
                sine,
            )
        )
    return [np.array(column) for column in zip(*out, strict=True)]


@pytest.mark.parametrize("rotation", ["haar", "hadamard"])
@pytest.mark.parametrize("name", [*(f"{method}/unbiased" for method in METHODS), "turboquant/prod"])
@pytest.mark.parametrize("bits", [1, 2])
def test_unbiased_inner_products(rotation, name, bits):
    """The mean error over rotation seeds is within 4.5 standard errors of 0 for each of 6 pairs."""
    error = errors_over_seeds(name, rotation, bits, 64, 400, 6)[0]
    deviation = error.mean(axis=0) / (error.std(axis=0, ddof=1) / math.sqrt(len(error)))
    assert np.abs(deviation).max() < 4.5, deviation


@pytest.mark.parametrize("rotation", ["haar", "hadamard"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scale", ["mse", "unbiased"])
def test_bias_and_variance(rotation, method, scale):
    """The bias is -sin^2 <x, y> or 0, the variance E[sin^2 cos^2] or E[tan^2] times a factor.

    The factor is (1 - <x, y>^2)/(d - 1). With 400 seeds of 6 pairs the mean square has a relative
    standard error near sqrt(2/2400) = 3 %; the test allows 13 %.
    """
    dim = 64
    error, tangent, perp, true, sine = errors_over_seeds(
        f"{method}/{scale}", rotation, 2, dim, 400, 6
    )
    bias = -sine * true if scale == "mse" else np.zeros_like(true)
    spread = sine * (1 - sine) if scale == "mse" else tangent**2
    ratio = np.mean((error - bias) ** 2) / np.mean(spread * perp**2 / (dim - 1))
    assert abs(ratio - 1) < 0.13


@pytest.mark.parametrize("rotation", ["haar", "hadamard"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("dim", "bits"), [(20, 1), (64, 2), (100, 3)])
def test_exact_interval_law(rotation, method, dim, bits):
    """(error / (|x| tan |y perp|))^2 has the law Beta(1/2, (d - 2)/2).

    Each of 4 pairs passes a Kolmogorov-Smirnov test over 400 seeds.
    """
    error, tangent, perp, _, _ = errors_over_seeds(
        f"{method}/unbiased", rotation, bits, dim, 400, 4
    )
    t = error / (tangent * perp)
    for column in range(4):
        p_value = stats.kstest(t[:, column] ** 2, stats.beta(0.5, (dim - 2) / 2).cdf).pvalue
        assert p_value > 1e-4, (column, p_value)
        assert abs(np.mean(t[:, column] > 0) - 0.5) < 4.5 * 0.5 / math.sqrt(len(t))


@pytest.mark.parametrize("bits", RATES)
@pytest.mark.parametrize(
    "name",
    [
        "blockquant/none",
        "blockquant/mse",
        "blockquant/unbiased",
        "eden/mse",
        "eden/unbiased",
        "turboquant/mse",
        "turboquant/prod",
        "rabitq/unbiased",
        "trellis/none",
        "trellis/mse",
        "trellis/unbiased",
    ],
)
def test_theory_nmse(rng, name, bits):
    """The closed forms agree with Gaussian rows within 2 % and four standard errors."""
    dim = 256
    expected = bq.theory.nmse(name, bits=bits, dim=dim)
    x = rng.standard_normal((300, dim)).astype(np.float32)
    q = bq.create(name, dim=dim, bits=bits)
    measured = loss(x, q.decode(q.encode(x)))
    noise = measured.std() / math.sqrt(len(measured))
    assert abs(measured.mean() - expected) < 0.02 * expected + 4 * noise
    assert expected > 4.0**-bits


@pytest.mark.parametrize("dim", [8, 50, 64, 96, 100, 128, 384, 768, 1000, 1536, 1537])
def test_hadamard_is_as_good_as_haar(dim):
    """The mean 2-bit nmse of each family is within 1 % of the distortion under the exact law.

    That distortion is the mean of Haar itself. About 200,000 coordinates per family give a standard
    error below 0.4 %, and two standard errors widen the bound.
    """
    seeds = max(40, 200_000 // dim)
    levels = ref.lloyd_max("sphere", dim, 2)
    wanted = ref.distortion("sphere", dim, levels)
    generator, results = np.random.default_rng(dim), []
    for seed in range(seeds):
        x = families(dim, generator)
        z = rotate(bq.Eden(dim, 2, seed=seed), x).astype(np.float64)
        u = math.sqrt(dim) * z / np.linalg.norm(z, axis=1, keepdims=True)
        results.append(np.mean((u - levels[ref.nearest_level(u, levels)]) ** 2, axis=1))
    mean = np.mean(results, axis=0) / wanted
    error = np.std(results, axis=0, ddof=1) / math.sqrt(seeds) / wanted
    wrong = {
        n: (m, e)
        for n, m, e in zip(FAMILIES, mean, error, strict=True)
        if abs(m - 1) > 0.01 + 2 * e
    }
    assert not wrong


@pytest.mark.parametrize("rotation", ["haar", "hadamard"])
@pytest.mark.parametrize("dim", [1, 2, 3, 7, 8, 50, 64, 130, 384])
def test_rotations_are_orthogonal(rotation, dim):
    q = bq.Eden(dim, 1, rotation=rotation, seed=2)
    matrix = rotate(q, np.eye(dim, dtype=np.float32)).astype(np.float64)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(dim), atol=1e-5)
    back = np.asarray(q._core.unrotate(matrix.astype(np.float32)))
    np.testing.assert_allclose(back, np.eye(dim), atol=1e-5)
    other = rotate(bq.Eden(dim, 1, rotation=rotation, seed=3), np.eye(dim, dtype=np.float32))
    assert dim < 8 or not np.allclose(matrix, other)


def test_haar_moments():
    """The entries of a Haar matrix have mean 0, variance 1/d and fourth moment 3/(d(d + 2))."""
    dim, seeds = 12, 300
    m = np.array(
        [
            rotate(bq.Eden(dim, 1, rotation="haar", seed=s), np.eye(dim, dtype=np.float32))
            for s in range(seeds)
        ],
        float,
    )
    assert np.abs(m.mean(axis=0)).max() < 5 / math.sqrt(dim * seeds)
    assert abs(np.mean(m**4) * dim * (dim + 2) / 3 - 1) < 0.03
    assert np.abs(np.mean(m**2, axis=0) * dim - 1).max() < 5 * math.sqrt(2 / seeds)
    trace = np.trace(m, axis1=1, axis2=2)
    assert abs(trace.mean()) < 5 / math.sqrt(seeds)
    assert abs(trace.var() - 1) < 5 * math.sqrt(2 / seeds)
