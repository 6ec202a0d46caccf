"""Arrow arrays of rows: every layout, type and number of chunks; nulls and lengths."""

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import blockquant as bq
from blockquant._arrays import as_floats, as_rows

X = np.random.default_rng(7).standard_normal((50, 6)).astype(np.float32)
Q = bq.BlockQuant(dim=6, bits=2)
FIXED = pa.FixedSizeListArray.from_arrays(pa.array(X.reshape(-1)), 6)
LISTS = FIXED.cast(pa.list_(pa.float32()))


def rows(x, dim=6):
    return as_rows(x, dim)[0]


class Capsule:
    """Offers one of the two protocols of another object, and nothing else."""

    def __init__(self, of, name):
        self._of = of
        setattr(type(self), name, lambda self, **options: getattr(self._of, name)(**options))


def stream_only(x):
    return type("StreamOnly", (Capsule,), {})(x, "__arrow_c_stream__")


def array_only(x):
    return type("ArrayOnly", (Capsule,), {})(x, "__arrow_c_array__")


# ---- what is taken


@pytest.mark.parametrize(
    "x",
    [
        FIXED,
        LISTS,
        FIXED.cast(pa.large_list(pa.float32())),
        pa.chunked_array([FIXED[:20], FIXED[20:20], FIXED[20:]]),
        pa.chunked_array([LISTS[:1], LISTS[1:]]),
        pa.table({"vector": FIXED}),
        pa.table({"vector": pa.chunked_array([LISTS[:7], LISTS[7:]])}),
        pa.record_batch([FIXED], ["vector"]),
        pa.RecordBatchReader.from_batches(
            pa.schema([("v", FIXED.type)]),
            [pa.record_batch([part], ["v"]) for part in (FIXED[:9], FIXED[9:])],
        ),
        pa.StructArray.from_arrays([FIXED], ["vector"]),
        pa.table({f"x{place}": column for place, column in enumerate(X.T)}),
        pa.FixedShapeTensorArray.from_numpy_ndarray(X),
        array_only(FIXED),
        stream_only(pa.chunked_array([FIXED])),
    ],
    ids=lambda x: type(x).__name__,
)
def test_rows_of_arrow(x):
    assert Q.encode(x) == Q.encode(X)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_types_keep_their_width(dtype):
    values = X.astype(dtype)
    x = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), 6)
    found = rows(x)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, values)


def test_every_face_takes_arrow():
    q = bq.BlockQuant(dim=6, bits=2, store_norm=True, center=LISTS)
    assert q == bq.BlockQuant(dim=6, bits=2, store_norm=True, center=X)
    codes = q.encode(LISTS)
    np.testing.assert_array_equal(q.inner_product(codes, FIXED), q.inner_product(codes, X))
    for found, expected in zip(
        q.search(codes, FIXED, k=3, metric="l2"), q.search(codes, X, k=3, metric="l2"), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(Q.rotate(FIXED), Q.rotate(X))
    found, expected = bq.measure(Q, FIXED, LISTS[:5]), bq.measure(Q, X, X[:5])
    assert (found.nmse, found.ip_error) == (expected.nmse, expected.ip_error)


def test_an_array_of_floats_is_one_row():
    assert rows(pa.array(X[0])).shape == (1, 6)
    assert rows(pa.chunked_array([X[0, :4], X[0, 4:]])).tolist() == [X[0].tolist()]


def test_lists_in_lists_have_more_dimensions():
    pairs = pa.FixedSizeListArray.from_arrays(FIXED, 2)
    assert as_floats(pairs, "x")[0].shape == (25, 2, 6)
    with pytest.raises(ValueError, match=r"shape \(25, 2, 6\), expected rows .n, dim.; for rows"):
        Q.encode(pairs)
    tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(X.reshape(25, 3, 4))
    np.testing.assert_array_equal(as_floats(tensors, "x")[0], X.reshape(25, 3, 4))
    assert as_floats(tensors[:0], "x")[0].shape == (0, 3, 4)


@pytest.mark.parametrize(
    "x",
    [
        LISTS[:0],
        FIXED[:0],
        pa.chunked_array([], LISTS.type),
        pa.table({"v": pa.chunked_array([], LISTS.type)}),
    ],
)
def test_no_rows(x):
    assert rows(x).shape == (0, 6)
    assert len(Q.encode(x)) == 0


# ---- against pyarrow's own reading


@st.composite
def arrays(draw):
    """An array or chunked array of lists, sliced anywhere, with or without nulls or a short row."""
    width, count = draw(st.integers(1, 4)), draw(st.integers(1, 20))
    value = st.floats(-1e4, 1e4, width=16)
    table = draw(
        st.lists(st.lists(value, min_size=width, max_size=width), min_size=count, max_size=count)
    )
    table = [list(row) for row in table]
    kind = draw(st.sampled_from(["fixed", "list", "large"]))
    for _ in range(draw(st.integers(0, 2))):
        row, column = draw(st.integers(0, count - 1)), draw(st.integers(0, width - 1))
        fault = draw(st.sampled_from(["row", "value", "short"]))
        if fault == "row":
            table[row] = None
        elif table[row] and fault == "value":
            table[row][min(column, len(table[row]) - 1)] = None
        elif table[row] and kind != "fixed":
            table[row] = table[row][:column]
    floats = draw(st.sampled_from([pa.float16(), pa.float32(), pa.float64()]))
    of_kind = {"fixed": pa.list_(floats, width), "list": pa.list_(floats)}
    array = pa.array(table, of_kind.get(kind, pa.large_list(floats)))
    start = draw(st.integers(0, count))
    array = array[start : start + draw(st.integers(0, count))]
    cuts = sorted(draw(st.lists(st.integers(0, len(array)), max_size=3)))
    if not cuts:
        return array
    edges = zip([0, *cuts], [*cuts, len(array)], strict=True)
    return pa.chunked_array([array[a:b] for a, b in edges], array.type)


def fault_of(table):
    """The first row with a fault, and what is wrong with it, of pyarrow's lists."""
    first = next((len(row) for row in table if row is not None), None)
    if table and table[0] is not None:
        first = len(table[0])
    for place, row in enumerate(table):
        if row is None:
            return f"row {place} is null"
        if len(row) != first:
            return f"row {place} has {len(row)} value"
        if None in row:
            return f"row {place}, column {row.index(None)} is null"
    return None


@settings(max_examples=600, deadline=None)
@given(arrays())
def test_reads_what_pyarrow_reads(x):
    """Values are those of `to_pylist`; an error is about a fault that is there."""
    table = x.to_pylist()
    if fault_of(table) is None:
        found = as_floats(x, "x")[0]
        assert found.tolist() == table
        return
    with pytest.raises(ValueError, match=r"^x: row \d+") as error:
        as_floats(x, "x")
    text = str(error.value)
    place = int(text.partition("row ")[2].replace(",", " ").partition(" ")[0])
    if "column" in text:
        column = int(text.partition("column ")[2].partition(" ")[0])
        assert table[place][column] is None
    elif "is null" in text:
        assert table[place] is None
    else:
        assert f"row {place} has {len(table[place])} value" in text
        assert len(table[place]) != len(table[0])


# ---- nulls, lengths and types


def with_null(row, column=None, count=30, width=6):
    table = X[:count, :width].tolist()
    if column is None:
        table[row] = None
    else:
        table[row][column] = None
    return table


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.list_(pa.float32(), 6)])
@pytest.mark.parametrize("row", [0, 7, 8, 29])
def test_nulls_name_row_and_position_over_chunks_and_slices(kind, row):
    null_row = pa.array(with_null(row), kind)
    null_value = pa.array(with_null(row, 5), kind)
    for cut in (0, 3, 8):
        for array, place, expected in (
            (null_row, f"row {row} is null", "a list of"),
            (null_value, f"row {row}, column 5 is null", "a float"),
        ):
            chunks = pa.chunked_array([array[:cut], array[cut:]])
            with pytest.raises(ValueError, match=f"^x: {place}, expected {expected}"):
                Q.encode(chunks)
    if row:
        with pytest.raises(ValueError, match=f"^y: row {row - 1} is null, expected a list of"):
            Q.inner_product(Q.encode(X), null_row[1:])


def test_a_null_outside_of_a_slice_does_not_matter():
    array = pa.array(with_null(4), pa.list_(pa.float32()))
    np.testing.assert_array_equal(rows(array[5:]), X[5:30])
    np.testing.assert_array_equal(rows(array[:4]), X[:4])
    array = pa.array(with_null(4, 2), pa.list_(pa.float32(), 6))
    np.testing.assert_array_equal(rows(array[5:]), X[5:30])
    np.testing.assert_array_equal(rows(array[:4]), X[:4])


def test_nulls_far_into_a_long_array():
    """Bitmaps are looked at in steps."""
    values = np.ones(3_000_000, np.float32)
    mask = np.zeros(len(values), bool)
    mask[2_500_001] = True
    x = pa.FixedSizeListArray.from_arrays(pa.array(values, mask=mask), 10)
    with pytest.raises(ValueError, match=r"^x: row 250000, column 1 is null, expected a float$"):
        as_rows(x, 10)
    x = pa.FixedSizeListArray.from_arrays(pa.array(values), 1, mask=pa.array(mask))
    with pytest.raises(ValueError, match=r"^x: row 2499901 is null, expected a list of 1 float$"):
        as_rows(x[100:], 1)


def test_ragged_rows():
    table = X[:9].tolist()
    table[4] = table[4][:5]
    ragged = pa.array(table, pa.list_(pa.float32()))
    with pytest.raises(ValueError, match=r"^x: row 4 has 5 values, expected 6 as row 0$"):
        Q.encode(ragged)
    with pytest.raises(ValueError, match=r"^x: row 54 has 5 values, expected 6 as row 0$"):
        Q.encode(pa.chunked_array([LISTS, ragged]))
    with pytest.raises(ValueError, match=r"^x has 5 columns, expected dim=6$"):
        Q.encode(pa.FixedSizeListArray.from_arrays(pa.array(X.reshape(-1)), 5))


def test_nulls_of_tables():
    holes = pa.table({"a": [1.0, None], "b": [2.0, 3.0]})
    with pytest.raises(ValueError, match=r"^x: row 1, column 0 is null, expected a float$"):
        as_rows(holes, 2)
    null = pa.StructArray.from_arrays([FIXED[:2]], ["v"], mask=pa.array([False, True]))
    with pytest.raises(ValueError, match=r"^x: row 1 is null, expected a row$"):
        rows(null)
    with pytest.raises(ValueError, match=r"^x: row 0, column 1 is null, expected a float$"):
        as_rows(pa.array([1.0, None]), 2)


@pytest.mark.parametrize(
    ("x", "found"),
    [
        (pa.array(["a"]), "has the Arrow type string, expected lists of float16, float32"),
        (pa.array([[1, 2]]), "has the Arrow type list<item: int64>, expected lists"),
        (pa.array([1, 2]), "has the Arrow type int64, expected lists"),
        (pa.nulls(3), "has the Arrow type na, expected lists"),
        (
            pa.DictionaryArray.from_arrays(pa.array([0]), pa.array([1.5])),
            r"has the Arrow type dictionary\(int64\)<double>",
        ),
        (
            pa.array(X.tolist(), pa.list_view(pa.float32())),
            "has the Arrow type list_view<item: float>, .*; cast it to lists",
        ),
        (
            pa.table({"id": [1], "vector": FIXED[:1]}),
            r"is a table of 2 columns \('id', 'vector'\), expected the column of the rows alone",
        ),
        (pa.table({"id": [1]}), "has the Arrow type .*int64"),
        (pa.table({}), r"is a table of 0 columns \(none\)"),
    ],
)
def test_wrong_types(x, found):
    with pytest.raises(TypeError, match=f"^x {found}"):
        as_rows(x, 6)


def test_values_that_are_not_finite():
    values = X.copy()
    values[12, 3] = np.inf
    x = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), 6)
    with pytest.raises(ValueError, match="row 12, column 3 is inf, expected a finite float32"):
        Q.encode(x)


# ---- rows as objects


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ([[1.0, 2.0], [1.0]], "row 1 has 1 value, expected 2 as row 0"),
        ([[1.0, 2.0], None], "row 1 is null, expected a list of floats"),
        ([[1.0, 2.0], [1.0, None]], "row 1, column 1 is null, expected a float"),
        ([[1.0, 2.0], 3.0], "row 1 is 3.0, expected a list of floats"),
        ([np.ones(2), np.ones((1, 2))], r"row 1 has shape \(1, 2\), expected \(2,\) as row 0"),
    ],
)
def test_lists_name_the_row(given, found):
    with pytest.raises(ValueError, match=f"^x: {found}$"):
        as_rows(given, 2)
    column = np.empty(len(given), object)
    column[:] = given
    with pytest.raises(ValueError, match=f"^x: {found}$"):
        as_rows(column, 2)


def test_an_array_of_rows():
    column = np.empty(50, object)
    column[:] = list(X)
    np.testing.assert_array_equal(rows(column), X)
    assert rows(column[:0]).shape == (0, 6)
    masked = column.copy()
    masked[3] = np.ma.masked_array(X[3], mask=X[3] > 0)
    with pytest.raises(TypeError, match="x: row 3 is masked"):
        rows(masked)
    words = np.array(["a", "b"], object)
    with pytest.raises(TypeError, match="x has dtype object"):
        rows(words)


# ---- what it costs


def test_nothing_is_imported_for_numpy_rows():
    program = (
        "import sys, numpy, blockquant as bq\n"
        "bq.Eden(dim=4, bits=1).encode(numpy.ones((2, 4)))\n"
        "print([name for name in ('nanoarrow', 'pyarrow', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_without_nanoarrow(monkeypatch):
    monkeypatch.setitem(sys.modules, "nanoarrow", None)
    with pytest.raises(ValueError, match=r"^x is FixedSizeListArray.* pip install nanoarrow$"):
        rows(FIXED)
