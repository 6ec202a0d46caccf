"""Search of rows that no encoder makes: damaged scalars, random bytes, and zeros alone."""

import numpy as np
import pytest

import blockquant as bq
from searches import METRICS, QUANTIZERS, make, rows


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, -1.0, 1e-42, 3e38])
@pytest.mark.parametrize("metric", METRICS)
def test_damaged_scalars(rng, bad, metric):
    """Nothing panics, every position is valid and stands once, and NaN never comes first."""
    q = bq.BlockQuant(100, 2, store_norm=True)
    x, y = rows(rng, "Gaussian", 900, 100)
    codes = q.encode(x)
    for damaged in ("scale", "norm"):
        arrays = {name: getattr(codes, name).copy() for name in ("scale", "norm")}
        arrays[damaged][::3] = bad
        some = bq.Codes(codes.packed, arrays["scale"], arrays["norm"], None, 100, codes.made_by)
        for queries in (y, y[:1], y[:1], y[:1]):
            score, index = q.search(some, queries, 20, metric)
            assert index.shape == (len(queries), 20)
            assert all(len(set(line)) == 20 for line in index)
            assert ((index >= 0) & (index < len(x))).all()
            assert not np.isnan(score).any()


def test_indexes_beyond_the_last_and_random_bytes(rng):
    """Bits after the last index of a row never count, and any bytes are codes of some row."""
    for name, dim, options in QUANTIZERS:
        q = make(name, dim, options)
        shape = q.encode(np.ones((1, dim))).packed.shape[1]
        some = q.encode(rng.standard_normal((300, dim)))
        packed = rng.integers(0, 256, (300, shape), dtype=np.uint8)
        gamma = some.residual_norm
        codes = bq.Codes(packed, some.scale, some.norm, gamma, dim, some.made_by)
        y = rng.standard_normal((6, dim))
        estimates = q.inner_product(codes, y)
        for queries in (slice(None), slice(0, 1), slice(0, 1), slice(0, 1)):
            score, index = q.search(codes, y[queries], 300)
            np.testing.assert_array_equal(
                score, np.take_along_axis(estimates[queries], index, axis=1)
            )
            found = q.search(codes, y[queries], 10)[0]
            # Rows of random indexes are far from what the law of the signs is for.
            assert np.mean(found != score[:, :10]) <= 0.2


def test_zero_rows_alone_and_zero_queries():
    q = bq.Eden(64, 2, store_norm=True)
    codes = q.encode(np.zeros((700, 64)))
    y = np.zeros((5, 64))
    y[1:3] = 1
    for metric in METRICS:
        for some in (y, y[:1], y[:1], y[1:2], y[1:2]):
            score, index = q.search(codes, some, 10, metric)
            np.testing.assert_array_equal(index, np.tile(np.arange(10), (len(some), 1)))
            assert (score == score[:, :1]).all()
