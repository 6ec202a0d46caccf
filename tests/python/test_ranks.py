"""Lists of the best, recall and ranks, where rows or scores may be equal."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from blockquant.measurement import _ranks
from blockquant.measurement._ranks import Best, products, ranks, recall

FINITE = st.floats(-4, 4, width=32)


@given(
    hnp.arrays(np.float32, st.tuples(st.just(3), st.integers(1, 60)), elements=FINITE),
    st.integers(1, 20),
    st.integers(1, 17),
)
def test_best_of_chunks(scores, k, step):
    scores = np.round(scores)  # many ties
    x, y = np.eye(scores.shape[1], dtype=np.float32), scores  # the product of a pair is its score
    best = Best(y, k)
    for first in range(0, len(x), step):
        best.add(first, x[first : first + step], scores[:, first : first + step])
    want = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    found = best.places()
    np.testing.assert_array_equal(
        np.take_along_axis(scores, found, 1), np.take_along_axis(scores, want, 1)
    )
    np.testing.assert_array_equal(best.products(), np.take_along_axis(scores, found, 1))
    assert recall(best.products(), best.products(), k) == 1.0


def test_recall_counts_what_reaches_the_last_of_the_best(rng):
    scores = rng.integers(0, 12, (7, 50)).astype(float)
    truth, found = -np.sort(-scores, axis=1), rng.permuted(scores, axis=1)
    for k in (1, 10, 50, 60):
        last = min(k, 50)
        want = np.mean(
            [
                [value >= a[last - 1] for value in b[:last]]
                for a, b in zip(truth, found, strict=True)
            ]
        )
        assert recall(truth, found, k) == pytest.approx(want)


@pytest.mark.parametrize("dim", [1, 7, 96, 384, 1537])
def test_equal_rows_have_equal_products(rng, monkeypatch, dim):
    """Wherever they stand, however many are multiplied at a time."""
    some = rng.standard_normal((5, dim)).astype(np.float32)
    kind = rng.integers(0, 5, 300)
    y = rng.standard_normal((2, dim)).astype(np.float32)
    pairs = np.arange(300), rng.integers(0, 2, 300)
    whole = products(some[kind], y, pairs)
    np.testing.assert_allclose(
        whole, np.einsum("ij,ij->i", some[kind].astype(float), y[pairs[1]]), atol=1e-12
    )
    monkeypatch.setattr(_ranks, "_NUMBERS", 7 * dim)
    np.testing.assert_array_equal(products(some[kind], y, pairs), whole)
    for row in range(5):
        for query in range(2):
            assert len(np.unique(whole[(kind == row) & (pairs[1] == query)])) <= 1


def test_ranks_are_spearmans(rng):
    a, b = rng.standard_normal((2, 5, 200)).astype(np.float32)
    own = np.einsum("ij,ij->i", ranks(a), ranks(b))
    want = [stats.spearmanr(x, y).statistic for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(own, want, atol=1e-12)


def test_ties_share_their_rank(rng):
    a = rng.integers(0, 5, (6, 80)).astype(np.float32)
    b = rng.integers(0, 5, (6, 80)).astype(np.float32)
    own = np.einsum("ij,ij->i", ranks(a), ranks(b))
    want = [stats.spearmanr(x, y).statistic for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(own, want, atol=1e-12)
    assert not ranks(np.ones((2, 5), np.float32)).any()
