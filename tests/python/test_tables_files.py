"""Parquet files with a column of codes: written beside kept columns, and read by every command."""

import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import blockquant as bq
from blockquant.files import tables
from blockquant.files.codes import holds_codes
from blockquant.files.tables import load_codes, write_codes
from commands import call, done, fails, found

N, DIM = 300, 24
X = np.random.default_rng(11).standard_normal((N, DIM)).astype(np.float32)
IDS = pa.array(range(1000, 1000 + N))
TEXTS = pa.array([None if place % 7 == 3 else "text " * (place % 5) for place in range(N)])
TAGS = pa.array([{"a": [place] * (place % 3), "b": str(place)} for place in range(N)])


@pytest.fixture
def source(tmp_path):
    """Rows with ids, texts and structs beside them, in row groups of uneven size."""
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(X.reshape(-1)), DIM)
    fields = [
        pa.field("id", pa.int64(), nullable=False, metadata={"kept": "too"}),
        pa.field("text", pa.string()),
        pa.field("vector", vectors.type),
        pa.field("tags", TAGS.type),
        pa.field("tags.b", pa.int64()),
    ]
    table = pa.table([IDS, TEXTS, vectors, TAGS, IDS], pa.schema(fields, {"pandas": "{}"}))
    path = tmp_path / "rows.parquet"
    with pq.ParquetWriter(path, table.schema) as out:
        for start, stop in ((0, 7), (7, 130), (130, 130), (130, N)):
            out.write_table(table[start:stop])
    return path


# ---- writing


@pytest.mark.parametrize("group", [1, 2000, 2**25])
def test_codes_beside_the_columns_of_the_input(source, tmp_path, monkeypatch, small_chunks, group):
    monkeypatch.setattr(tables, "_GROUP_BYTES", group)
    out = tmp_path / "codes.parquet"
    text = done("encode", source, "--out", out, "--keep", "id, text,tags,tags.b", "--bits", 3)
    assert text.startswith(f"{out}: 300 rows, d = 24, of {source} (float32)\n")
    q = bq.BlockQuant(dim=DIM, bits=3)
    codes = q.encode(X)
    assert bq.load(out) == (q, codes)
    file = pq.ParquetFile(out)
    assert file.schema_arrow.names == ["id", "text", "tags", "tags.b", "codes"]
    table = file.read()
    for name, column in (("id", IDS), ("text", TEXTS), ("tags", TAGS), ("tags.b", IDS)):
        assert table[name].combine_chunks() == column
    assert table.schema.field("id").metadata == {b"kept": b"too"}
    assert not table.schema.field("id").nullable
    assert (table.schema.metadata or {}).keys() <= {b"ARROW:schema"}
    assert bq.from_arrow(table) == (q, codes)
    groups = [file.metadata.row_group(place).num_rows for place in range(file.num_row_groups)]
    assert sum(groups) == N
    # A chunk of small_chunks is 10 rows; a group ends with the chunk that fills it.
    assert max(groups) == {1: 10, 2**25: N}.get(group, max(groups))
    assert (len(groups) > 3) == (group < 2**25)


@pytest.mark.parametrize("suffix", [".npy", ".parquet"])
def test_codes_alone(source, tmp_path, suffix):
    rows = source
    if suffix == ".npy":
        rows = tmp_path / "rows.npy"
        np.save(rows, X)
    out = tmp_path / "codes.parquet"
    told = found("encode", rows, "--out", out, "--method", "eden", "--name", "mine", "--bits", 2)
    assert (told["rows"], told["bytes_per_vector"], told["bytes"]) == (N, 10, 3000)
    assert told["file_bytes"] == os.stat(out).st_size
    assert told["bits_per_dimension"] == 80 / 24
    assert pq.read_schema(out).names == ["mine"]
    assert bq.load(out) == (bq.Eden(dim=DIM, bits=2), bq.Eden(dim=DIM, bits=2).encode(X))


@pytest.mark.parametrize("option", ["--center-mean", "--center"])
def test_the_center_is_in_the_file(source, tmp_path, option):
    out, plain = tmp_path / "codes.parquet", tmp_path / "codes.safetensors"
    given = [option, *([source] if option == "--center" else []), "--store-norm"]
    if option == "--center":
        np.save(tmp_path / "center.npy", X)
        given[1] = tmp_path / "center.npy"
    done("encode", source, "--out", out, "--keep", "id", *given)
    done("encode", source, "--out", plain, *given)
    q, codes = bq.load(out)
    assert q.center is not None
    assert (q, codes) == bq.load(plain)


def test_equal_runs_give_equal_bytes(source, tmp_path):
    for name in ("a", "b"):
        done("encode", source, "--out", tmp_path / f"{name}.parquet", "--keep", "id")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_no_rows(tmp_path):
    kind = pa.list_(pa.float32(), DIM)
    pq.write_table(
        pa.table([pa.array([], kind), pa.array([], pa.string())], names=["v", "t"]),
        tmp_path / "rows.parquet",
    )
    out = tmp_path / "codes.parquet"
    assert "no rows" in done("encode", tmp_path / "rows.parquet", "--out", out, "--keep", "t")
    q, codes = bq.load(out)
    assert len(codes) == 0
    assert q == bq.BlockQuant(dim=DIM, bits=2)
    assert pq.read_schema(out).names == ["t", "codes"]


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--keep", "no"], ["holds no column 'no' to keep, expected one of 'id', 'text'"]),
        (["--keep", "id,,text"], ["holds no column '' to keep"]),
        (["--keep", "id,id"], ["the column 'id' to keep is named twice"]),
        (["--keep", "id,text", "--name", "id"], ["the column of codes is called 'id'"]),
        (["--keep", "vector.list"], ["holds no column 'vector.list' to keep"]),
    ],
)
def test_columns_that_cannot_be_kept(source, tmp_path, options, parts):
    out = tmp_path / "codes.parquet"
    fails(2, "encode", source, "--out", out, "--center-mean", *options, parts)
    assert sorted(os.listdir(tmp_path)) == ["rows.parquet"]


def test_keep_is_for_parquet(source, tmp_path):
    np.save(tmp_path / "x.npy", X)
    expected = ["--keep is for a FILE and an --out that are .parquet"]
    fails(
        2, "encode", tmp_path / "x.npy", "--out", tmp_path / "c.parquet", "--keep", "id", expected
    )
    fails(2, "encode", source, "--out", tmp_path / "c.safetensors", "--keep", "id", expected)
    fails(2, "encode", source, "--out", tmp_path / "c.npy", ["ends in .safetensors, .parquet"])
    fails(2, "encode", source, "--out", source, "--force", ["is an input"])


def test_a_bad_row_leaves_nothing_behind(tmp_path, small_chunks):
    values = X.copy()
    values[250, 4] = np.nan
    pq.write_table(pa.table({"id": IDS, "v": list(values)}), tmp_path / "rows.parquet")
    out = tmp_path / "codes.parquet"
    out.write_bytes(b"before")
    parts = ["rows.parquet: row 250, column 4 is NaN"]
    given = ["--keep", "id", "--force"]
    fails(2, "encode", tmp_path / "rows.parquet", "--out", out, *given, parts)
    assert out.read_bytes() == b"before"
    assert sorted(os.listdir(tmp_path)) == ["codes.parquet", "rows.parquet"]


def test_a_kept_column_that_is_damaged(source, tmp_path):
    """The column of rows is whole, and a page of the texts is not."""
    pq.write_table(pq.read_table(source), source, write_page_checksum=True, compression="none")
    data = bytearray(source.read_bytes())
    place = data.index(b"text text text ")
    data[place] ^= 1
    source.write_bytes(data)
    out = tmp_path / "codes.parquet"
    parts = ["rows.parquet: column 'id', 'text' is damaged", "checksum"]
    fails(2, "encode", source, "--out", out, "--keep", "id,text", parts)
    assert sorted(os.listdir(tmp_path)) == ["rows.parquet"]
    done("encode", source, "--out", out, "--keep", "id")


def test_the_rows_of_source_and_codes_agree(source, tmp_path):
    q = bq.Eden(dim=DIM, bits=1)
    for rows, found_text in ((10, "has more rows than the codes, 10"), (N + 1, "has fewer rows")):
        codes = q.encode(np.resize(X, (rows, DIM)))
        with (
            pytest.raises(ValueError, match=found_text),
            write_codes(tmp_path / "c.parquet", q, source=source, keep=["id"]) as out,
        ):
            out.write(codes)
    with (
        pytest.raises(ValueError, match="the codes were made by"),
        write_codes(tmp_path / "c.parquet", q) as out,
    ):
        out.write(bq.Eden(dim=DIM, bits=2).encode(X))
    assert sorted(os.listdir(tmp_path)) == ["rows.parquet"]


# ---- reading


@pytest.fixture
def coded(source, tmp_path):
    out = tmp_path / "codes.parquet"
    done("encode", source, "--out", out, "--keep", "id,text", "--store-norm", "--bits", 4)
    return out


def test_every_command_reads_the_file(coded, tmp_path):
    q = bq.BlockQuant(dim=DIM, bits=4, store_norm=True)
    codes = q.encode(X)
    text = done("info", coded)
    assert text.startswith(f"{coded}: codes of 300 rows, d = 24\n{q!r}\n20 bytes per vector")
    assert text.endswith("checksums: compared, of the pages that have one\n")
    assert "not compared" in done("info", coded, "--no-verify")
    told = found("info", coded)
    assert (told["kind"], told["rows"], told["bytes"]) == ("codes", N, codes.nbytes)
    np.save(tmp_path / "queries.npy", X[:5])
    told = found("search", coded, "--queries", tmp_path / "queries.npy", "--metric", "l2", "-k", 3)
    _, index = q.search(codes, X[:5], k=3, metric="l2")
    assert [result["index"] for result in told["results"]] == index.tolist()
    done("decode", coded, "--out", tmp_path / "back.npy", "--rows", "10:20")
    np.testing.assert_array_equal(np.load(tmp_path / "back.npy"), q.decode(codes[10:20]))


def test_files_of_pyarrow_are_read_too(tmp_path):
    q = bq.Eden(dim=DIM, bits=2, center=X)
    codes = q.encode(X)
    path = tmp_path / "any name"
    pq.write_table(pa.table(q.to_arrow(codes, "c")).append_column("id", IDS), path)
    assert holds_codes(str(path))
    assert bq.load(path) == bq.load(path, verify=False) == (q, codes)


def test_damage_is_found_by_the_checksums(coded):
    data = bytearray(coded.read_bytes())
    start = pq.ParquetFile(coded).metadata.row_group(0).column(2).data_page_offset
    data[start + 2000] ^= 1
    coded.write_bytes(data)
    fails(2, "info", coded, ["codes.parquet: ", "checksum"])
    with pytest.raises(ValueError, match=r"codes\.parquet: .*checksum"):
        bq.load(coded)
    for cut in (len(data) - 1, 100, 4):
        coded.write_bytes(data[:cut])
        with pytest.raises(ValueError, match=r"codes\.parquet: .*truncated"):
            bq.load(coded)


def test_files_without_one_column_of_codes(source, coded):
    expected = r"rows\.parquet holds no codes, expected one; blockquant\.from_arrow takes one"
    with pytest.raises(ValueError, match=expected):
        bq.load(source)
    assert not holds_codes(str(source))
    assert "'vector': float32 of shape (300, 24)" in done("info", source)
    table = pq.read_table(coded)
    field = table.schema.field("codes").with_name("more")
    pq.write_table(table.append_column(field, table["codes"]), coded)
    with pytest.raises(ValueError, match=r"the columns of codes 'codes', 'more', expected one"):
        bq.load(coded)
    assert call("info", coded)[0] == 2


def test_without_pyarrow(coded, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for act in (lambda: load_codes(coded), lambda: bq.load(coded)):
        with pytest.raises(ValueError, match=r"need pyarrow, which is not installed: pip install"):
            act()
    fails(2, "encode", coded, "--out", f"{coded}.parquet", ["pip install pyarrow"])
