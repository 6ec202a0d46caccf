"""Codes as a column of Arrow: `Codes.to_arrow`, `Codes.from_arrow` and `blockquant.from_arrow`."""

import base64
import gc
import io
import json

import nanoarrow as na
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import blockquant as bq
from arrowexport import Exporter, Part
from test_codes_bytes import CASES, CENTER, DIM, make

KEY = b"blockquant"


def told(table):
    """What the metadata of the only column of a table says."""
    return json.loads(table.schema.field(0).metadata[KEY])


def renamed(table, **changes):
    """The table with other metadata of its column."""
    field = table.schema.field(0)
    text = json.dumps({**json.loads(field.metadata[KEY]), **changes})
    return table.cast(pa.schema([field.with_metadata({KEY: text})]))


# ---- the layout


@pytest.mark.parametrize(("name", "bits", "options"), CASES)
def test_a_value_is_the_bytes_of_a_row(name, bits, options):
    q, codes = make(name, bits, options)
    table = pa.table(codes.to_arrow("made of"))
    width = codes.nbytes // 7
    assert table.schema == pa.schema([pa.field("made of", pa.binary(width), nullable=False)])
    assert b"".join(table.column(0).to_pylist()) == codes.to_bytes()
    text = told(table)
    held = ("packed", "scale", "norm", "residual_norm", "center_product")
    assert text == {
        "version": 1,
        "made_by": repr(q),
        "dim": DIM,
        "arrays": [name for name in held if getattr(codes, name) is not None],
    }


def test_the_center_is_in_the_metadata_where_the_quantizer_writes_it():
    q, codes = make("eden", 3, {"center": CENTER})
    text = told(pa.table(q.to_arrow(codes)))
    assert base64.b64decode(text["center"]) == CENTER.astype("<f4").tobytes()
    other, _ = make("eden", 2, {})
    with pytest.raises(ValueError, match=r"the codes were made by create.* this is create"):
        other.to_arrow(codes)
    assert told(pa.table(other.to_arrow(other.encode(np.ones(DIM, np.float32))))).keys() == {
        "version",
        "made_by",
        "dim",
        "arrays",
    }


def test_the_column_owns_its_memory():
    _, codes = make("eden", 2, {})
    expected = codes.to_bytes()
    column = codes.to_arrow()
    del codes
    gc.collect()
    table = pa.table(column)
    del column
    gc.collect()
    assert b"".join(table.column(0).to_pylist()) == expected


# ---- there and back


@pytest.mark.parametrize(("name", "bits", "options"), CASES)
@pytest.mark.parametrize("rows", [0, 7])
def test_codes_come_back(name, bits, options, rows):
    q, codes = make(name, bits, options)
    codes = codes[:rows]
    for column in (codes.to_arrow(), q.to_arrow(codes), pa.table(codes.to_arrow())):
        assert bq.Codes.from_arrow(column) == codes
        assert bq.Codes.from_arrow(column, q) == codes
    same, back = bq.from_arrow(q.to_arrow(codes))
    assert same == q
    assert back == codes
    np.testing.assert_array_equal(same.decode(back), q.decode(codes))
    if "center" not in options:
        assert bq.from_arrow(codes.to_arrow())[0] == q


@pytest.mark.parametrize("rotation", ["hadamard", "haar"])
def test_every_argument_comes_back(rotation):
    q = bq.create(
        "blockquant/mse", dim=40, bits=0.5, block=8, rotation=rotation, seed=2**64 - 1,
        store_norm=True, center=np.arange(40.0),
    )  # fmt: skip
    searched = bq.Eden(dim=40, bits=4, rotation=rotation, scale_search=9, center=np.arange(40.0))
    for made in (q, searched):
        same, _ = bq.from_arrow(made.to_arrow(made.encode(np.ones(40))))
        assert same == made
        assert repr(same) == repr(made)


def parquet(table):
    file = io.BytesIO()
    pq.write_table(table, file, row_group_size=3)
    return pq.read_table(file)


def ipc(table):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as out:
        out.write_table(table)
    return pa.ipc.open_stream(sink.getvalue())


@pytest.mark.parametrize("store", [parquet, ipc, pa.Table.to_reader, pa.Table.combine_chunks])
def test_stores_keep_the_metadata(store):
    q, codes = make("eden", 3, {"store_norm": True, "center": CENTER})
    same, back = bq.from_arrow(store(pa.table(q.to_arrow(codes))))
    assert same == q
    assert back == codes


@pytest.mark.parametrize(
    "kind", [pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(-1)], ids=str
)
@pytest.mark.parametrize(("bits", "dim"), [(1, 8), (1, 65), (2, DIM)])
def test_values_of_any_length_come_back_with_the_quantizer(kind, bits, dim):
    q = bq.Eden(dim=dim, bits=bits)
    codes = q.encode(np.random.default_rng(1).standard_normal((30, dim)))
    values = pa.table(codes.to_arrow()).column(0).to_pylist()
    array = pa.array([b"x" * 40, *values, b""], kind)[1:-1]
    parts = pa.chunked_array([array[:11], array[11:11], array[11:]])
    for column in (array, parts, pa.table({"any": parts})):
        assert bq.Codes.from_arrow(column, q) == codes
        with pytest.raises(ValueError, match=r"has no metadata of codes, as Polars, DuckDB and"):
            bq.Codes.from_arrow(column)
        with pytest.raises(ValueError, match=r"has no metadata of codes, as Polars, DuckDB and"):
            bq.from_arrow(column)


def test_a_view_of_several_buffers():
    q = bq.Eden(dim=DIM, bits=2)
    codes = q.encode(np.random.default_rng(1).standard_normal((30, DIM)))
    values = pa.table(codes.to_arrow()).column(0).to_pylist()
    parts = [pa.array(values[:20], pa.binary_view()), pa.array(values[20:], pa.binary_view())]
    joined = pa.concat_arrays(parts)
    assert len(joined.buffers()) == 4
    assert bq.Codes.from_arrow(joined[3:27], q) == codes[3:27]


def test_metadata_with_values_of_any_length():
    q, codes = make("eden", 2, {})
    table = pa.table(codes.to_arrow())
    field = table.schema.field(0)
    any_length = pa.table(
        [table.column(0).cast(pa.binary())], pa.schema([field.with_type(pa.binary())])
    )
    assert bq.from_arrow(any_length) == (q, codes)
    with pytest.raises(ValueError, match=r"^column 'codes' has values of any length.* pass the q"):
        bq.Codes.from_arrow(any_length)


# ---- which column


def test_the_column_of_a_table():
    q, codes = make("eden", 2, {})
    column = pa.table(codes.to_arrow())
    table = pa.table(
        {"id": [*range(7)], "blob": [b"abc"] * 7, "more": column.column(0)}
    ).append_column(column.schema.field(0), column.column(0))
    assert bq.Codes.from_arrow(table) == codes
    assert bq.Codes.from_arrow(table, q, name="more") == codes
    assert bq.from_arrow(table, name="codes") == (q, codes)
    with pytest.raises(ValueError, match=r"columns 'id', 'blob', 'more'; pick .* with name=$"):
        bq.Codes.from_arrow(table.drop_columns("codes"), q)
    with pytest.raises(ValueError, match=r"columns 'id', .*'codes'; expected one 'x'$"):
        bq.Codes.from_arrow(table, q, name="x")
    with pytest.raises(TypeError, match=r"^column 'id' has the Arrow type int64, expected binary$"):
        bq.Codes.from_arrow(table, q, name="id")
    with pytest.raises(ValueError, match=r"^column 'blob': row 0 has 3 bytes, expected 17$"):
        bq.Codes.from_arrow(table, q, name="blob")


# ---- what is wrong


def test_another_quantizer():
    q, codes = make("eden", 2, {})
    expected = "the codes of column 'codes' were made by create.*bits=2.* this is create.*bits=3"
    with pytest.raises(ValueError, match=expected):
        bq.Codes.from_arrow(codes.to_arrow(), bq.Eden(dim=DIM, bits=3))
    with pytest.raises(ValueError, match=r"row 0 has 17 bytes, expected 23"):
        bq.Codes.from_arrow(pa.table(codes.to_arrow()).column(0), bq.Eden(dim=DIM, bits=3))
    with pytest.raises(TypeError, match=r"^quantizer is str, expected a Quantizer$"):
        bq.Codes.from_arrow(codes.to_arrow(), "eden")
    for wrong in (codes, codes.to_bytes(), None, codes.packed):
        with pytest.raises(TypeError, match=r"^column is .*, expected an Arrow array or table$"):
            bq.Codes.from_arrow(wrong, q)
    with pytest.raises(TypeError, match=r"^name is int, expected str$"):
        codes.to_arrow(3)


def test_a_center_that_is_not_there():
    q, codes = make("eden", 3, {"center": CENTER})
    expected = r"column 'codes' was made by .*, whose center it does not hold: .*q\.to_arrow"
    with pytest.raises(ValueError, match=expected):
        bq.from_arrow(codes.to_arrow())
    assert bq.Codes.from_arrow(codes.to_arrow()) == codes
    assert bq.Codes.from_arrow(codes.to_arrow(), q) == codes


def test_nulls_and_numbers_that_are_not_finite():
    q, codes = make("eden", 2, {})
    values = pa.table(codes.to_arrow()).column(0).to_pylist()
    for kind in (pa.binary(17), pa.binary(), pa.binary_view()):
        array = pa.array([*values, None, *values], kind)
        chunks = pa.chunked_array([array[:5], array[5:]])
        with pytest.raises(ValueError, match=r"^the column: row 7 is null, expected the 17 bytes"):
            bq.Codes.from_arrow(chunks, q)
        values[3] = values[3][:-4] + np.float32(np.inf).tobytes()
        chunks = pa.chunked_array([values[:2], values[2:]], kind)
        with pytest.raises(ValueError, match=r"^the column: row 3 has the scale inf, expected a f"):
            bq.Codes.from_arrow(chunks, q)
        values = pa.table(codes.to_arrow()).column(0).to_pylist()


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"version": 2}, "has version 2 of codes in Arrow, this build reads 1"),
        ({"version": None}, "has version None"),
        ({"made_by": 3}, "names the arrays"),
        ({"dim": 0}, "dim=0, expected"),
        ({"dim": "50"}, "dim='50', expected"),
        ({"arrays": ["packed"]}, "names the arrays"),
        ({"arrays": ["scale", "packed"]}, "names the arrays"),
        ({"arrays": ["packed", "scale", "scale"]}, "names the arrays"),
        ({"arrays": 3}, "not iterable"),
        ({"center": "AAAA"}, "center|buffer size"),
        ({"center": "?"}, "base64|padding"),
        ({"center": base64.b64encode(bytes(8)).decode()}, "center has 2 coordinates"),
        ({"groups": [["eden", 2]]}, "not enough values"),
        ({"groups": [["eden", 2.5, 1]]}, "names the group"),
        ({"groups": 3}, "not iterable"),
    ],
)
def test_metadata_that_is_damaged(changes, found):
    _, codes = make("eden", 2, {})
    table = renamed(pa.table(codes.to_arrow()), **changes)
    expected = rf"^column 'codes': the metadata 'blockquant' is damaged: .*({found})"
    with pytest.raises(ValueError, match=expected):
        bq.Codes.from_arrow(table)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "{}", '"x"'])
def test_metadata_that_is_none_of_ours(text):
    _, codes = make("eden", 2, {})
    table = pa.table(codes.to_arrow())
    field = table.schema.field(0).with_metadata({KEY: text})
    with pytest.raises(ValueError, match=r"^column 'codes': the metadata 'blockquant' is damaged"):
        bq.Codes.from_arrow(table.cast(pa.schema([field])))


@pytest.mark.parametrize(
    "made_by",
    [
        "",
        "mine",
        "create()",
        "create(3, dim=50, bits=2)",
        "create(['eden'], dim=50)",
        "create('no such', dim=50, bits=2)",
        "create('eden/unbiased', dim=open('x'), bits=2)",
        "__import__('os').system('true')",
        "create('eden', dim=50, bits=2, rotation='hadamard', seed=0)",
        "delete('eden/unbiased', dim=50, bits=2)",
        "(" * 5000,
    ],
)
def test_a_maker_that_is_none_of_ours(made_by):
    """Only literals are read; the codes themselves are taken, as those of a method of one's own."""
    q, codes = make("eden", 2, {})
    table = renamed(pa.table(codes.to_arrow()), made_by=made_by)
    with pytest.raises(ValueError, match=r"which names no quantizer of this package"):
        bq.from_arrow(table)
    assert bq.Codes.from_arrow(table).made_by == made_by
    with pytest.raises(ValueError, match=r"the codes were made by"):
        q.decode(bq.Codes.from_arrow(table))


@pytest.mark.parametrize(
    ("made_by", "found"),
    [
        ("create('eden/unbiased', dim=50, bits=99)", "bits=99, expected"),
        ("create('eden/unbiased', dim=50, bits=2, no=3)", "unexpected keyword argument 'no'"),
        ("create('eden/unbiased', dim=50, bits=2)", "but describes create"),
        ("create('eden/unbiased', **{'dim': 50})", "missing 2 required keyword-only arguments"),
    ],
)
def test_a_maker_that_does_not_exist(made_by, found):
    _, codes = make("eden", 2, {})
    with pytest.raises(ValueError, match=found):
        bq.from_arrow(renamed(pa.table(codes.to_arrow()), made_by=made_by))


def test_widths_that_do_not_fit():
    _, codes = make("eden", 2, {})
    field = pa.table(codes.to_arrow()).schema.field(0)

    def of(value):
        kind = pa.binary(len(value))
        return pa.table([pa.array([value], kind)], pa.schema([field.with_type(kind)]))

    with pytest.raises(ValueError, match=r"has 4 bytes per row, too few for packed, scale$"):
        bq.Codes.from_arrow(of(b"abcd"))
    with pytest.raises(ValueError, match=r"row 0 has 20 bytes, expected 17$"):
        bq.from_arrow(of(b"a" * 20))


# ---- producers that go wrong


def view_of(length, buffer, offset):
    return np.array([(length, b"aaaa", buffer, offset)], "<i4,V4,<i4,<i4").view(np.uint8)


DATA, SIZES = np.zeros(40, np.uint8), np.array([40], np.int64)


@pytest.mark.parametrize(
    "part",
    [
        Part("vz", 1, [None, view_of(17, 3, 0), DATA, SIZES]),
        Part("vz", 1, [None, view_of(17, -1, 0), DATA, SIZES]),
        Part("vz", 1, [None, view_of(17, 0, 24), DATA, SIZES]),
        Part("vz", 1, [None, view_of(17, 0, -5), DATA, SIZES]),
        Part("vz", 1, [None, view_of(17, 0, 2**31 - 1), DATA, SIZES]),
        Part("z", 1, [None, np.array([-17, 0], np.int32), DATA]),
        Part("z", 1, [None, np.array([0, 17], np.int32), None]),
        Part("w:17", 1, [None, None]),
        Part("w:17", 1, [None]),
        Part("w:-17", 1, [None, DATA]),
        Part("w:0", 1, [None, DATA]),
    ],
)
def test_structures_that_do_not_fit(part):
    q, _ = make("eden", 2, {})
    exporter = Exporter(part)
    with pytest.raises((ValueError, TypeError)):
        bq.Codes.from_arrow(exporter, q)
    gc.collect()
    assert exporter.alive == {}


def test_everything_is_released():
    q, codes = make("eden", 2, {})
    rows = np.frombuffer(codes.to_bytes(), np.uint8)
    exporter = Exporter(Part("w:17", 7, [None, rows]), Part("w:17", 2, [None, rows], offset=5))
    back = bq.Codes.from_arrow(exporter, q)
    gc.collect()
    assert exporter.alive == {}
    assert back == bq.concatenate([codes, codes[5:]])


def test_the_column_is_of_nanoarrow():
    _, codes = make("eden", 2, {})
    column = codes.to_arrow()
    assert isinstance(column, na.Array)
    assert [row["codes"] for row in column.to_pylist()] == [
        codes[place].to_bytes() for place in range(7)
    ]
