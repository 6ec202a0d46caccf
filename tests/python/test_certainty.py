"""Which of the rows that a search finds are certain."""

import numpy as np
import pytest

import blockquant as bq


@pytest.mark.parametrize("metric", ["ip", "l2", "cosine"])
def test_certified_rows_are_among_the_truly_best(sample, metric):
    x, y = sample[0], sample[1][:40]
    x = x * np.linspace(0.8, 1.2, len(x), dtype=np.float32)[:, None]
    product = y.astype(np.float64) @ x.T
    norm = np.linalg.norm(x, axis=1)
    merit = {"ip": product, "l2": 2 * product - norm**2, "cosine": product / norm}[metric]
    found_certain = 0
    for bits in (4, 8):
        q = bq.Eden(x.shape[1], bits, store_norm=True, seed=bits)
        codes = q.encode(x)
        for k in (1, 10):
            _, index, certain = q.search(codes, y, k, metric, certified=True, confidence=0.9)
            assert certain.shape == (len(y),)
            best = np.argsort(-merit, axis=1, kind="stable")[:, :k]
            right = [len(set(a) & set(b)) for a, b in zip(index, best, strict=True)]
            # A union bound over 2,000 rows: a failure in these 160 cases is not to be expected.
            assert (certain <= right).all()
            found_certain += certain.sum()
    assert found_certain > 40


def test_all_rows_are_certain_where_all_are_found(sample):
    x, y = sample[0][:30], sample[1][:3]
    q = bq.Eden(x.shape[1], 2, store_norm=True)
    codes = q.encode(x)
    for mask, count in ((None, 30), ([1, 5, 7], 3)):
        certain = q.search(codes, y, 50, mask=mask, certified=True)[2]
        assert certain.tolist() == [count] * 3


def test_what_cannot_be_certified(sample):
    x, y = sample[0][:30], sample[1][:3]
    q = bq.Eden(x.shape[1], 2)
    with pytest.raises(ValueError, match="store_norm"):
        q.search(q.encode(x), y, certified=True)
    q = bq.Eden(x.shape[1], 2, store_norm=True)
    with pytest.raises(ValueError, match="confidence"):
        q.search(q.encode(x), y, certified=True, confidence=1.5)


def test_rows_of_no_width_are_not_certain(rng):
    """Zero rows have intervals of one point, which prove nothing about the only other row."""
    x = np.zeros((300, 16), np.float32)
    x[0] = rng.standard_normal(16)
    q = bq.Eden(16, 1, store_norm=True)
    codes = q.encode(x)
    y = rng.standard_normal((50, 16)).astype(np.float32)
    _, index, certain = q.search(codes, y, 1, certified=True)
    low, high = q.interval(codes[:1], y, 1 - 0.01 / 300)
    open_question = ((low < 0) & (high > 0))[:, 0]
    assert open_question.any()
    assert (certain[open_question & (index[:, 0] != 0)] == 0).all()


def test_nothing_found_is_nothing_certain(sample):
    x, y = sample[0][:300], sample[1][:3]
    q = bq.Eden(x.shape[1], 2, store_norm=True)
    codes = q.encode(x)
    for some, mask in ((codes, []), (codes, np.zeros(300, bool)), (codes[:0], None)):
        for queries in (y, y[:0]):
            score, index, certain = q.search(some, queries, mask=mask, certified=True)
            assert score.shape == index.shape == (len(queries), 0)
            assert certain.dtype == np.int64
            assert certain.tolist() == [0] * len(queries)
    without = bq.Eden(x.shape[1], 2)
    with pytest.raises(ValueError, match="store_norm"):
        without.search(without.encode(x[:0]), y, certified=True)
