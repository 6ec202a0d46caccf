"""encode, decode, search and info: what they write, print and hold in memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import blockquant as bq
from blockquant import files
from blockquant.files import rows as rows_module
from commands import call, done, found

pytestmark = pytest.mark.usefixtures("chunks_of_32_rows")


@pytest.mark.parametrize(
    ("options", "made"),
    [
        ([], {"name": "blockquant", "bits": 2}),
        (
            ["--method", "eden/mse", "--bits", "3", "--seed", "7"],
            {"name": "eden/mse", "bits": 3, "seed": 7},
        ),
        (["--bits", "2.5", "--block", "2"], {"name": "blockquant", "bits": 2.5, "block": 2}),
        (["--method", "trellis", "--states", "16"], {"name": "trellis", "bits": 2, "states": 16}),
        (
            ["--method", "rabitq", "--rotation", "haar", "--store-norm"],
            {"name": "rabitq", "bits": 2, "rotation": "haar", "store_norm": True},
        ),
        (
            ["--method", "eden", "--bits", "4", "--scale-search", "9"],
            {"name": "eden", "bits": 4, "scale_search": 9},
        ),
    ],
)
def test_encode_is_the_quantizer_on_the_whole_array(rows, x, tmp_path, options, made):
    out = tmp_path / "c.safetensors"
    done("encode", rows, "--out", out, *options)
    q = bq.create(made.pop("name"), dim=32, **made)
    same, codes = bq.load(out)
    assert repr(same) == repr(q)
    assert codes == q.encode(x)


def test_encode_with_a_center(rows, x, tmp_path):
    mean, given = tmp_path / "mean.safetensors", tmp_path / "given.safetensors"
    done("encode", rows, "--out", mean, "--center-mean")
    np.save(tmp_path / "center.npy", x.mean(axis=0))
    done("encode", rows, "--out", given, "--center", tmp_path / "center.npy")
    for path in (mean, given):
        assert np.allclose(bq.load(path)[0].center, x.mean(axis=0, dtype=float), atol=1e-6)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".parquet", ".fvecs"])
def test_encode_takes_every_kind_of_file(tmp_path, x, codes, suffix):
    path, out = tmp_path / f"y{suffix}", tmp_path / "out.safetensors"
    if suffix == ".npz":
        np.savez_compressed(path, a=x, b=x[:5])
    else:
        if suffix == ".parquet":
            pytest.importorskip("pyarrow")
        with files.write_rows(path, 300, 32, "a") as writer:
            writer.write(x)
    array = [] if suffix == ".fvecs" else ["--array", "a"]
    options = ["--method", "eden", "--bits", "4", "--store-norm", *array]
    assert found("encode", path, "--out", out, *options)["array"] == (array[1] if array else None)
    assert out.read_bytes() == codes.read_bytes()


@pytest.mark.parametrize("suffix", [".npy", ".safetensors", ".parquet", ".fvecs"])
@pytest.mark.parametrize("span", [None, "5:9", ":-290", "290:", "-3:"])
def test_decode_writes_what_the_quantizer_decodes(tmp_path, codes, suffix, span):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    out = tmp_path / f"back{suffix}"
    done("decode", codes, "--out", out, *([] if span is None else ["--rows", span]))
    q, held = bq.load(codes)
    wanted = slice(*(int(p) if p else None for p in (span or ":").split(":")))
    with files.open_rows(out) as back:
        assert np.array_equal(back[:], q.decode(held)[wanted])


@pytest.mark.parametrize("metric", ["ip", "l2", "cosine"])
def test_search_finds_what_the_quantizer_finds(tmp_path, rows, codes, x, monkeypatch, metric):
    monkeypatch.setattr("blockquant.cli.search._QUERIES", 7)
    q, held = bq.load(codes)
    score, index, certain = q.search(held, x[:20], k=5, metric=metric, certified=True)
    np.save(tmp_path / "q.npy", x[:20])
    options = [
        "search",
        codes,
        "--queries",
        tmp_path / "q.npy",
        "-k",
        5,
        "--metric",
        metric,
        "--certified",
    ]
    results = found(*options)["results"]
    assert [result["query"] for result in results] == list(range(20))
    assert np.array_equal([result["index"] for result in results], index)
    assert np.array_equal(np.float32([result["score"] for result in results]), score)
    assert [result["certain"] for result in results] == certain.tolist()
    lines = done(*options).splitlines()
    assert lines[0].split() == ["query", "rank", "row", "score", "certain"]
    assert len(lines) == 1 + 20 * 5
    assert lines[7].split()[:3] == ["1", "2", str(index[1, 1])]
    out = tmp_path / "found.npz"
    assert "20 queries among 300 rows" in done(*options, "--out", out)
    with np.load(out) as archive:
        assert sorted(archive) == ["certain", "index", "score"]
        assert np.array_equal(archive["score"], score)
        assert archive["index"].dtype == np.int64
    assert found(*options, "--out", out, "--force")["out"] == str(out)


@pytest.mark.parametrize("flags", [[], ["--exact"]])
def test_search_can_be_exact(rows, codes, x, monkeypatch, flags):
    q, held = bq.load(codes)
    asked, search = [], bq.Quantizer.search

    def watched(self, codes, y, **options):
        result = search(self, codes, y, **options)
        asked.append(options["exact"])
        return result

    monkeypatch.setattr(bq.Quantizer, "search", watched)
    answer = found("search", codes, "--queries", rows, "-k", 5, *flags)
    assert answer["exact"] == bool(flags)
    assert asked == [bool(flags)]
    expected = search(q, held, x, 5, exact=True)[1]
    if flags:
        assert np.array_equal([result["index"] for result in answer["results"]], expected)


@pytest.mark.parametrize(("n", "rows"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows")])
def test_search_of_fewer_rows_than_k(tmp_path, x, n, rows):
    q = bq.Eden(dim=32, bits=1)
    codes, queries = tmp_path / "c.safetensors", tmp_path / "queries.npy"
    bq.save(codes, q, q.encode(x[:n]))
    np.save(queries, x[:3])
    note = f"k = 10, but {codes} has {rows}: each query gets all\n"
    code, out, err = call("search", codes, "--queries", queries, "--json")
    assert (code, err) == (0, note)
    found = json.loads(out)
    assert (found["k"], found["rows_per_query"]) == (10, n)
    assert [sorted(result["index"]) for result in found["results"]] == [list(range(n))] * 3
    code, out, err = call("search", codes, "--queries", queries, "--out", tmp_path / "found.npz")
    assert (code, err) == (0, note)
    assert f"of 3 queries among {rows}; " in out


def test_search_of_no_queries(codes, tmp_path, x):
    np.save(tmp_path / "none.npy", x[:0])
    assert found("search", codes, "--queries", tmp_path / "none.npy")["results"] == []


def test_one_row_is_not_rows(tmp_path, x):
    names = ("one.npy", "c.safetensors", "back.npy", "found.npz")
    rows, codes, back, out = (tmp_path / name for name in names)
    np.save(rows, x[:1])
    assert f"{codes}: 1 row, d = 32" in done("encode", rows, "--out", codes)
    assert f"{codes}: codes of 1 row, d = 32" in done("info", codes)
    assert "shape (1, 32); 1 row, d = 32" in done("info", rows)
    assert f"{back}: 1 row, d = 32" in done("decode", codes, "--out", back)
    searched = done("search", codes, "--queries", rows, "-k", 1, "--out", out)
    assert "of 1 query among 1 row;" in searched
    assert repr(bq.load(codes)[1]).startswith("<Codes of 1 row, ")


QUANTIZER = {"method", "dim", "bits", "block", "rotation", "seed", "store_norm", "center"}
COST = {"rows", "dim", "quantizer", "bytes", "file_bytes", "bytes_per_vector", "bits_per_dimension"}
COST |= {"ratio_float32", "ratio_float16"}
SPEED = {"seconds", "rows_per_second"}


def test_json_has_these_keys(rows, codes, tmp_path):
    out = tmp_path / "out"
    named = {"command", "file", "array", "stored", "out"}
    encoded = found("encode", rows, "--out", f"{out}.safetensors", "--bits", 4)
    assert set(encoded) == named | COST | SPEED
    assert set(encoded["quantizer"]) == QUANTIZER
    assert encoded["bytes_per_vector"] == 20
    assert encoded["ratio_float32"] == 6.4
    decoded = found("decode", codes, "--out", f"{out}.npy")
    names = {"command", "codes", "out", "first_row", "rows", "dim", "quantizer", "file_bytes"}
    assert set(decoded) == names | SPEED
    searched = found("search", codes, "--queries", rows)
    names = {"command", "codes", "queries", "query_count", "rows", "k", "metric", "exact"}
    assert set(searched) == names | {"certified", "rows_per_query", "seconds", "results"}
    assert (searched["k"], searched["rows_per_query"]) == (10, 10)
    assert set(searched["results"][0]) == {"query", "index", "score"}
    of_codes = found("info", codes)
    assert set(of_codes) == {"command", "kind", "file", "verified"} | COST
    assert (of_codes["kind"], of_codes["verified"]) == ("codes", True)
    assert found("info", codes, "--no-verify")["verified"] is False
    of_rows = found("info", rows)
    assert set(of_rows) == {"command", "kind", "file", "file_bytes", "arrays"}
    assert of_rows["arrays"] == [
        {"name": None, "shape": [300, 32], "dtype": "float32", "is_rows": True}
    ]
    here = found("info")
    names = {"command", "kind", "version", "machine", "isa", "available_isa", "threads", "python"}
    assert set(here) == names | {"numpy", "methods"}


def test_text(rows, codes, tmp_path):
    out = tmp_path / "c.safetensors"
    lines = done("encode", rows, "--out", out).splitlines()
    assert lines[0] == f"{out}: 300 rows, d = 32, of {rows} (float32)"
    assert "12 bytes per vector, 3.000 bits per dimension, 10.7× smaller than float32" in lines[2]
    assert lines[3].endswith("rows/s")
    lines = done("info", out).splitlines()
    assert lines[0] == f"{out}: codes of 300 rows, d = 32"
    assert lines[-1] == "checksums: verified"
    assert done("info", out, "--no-verify").splitlines()[-1].startswith("checksums: not compared")
    assert "float32 of shape (300, 32); 300 rows, d = 32" in done("info", rows)


def test_no_rows(tmp_path, x):
    np.save(tmp_path / "none.npy", x[:0])
    out, back = tmp_path / "c.safetensors", tmp_path / "back.npy"
    encoded = found("encode", tmp_path / "none.npy", "--out", out)
    assert (encoded["rows"], encoded["bytes_per_vector"], encoded["bits_per_dimension"]) == (
        0,
        None,
        None,
    )
    assert "no rows" in done("info", out)
    assert found("decode", out, "--out", back)["rows"] == 0
    assert np.load(back).shape == (0, 32)


def test_no_more_than_a_chunk_is_read(rows, codes, tmp_path, monkeypatch):
    read, asked = rows_module.PlainRows._read, []

    def counted(self, start, stop):
        asked.append(stop - start)
        return read(self, start, stop)

    monkeypatch.setattr(rows_module.PlainRows, "_read", counted)
    done("encode", rows, "--out", tmp_path / "c.safetensors", "--center-mean")
    assert sum(asked) == 2 * 300
    assert max(asked) == 32


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs the peak memory")
def test_a_large_file_does_not_fill_the_memory(tmp_path):
    path = tmp_path / "large.npy"
    header = {"descr": "<f4", "fortran_order": False, "shape": (2**16, 2048)}
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 4 * 2**27)  # 512 MiB, on most systems none on the disk
    arguments = [
        "encode",
        path,
        "--out",
        tmp_path / "c.safetensors",
        "--method",
        "eden",
        "--bits",
        "1",
    ]
    # Of the program alone: what `wait4` tells begins with the size of the process that it was
    # forked from.
    program = """
import sys
from blockquant.cli import main
main(sys.argv[1:], standalone_mode=False)
print([line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")][0])
"""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert 1024 * int(out.split()[-1]) < 256 * 2**20


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal")
@pytest.mark.parametrize(
    ("command", "parts"),
    [
        (
            ["encode", "{x}", "--out", "{tmp}/out.safetensors"],
            ["building codebook\r", "encode:", " rows/s"],
        ),
        (
            ["decode", "{codes}", "--out", "{tmp}/out.npy"],
            ["building codebook\r", "decode:", "/300", " rows/s"],
        ),
        (
            ["search", "{codes}", "--queries", "{x}"],
            ["building codebook\r", "search:", " queries/s"],
        ),
        (
            ["compare", "{x}", "--bits", "1,2", "--seeds", "1", "--methods", "eden"],
            ["compare:", "0/2", "run/s", "eden/unbiased, 1 bits, seed 0"],
        ),
    ],
)
def test_a_bar_on_a_terminal(rows, codes, tmp_path, command, parts):
    ours, theirs = os.openpty()  # of no known width
    os.set_blocking(ours, False)
    arguments = [part.format(x=rows, codes=codes, tmp=tmp_path) for part in command]
    command = [sys.executable, "-m", "blockquant", *arguments]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, check=True, timeout=60)
    shown = os.read(ours, 10_000).decode()
    os.close(theirs)
    os.close(ours)
    for part in parts:
        assert part in shown
    assert result.stdout
    assert b"\r" not in result.stdout
