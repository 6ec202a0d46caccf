"""Rows and codes in the tables of pandas, Polars, DuckDB, `datasets`, Lance and their Parquet."""

import datasets
import duckdb
import lance
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import blockquant as bq
from blockquant._arrays import as_rows

X = bq.sample()[0][:300].astype(np.float32)
DIM = X.shape[1]
Q = bq.BlockQuant(dim=DIM, bits=2, store_norm=True)
CODES = Q.encode(X)
FIXED = pa.FixedSizeListArray.from_arrays(pa.array(X.reshape(-1)), DIM)
VECTORS = pa.table({"id": range(300), "vector": FIXED})
LISTS = pa.list_(pa.float32())


def data_set(kind="float32", length=DIM):
    features = {
        "id": datasets.Value("int64"),
        "vector": datasets.List(datasets.Value(kind), length),
    }
    return datasets.Dataset.from_dict(
        {"id": [*range(300)], "vector": X.astype(kind)}, features=datasets.Features(features)
    )


# ---- rows

COLUMNS = {
    "pandas, arrays": lambda: pd.Series(list(X)),
    "pandas, lists": lambda: pd.Series(X.astype(float).tolist()),
    "pandas, Arrow lists": lambda: pd.Series(list(X), dtype=pd.ArrowDtype(LISTS)),
    "pandas, Arrow arrays": lambda: pd.Series(FIXED, dtype=pd.ArrowDtype(FIXED.type)),
    "pandas, frame of numbers": lambda: pd.DataFrame(X),
    "pandas, frame of arrays": lambda: pd.DataFrame({"vector": list(X)}),
    "pandas, frame of Arrow": lambda: VECTORS.to_pandas(types_mapper=pd.ArrowDtype)[["vector"]],
    "pandas, from Parquet": lambda: VECTORS.to_pandas()["vector"],
    "Polars, list": lambda: pl.Series(X.tolist(), dtype=pl.List(pl.Float32)),
    "Polars, array": lambda: pl.Series(X),
    "Polars, chunks": lambda: pl.Series(X[:100]).append(pl.Series(X[100:])),
    "Polars, frame": lambda: pl.DataFrame({"vector": X}),
    "Polars, frame of numbers": lambda: pl.DataFrame(X),
    "Polars, of Arrow": lambda: pl.from_arrow(VECTORS)["vector"],
    "DuckDB": lambda: duckdb.sql("select vector from VECTORS order by id"),
    "DuckDB, lists": lambda: duckdb.sql("select vector::float[] as v from VECTORS order by id"),
    "datasets": lambda: data_set()["vector"],
    "datasets, lists": lambda: data_set(length=-1)["vector"],
    "datasets, torch": lambda: data_set().with_format("torch")["vector"],
    "datasets, Arrow": lambda: data_set().with_format("arrow")["vector"],
    "datasets, selected": lambda: data_set().select(range(300))["vector"],
}


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_of_rows(name):
    assert Q.encode(COLUMNS[name]()) == CODES


def test_selections_of_a_data_set_are_followed():
    picked = data_set().select([5, 3, 250])["vector"]
    np.testing.assert_array_equal(as_rows(picked, DIM)[0], X[[5, 3, 250]])
    assert len(data_set().filter(lambda row: row["id"] % 3 == 0)["vector"]) == 100


@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
def test_types_keep_their_width(kind):
    values = X.astype(kind)
    for column in (data_set(kind)["vector"], pd.Series(list(values)), pd.DataFrame(values)):
        rows = as_rows(column, DIM)[0]
        assert rows.dtype == kind
        np.testing.assert_array_equal(rows, values)
    if kind != "float16":
        assert as_rows(pl.Series(values), DIM)[0].dtype == kind


def test_one_chunk_is_not_copied():
    """The address is that of what the library holds."""
    series = pl.Series(X)
    start = series.to_numpy(allow_copy=False).__array_interface__["data"][0]
    assert as_rows(series, DIM)[0].__array_interface__["data"][0] == start
    assert as_rows(series[7:], DIM)[0].__array_interface__["data"][0] == start + 7 * DIM * 4
    frame = pd.DataFrame(X)
    assert np.shares_memory(as_rows(frame, DIM)[0], frame.to_numpy())
    held = pd.Series(FIXED, dtype=pd.ArrowDtype(FIXED.type))
    start = FIXED.values.buffers()[1].address
    assert as_rows(held, DIM)[0].__array_interface__["data"][0] == start


SHORT = [[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [1.0, 2.0]]
HOLES = [[1.0, 2.0, 3.0], None, [1.0, 2.0, 3.0]]
HOLED = [[1.0, 2.0, 3.0], [1.0, None, 3.0]]
MAKERS = {
    "pandas": pd.Series,
    "pandas, Arrow": lambda rows: pd.Series(rows, dtype=pd.ArrowDtype(pa.list_(pa.float64()))),
    "Polars": pl.Series,
    "datasets": lambda rows: datasets.Dataset.from_dict({"v": rows})["v"],
    "DuckDB": lambda rows: duckdb.from_arrow(pa.table({"v": rows})),
}


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize(
    ("rows", "found"),
    [
        (SHORT, "row 2 has 2 values, expected 3 as row 0"),
        (HOLES, "row 1 is null, expected a list of "),
        (HOLED, "row 1, column 1 is null, expected a float"),
    ],
)
def test_nulls_and_lengths(maker, rows, found):
    with pytest.raises(ValueError, match=f"^x: {found}"):
        as_rows(MAKERS[maker](rows), 3)


@pytest.mark.parametrize("null", [None, pd.NA, float("nan"), pd.NaT])
def test_nulls_of_pandas(null):
    row = [1.0, 2.0, 3.0]
    with pytest.raises(ValueError, match=r"^x: row 1 is null, expected a list of floats$"):
        as_rows(pd.Series([row, null, row]), 3)
    if null is None or null is pd.NA:
        with pytest.raises(ValueError, match=r"^x: row 1, column 2 is null, expected a float$"):
            as_rows(pd.Series([row, [1.0, 2.0, null]]), 3)


@pytest.mark.parametrize(
    ("column", "found"),
    [
        (pl.Series(["a"]), "x has the Arrow type string_view, expected lists of float16"),
        (pl.Series([[1, 2, 3]]), "x has the Arrow type large_list<item: int64>"),
        (pl.from_arrow(VECTORS), r"x is a table of 2 columns \('id', 'vector'\)"),
        (VECTORS.to_pandas(), r"x is a table of 2 columns \('id', 'vector'\)"),
        (pd.Series(["a", "b"]), "x has "),
        (pd.Series([1, 2, 3]), "x has dtype int64"),
        (data_set()["id"], "x has the Arrow type int64"),
    ],
)
def test_wrong_types(column, found):
    with pytest.raises(TypeError, match=f"^{found}"):
        as_rows(column, 3)


# ---- codes


def with_ids(codes=CODES, q=Q):
    """A table of ids and codes."""
    column = pa.table(q.to_arrow(codes))
    table = pa.table({"id": range(len(codes))})
    return table.append_column(column.schema.field(0), column.column(0))


def through_polars_parquet(table, folder):
    pl.from_arrow(table).write_parquet(folder / "polars.parquet")
    return pl.read_parquet(folder / "polars.parquet")


def through_duckdb_parquet(coded, folder):
    path = f"{folder}/duckdb.parquet"
    duckdb.sql(f"copy (select * from coded) to '{path}'")
    return duckdb.sql(f"select * from '{path}' order by id")


def through_duckdb_file(coded, folder):
    with duckdb.connect(f"{folder}/codes.duckdb") as connection:
        connection.sql("create or replace table kept as select * from coded")
    with duckdb.connect(f"{folder}/codes.duckdb") as connection:
        return connection.sql("select * from kept order by id").to_arrow_table()


def through_parquet(table, folder):
    pq.write_table(table, folder / "codes.parquet", row_group_size=70)
    return pq.read_table(folder / "codes.parquet")


def through_lance(table, folder):
    lance.write_dataset(table, f"{folder}/codes.lance", max_rows_per_group=70)
    return lance.dataset(f"{folder}/codes.lance").to_table()


def through_datasets(table, folder):
    datasets.Dataset(table).save_to_disk(f"{folder}/codes")
    return datasets.load_from_disk(f"{folder}/codes").with_format("arrow")[:]


def through_datasets_parquet(table, folder):
    pq.write_table(table, folder / "codes.parquet")
    found = datasets.Dataset.from_parquet(str(folder / "codes.parquet"), cache_dir=str(folder))
    return found.with_format("arrow")[:]


#: The stores that keep the metadata of the field, and those that drop it.
KEEPING = [through_parquet, through_lance]
DROPPING = [
    lambda table, _: pl.from_arrow(table),
    through_polars_parquet,
    lambda coded, _: duckdb.sql("select * from coded order by id"),
    through_duckdb_parquet,
    through_duckdb_file,
    through_datasets,
    through_datasets_parquet,
    lambda table, _: table.to_pandas(),
    lambda table, _: table.to_pandas(types_mapper=pd.ArrowDtype),
]


@pytest.mark.parametrize("store", KEEPING)
def test_stores_that_keep_the_metadata(store, tmp_path):
    centered = bq.Eden(dim=DIM, bits=3, center=X)
    for place, q in enumerate((Q, centered)):
        codes, folder = q.encode(X), tmp_path / str(place)
        folder.mkdir()
        same, back = bq.from_arrow(store(with_ids(codes, q), folder))
        assert same == q
        assert back == codes


@pytest.mark.parametrize("place", range(len(DROPPING)))
def test_stores_that_drop_the_metadata(place, tmp_path):
    """What the documentation says of them: the values survive, and the quantizer is passed."""

    def stored():
        return DROPPING[place](with_ids(), tmp_path)

    assert bq.Codes.from_arrow(stored(), Q, name="codes") == CODES
    with pytest.raises(ValueError, match="column 'codes' has no metadata of codes, as Polars"):
        bq.from_arrow(stored(), name="codes")


def test_columns_alone():
    """A column of a table has no field, so no metadata, except in a frame."""
    for column in (
        with_ids()["codes"],
        pl.from_arrow(with_ids())["codes"],
        datasets.Dataset(with_ids())["codes"],
        pd.Series(with_ids()["codes"].to_pylist()),
        duckdb.from_arrow(with_ids()).select("codes"),
    ):
        assert bq.Codes.from_arrow(column, Q) == CODES


def test_what_takes_the_column_directly():
    given = CODES.to_arrow()
    expected = with_ids().column("codes").to_pylist()
    assert pa.table(given).column(0).to_pylist() == expected
    assert pl.DataFrame(given)["codes"].to_list() == expected
    assert [row[0] for row in duckdb.sql("select * from given").fetchall()] == expected
    assert pa.record_batch(given).schema.field(0).metadata.keys() == {b"blockquant"}


def test_filters_of_an_engine_give_the_codes_of_the_rows():
    coded = with_ids()
    picked = duckdb.sql("select codes from coded where id % 7 = 3 order by id")
    assert bq.Codes.from_arrow(picked, Q) == CODES[np.arange(300) % 7 == 3]
    picked = pl.from_arrow(coded).filter(pl.col("id") >= 290).sort("id", descending=True)
    assert bq.Codes.from_arrow(picked, Q, name="codes") == CODES[np.arange(299, 289, -1)]
    chosen = datasets.Dataset(coded).select([4, 2, 0])["codes"]
    assert bq.Codes.from_arrow(chosen, Q) == CODES[[4, 2, 0]]
