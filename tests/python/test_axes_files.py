"""Fits to files of rows, files of models, and the command."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import blockquant as bq
from blockquant import files
from commands import call, done, fails, found
from containers import crc64, join, split
from rowfiles import SUFFIXES, write

GOLDEN = Path(__file__).parents[1] / "golden" / "axes"

pytestmark = pytest.mark.usefixtures("small_chunks")


@pytest.fixture
def x(rng):
    spread = np.float32(0.9) ** np.arange(12)
    return rng.standard_normal((300, 12)).astype(np.float32) * spread


# ---- files of rows


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format(tmp_path, x, suffix):
    path = write(tmp_path, suffix, x)
    with files.open_rows(path) as rows:
        expected = bq.fit(np.asarray(rows))
        assert bq.fit(rows) == expected
    assert bq.fit(path) == bq.fit(str(path)) == expected


def test_files_globs_and_folders(tmp_path, x):
    (tmp_path / "in").mkdir()
    for name, rows in zip("abc", np.split(x, [100, 130]), strict=True):
        np.save(tmp_path / "in" / f"{name}.npy", rows)
    expected = bq.fit(x, x[:100])
    first = tmp_path / "in" / "a.npy"
    for sample in (tmp_path / "in", f"{tmp_path}/in/*.npy", sorted((tmp_path / "in").iterdir())):
        assert bq.fit(sample, first) == bq.fit(sample, [first]) == expected
    with pytest.raises(ValueError, match="is given twice"):
        bq.fit([first, f"{tmp_path}/in/*.npy"])
    with pytest.raises(ValueError, match="no files of rows"):
        bq.fit(f"{tmp_path}/none*.npy")
    with pytest.raises(FileNotFoundError):
        bq.fit(tmp_path / "none.npy")
    np.save(tmp_path / "in" / "d.npy", x[:, :5])
    with pytest.raises(ValueError, match=r"d\.npy has d = 5, expected 12"):
        bq.fit(tmp_path / "in")


def test_the_array_of_a_file(tmp_path, x):
    np.savez(tmp_path / "x.npz", rows=x, other=x[:, :3])
    assert bq.fit(tmp_path / "x.npz", array="rows") == bq.fit(x)
    with pytest.raises(ValueError, match="pick one with array=NAME"):
        bq.fit(tmp_path / "x.npz")
    with pytest.raises(TypeError, match="array is for files"):
        bq.fit(x, array="rows")
    with pytest.raises(TypeError, match="array is int"):
        bq.fit(tmp_path / "x.npz", array=1)


def test_a_value_that_is_not_finite_is_named_with_its_file(tmp_path, x):
    x[277, 3] = np.nan
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(ValueError, match=r"x\.npy: row 277, column 3 is NaN"):
        bq.fit(tmp_path / "x.npy")


# ---- files of models


def golden():
    """What `tests/rust/axes/file.rs` writes."""
    mean = np.float32([0.5, -2, 1024, 0])
    signs = [[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]
    variances = np.array([6.25, 1 / 3, 0.125, 0])
    return mean, np.float32(signs) / 2, variances, np.array([0.1, 7, 0, 1e-300])


@pytest.mark.parametrize("name", ["queries", "first"])
def test_golden_files(tmp_path, name):
    path = GOLDEN / f"{name}.safetensors"
    axes = bq.Axes.load(path)
    mean, vectors, variances, queries = golden()
    np.testing.assert_array_equal(axes.mean, mean)
    np.testing.assert_array_equal(axes.axes, vectors if name == "queries" else vectors[:2])
    np.testing.assert_array_equal(axes.variances, variances)
    if name == "queries":
        np.testing.assert_array_equal(axes.query_variances, queries)
        assert (axes.rows, axes.shrinkage) == (12, 1 / 7)
    else:
        assert axes.query_variances is None
        assert (axes.rows, axes.shrinkage) == (2**64 - 1, 0)
    axes.save(tmp_path / "axes")
    assert (tmp_path / "axes").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("name", ["queries", "first"])
def test_an_independent_reader(name):
    path = GOLDEN / f"{name}.safetensors"
    text, raw = split(path.read_bytes())
    header = json.loads(text)
    metadata = header["__metadata__"]
    assert (metadata["format"], metadata["version"]) == ("blockquant-axes", "1")
    end = 0
    for tensor, about in header.items():
        if tensor != "__metadata__":
            first, last = about["data_offsets"]
            assert first == end
            assert metadata[f"{tensor}_checksum"] == crc64(raw[first:last])
            end = last
    assert end == len(raw)
    assert (8 + len(text)) % 64 == 0
    held = load_file(path)
    kept, dim = held["axes"].shape
    counts = np.array([dim, kept, int(metadata["rows"])], "<u8")
    names = [n for n in ("mean", "axes", "variances", "query_variances") if n in held]
    content = b"".join(held[n].tobytes() for n in names)
    shrinkage = np.float64(metadata["shrinkage"]).tobytes()
    assert metadata["digest"] == crc64(counts.tobytes() + shrinkage + content)
    assert bq.Axes.load(path).digest == metadata["digest"]


def test_every_flip_and_truncation(tmp_path):
    data = (GOLDEN / "queries.safetensors").read_bytes()
    path = tmp_path / "axes"
    for at in range(len(data)):
        bad = bytearray(data)
        bad[at] ^= 1 << at % 8
        path.write_bytes(bad)
        with pytest.raises(ValueError, match=re.escape(f"{path}: ")):
            bq.Axes.load(path)
    for length in range(0, len(data), 7):
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match="the file is truncated"):
            bq.Axes.load(path)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"rows":"12"', '"rows":"0"', "rows is 0"),
        ('"shrinkage":"0.14', '"shrinkage":"5.14', "shrinkage is 5.14"),
        ("blockquant-axes", "blockquant", "it holds codes, which `load` reads"),
        ("blockquant-axes", "blockquant-cache", "it holds a key-value cache"),
        ('"version":"1"', '"version":"9"', 'version "9"'),
    ],
)
def test_forged_headers(tmp_path, old, new, says):
    text, raw = split((GOLDEN / "queries.safetensors").read_bytes())
    assert old in text
    path = tmp_path / "axes"
    path.write_bytes(join(text.replace(old, new), raw))
    with pytest.raises(ValueError, match=re.escape(says)):
        bq.Axes.load(path)


def test_other_readers_say_what_it_is(tmp_path):
    with pytest.raises(ValueError, match=r"it holds fitted axes, which `Axes\.load` reads"):
        bq.load(GOLDEN / "queries.safetensors")
    with pytest.raises(FileNotFoundError):
        bq.Axes.load(tmp_path / "none")
    with pytest.raises(OSError, match="none"):
        bq.Axes.load(GOLDEN / "first.safetensors").save(tmp_path / "none" / "axes")


# ---- the command


def test_the_command(tmp_path, x):
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", x[:50])
    out = tmp_path / "axes.bq"
    text = done("fit", tmp_path / "x.npy", "--out", out)
    assert text.startswith(f"{out}: {bq.fit(x).describe()}\n")
    assert bq.Axes.load(out) == bq.fit(x)
    fails(2, "fit", tmp_path / "x.npy", "--out", out, ["exists; --force replaces it"])
    told = found(
        *("fit", tmp_path / "*.npy", "--out", out, "--force"),
        *("--queries", tmp_path / "y.npy", "--shrinkage", 0.25),
    )
    axes = bq.Axes.load(out)
    assert axes == bq.fit(np.concatenate([x, x[:50]]), x[:50], shrinkage=0.25)
    assert (told["rows"], told["dim"], told["queries"], told["few_rows"]) == (350, 12, True, False)
    assert (told["digest"], told["shrinkage"]) == (axes.digest, 0.25)


def test_errors_of_the_command(tmp_path, x):
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "x.npz", a=x, b=x)
    out = tmp_path / "axes.bq"
    fails(2, "fit", tmp_path / "x.npz", "--out", out, ["pick one with --array NAME"])
    fails(2, "fit", tmp_path / "x.npy", "--out", out, "--shrinkage", 2, ["expected a number from"])
    fails(2, "fit", tmp_path / "x.npy", "--out", tmp_path / "x.npy", "--force", ["is an input"])
    fails(2, "fit", tmp_path / "none.npy", "--out", out, ["none.npy"])
    assert not out.exists()
    code, _, err = call("fit", tmp_path / "x.npy", "--out", out, "--shrinkage", 0)
    assert (code, err) == (0, "")
    np.save(tmp_path / "x.npy", x[:40])
    code, _, err = call("fit", tmp_path / "x.npy", "--out", out, "--force")
    assert code == 0
    assert err.startswith("Warning: 40 rows are few for axes of 12 coordinates")
