"""An index: what it is made of, its ids and its rows, and what is refused.

The files test_index_*.py have searches, any order of calls, files, and threads and processes.
"""

import copy
import pickle
from functools import partial

import numpy as np
import pytest

import blockquant as bq
from indexes import DIM, NAMES, X, Y, make, unchanged
from support import BUILT_IN

# ---- what it is made of


def test_every_option_of_create():
    for name in BUILT_IN:
        index = bq.Index(DIM, 2, name, seed=5, rotation="haar", store_norm=True, center=X)
        q = bq.create(name, dim=DIM, bits=2, seed=5, rotation="haar", store_norm=True, center=X)
        assert index.quantizer == q
        index.add(X)
        assert index.codes() == q.encode(X)
        assert index.dim == DIM
    assert bq.Index(dim=DIM, bits=2).quantizer == bq.BlockQuant(DIM, 2)
    assert bq.Index(DIM, 2.5, block=2).quantizer == bq.BlockQuant(DIM, 2.5, block=2)
    assert bq.Index(DIM, 2, "trellis", states=16).quantizer == bq.Trellis(DIM, 2, states=16)
    q = bq.RaBitQ(DIM, 3)
    assert bq.Index.of(q).quantizer is q


def test_what_no_index_is_made_of():
    class Mine:
        def __init__(self, dim, bits, seed): ...

    bq.register("test_index/mine", Mine)
    with pytest.raises(TypeError, match="needs a Quantizer of this package, found Mine"):
        bq.Index(DIM, 2, "test_index/mine")
    with pytest.raises(TypeError, match="needs a Quantizer of this package, found str"):
        bq.Index.of("eden")
    with pytest.raises(ValueError, match="unknown method 'edne'"):
        bq.Index(DIM, 2, "edne")
    with pytest.raises(ValueError, match="ids='int', expected 'int64' or 'str'"):
        bq.Index(DIM, 2, ids="int")
    with pytest.raises(ValueError, match="ids=<class 'str'>, expected"):
        bq.Index(DIM, 2, ids=str)
    with pytest.raises(ValueError, match="bits=77"):
        bq.Index(DIM, 77)


def test_text():
    index = bq.Index(DIM, 4, "eden")
    assert repr(index) == f"<Index of 0 rows, 0 bytes, by {index.quantizer!r}>"
    index.add(X[:1], ids="ä")
    assert repr(index).startswith("<Index of 1 row with strings as ids, 26 bytes, by create(")
    assert repr(make()).startswith("<Index of 200 rows with int64 numbers as ids, 5600 bytes, by ")


# ---- ids


@pytest.mark.parametrize(
    "ids",
    [
        [7, -3, 0],
        (7, -3, 0),
        np.int64([7, -3, 0]),
        np.int8([7, -3, 0]),
        np.array([7, -3, 0], ">i4"),
        np.array([7, 1, -3, 1, 0])[::2],
        [np.int64(7), -3, np.uint8(0)],
        np.array([7, -3, 0], object),
        {7: "a", -3: "b", 0: "c"},
        {7: "a", -3: "b", 0: "c"}.keys(),
    ],
    ids=repr,
)
def test_numbers_of_any_type(ids):
    index = bq.Index(DIM, 2)
    found = index.add(X[:3], ids=ids)
    assert found.dtype == np.int64
    assert found.tolist() == list(index) == [7, -3, 0]
    assert index.remove(ids) == 3


@pytest.mark.parametrize(
    "ids",
    [
        ["b", "", "ä"],
        np.array(["b", "", "ä"]),
        np.array(["b", "", "ä"], object),
        [np.str_("b"), "", np.str_("ä")],
    ],
    ids=repr,
)
def test_strings_of_any_type(ids):
    index = bq.Index(DIM, 2)
    assert index.add(X[:3], ids=ids).tolist() == list(index) == ["b", "", "ä"]
    assert {type(id) for id in index} == {str}
    assert "" in index
    assert index.remove(ids) == 3


def test_arrow_and_series():
    pa = pytest.importorskip("pyarrow")
    index = bq.Index(DIM, 2)
    index.add(X[:3], ids=pa.array(["a", "b", "c"]))
    assert list(index) == ["a", "b", "c"]
    with pytest.raises(TypeError, match="ids: position 1 is None, expected a string"):
        index.add(X[:2], ids=pa.array(["d", None]))
    index = bq.Index(DIM, 2)
    index.add(X[:3], ids=pa.chunked_array([[1, 2], [3]]))
    assert list(index) == [1, 2, 3]


@pytest.mark.parametrize(
    ("ids", "error", "text"),
    [
        ([1.0, 2.0], TypeError, "ids: position 0 is 1.0, expected an integer or a string"),
        (np.float32([1, 2]), TypeError, "ids: position 0 is 1.0"),
        ([1, 2.5], TypeError, "ids: position 1 is 2.5, expected an integer"),
        ([1, float("nan")], TypeError, "ids: position 1 is NaN"),
        ([1, "b"], TypeError, "ids: position 1 is 'b', expected an integer"),
        (["a", 2], TypeError, "ids: position 1 is 2, expected a string as the others"),
        ([True, 2], TypeError, "ids: position 0 is True"),
        (np.bool_([True, False]), TypeError, "ids: position 0 is True"),
        ([b"a", b"b"], TypeError, "ids: position 0 is b'a'"),
        ([None, 1], TypeError, "ids: position 0 is None"),
        ([[1], [2]], TypeError, r"ids: position 0 is \[1\]"),
        (np.ones((2, 1), int), ValueError, r"ids has shape \(2, 1\), expected one dimension"),
        ({1, 2}, TypeError, "ids is a set, which has no order; pass a list"),
        ((i for i in range(2)), TypeError, "ids is generator, expected integers or strings"),
        (np.ma.array([1, 2], mask=[0, 1]), TypeError, "ids is a masked array"),
        ([1, 2**63], ValueError, "ids: position 1 is 9223372036854775808, beyond int64"),
        (np.uint64([1, 2**63]), ValueError, "position 1 is 9223372036854775808, beyond int64"),
        ([-(2**63) - 1, 1], ValueError, "position 0 is -9223372036854775809, beyond int64"),
        ([1, 10**5000], ValueError, r"position 1 is \(a whole number of 16610 bits\), beyond"),
        (["a", "\ud800"], ValueError, r"ids: position 1 is '.ud800', not UTF-8"),
        ([3, -1], ValueError, "ids: position 1 is -1, which stands for no row"),
        ([3, 4, 5], ValueError, "ids has 3 ids, expected 2, one per row"),
        (3, ValueError, "ids has 1 id, expected 2, one per row"),
        ("ab", ValueError, "ids has 1 id, expected 2, one per row"),
        ([], ValueError, "ids has 0 ids, expected 2"),
        ([4, 4], ValueError, "ids: position 1 is 4, as position 0"),
        (["a", "a"], ValueError, "ids: position 1 is 'a', as position 0"),
    ],
    ids=lambda value: "",
)
def test_ids_that_are_refused(ids, error, text):
    index = bq.Index(DIM, 2)
    unchanged(index, lambda: index.add(X[:2], ids=ids), error, text)
    assert index.kind is None


def test_duplicates_are_named_and_nothing_is_added():
    for ids in (list(range(200)), NAMES):
        index = make(ids)
        for place in (0, 1, 2):
            new = [10**6 + i for i in range(3)] if ids[0] == 0 else ["x", "y", "z"]
            new[place] = ids[77]
            text = f"ids: position {place} is {ids[77]!r}, which the index has already"
            unchanged(index, partial(index.add, X[:3], ids=new), ValueError, text)
        index.remove(ids[77])
        index.add(X[77], ids=ids[77])  # a removed id can come again
        assert list(index) == [*ids[:77], *ids[78:], ids[77]]
    with pytest.raises(ValueError, match="position 150 is 3, as position 3"):
        bq.Index(DIM, 2).add(X, ids=[3 if i == 150 else i for i in range(200)])
    with pytest.raises(ValueError, match="position 150 is '3', as position 3"):
        bq.Index(DIM, 2).add(X, ids=[str(3 if i == 150 else i) for i in range(200)])


def test_one_kind_of_ids():
    numbers, strings = make(), make(NAMES)
    for index, other, says in [
        (numbers, "a", "are strings, this index has int64 numbers as ids"),
        (strings, 5, "are int64 numbers, this index has strings as ids"),
    ]:
        for call in (
            partial(index.add, X[:1], ids=other),
            partial(index.remove, other),
            partial(index.decode, [other]),
            partial(index.search, Y, allow=[other]),
            partial(index.search, Y, deny=[[other]] * len(Y)),
        ):
            unchanged(index, call, TypeError, says)
        assert other not in index
    unchanged(strings, lambda: strings.add(X[:1]), TypeError, "strings as ids: pass ids")
    empty = bq.Index(DIM, 2, ids="str")
    unchanged(empty, lambda: empty.add(X[:1], ids=[5]), TypeError, "has strings as ids")
    empty.add(X[:0])
    empty.add(X[:0], ids=[])
    assert empty.kind == "str"
    undecided = bq.Index(DIM, 2)
    undecided.add(X[:0], ids=[])
    assert undecided.kind is None
    undecided.add(X[:1], ids=["a"])
    assert undecided.kind == "str"


def test_ids_that_were_used_do_not_come_by_default():
    index = bq.Index(DIM, 2)
    assert index.add(X[:3]).tolist() == [0, 1, 2]
    index.add(X[:1], ids=10)
    index.remove([2, 10])
    assert index.add(X[:2]).tolist() == [11, 12]
    index.remove([11, 12])
    for other in (copy.copy(index), pickle.loads(pickle.dumps(index))):
        assert other.add(X[0]).tolist() == [13]
    index.add(X[:1], ids=2**63 - 2)
    assert index.add(X[:1]).tolist() == [2**63 - 1]
    text = "the greatest id so far is 9223372036854775807, after which 1 do not fit int64: pass ids"
    unchanged(index, lambda: index.add(X[:1]), ValueError, text)
    index.add(X[:1], ids=-(2**63))
    assert list(index) == [0, 1, 2**63 - 2, 2**63 - 1, -(2**63)]
    negative = bq.Index(DIM, 2)
    negative.add(X[:1], ids=-5)
    assert negative.add(X[:1]).tolist() == [0]


def test_what_is_in_it():
    index = make()
    assert 3 in index
    assert np.int8(3) in index
    for other in (200, -1, 3.0, True, "3", None, [3], (3,), 2**70, np.array([3])):
        assert other not in index
    strings = make(NAMES)
    assert np.str_("row 3") in strings
    for other in ("", "row", b"row 3", 3, ["row 3"], "\ud800"):
        assert other not in strings


def test_returned_ids_are_copies():
    for ids in (None, NAMES):
        index = make(ids)
        given = index.ids
        mine = np.arange(500, 503) if ids is None else ["x", "y", "z"]
        for array in (given, index.add(X[:3], ids=mine), index.search(Y)[1]):
            array[:] = array.flat[0]
        if ids is None:
            mine[:] = 7
        assert list(index)[:3] == (NAMES[:3] if ids else [0, 1, 2])
        assert list(index)[-3:] == (["x", "y", "z"] if ids else [500, 501, 502])


# ---- rows


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_row_that_is_not_finite_is_named(bad):
    index = make()
    rows = X[:5].copy()
    rows[3, 7] = bad
    for ids in (None, list(range(500, 505))):
        unchanged(index, lambda ids=ids: index.add(rows, ids=ids), ValueError, "row 3, column 7 is")
    assert index.add(X[0]).tolist() == [200]


def test_rows_that_are_refused():
    index = make()
    unchanged(index, lambda: index.add(X[:, 1:]), ValueError, "x has 23 columns, expected dim=24")
    unchanged(index, lambda: index.add(np.ones((2, DIM), int)), TypeError, "x has dtype int64")
    unchanged(index, lambda: index.add("x"), TypeError, "x is str")
    other = bq.Eden(DIM, 3).encode(X)
    unchanged(index, lambda: index.add(other), ValueError, "the codes were made by")
    codes = index.codes()
    less = bq.Codes(codes.packed, codes.scale, None, None, DIM, codes.made_by)
    unchanged(index, lambda: index.add(less), ValueError, "codes to add have the arrays")
    unchanged(index, lambda: index.add(X[:1], replace=1), TypeError, "replace is int")


def test_codes_of_another_index():
    index, other = make(NAMES, rows=50), make(rows=80)
    index.add(other.codes()[50:], ids=NAMES[50:80])
    assert index.codes() == other.codes()
    assert list(index) == NAMES[:80]


def test_codes_do_not_share_their_growth():
    index = make(rows=10)
    index.add(X[10:11])
    codes = index.codes()
    index.add(X[11:12])
    codes.append(index.quantizer.encode(X[50:53]))
    index.add(X[12:13])
    assert index.codes() == index.quantizer.encode(X[:13])
    assert codes == index.quantizer.encode(X[[*range(11), 50, 51, 52]])


def test_decode_by_ids():
    for ids in (None, NAMES):
        index = make(ids)
        names = index.ids
        index.remove(names[:150:2])
        rows = [199, 1, 77, 1]
        found = index.decode([names[row] for row in rows])
        np.testing.assert_array_equal(
            found, index.quantizer.decode(index.quantizer.encode(X))[rows]
        )
        assert index.decode(names[1]).shape == (1, DIM)
        assert index.decode([]).shape == (0, DIM)
        for call in (index.decode, index.codes, index.remove):
            text = f"ids: position 1 is {names.tolist()[2]!r}, which the index does not have"
            unchanged(index, partial(call, [names[1], names[2]]), KeyError, text)
    with pytest.raises(KeyError, match="position 0 is 5"):
        bq.Index(DIM, 2).decode(5)
    with pytest.raises(KeyError, match="position 0 is 'a'"):
        bq.Index(DIM, 2).remove("a")
    assert bq.Index(DIM, 2).remove(["a"], missing_ok=True) == 0


def test_removing_many_gives_memory_back():
    index = make(rows=200)
    for row in range(190):
        index.remove(row)
        now = index._now
        assert 4 * now.removed <= len(now.left)
        assert len(now.filled["scale"]) <= max(8, 4 * (200 - row) // 3 + 2)
    index.remove([199])
    index.compact()
    assert index._now.removed == 0
    assert list(index) == list(range(190, 199))
    index.remove(index.ids)
    assert (len(index), index.nbytes, len(index._now.left)) == (0, 0, 0)
    assert index.add(X[:2]).tolist() == [200, 201]


def test_replacing_over_and_over_does_not_grow():
    """An id that comes again and again leaves neither rows nor keys behind."""
    for ids in (None, NAMES):
        index = make(ids, rows=40)
        names = index.ids
        for turn in range(300):
            index.add(X[turn % 200], ids=names[turn % 5], replace=True)
        assert len(index) == 40
        assert len(index._now.left) <= 54
        assert sum(len(run.keys) for run in index._now._lookup._runs) <= 2 * 54
        assert list(index) == [*names[5:], *names[:5]]
        assert index.codes(names[4]) == index.quantizer.encode(X[299 % 200])


def test_an_interrupted_removal_is_taken_back():
    """Ctrl-C between the two steps of a removal: none of its rows is lost then or later."""
    index = make()
    now = index._now
    rows = np.array([3, 4])
    after = now.without(2)
    index._pending = after, rows
    after.left[rows] = after.change
    assert 3 in index  # the moment is not published
    index.remove(10)
    assert 3 in index
    assert 4 in index
    assert len(index) == 199
    assert index.ids.tolist() == [i for i in range(200) if i != 10]


# ---- copies


def test_a_copy_is_the_index_of_one_moment():
    for ids in (None, NAMES):
        index = make(ids, rows=100)
        names = index.ids
        index.add(X[100:101], ids=None if ids is None else NAMES[100])
        index.remove(names[3])
        for give in (copy.copy, copy.deepcopy, lambda a: pickle.loads(pickle.dumps(a))):
            twin = give(index)
            before = twin.ids.tolist(), twin.codes(), twin.search(Y)[0]
            one, other = copy.copy(index), copy.copy(index)
            new = (["new"], ["newer"]) if ids else ([1000], [2000])
            one.remove(names[5:9])
            one.add(X[150:151], ids=new[0])
            other.add(X[151:152], ids=new[1])
            other.remove(names[8:12])
            assert (twin.ids.tolist(), twin.codes()) == before[:2]
            assert twin.ids.tolist() == index.ids.tolist()
            np.testing.assert_array_equal(twin.search(Y)[0], before[2])
            assert one.ids.tolist()[-1:] == new[0]
            assert other.ids.tolist()[-1:] == new[1]
            assert one.codes(new[0]) == index.quantizer.encode(X[150])
            assert other.codes(new[1]) == index.quantizer.encode(X[151])
            assert names[5] in other
            assert names[5] not in one
            assert names[10] in one
            assert names[10] in index


class Named(bq.Index):
    def __init__(self, label):
        super().__init__(DIM, 2)
        self.label = label


def test_a_class_of_its_own():
    index = Named("a")
    index.add(X[:3])
    for twin in (copy.copy(index), copy.deepcopy(index), pickle.loads(pickle.dumps(index))):
        assert type(twin) is Named
        assert (twin.label, list(twin)) == ("a", [0, 1, 2])
    undecided = pickle.loads(pickle.dumps(bq.Index(DIM, 2)))
    assert (undecided.kind, len(undecided)) == (None, 0)
    assert pickle.loads(pickle.dumps(bq.Index(DIM, 2, ids="str"))).kind == "str"
