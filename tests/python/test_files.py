"""Files of rows: every format there and back, by the slice, and refused where it is damaged."""

import importlib
import json
import os
import stat
import sys
import tracemalloc
import zipfile

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from blockquant import files
from blockquant.files import rows as rows_module
from rowfiles import SUFFIXES, fvecs, parquet, write

WRITTEN = [".npy", ".safetensors", ".parquet", ".fvecs"]

pytestmark = pytest.mark.usefixtures("small_chunks")


@pytest.fixture
def x(rng):
    return rng.standard_normal((50, 12)).astype(np.float32)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_slices_in_any_order(tmp_path, x, suffix):
    with files.open_rows(write(tmp_path, suffix, x)) as rows:
        assert rows.shape == x.shape
        assert len(rows) == 50
        assert (rows.dtype, rows.stored) == (np.float32, "float32")
        for start, stop in [
            (0, 50),
            (3, 7),
            (7, 7),
            (40, 50),
            (0, 1),
            (17, 33),
            (33, 50),
            (-3, 60),
        ]:
            part = rows[start:stop]
            assert np.array_equal(part, x[start:stop])
            assert part.dtype == np.float32
        assert np.array_equal(rows[-1], x[-1])
        assert np.array_equal(np.asarray(rows), x)
        assert np.array_equal(np.concatenate([chunk for _, chunk in rows.chunks()]), x)
        starts = [start for start, _ in rows.chunks(13)]
        assert starts == [0, 13, 26, 39]
    rows.close()


@pytest.mark.parametrize("suffix", SUFFIXES)
@given(cuts=st.lists(st.tuples(st.integers(-60, 60), st.integers(-60, 60)), max_size=8))
@settings(max_examples=20, deadline=None)
def test_slices_are_those_of_the_array(tmp_path_factory, suffix, cuts):
    x = np.arange(50 * 12, dtype=np.float32).reshape(50, 12)
    with files.open_rows(write(tmp_path_factory.mktemp("x"), suffix, x)) as rows:
        for start, stop in cuts:
            assert np.array_equal(rows[start:stop], x[start:stop])


@pytest.mark.parametrize("suffix", [".npy", ".npz", "compressed.npz", ".safetensors", ".parquet"])
@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_other_floats(tmp_path, x, suffix, dtype):
    with files.open_rows(write(tmp_path, suffix, x.astype(dtype))) as rows:
        assert rows.dtype == rows[:5].dtype == dtype
        assert np.array_equal(rows[:], x.astype(dtype))


def test_bfloat16(tmp_path, x):
    path = tmp_path / "x.safetensors"
    safetensors.numpy.save_file({"x": x.astype(ml_dtypes.bfloat16)}, path)
    with files.open_rows(path) as rows:
        assert (rows.dtype, rows.stored) == (np.float32, "bfloat16")
        assert np.array_equal(rows[2:9], x[2:9].astype(ml_dtypes.bfloat16).astype(np.float32))


@pytest.mark.parametrize("suffix", [".npy", ".npz", "compressed.npz"])
@pytest.mark.parametrize("change", [np.asfortranarray, lambda x: x.astype(">f4")])
def test_other_layouts(tmp_path, x, suffix, change):
    with files.open_rows(write(tmp_path, suffix, change(x))) as rows:
        assert rows[4:9].dtype.isnative
        assert rows[4:9].flags.c_contiguous
        assert np.array_equal(rows[4:9], x[4:9])
        assert np.array_equal(rows[:], x)


@pytest.mark.parametrize("large", [False, True])
def test_lists_of_any_size(tmp_path, x, large):
    pa = pytest.importorskip("pyarrow")
    kind = pa.large_list(pa.float64()) if large else pa.list_(pa.float32(), 12)
    column = pa.array(list(x), kind)
    with files.open_rows(parquet(tmp_path / "x.parquet", {"x": column, "n": range(50)})) as rows:
        assert rows.array == "x"
        assert np.array_equal(rows[5:9], x[5:9])


@pytest.mark.parametrize("suffix", SUFFIXES[:-2])
def test_no_rows_have_a_dimension(tmp_path, x, suffix):
    with files.open_rows(write(tmp_path, suffix, x[:0])) as rows:
        assert rows.shape == (0, 12)
        assert rows[:].shape == (0, 12)
        assert list(rows.chunks()) == []


def test_one_dimension_is_one_row(tmp_path, x):
    np.save(tmp_path / "x.npy", x[0])
    np.savez(tmp_path / "x.npz", a=x[0], b=x[:2], c=x[:3])
    with files.open_rows(tmp_path / "x.npy") as rows:
        assert np.array_equal(rows[:], x[:1])
    with files.open_rows(tmp_path / "x.npz", array="a") as rows:
        assert np.array_equal(rows[:], x[:1])


def test_which_array(tmp_path, x):
    path = tmp_path / "x.npz"
    np.savez(path, a=x, b=x[:7], label=np.arange(50))
    with pytest.raises(ValueError, match=r"2 arrays; pick one with --array NAME: 'a': float32 of"):
        files.open_rows(path, option="--array ")
    with pytest.raises(ValueError, match=r"no array 'c', only 'a': .*'label': int64 of shape"):
        files.open_rows(path, array="c")
    with pytest.raises(ValueError, match="it has dtype int64"):
        files.open_rows(path, array="label")
    with files.open_rows(path, array="b") as rows:
        assert len(rows) == 7
    np.savez(path, label=np.arange(50))
    with pytest.raises(ValueError, match="no rows of floats"):
        files.open_rows(path)
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(ValueError, match="one array without a name"):
        files.open_rows(tmp_path / "x.npy", array="a")


def test_a_file_that_shrinks_while_it_is_read(tmp_path, x):
    path = write(tmp_path, ".npy", x)
    with files.open_rows(path) as rows:
        rows[:10]
        os.truncate(path, 500)
        with pytest.raises(ValueError, match="truncated while it was read"):
            rows[10:]


def test_other_names(tmp_path):
    with pytest.raises(FileNotFoundError):
        files.open_rows(tmp_path / "x.npy")
    (tmp_path / "x.csv").write_text("1,2")
    with pytest.raises(ValueError, match=r"x.csv: expected a name that ends in .npy, .npz"):
        files.open_rows(tmp_path / "x.csv")
    with pytest.raises(IsADirectoryError):
        files.open_rows(tmp_path)
    if hasattr(os, "mkfifo"):
        with pytest.raises(ValueError, match="pipe or a device"):
            files.open_rows("/dev/null")


def test_without_pyarrow(tmp_path, monkeypatch):
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(
        ValueError, match=r"x\.parquet: \.parquet files need pyarrow, .*: pip install"
    ):
        files.open_rows(tmp_path / "x.parquet")
    with (
        pytest.raises(ValueError, match="need pyarrow"),
        files.write_rows(tmp_path / "y.parquet", 1, 1),
    ):
        pass


def test_an_archive_of_other_files(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("notes.txt", "no array")
    with pytest.raises(ValueError, match="holds no rows of floats"):
        files.open_rows(tmp_path / "x.npz")


def test_rows_that_are_no_slices(tmp_path, x):
    with files.open_rows(write(tmp_path, ".npy", x)) as rows:
        with pytest.raises(ValueError, match="step 1"):
            rows[::2]
        with pytest.raises(TypeError, match="by a slice"):
            rows[[1, 2]]
        with pytest.raises(IndexError, match="row 50 of 50"):
            rows[50]
        with pytest.raises(ValueError, match="always copied"):
            rows.__array__(copy=False)
    with pytest.raises(ValueError, match="closed"):
        rows[:1]


def test_a_value_that_is_not_finite_has_its_row_in_the_file(tmp_path, x):
    x[33, 5] = np.nan
    with files.open_rows(write(tmp_path, ".npy", x)) as rows:
        found = [rows.not_finite(start, chunk) for start, chunk in rows.chunks()]
    errors = [error for error in found if error]
    assert len(found) > 2
    assert len(errors) == 1
    assert "rows.npy: row 33, column 5 is NaN" in str(errors[0])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_memory_is_that_of_a_chunk(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(rows_module, "CHUNK_BYTES", 2**18)
    x = np.zeros((40_000, 64), np.float32)  # 10 MB
    path = write(tmp_path, suffix, x)
    foreign = (
        importlib.import_module("pyarrow").total_allocated_bytes if suffix == ".parquet" else int
    )
    del x
    tracemalloc.start()
    with files.open_rows(path) as rows:
        for start, chunk in rows.chunks():
            assert len(chunk) == min(1024, 40_000 - start)
            assert foreign() < 8 * 2**18
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 2**18


@pytest.mark.parametrize("suffix", WRITTEN)
def test_written_rows_are_read_back(tmp_path, x, suffix):
    path = tmp_path / f"out{suffix}"
    with files.write_rows(path, 50, 12, "name") as out:
        for start in range(0, 50, 9):
            out.write(x[start : start + 9])
            assert not path.exists()
    assert os.listdir(tmp_path) == [path.name]
    with files.open_rows(path) as rows:
        assert rows.array == (None if suffix in (".npy", ".fvecs") else "name")
        assert np.array_equal(rows[:], x)
    if suffix == ".npy":
        assert np.array_equal(np.load(path), x)
    if suffix == ".safetensors":
        assert np.array_equal(safetensors.numpy.load_file(path)["name"], x)
    if suffix == ".fvecs":
        assert path.read_bytes() == fvecs(tmp_path / "reference.fvecs", x).read_bytes()


@pytest.mark.parametrize("suffix", WRITTEN)
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_nothing_is_half_written(tmp_path, x, suffix, error):
    path = tmp_path / f"out{suffix}"
    path.write_bytes(b"before")

    def fail():
        with files.write_rows(path, 50, 12) as out:
            out.write(x[:9])
            raise error("stop")

    with pytest.raises(error, match="stop"):
        fail()
    assert os.listdir(tmp_path) == [path.name]
    assert path.read_bytes() == b"before"


@pytest.mark.parametrize("suffix", WRITTEN)
@pytest.mark.parametrize("wrong", [(49, 12), (51, 12), (50, 11)])
def test_other_rows_than_announced(tmp_path, x, suffix, wrong):
    def fail():
        with files.write_rows(tmp_path / f"out{suffix}", 50, 12) as out:
            out.write(np.zeros(wrong, np.float32))

    with pytest.raises(ValueError, match=r"expected at most 50 rows of 12|1 row is missing"):
        fail()
    assert os.listdir(tmp_path) == []


def test_writing_no_rows(tmp_path):
    for suffix in (".npy", ".safetensors", ".parquet"):
        with files.write_rows(tmp_path / f"x{suffix}", 0, 12):
            pass
        with files.open_rows(tmp_path / f"x{suffix}") as rows:
            assert rows.shape == (0, 12)
    with (
        pytest.raises(ValueError, match="tells no dimension"),
        files.write_rows(tmp_path / "x.fvecs", 0, 12),
    ):
        pass


@pytest.mark.skipif(os.name != "posix", reason="links and permissions of POSIX")
def test_links_and_permissions_stay(tmp_path, x):
    real, link = tmp_path / "real.npy", tmp_path / "link.npy"
    real.write_bytes(b"before")
    real.chmod(0o640)
    link.symlink_to(real)
    with files.write_rows(link, 50, 12) as out:
        out.write(x)
    assert link.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert np.array_equal(np.load(real), x)


def test_errors_of_writing_name_the_file(tmp_path):
    path = tmp_path / "missing" / "x.npy"
    with pytest.raises(FileNotFoundError) as caught, files.write_rows(path, 1, 1):
        pass
    assert caught.value.filename == str(path)


def test_a_header_of_safetensors_is_aligned(tmp_path, x):
    with files.write_rows(tmp_path / "x.safetensors", 50, 12, "é") as out:
        out.write(x)
    content = (tmp_path / "x.safetensors").read_bytes()
    size = int.from_bytes(content[:8], "little")
    assert size % 8 == 0
    assert json.loads(content[8 : 8 + size])["é"]["shape"] == [50, 12]
