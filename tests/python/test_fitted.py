"""Codes along fitted axes in Python: against NumPy, through pickles, files, shards and an index, on
real rows, and what is refused."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import numpy as np
import pytest
from numpy.typing import NDArray

import blockquant as bq
import reference
from blockquant.tables import quantizer_of

#: The label of the seed of the first group.
GROUPS = 0x6772_6F75_7000


@pytest.fixture(scope="module")
def rows() -> NDArray[np.float32]:
    """Rows with a mean, falling variances and random axes."""
    rng = np.random.default_rng(1)
    turn = np.linalg.qr(rng.standard_normal((96, 96)))[0]
    z = rng.standard_normal((2000, 96)) / np.sqrt(1 + np.arange(96))
    return (z @ turn + rng.standard_normal(96)).astype(np.float32)


@pytest.fixture(scope="module")
def axes(rows: NDArray[np.float32]) -> bq.Axes:
    return bq.fit(rows[:1000])


def decoded(q: bq.Quantizer, codes: bq.Codes) -> NDArray[np.float64]:
    """The rows of the bytes, from what quantizers of the groups decode, in float64."""
    at, first = 0, 0
    model, groups = q.axes, q.groups
    assert model is not None
    assert groups is not None
    scalars = sum(-(-int(count * bits) // 8) for _, count, bits in groups)
    fields = codes.packed[:, scalars + 2 :]
    bits_of = np.unpackbits(fields, axis=1, bitorder="little")
    shares = bits_of[:, : 12 * len(groups)].reshape(len(codes), -1, 12) @ (1 << np.arange(12))
    gains = np.where(shares == 4095, 0.0, 2.0 ** (2 - shares / 372))
    out = np.zeros((len(codes), q.dim))
    for place, (method, count, bits) in enumerate(groups):
        seed = reference.first_draw(q.seed, GROUPS + place)
        part = bq.create(method, dim=count, bits=bits, seed=seed)
        size = part.encode(np.zeros((1, count), np.float32)).packed.shape[1]
        packed = np.ascontiguousarray(codes.packed[:, at : at + size])
        ones = np.ones(len(codes), np.float32)
        z = part.decode(bq.Codes(packed, ones, None, None, count, repr(part)))
        out += gains[:, [place]] * (z.astype(np.float64) @ model.axes[first : first + count])
        at, first = at + size, first + count
    return model.mean + codes.scale[:, None] * out


@pytest.mark.parametrize("name", ["trellis", "eden", "blockquant", "rabitq"])
@pytest.mark.parametrize("bits", [5, 6, 8])
def test_short_groups_keep_their_rows_at_high_rates(name: str, bits: int) -> None:
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((8000, 256)) * 0.97 ** np.arange(256)).astype(np.float32)
    q = bq.create(name, dim=256, bits=bits, axes=bq.fit(x[:6000]))
    x = x[6000:]
    error = np.sum((q.decode(q.encode(x)) - x) ** 2) / np.sum(x.astype(np.float64) ** 2)
    assert q.predicted is not None
    assert error < 1.3 * q.predicted.nmse


def test_what_each_group_has_of_its_own_is_refused(
    rows: NDArray[np.float32], axes: bq.Axes
) -> None:
    q = bq.create("blockquant", dim=96, bits=2, axes=axes)
    codes = q.encode(rows[:3])
    for call in (
        lambda: q.rotate(rows[:3]),
        q.codebook,
        q.tail_codebook,
        lambda: q.indices(codes),
    ):
        with pytest.raises(ValueError, match="along fitted axes each group of axes has a"):
            call()


def test_products_of_the_mean_that_overflow_are_refused() -> None:
    x = (bq.sample()[0] * np.float32(1e20) + np.float32(3e20)).astype(np.float32)
    q = bq.create("trellis", dim=384, bits=2, axes=bq.fit(x[:1536]))
    with pytest.raises((ValueError, OverflowError), match=r"row 0 .*product of mean and x − mean"):
        q.encode(x[1536:])


@pytest.mark.filterwarnings("ignore:.*few for axes")
def test_a_sample_without_variance_gives_all_axes_bits() -> None:
    q = bq.create("trellis", dim=64, bits=4, axes=bq.fit(np.ones((500, 64), np.float32)))
    assert q.groups is not None
    assert sum(axes * bits for _, axes, bits in q.groups) > 3.5 * 64


def test_an_arrow_column_comes_back_with_the_model(
    rows: NDArray[np.float32], axes: bq.Axes
) -> None:
    for reserve in (0.0, 0.5):
        q = bq.create("eden", dim=96, bits=2, axes=axes, reserve=reserve, store_norm=True)
        codes = q.encode(rows[:50])
        back, held = bq.from_arrow(q.to_arrow(codes), axes=axes)
        assert (back, held, repr(back)) == (q, codes, repr(q))
    assert q.groups != bq.create("eden", dim=96, bits=2, axes=axes, store_norm=True).groups
    column = q.to_arrow(codes)
    with pytest.raises(ValueError, match="whose axes no column holds: pass the model as axes="):
        bq.from_arrow(column)
    with pytest.raises(ValueError, match="along other axes than these: <Axes of 500 rows"):
        bq.from_arrow(column, axes=bq.fit(rows[500:1000]))
    with pytest.raises(ValueError, match=r"in other groups of them, which only q\.to_arrow"):
        bq.from_arrow(codes.to_arrow(), axes=axes)  # has no groups, which the reserve has changed
    for groups in ([["eden", -1, 2]], [["eden", 10**30, 2]], [["eden", 96, 10**400]]):
        described = dataclasses.replace(codes._described(), groups=tuple(map(tuple, groups)))
        with pytest.raises(ValueError, match="column was made by"):
            quantizer_of(described, "column", axes)
    with pytest.raises(TypeError, match="axes is ndarray, expected what `fit` returns"):
        bq.from_arrow(column, axes=rows)
    plain = bq.create("eden", dim=96, bits=2)
    with pytest.raises(ValueError, match="which has no axes: leave axes= out"):
        bq.from_arrow(plain.to_arrow(plain.encode(rows[:5])), axes=axes)


@pytest.mark.parametrize("name", ["trellis", "eden", "blockquant", "rabitq"])
@pytest.mark.parametrize("bits", [2, 4])
def test_bytes_are_what_the_layout_says(
    rows: NDArray[np.float32], axes: bq.Axes, name: str, bits: float
) -> None:
    q = bq.create(name, dim=96, bits=bits, axes=axes, seed=5)
    codes = q.encode(rows[1000:1100])
    np.testing.assert_allclose(q.decode(codes), decoded(q, codes), atol=2e-5)
    assert codes.nbytes / len(codes) <= 96 * bits // 8 + 8


def test_estimates_beat_plain_codes_at_the_same_bytes(
    rows: NDArray[np.float32], axes: bq.Axes
) -> None:
    x, y = rows[1000:], rows[:50]
    truth = y.astype(np.float64) @ x.T.astype(np.float64)
    for bits in (1, 2, 4):
        fitted = bq.create("trellis", dim=96, bits=bits, axes=axes, criterion="inner_product")
        plain = bq.create("trellis", dim=96, bits=bits, center=rows[:1000])
        codes = [q.encode(x) for q in (fitted, plain)]
        assert codes[0].nbytes <= codes[1].nbytes
        pairs = zip((fitted, plain), codes, strict=True)
        errors = [np.square(q.inner_product(held, y) - truth).mean() for q, held in pairs]
        assert errors[0] < 0.85 * errors[1]


def test_criteria_are_best_at_what_they_are_for(rows: NDArray[np.float32], axes: bq.Axes) -> None:
    x, y = rows[1000:], rows[:100]
    truth = y.astype(np.float64) @ x.T.astype(np.float64)
    products, squares = {}, {}
    for criterion in ("reconstruction", "inner_product"):
        q = bq.create("trellis/mse", dim=96, bits=1.5, axes=axes, criterion=criterion)
        codes = q.encode(x)
        squares[criterion] = np.square(q.decode(codes) - x).mean()
        q = bq.create("trellis", dim=96, bits=1.5, axes=axes, criterion=criterion)
        products[criterion] = np.square(q.inner_product(q.encode(x), y) - truth).mean()
    assert squares["reconstruction"] <= squares["inner_product"]
    assert products["inner_product"] <= products["reconstruction"]


@pytest.mark.parametrize("metric", ["ip", "l2", "cosine"])
def test_search_ranks_by_the_estimates(
    rows: NDArray[np.float32], axes: bq.Axes, metric: str
) -> None:
    x, y = rows[1000:], rows[:20]
    q = bq.create("trellis", dim=96, bits=4, axes=axes)
    codes = q.encode(x)
    _, index = q.search(codes, y, 5, metric, exact=True)
    estimates = q.inner_product(codes, y).astype(np.float64)
    norms = q.norms(codes)
    assert norms is not None
    np.testing.assert_allclose(norms, np.linalg.norm(x, axis=1), rtol=2e-4)
    lengths = np.linalg.norm(y, axis=1)[:, None]
    if metric == "l2":
        estimates = -(norms.astype(np.float64) ** 2 + lengths**2 - 2 * estimates)
    elif metric == "cosine":
        estimates = estimates / norms / lengths
    best = np.take_along_axis(estimates, index, axis=1)
    least = -np.sort(-estimates, axis=1)[:, 4:5]
    assert (best >= least - 5e-3 * np.abs(least).max()).all()
    found = q.search(codes, x[:30], 1, "l2")[1][:, 0]
    assert (found == np.arange(30)).mean() > 0.95


def test_bounds_hold_on_rows_that_were_not_fitted(rows: NDArray[np.float32], axes: bq.Axes) -> None:
    x, y = rows[1000:], rows[:60]
    truth = y.astype(np.float64) @ x.T.astype(np.float64)
    for bits in (2, 4, 6):
        for scale in ("unbiased", "mse"):
            q = bq.create(f"trellis/{scale}", dim=96, bits=bits, axes=axes, store_norm=True)
            low, high = q.interval(q.encode(x), y, 0.9)
            # Pairs of one row share its error.
            assert ((low <= truth) & (truth <= high)).mean() > 0.89


def test_a_quantizer_is_the_same_after_copies_pickles_and_files(
    rows: NDArray[np.float32], axes: bq.Axes, tmp_path
) -> None:
    q = bq.create("trellis", dim=96, bits=2, axes=axes, criterion="reconstruction")
    codes = q.encode(rows)
    for other in (pickle.loads(pickle.dumps(q)), copy.deepcopy(q), copy.copy(q)):
        assert other == q
        assert hash(other) == hash(q)
        assert other.groups == q.groups
        assert other.encode(rows) == codes
    path = tmp_path / "codes.safetensors"
    bq.save(path, q, codes)
    loaded, held = bq.load(path)
    assert loaded == q
    assert held == codes
    assert repr(loaded) == repr(q)
    np.testing.assert_array_equal(loaded.decode(held), q.decode(codes))
    assert q.codes_from(codes.to_bytes(), len(codes)) == codes
    assert bq.Codes.from_arrow(q.to_arrow(codes), q) == codes
    joined = q.encode(rows[:10])
    joined.append(q.encode(rows[10:]))
    assert joined == codes
    index = bq.Index(dim=96, bits=2, method="trellis", axes=axes, criterion="reconstruction")
    ids = index.add(rows)
    assert index.search(rows[:5], k=1, metric="l2")[1][:, 0].tolist() == list(ids[:5])
    other = bq.create(
        "trellis", dim=96, bits=2, axes=bq.fit(rows[500:]), criterion="reconstruction"
    )
    assert other != q
    with pytest.raises(ValueError, match="the codes were made by"):
        other.decode(codes)


def test_shards_take_axes(rows: NDArray[np.float32], axes: bq.Axes, tmp_path) -> None:
    np.save(tmp_path / "rows.npy", rows)
    q = bq.create("trellis", dim=96, bits=2, axes=axes)
    shards = bq.shards.encode(str(tmp_path / "rows.npy"), tmp_path / "codes", q, shard_rows=700)
    _, found = q.search(q.encode(rows), rows[:4], 3)
    np.testing.assert_array_equal(shards.search(rows[:4], k=3)[1], found)
    again = bq.shards.encode(str(tmp_path / "rows.npy"), tmp_path / "codes", q, shard_rows=700)
    assert len(again) == len(rows)


def test_what_is_wrong_is_named(axes: bq.Axes) -> None:
    for options, error, text in [
        ({"axes": "model.bq"}, TypeError, "axes is str, expected what `fit` returns"),
        ({"axes": axes, "criterion": 3}, TypeError, "criterion is int, expected str"),
        ({"axes": axes, "criterion": "speed"}, ValueError, 'criterion="speed", expected one of'),
        ({"criterion": "recall"}, ValueError, "criterion is an option of fitted axes"),
        ({"axes": axes, "center": np.zeros(96)}, ValueError, "center is not an option"),
        ({"axes": axes, "bits": 0.1}, ValueError, "too few for a group of axes"),
    ]:
        with pytest.raises(error, match=text):
            bq.create("trellis", **{"dim": 96, "bits": 2, **options})
    with pytest.raises(ValueError, match="axes of rows of 96 coordinates, expected dim=95"):
        bq.Eden(dim=95, bits=2, axes=axes)
