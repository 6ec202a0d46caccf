"""Searches of an index that rank the rows that were found by the original ones."""

import numpy as np
import pytest

import blockquant as bq
from indexes import DIM, NAMES, X, Y, make, unchanged


def best(rows, metric, k=5):
    """The k best of the rows of X, and their scores, for each query."""
    x, y = X[rows].astype(np.float64), Y.astype(np.float64)
    score = y @ x.T
    if metric == "cosine":
        score /= np.linalg.norm(y, axis=1)[:, None] * np.linalg.norm(x, axis=1)
    if metric == "l2":
        score = ((y[:, None] - x) ** 2).sum(-1)
    order = np.argsort(score if metric == "l2" else -score, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(score, order, 1), np.asarray(rows)[order]


@pytest.mark.parametrize("metric", ["ip", "cosine", "l2"])
def test_rerank_by_all_rows_is_the_truth(metric, tmp_path):
    index = make()
    index.remove(range(0, 200, 3))
    rows = [i for i in range(200) if i % 3]
    scores, ids = best(rows, metric)
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    asked = []

    def by_ids(ids):
        asked.append(ids)
        return X[ids]

    for source in (X, mapped, dict(enumerate(X)), by_ids, X.tolist(), X.astype(np.float64)):
        found = index.search(Y, 5, metric, rerank=source, candidates=200)
        np.testing.assert_array_equal(found[1], ids)
        np.testing.assert_allclose(found[0], scores, rtol=1e-6)
        assert found[0].dtype == np.float32
        for place in range(len(Y)):  # the same alone, to the bit
            alone = index.search(Y[place], 5, metric, rerank=source, candidates=200)
            np.testing.assert_array_equal(alone[0][0], found[0][place])
    assert all(len(set(ids.tolist())) == len(ids) and ids.dtype == np.int64 for ids in asked)


def test_rerank_of_candidates():
    """Exactly the candidates are ranked again; by default four per row that is asked for."""
    index = make()
    for candidates in (3, 12, 30):
        rows = index.search(Y, candidates)[1]
        found = index.search(Y, 3, rerank=X, candidates=candidates)[1]
        for place in range(len(Y)):
            near = np.sort(rows[place])
            score = X[near].astype(np.float64) @ Y[place].astype(np.float64)
            assert found[place].tolist() == near[np.argsort(-score, kind="stable")][:3].tolist()
    default = index.search(Y, 3, rerank=X)
    twelve = index.search(Y, 3, rerank=X, candidates=12)
    np.testing.assert_array_equal(default[0], twelve[0])
    assert default[1].tolist() == twelve[1].tolist()


def test_rerank_with_strings_filters_and_padding():
    index = make(NAMES)
    row_of = {name: row for row, name in enumerate(NAMES)}

    def by_ids(ids):
        assert ids.dtype == object
        return X[[row_of[id] for id in ids]]

    allow = [NAMES[:3], None, [], NAMES[10:12], NAMES, [NAMES[8]]]
    for source in (by_ids, {name: X[row] for name, row in row_of.items()}):
        scores, ids = index.search(Y, 4, rerank=source, allow=allow, candidates=200)
        for place, some in enumerate(allow):
            rows = list(range(200)) if some is None else [row_of[name] for name in some]
            score, row = best(rows, "ip", 4) if rows else (np.empty((6, 0)), np.empty((6, 0), int))
            count = row.shape[1]
            assert ids[place, :count].tolist() == [NAMES[i] for i in row[place]]
            np.testing.assert_allclose(scores[place, :count], score[place], rtol=1e-6)
            assert ids[place, count:].tolist() == [None] * (4 - count)
            assert np.isneginf(scores[place, count:]).all()
    empty = bq.Index(DIM, 4)
    assert (empty.search(Y, 3, rerank=X)[1] == -1).all()
    assert empty.search(Y[:0], 3, rerank=X)[1].shape == (0, 3)


def test_rerank_in_parts(monkeypatch):
    """Many queries are reranked in parts, so that few rows are in memory at once."""
    index = make()
    whole = index.search(Y, 5, "cosine", rerank=X)
    asked = []
    monkeypatch.setattr("blockquant.index._rerank._VALUES", 50 * DIM)
    found = index.search(Y, 5, "cosine", rerank=lambda ids: asked.append(ids) or X[ids])
    assert len(asked) == 3
    for a, b in zip(found, whole, strict=True):
        np.testing.assert_array_equal(a, b)


def test_rerank_with_zeros():
    index = bq.Index(DIM, 4, store_norm=True)
    rows = np.stack([X[0], 0 * X[0], -X[0]])
    index.add(rows)
    scores, ids = index.search(np.stack([X[0], 0 * X[0]]), 3, "cosine", rerank=rows)
    assert ids.tolist() == [[0, 1, 2], [0, 1, 2]]
    np.testing.assert_allclose(scores, [[1, 0, -1], [0, 0, 0]], atol=1e-6)


@pytest.mark.parametrize(
    ("source", "error", "text"),
    [
        (X[:100], ValueError, "rerank has 100 rows, none of which is that of id 1"),
        (X[:, 1:], ValueError, r"rerank has shape \(200, 23\), expected rows \(n, 24\)"),
        (X[0], ValueError, r"rerank has shape \(24,\)"),
        (np.ones((200, DIM), int), TypeError, "rerank has dtype int64"),
        (5, TypeError, "rerank is int, expected an array of rows, a mapping from ids to rows, or"),
        ("x.npy", TypeError, "rerank is str"),
        (dict(enumerate(X[:150])), ValueError, "rerank has no row of id 1"),
        (lambda ids: X[ids][1:], ValueError, r"rerank gave \d+ rows, expected \d+, one per id"),
        (lambda ids: X[ids][:, 1:], ValueError, "rerank has 23 columns, expected dim=24"),
        (lambda ids: None, TypeError, "rerank is NoneType"),
        (np.where(np.arange(200)[:, None] == 9, np.nan, X), ValueError, ""),
        (
            np.full((200, DIM), 1e300),
            ValueError,
            r"rerank: column 0 of the row of id \d+ is 1e\+300",
        ),
    ],
    ids=lambda value: "",
)
def test_rows_that_do_not_rerank(source, error, text):
    index = make()
    options = {"rerank": source, "candidates": 200}
    text = text or "rerank: column 0 of the row of id 9 is NaN, expected a finite float32 value"
    unchanged(index, lambda: index.search(Y, **options), error, text)


def test_an_array_has_no_rows_of_strings():
    index = make(NAMES)
    text = "rerank is an array, in which strings find no row: pass a mapping"
    unchanged(index, lambda: index.search(Y, rerank=X), TypeError, text)
    negative = bq.Index(DIM, 4)
    negative.add(X[:2], ids=[-5, 0])
    with pytest.raises(ValueError, match="none of which is that of id -5: the row of an id is"):
        negative.search(Y, 2, rerank=X)
