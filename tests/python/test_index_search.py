"""Searches of an index: scores, filters, padding and ties."""

import numpy as np
import pytest

import blockquant as bq
from indexes import DIM, NAMES, X, Y, make, unchanged


def test_a_search_is_that_of_the_codes():
    index = make(NAMES)
    q, codes = index.quantizer, index.codes()
    for metric in ("ip", "cosine", "l2"):
        for exact in (False, True):
            score, row = q.search(codes, Y, 7, metric, exact=exact)
            found = index.search(Y, 7, metric, exact=exact)
            np.testing.assert_array_equal(found[0], score)
            assert found[1].tolist() == [[NAMES[i] for i in line] for line in row]
    one = index.search(Y[2], 7)
    assert one[0].shape == one[1].shape == (1, 7)
    assert one[1].tolist() == index.search(Y, 7)[1][2:3].tolist()


@pytest.mark.parametrize(
    ("ids", "dtype", "padding"), [("int64", np.int64, -1), ("str", object, None)]
)
def test_fewer_rows_than_k(ids, dtype, padding):
    index = bq.Index(DIM, 4, store_norm=True, ids=ids)
    for metric, worst in (("ip", -np.inf), ("cosine", -np.inf), ("l2", np.inf)):
        scores, found = index.search(Y, 3, metric)
        assert (scores.shape, scores.dtype) == ((6, 3), np.float32)
        assert (found.shape, found.dtype) == ((6, 3), dtype)
        assert (scores == worst).all()
        assert found.tolist() == [[padding] * 3] * 6
    names = [5, 6, 7] if ids == "int64" else ["e", "f", "g"]
    index.add(X[:3], ids=names)
    scores, found = index.search(Y, 5, "l2")
    assert (np.diff(scores[:, :3]) >= 0).all()
    assert np.isinf(scores[:, 3:]).all()
    assert found[:, 3:].tolist() == [[padding] * 2] * 6
    assert [sorted(line) for line in found[:, :3].tolist()] == [names] * 6
    assert index.search(Y[:0], 5)[1].shape == (0, 5)
    assert index.search(Y[:0], 5, allow=[])[1].dtype == dtype
    assert bq.Index(DIM, 4).search(Y, 2)[1].dtype == np.int64


def test_ties_go_to_the_row_that_was_added_first():
    index = bq.Index(DIM, 4, store_norm=True)
    ids = [9, 3, 7, 1, 5]
    index.add(np.tile(X[:1], (5, 1)), ids=ids)
    for metric in ("ip", "cosine", "l2"):
        assert index.search(Y, 5, metric)[1].tolist() == [ids] * 6
        assert (
            index.search(Y, 2, metric, rerank=np.tile(X[:1], (10, 1)))[1].tolist() == [[9, 3]] * 6
        )
    index.add(X[0], ids=3, replace=True)
    assert index.search(Y, 5)[1].tolist() == [[9, 7, 1, 5, 3]] * 6
    index.add(np.tile(X[:1], (95, 1)), ids=range(100, 195))
    for allow in ([150, 7, 120], [120, 150, 7, 7]):  # few of many
        assert index.search(Y, 3, allow=allow)[1].tolist() == [[7, 120, 150]] * 6


@pytest.mark.parametrize("few", [3, 150])
@pytest.mark.parametrize("named", [False, True])
def test_filters(few, named):
    """Few allowed rows are searched on their own, many under a mask."""
    index = make(NAMES if named else None)
    names = index.ids
    index.remove(names[[4, 50]])
    chosen = np.random.default_rng(few).permutation(200)[:few]
    left = np.setdiff1d(chosen, [4, 50])
    mask = np.zeros(200, bool)
    mask[left] = True
    q, all_codes = index.quantizer, index.quantizer.encode(X)
    score, row = q.search(all_codes, Y, 5, mask=mask)
    for ids in (names[chosen], names[chosen].tolist() * 2, set(names[chosen].tolist())):
        found = index.search(Y, 5, allow=ids)
        np.testing.assert_array_equal(found[0][:, : row.shape[1]], score)
        assert found[1][:, : row.shape[1]].tolist() == names[row].tolist()
    mask = ~mask
    mask[[4, 50]] = False
    score, row = q.search(all_codes, Y, 5, mask=mask)
    found = index.search(Y, 5, deny=names[chosen])
    np.testing.assert_array_equal(found[0], score)
    assert found[1].tolist() == names[row].tolist()


def test_unknown_ids_in_filters_are_ignored():
    index = make()
    index.remove(7)
    assert index.search(Y, 3, allow=[7, 500, -1])[1].tolist() == [[-1] * 3] * 6
    assert index.search(Y, 3, allow=[7, 500, 9])[1].tolist() == [[9, -1, -1]] * 6
    everything = index.search(Y, 3)
    for deny in ([7, 500], [], np.zeros(0, int), range(1000, 2000)):
        for a, b in zip(index.search(Y, 3, deny=deny), everything, strict=True):
            np.testing.assert_array_equal(a, b)
    assert (index.search(Y, 3, allow=[])[1] == -1).all()
    assert (index.search(Y, 3, deny=range(200))[1] == -1).all()


def test_one_filter_per_query():
    index = make(NAMES)
    filters = [NAMES[:2], None, [], ["nobody"], NAMES[3:190], {NAMES[5]}]
    for what in ("allow", "deny"):
        scores, ids = index.search(Y, 4, **{what: filters})
        for place, one in enumerate(filters):
            alone = index.search(Y[place], 4, **({} if one is None else {what: one}))
            np.testing.assert_array_equal(scores[place], alone[0][0])
            assert ids[place].tolist() == alone[1][0].tolist()
    numbers = make()
    matrix = np.arange(12).reshape(6, 2)
    found = numbers.search(Y, 3, allow=matrix)[1]
    assert [sorted(line[:2]) for line in found.tolist()] == matrix.tolist()
    assert (found[:, 2] == -1).all()
    assert numbers.search(Y[:0], 3, allow=[])[1].shape == (0, 3)
    assert index.search(Y[:2], 3, allow=[["row 1"], ("row 2",)])[1][:, 0].tolist() == NAMES[1:3]


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"allow": [1], "deny": [2]}, ValueError, "allow and deny are both given"),
        ({"allow": [[1]] * 5}, ValueError, "allow has 5 filters, expected 6, one per query"),
        ({"deny": [[1], None]}, ValueError, "deny has 2 filters, expected 6"),
        ({"allow": np.ones((5, 2), int)}, ValueError, "allow has 5 filters"),
        ({"allow": [1.5]}, TypeError, r"allow: position 0 is 1.5"),
        ({"allow": np.ones(200, bool)}, TypeError, "allow: position 0 is True"),
        ({"deny": [[1]] * 5 + [["a"]]}, TypeError, r"deny\[5\] are strings, this index has int64"),
        ({"deny": [[1]] * 5 + [7]}, None, ""),
        ({"allow": [2**63]}, ValueError, "allow: position 0 is 9223372036854775808, beyond int64"),
        ({"allow": np.ones((1, 1, 1), int)}, ValueError, r"allow has shape \(1, 1, 1\)"),
        ({"allow": len}, TypeError, "allow is builtin"),
        ({"k": 0}, ValueError, "k=0"),
        ({"k": 2.0}, TypeError, "k=2.0"),
        ({"metric": "dot"}, ValueError, "dot"),
        ({"metric": None}, TypeError, "metric is NoneType, expected str"),
        ({"metric": "dot", "allow": [[1]] * 6}, ValueError, "dot"),
        ({"exact": 1}, TypeError, "exact is int"),
        ({"y": Y[:, 1:]}, ValueError, "y has 23 columns, expected dim=24"),
        ({"y": np.full((2, DIM), np.nan)}, ValueError, "y: row 0, column 0 is NaN"),
        ({"candidates": 20}, ValueError, "candidates is given without rerank"),
        ({"rerank": X, "candidates": 9}, ValueError, "candidates=9, expected .* at least 10"),
    ],
    ids=repr,
)
def test_searches_that_are_refused(options, error, text):
    index = make()
    options = {"y": Y, **options}
    if error is None:
        assert index.search(**options)[1].shape == (6, 10)
        return
    unchanged(index, lambda: index.search(**options), error, text)


def test_norms_are_needed():
    index = bq.Index(DIM, 2)
    index.add(X)
    for options in ({}, {"allow": [[1]] * 6}, {"allow": []}, {"rerank": X}):
        with pytest.raises(ValueError, match="store_norm=True"):
            index.search(Y, metric="l2", **options)
