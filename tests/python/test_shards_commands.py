"""The commands on folders of codes."""

import json
import os
import subprocess
import sys
from itertools import chain

import numpy as np
import pytest

import blockquant as bq
from commands import call, done, fails, found
from shardjobs import contents, encode, parts

ENCODE = ["--method", "eden", "--store-norm", "--workers", "1", "--shard-rows", "64"]


@pytest.fixture
def rows(tmp_path, x):
    return parts(tmp_path / "rows", x)


@pytest.fixture
def folder(tmp_path, rows):
    done("encode", rows, "--out", tmp_path / "codes", *ENCODE)
    return tmp_path / "codes"


@pytest.fixture
def file(tmp_path, x):
    """The same codes in one file."""
    q = bq.create("eden", dim=32, bits=2, store_norm=True)
    bq.save(tmp_path / "one.safetensors", q, q.encode(x))
    return tmp_path / "one.safetensors"


def test_encode_is_the_function(tmp_path, rows, x):
    spec = {"name": "eden", "bits": 2, "store_norm": True}
    expected = contents(encode(rows, tmp_path / "expected").folder)
    for sources in (rows / "*.npy", rows), [rows / "a.npy", rows / "b.npy", rows / "c.npy"]:
        name = tmp_path / f"codes {len(sources)}"
        for source in sources if isinstance(sources, tuple) else [sources]:
            given = source if isinstance(source, list) else [source]
            done("encode", *given, "--out", f"{name}/", *ENCODE)
            assert contents(name) == expected
    expected = contents(encode(rows, tmp_path / "mean", {**spec, "center": "mean"}).folder)
    done("encode", rows, "--out", tmp_path / "centered", *ENCODE, "--center-mean")
    assert contents(tmp_path / "centered") == expected
    np.save(tmp_path / "center.npy", x[:9])
    done("encode", rows, "--out", tmp_path / "given", *ENCODE, "--center", tmp_path / "center.npy")
    q = bq.shards.open(tmp_path / "given").quantizer
    np.testing.assert_array_equal(q.center, x[:9].mean(axis=0, dtype="f8").astype("f4"))


def test_text(rows, folder, tmp_path):
    text = done("encode", rows, "--out", folder, *ENCODE)
    first, second, third, last = text.splitlines()
    assert first == f"{folder}: 300 rows, d = 32, in 6 shards, of 3 files"
    assert second.startswith("create('eden/unbiased', dim=32, bits=2")
    assert third.startswith("16 bytes per vector, 4.000 bits per dimension, 8.0× smaller")
    assert last.endswith(" rows/s")
    assert done("info", folder).splitlines() == [first, second, third, "checksums: verified"]
    assert (
        done("info", folder, "--no-verify").splitlines()[-1].startswith("checksums: not compared")
    )


def test_json(rows, folder, tmp_path, x):
    x[7, 3] = np.nan
    np.save(rows / "a.npy", x[:100])
    (rows / "d.npy").write_bytes(b"")
    values = found("encode", rows, "--out", tmp_path / "new", *ENCODE, "--skip-bad")
    assert values["rows"] == 299
    assert values["quantizer"]["method"] == "eden/unbiased"
    values = found("info", tmp_path / "new")
    assert (values["kind"], values["rows"], values["shards"]) == ("shards", 299, 6)
    assert [source["rows"] for source in values["sources"]] == [100, 100, 100, 0]
    bad_file, bad_row = values["skipped"]
    assert (bad_row["row"], bad_row["rows"]) == (7, 1)
    assert "row 7, column 3 is NaN" in bad_row["error"]
    assert (bad_file["file"], bad_file["row"]) == (str(rows / "d.npy"), None)
    text = done("info", tmp_path / "new")
    assert "left out as bad: 1 row and 1 file, the first: " in text
    size = sum(path.stat().st_size for path in (tmp_path / "new").glob("shard*"))
    assert values["file_bytes"] == size


@pytest.mark.parametrize("metric", ["ip", "l2", "cosine"])
@pytest.mark.parametrize("flags", [[], ["--exact"], ["--no-verify"]])
def test_search_finds_what_it_finds_in_a_file(
    rows, folder, file, tmp_path, monkeypatch, metric, flags
):
    monkeypatch.setattr("blockquant.cli.search._QUERIES", 7)
    options = ["--queries", rows / "b.npy", "-k", "5", "--metric", metric, *flags]
    assert done("search", folder, *options) == done("search", file, *options)
    results = (found("search", codes, *options)["results"] for codes in (folder, file))
    for a, b in zip(*results, strict=True):
        assert a == b
    done("search", folder, *options, "--out", tmp_path / "found.npz")
    shards, queries = bq.shards.open(folder), np.load(rows / "b.npy")
    score, index = shards.search(queries, 5, metric, exact="--exact" in flags)
    with np.load(tmp_path / "found.npz") as arrays:
        np.testing.assert_array_equal(arrays["score"], score)
        np.testing.assert_array_equal(arrays["index"], index)


@pytest.mark.parametrize("span", [None, "60:200", "-5:"])
def test_decode_writes_what_it_writes_of_a_file(folder, file, tmp_path, small_chunks, span):
    options = [] if span is None else ["--rows", span]
    for codes in (folder, file):
        done("decode", codes, "--out", tmp_path / f"{codes.stem}.npy", *options)
    assert (tmp_path / "codes.npy").read_bytes() == (tmp_path / "one.npy").read_bytes()


def test_mistakes(rows, folder, file, tmp_path, x):
    new, before = tmp_path / "new.safetensors", contents(folder)
    for arguments, texts in (
        (["encode", rows / "a.npy", rows / "b.npy", "--out", new], ["takes one FILE", "codes/"]),
        (["encode", rows / "*.npy", "--out", new], ["takes one FILE", "codes/"]),
        (["encode", rows / "a.npy", "--out", new, "--workers", "2"], ["--workers is for a folder"]),
        (["encode", rows / "a.npy", "--out", new, "--skip-bad"], ["--skip-bad is for a folder"]),
        (["encode", rows, "--out", folder, *ENCODE, "--force"], ["--force is for files"]),
        (["encode", rows, "--out", folder, *ENCODE, "--bits", "3"], ["holds codes of", "bits=3"]),
        (["encode", rows, "--out", folder, *ENCODE, "--array", "v"], ["leave --array v out"]),
        (["encode", "none/*.npy", "--out", "none"], ["none/*.npy: no files of rows"]),
        (["search", folder, "--queries", rows / "a.npy", "--certified"], ["--certified is for a"]),
        (["search", rows, "--queries", rows / "a.npy"], ["rows has no manifest.json"]),
        (["info", rows], ["rows has no manifest.json"]),
        (["decode", folder, "--out", tmp_path / "y.npy", "--rows", "1:999"], ["of the 300 rows"]),
    ):
        fails(2, *arguments, texts)
        assert contents(folder) == before
    assert not new.exists()
    name = json.loads((folder / "manifest.json").read_text())["shards"][2]["file"]
    os.truncate(folder / name, 999)
    fails(2, "info", folder, ["1 of 6 shards is damaged", name, "rows 100 to 149, of b.npy"])
    done("info", folder, "--no-verify")
    fails(2, "search", folder, "--queries", rows / "a.npy", [name, "truncated"])


def test_workers_that_die_are_the_machine(rows, tmp_path, monkeypatch):
    def die(*_given, **_options):
        raise ChildProcessError("a worker died 4 times")

    monkeypatch.setattr("blockquant.shards._job.encode_part", die)
    options = ("--out", tmp_path / "codes", "--workers", 1)
    fails(1, "encode", rows, *options, ["a worker died 4 times"])


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal")
def test_a_bar_on_a_terminal(rows, tmp_path):
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "blockquant", "encode", rows, "--out", tmp_path / "codes"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    options = map(str, chain(command, ENCODE, ["--center-mean"]))
    subprocess.run(
        list(options), check=True, stdout=subprocess.PIPE, stderr=theirs, env=environment
    )
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    for part in ("mean:", "encode:", "of 6 shards", " rows/s"):
        assert part in shown


def test_several_codes_in_any_order_of_options(rows, tmp_path):
    code, _, err = call(
        "encode", "--out", tmp_path / "codes", *ENCODE, rows / "b.npy", rows / "a.npy"
    )
    assert (code, err) == (0, "")
    assert bq.shards.open(tmp_path / "codes").sources == [str(rows / "b.npy"), str(rows / "a.npy")]
