"""Fitted axes: against NumPy, for any division of the rows, and copies of the model."""

import copy
import os
import pickle
import subprocess
import sys
import warnings

import ml_dtypes
import numpy as np
import pytest

import blockquant as bq

pytestmark = pytest.mark.filterwarnings("ignore:.* few for axes")


def sample(rng, rows, dim):
    """Rows of correlated coordinates with spreads from 1 to 0.01."""
    spread = 100.0 ** (-np.arange(dim) / dim)
    mixing = np.linalg.qr(rng.standard_normal((dim, dim)))[0]
    return ((rng.standard_normal((rows, dim)) * spread) @ mixing + 0.3).astype(np.float32)


def constant(rng, rows, dim):
    x = sample(rng, rows, dim)
    x[:, ::2] = 7
    return x


def massive(rng, rows, dim):
    """Few rows with an enormous coordinate, the first row among them."""
    x = sample(rng, rows, dim)
    x[::40, dim // 2] = 25_000
    return x


KINDS = {
    "plain": sample,
    "far": lambda rng, rows, dim: sample(rng, rows, dim) + np.float32(1e4),
    "constant": constant,
    "massive": massive,
    "short": lambda rng, rows, dim: sample(rng, dim // 3 + 2, dim),
    "long": lambda rng, rows, dim: sample(rng, rows, dim) * np.float32(1e15),
    "tiny": lambda rng, rows, dim: sample(rng, rows, dim) * np.float32(1e-15),
}


@pytest.mark.parametrize("dim", [1, 2, 17, 100])
@pytest.mark.parametrize("kind", KINDS)
def test_the_fit_is_that_of_numpy(rng, kind, dim):
    x = KINDS[kind](rng, 333, dim)
    axes = bq.fit(x, shrinkage=0)
    exact = x.astype(np.float64)
    covariance = np.cov(exact.T).reshape(dim, dim)
    values = np.linalg.eigvalsh(covariance)[::-1]
    most = max(values[0], 1e-300)
    np.testing.assert_allclose(axes.mean, exact.mean(0), rtol=3e-7, atol=1e-7 * np.sqrt(most))
    np.testing.assert_allclose(axes.variances, np.maximum(values, 0), rtol=0, atol=1e-12 * most)
    v = axes.axes.astype(np.float64)
    np.testing.assert_allclose(v @ v.T, np.eye(dim), atol=5e-7)
    np.testing.assert_allclose((v.T * axes.variances) @ v, covariance, rtol=0, atol=1e-6 * most)
    # The first of the largest entries of an axis is positive.
    largest = np.abs(v).argmax(axis=1)
    assert (v[np.arange(dim), largest] > 0).all()
    assert (np.diff(axes.variances) <= 0).all()
    assert (axes.rows, axes.dim, axes.shrinkage) == (len(x), dim, 0)
    assert axes.query_variances is None


def test_the_largest_and_the_smallest_floats(rng):
    for scale in (1e38, 1e-44):
        x = (rng.choice([-1.0, 1.0, 2.0], (300, 5)) * scale).astype(np.float32)
        variances = bq.fit(x, shrinkage=0).variances
        expected = np.linalg.eigvalsh(np.cov(x.T.astype(np.float64)))[::-1]
        np.testing.assert_allclose(variances, expected, rtol=1e-12)


def test_shrinkage_is_estimated_as_the_paper_says(rng):
    x = sample(rng, 50, 20)
    s = np.cov(x.T.astype(np.float64))
    p, n = 20, 49
    square, trace = np.trace(s @ s), np.trace(s)
    above = (1 - 2 / p) * square + trace**2
    below = (n + 1 - 2 / p) * (square - trace**2 / p)
    axes = bq.fit(x)
    assert axes.shrinkage == pytest.approx(min(1, above / below), rel=1e-9)
    own = bq.fit(x, shrinkage=0).variances
    expected = (1 - axes.shrinkage) * own + axes.shrinkage * own.mean()
    np.testing.assert_allclose(axes.variances, expected, rtol=1e-12)
    np.testing.assert_allclose(bq.fit(x, shrinkage=1).variances, own.mean(), rtol=1e-12)


def test_variances_of_queries(rng):
    x, y = sample(rng, 300, 24), sample(rng, 40, 24) * 3
    axes = bq.fit(x, y)
    expected = (((y - axes.mean.astype(np.float64)) @ axes.axes.T) ** 2).mean(0)
    np.testing.assert_allclose(axes.query_variances, expected, rtol=1e-5)


@pytest.mark.parametrize("rows", [1, 2, 100])
def test_constant_rows(rows):
    axes = bq.fit(np.full((rows, 3), 2.5, np.float32), [[2.5, 3.5, 2.5]])
    assert axes.mean.tolist() == [2.5] * 3
    assert axes.variances.tolist() == [0] * 3
    assert axes.query_variances.sum() == 1
    assert (axes.effective_dim, axes.share(2)) == (0, 0)
    assert "share of variance: 1 axis 0" in axes.describe()


def test_any_division_of_the_rows_gives_the_same_bits(rng):
    x = sample(rng, 1000, 40)
    expected = bq.fit(x)
    for size in (1, 7, 64, 65, 999):
        parts = [x[start : start + size] for start in range(0, 1000, size)]
        assert bq.fit(iter(parts)) == expected
        fit = bq.AxesFit(40)
        for part in parts:
            fit.add(part[0] if len(part) == 1 else part)
        assert (fit.rows, fit.finish()) == (1000, expected)
    assert bq.fit([x[:300], x[300:]]) == expected
    before = bq.num_threads()
    try:
        for count in (1, 2, 5):
            bq.set_num_threads(count)
            assert bq.fit(x) == expected
    finally:
        bq.set_num_threads(before)


def test_every_instruction_set_gives_the_same_bits(rng, tmp_path):
    np.save(tmp_path / "x.npy", sample(rng, 500, 30))
    script = "import sys, blockquant as bq; print(bq.isa(), bq.fit(sys.argv[1]).digest)"
    found = {}
    for isa in bq.available_isa():
        done = subprocess.run(
            [sys.executable, "-c", script, tmp_path / "x.npy"],
            env={**os.environ, "BLOCKQUANT_ISA": isa},
            capture_output=True,
            text=True,
            check=True,
        )
        name, digest = done.stdout.split()
        assert name == isa
        found[isa] = digest
    assert set(found.values()) == {bq.fit(tmp_path / "x.npy").digest}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_types_and_strides(rng, dtype):
    x = sample(rng, 200, 12).astype(getattr(ml_dtypes, dtype, dtype))
    expected = bq.fit(x.astype(np.float32))
    assert bq.fit(x) == expected
    assert bq.fit(np.asfortranarray(x)) == expected
    assert bq.fit(np.repeat(x, 3, axis=1)[:, ::3]) == expected
    assert bq.fit(x[::-1][::-1]) == expected
    assert bq.fit(x.astype(np.float64).tolist()) == expected


def test_merged_fits_equal_one_fit_to_within_rounding(rng):
    x = np.concatenate([sample(rng, 300, 20), 5 * sample(rng, 200, 20) - 3])
    whole = bq.fit(x, x[:90])
    parts = [bq.AxesFit(20) for _ in range(4)]
    for part, rows in zip(parts, np.split(x, [30, 64, 301]), strict=True):
        part.add(rows)
    parts[0].add_queries(x[:20])
    parts[3].add_queries(x[20:90])
    merged = pickle.loads(pickle.dumps(parts[0]))
    for part in parts[1:]:
        merged.merge(pickle.loads(pickle.dumps(part)))
    assert (parts[0].rows, merged.rows, merged.queries) == (30, 500, 90)
    found = merged.finish()
    np.testing.assert_allclose(found.variances, whole.variances, rtol=1e-9)
    np.testing.assert_allclose(found.mean, whole.mean, rtol=1e-6)
    np.testing.assert_allclose(found.axes, whole.axes, atol=1e-4)
    np.testing.assert_allclose(found.query_variances, whole.query_variances, rtol=1e-4)
    twice = copy.copy(merged)
    twice.merge(twice)
    assert (twice.rows, merged.rows) == (1000, 500)
    np.testing.assert_allclose(
        twice.finish(0).variances, merged.finish(0).variances * (998 / 999), rtol=1e-9
    )


def test_a_translation_moves_the_mean_alone(rng):
    x = np.round(sample(rng, 400, 16) * 1024)
    own, moved = bq.fit(x), bq.fit(x + np.float32(4096))
    np.testing.assert_array_equal(moved.mean, own.mean + np.float32(4096))
    np.testing.assert_allclose(moved.variances, own.variances, rtol=1e-10)
    np.testing.assert_allclose(moved.axes, own.axes, atol=1e-5)


def test_scaling_and_rotation_of_the_rows(rng):
    x = sample(rng, 400, 16)
    own, scaled = bq.fit(x), bq.fit(x * np.float32(8))
    np.testing.assert_array_equal(scaled.axes, own.axes)
    np.testing.assert_array_equal(scaled.variances, own.variances * 64)
    turned = bq.fit(x[:, ::-1])
    np.testing.assert_allclose(turned.variances, own.variances, rtol=1e-10)
    np.testing.assert_allclose(np.abs(turned.axes[:, ::-1]), np.abs(own.axes), atol=1e-5)


def test_a_permutation_changes_rounding_alone(rng):
    x = sample(rng, 400, 16)
    own, other = bq.fit(x), bq.fit(rng.permutation(x))
    np.testing.assert_allclose(other.variances, own.variances, rtol=1e-11)
    np.testing.assert_allclose(other.axes, own.axes, atol=1e-5)


def test_copies_and_pickles(rng, tmp_path):
    axes = bq.fit(sample(rng, 99, 9), sample(rng, 9, 9))
    axes.mean  # noqa: B018  what is kept is not pickled twice
    twins = [pickle.loads(pickle.dumps(axes, p)) for p in range(pickle.HIGHEST_PROTOCOL + 1)]
    axes.save(tmp_path / "axes")
    twins.append(bq.Axes.load(tmp_path / "axes"))
    twins.append(bq.Axes.load(os.fsencode(tmp_path / "axes")))
    for twin in twins:
        assert twin == axes
        assert hash(twin) == hash(axes)
        assert repr(twin) == repr(axes)
        for name in ("mean", "axes", "variances", "query_variances"):
            array = getattr(twin, name)
            np.testing.assert_array_equal(array, getattr(axes, name))
            assert array is getattr(twin, name)
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 0
    assert copy.copy(axes) is copy.deepcopy(axes) is axes
    others = [bq.fit(sample(rng, 99, 9)), bq.fit(axes.axes), None, "axes"]
    assert all(axes != other for other in others)
    assert len({axes, *twins, others[0]}) == 2


def test_a_fit_goes_on_after_it_was_copied_or_pickled(rng):
    x = sample(rng, 300, 10)
    expected = bq.fit(x)
    fit = bq.AxesFit(10)
    fit.add(x[:100])
    twins = [copy.copy(fit), copy.deepcopy(fit), pickle.loads(pickle.dumps(fit))]
    for twin in twins:
        assert repr(twin) == "<AxesFit of 100 rows and 0 queries, d = 10>"
        twin.add(x[100:])
        assert twin.finish() == expected
    assert fit.rows == 100


def test_a_subclass_keeps_its_attributes(rng):
    fit = Noted(10)
    fit.add(sample(rng, 50, 10))
    for twin in (copy.copy(fit), pickle.loads(pickle.dumps(fit))):
        assert (type(twin), twin.note, twin.rows) == (Noted, "mine", 50)


class Noted(bq.AxesFit):
    def __init__(self, dim):
        super().__init__(dim)
        self.note = "mine"


def test_a_failed_call_adds_nothing(rng):
    x = sample(rng, 200, 6)
    fit = bq.AxesFit(6)
    fit.add(x[:70])
    before = pickle.dumps(fit)
    for value in (np.nan, np.inf, 1e39):
        bad = x.astype(np.float64)
        bad[150, 4] = value
        for add in (fit.add, fit.add_queries):
            with pytest.raises(ValueError, match="row 150, column 4 is"):
                add(bad)
            with pytest.raises(ValueError, match="has 5 columns, expected dim=6"):
                add(x[:, :5])
            with pytest.raises(TypeError, match="int"):
                add(np.ones((2, 6), int))
        assert pickle.dumps(fit) == before
    with pytest.raises(ValueError, match="cannot be merged"):
        fit.merge(bq.AxesFit(7))
    with pytest.raises(TypeError, match="expected AxesFit"):
        fit.merge(x)
    assert pickle.dumps(fit) == before


def test_wrong_arguments(rng):
    x = sample(rng, 100, 4)
    for wrong, error in ((-0.1, ValueError), (1.5, ValueError), (np.nan, ValueError)):
        with pytest.raises(error, match=r"shrinkage=.*, expected a number from 0 to 1"):
            bq.fit(x, shrinkage=wrong)
    with pytest.raises(TypeError, match="shrinkage='1'"):
        bq.fit(x, shrinkage="1")
    for dim, error in ((0, ValueError), (8193, ValueError), (2.0, TypeError)):
        with pytest.raises(error, match="dim="):
            bq.AxesFit(dim)
    with pytest.raises(ValueError, match="at least 1"):
        bq.AxesFit(4).finish()
    with pytest.raises(ValueError, match="at least 1"):
        bq.fit(x[:0])
    with pytest.raises(ValueError, match="no batches"):
        bq.fit(iter([]))
    with pytest.raises(ValueError, match="queries has 3 columns, expected dim=4"):
        bq.fit(x, x[:, :3])
    with pytest.raises(ValueError, match="after 100 rows: row 3, column 1 is NaN"):
        bq.fit(iter([x, np.where(np.arange(400).reshape(100, 4) == 13, np.nan, x)]))
    with pytest.raises(TypeError, match=r"blockquant\.fit"):
        bq.Axes()
    with pytest.raises(TypeError, match="sample is int"):
        bq.fit(5)
    with pytest.raises(ValueError, match="count=5"):
        bq.fit(x).share(5)


def test_pickles_that_were_damaged():
    fit = bq.AxesFit(3)
    fit.add(np.eye(3))
    data = fit._core.to_bytes()
    for bad in (b"", data[:-1], data + b"0", b"x" + data[1:]):
        with pytest.raises(ValueError, match=r"the bytes .* of a fit|the bytes of a fit"):
            bq._core.Fit.from_bytes(bad)


@pytest.mark.filterwarnings("default")
def test_few_rows_give_a_warning(rng):
    x = sample(rng, 400, 100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bq.fit(x)
        bq.fit(x[:3, :1])
    with pytest.warns(UserWarning, match=r"399 rows are few for axes of 100 .* 400 are") as caught:
        bq.fit(x[:399])
    assert caught[0].filename == __file__
    fit = bq.AxesFit(100)
    fit.add(x[0])
    with pytest.warns(UserWarning, match=r"1 row are few") as caught:
        fit.finish()
    assert caught[0].filename == __file__


def test_description(rng):
    axes = bq.fit(np.diag([2.0, 1.0, 1.0]).repeat(20, 0), shrinkage=0)
    assert axes.share(3) == 1
    assert 1 < axes.effective_dim < 3
    lines = axes.describe().splitlines()
    assert lines[0] == "axes of 60 rows, d = 3, without variances of queries"
    assert lines[2].startswith("share of variance: 1 axis .")
    assert lines[2].endswith("3 axes 1")
    assert repr(axes).startswith("<Axes of 60 rows, d = 3, effective dimension ")
