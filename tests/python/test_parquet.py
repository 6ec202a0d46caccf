"""Columns of Parquet files: which one is taken, and what it may hold."""

import numpy as np
import pytest

from blockquant import files
from commands import done
from rowfiles import parquet

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def x(rng):
    return rng.standard_normal((50, 8)).astype(np.float32)


def fixed(x):
    return pa.FixedSizeListArray.from_arrays(pa.array(x.reshape(-1)), x.shape[1])


def lists(x, value=None, kind=pa.list_):
    return pa.array(list(x), kind(value or pa.float32()))


def read(path, array=None):
    with files.open_rows(path, array=array) as rows:
        return np.asarray(rows)


def test_a_column_is_chosen_by_its_exact_name(tmp_path, x):
    ids = pa.array(np.arange(50))
    struct = pa.array([{"vec": [1.0, 2.0]}] * 50)
    deep = pa.array([{"vec": row.tolist()} for row in x + 1])
    deeper = pa.array([{"vec": {"list": {"element": 1.0}}}] * 50)
    for columns, name in (
        ([("id", ids), ("emb.vec", fixed(x))], "emb.vec"),
        ([("emb", struct), ("emb.vec", fixed(x))], "emb.vec"),
        ([("emb.vec", lists(x)), ("emb", struct)], "emb.vec"),
        ([("emb", deep), ("emb.vec", lists(x))], "emb.vec"),
        ([("emb", deeper), ("emb.vec", lists(x))], "emb.vec"),
        ([("a", lists(x)), ("a.b", lists(x + 1)), ("a.b.c", lists(x + 2))], "a"),
        ([("a.b.c", lists(x + 2)), ("a.b", lists(x)), ("a", lists(x + 1))], "a.b"),
        ([("v", ids), ("v", fixed(x))], "v"),
        ([("v", fixed(x)), ("v", ids), ("v", struct)], "v"),
        ([("", fixed(x)), ("é", ids)], ""),
    ):
        path = parquet(tmp_path / "x.parquet", columns, row_group_size=20)
        assert np.array_equal(read(path, name), x)
        if (
            sum(
                kind.type != ids.type and kind.type not in (struct.type, deep.type, deeper.type)
                for _, kind in columns
            )
            == 1
        ):
            assert np.array_equal(read(path), x)


def test_a_field_of_a_struct_is_not_a_column(tmp_path, x):
    deep = pa.array([{"vec": row.tolist()} for row in x])
    path = parquet(tmp_path / "x.parquet", {"emb": deep, "id": pa.array(np.arange(50))})
    with pytest.raises(ValueError, match=r"holds no array 'emb\.vec', only 'emb': struct"):
        read(path, "emb.vec")
    with pytest.raises(ValueError, match="holds no rows of floats"):
        read(path)
    with pytest.raises(ValueError, match=r"x\.parquet: it has dtype struct<"):
        read(path, "emb")


def test_two_columns_of_one_name_are_refused(tmp_path, x):
    path = parquet(tmp_path / "x.parquet", [("v", fixed(x)), ("v", lists(x + 1))])
    for array in (None, "v"):
        with pytest.raises(ValueError, match=r"x\.parquet holds 2 arrays of the name 'v'; rename"):
            read(path, array)
    assert done("info", path).count("'v': float32 of shape (50, 8); 50 rows, d = 8") == 2


@pytest.mark.parametrize(
    "make",
    [
        lambda x: pa.FixedShapeTensorArray.from_numpy_ndarray(x),
        fixed,
        lists,
        lambda x: lists(x, kind=pa.large_list),
        lambda x: lists(x, kind=pa.list_view),
        lambda x: lists(x, kind=pa.large_list_view),
        lambda x: lists(x.astype(np.float64), pa.float64()),
        lambda x: lists(x.astype(np.float64), pa.float64(), pa.list_view),
        lambda x: lists(x.astype(np.float16), pa.float16()),
        lambda x: pa.ListArray.from_arrays(
            pa.array(np.arange(0, 401, 8, dtype="i4")), pa.array(x.reshape(-1)).dictionary_encode()
        ),
    ],
)
def test_every_kind_of_list(tmp_path, x, make):
    column = make(x.astype(np.float16).astype(np.float32))  # what every type holds
    path = tmp_path / "x.parquet"
    table = pa.table({"v": column})
    # Groups of no rows, and batches that begin within a group.
    with pq.ParquetWriter(path, table.schema) as out:
        for first, last in ((0, 0), (0, 9), (9, 9), (9, 50), (50, 50)):
            out.write_table(table.slice(first, last - first))
    wanted = x.astype(np.float16)
    assert np.array_equal(read(path), wanted)
    with files.open_rows(path) as rows:
        for first, last in ((30, 40), (3, 12), (9, 10), (49, 50)):
            assert np.array_equal(rows[first:last], wanted[first:last])


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.float32()),
        pa.list_(pa.float32(), 8),
        pa.large_list(pa.float32()),
        pa.list_view(pa.float32()),
        pa.fixed_shape_tensor(pa.float32(), [8]),
    ],
)
@pytest.mark.parametrize("at", [0, 33])
def test_a_null_is_named_by_its_row(tmp_path, x, kind, at):
    rows = [None if row == at else values.tolist() for row, values in enumerate(x)]
    storage = getattr(kind, "storage_type", kind)
    column = pa.array(rows, storage)
    if storage is not kind:
        column = pa.ExtensionArray.from_storage(kind, column)
    path = parquet(tmp_path / "x.parquet", {"v": column, "w": fixed(x)}, row_group_size=20)
    with pytest.raises(ValueError, match=f"x.parquet: row {at} of column 'v' is null"):
        read(path, "v")
    assert np.array_equal(read(path, "w"), x)  # a null elsewhere does not matter


def test_a_null_within_a_list(tmp_path, x):
    rows = [values.tolist() for values in x]
    rows[33][5] = None
    for kind in (pa.list_(pa.float32()), pa.list_(pa.float32(), 8), pa.list_view(pa.float32())):
        path = parquet(tmp_path / "x.parquet", {"v": pa.array(rows, kind)}, row_group_size=20)
        with pytest.raises(ValueError, match=r"x\.parquet: row 33, column 5 is null"):
            read(path)


def test_other_columns_are_refused_by_their_type(tmp_path, x):
    tensor = pa.FixedShapeTensorArray.from_numpy_ndarray(x.reshape(50, 2, 4).copy())
    path = parquet(tmp_path / "x.parquet", {"v": tensor})
    hint = r"x.parquet: it has shape \(50, 2, 4\), expected rows \(n, dim\); .*x.reshape\(-1, 4\)"
    with pytest.raises(ValueError, match=hint):
        read(path, "v")
    for column, name in (
        (pa.array([[[1.0]]] * 3), "list<element: double>"),
        (pa.array([[1]] * 3), "int64"),
        (pa.array([{"a": [1.0]}] * 3), "struct"),
        (pa.array(["a"] * 3), "string"),
        (pa.array([None] * 3), "null"),
        (pa.array([[("a", 1.0)]] * 3, pa.map_(pa.string(), pa.float32())), "map"),
    ):
        path = parquet(tmp_path / "x.parquet", {"v": column})
        with pytest.raises(ValueError, match=f"x.parquet: it has dtype .*{name}"):
            read(path, "v")


def test_no_rows(tmp_path, x):
    assert read(parquet(tmp_path / "x.parquet", {"v": fixed(x)[:0]})).shape == (0, 8)
    path = parquet(tmp_path / "x.parquet", {"v": lists(x)[:0]})
    with pytest.raises(ValueError, match="column 'v' has no rows, and its type does not fix"):
        read(path)
