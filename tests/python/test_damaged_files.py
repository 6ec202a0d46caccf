"""Files of rows that are damaged, truncated or not what their headers say."""

import importlib
import io
import json
import re
import warnings
import zipfile

import numpy as np
import pytest

import blockquant as bq
from blockquant import files
from commands import fails
from rowfiles import SUFFIXES, parquet, write

pytestmark = pytest.mark.usefixtures("small_chunks")


@pytest.fixture
def x(rng):
    return rng.standard_normal((50, 12)).astype(np.float32)


def damaged(folder, x):
    """Files that are wrong, and what the error must hold."""
    whole = {suffix: write(folder, suffix, x).read_bytes() for suffix in SUFFIXES}
    for suffix, content in whole.items():
        for name, bad in {
            "empty": b"",
            "junk": b"junk, no rows" * 9,
            "short": content[:-5],
            "head": content[:20],
        }.items():
            path = folder / f"{name}{suffix}"
            path.write_bytes(bad)
            yield path, ""
    (folder / "odd.fvecs").write_bytes(whole[".fvecs"] + b"1234")
    yield folder / "odd.fvecs", "2604 bytes, expected a multiple of 52 for d = 12: it is truncated"
    (folder / "one.fvecs").write_bytes(whole[".fvecs"][:51])
    yield folder / "one.fvecs", "truncated: it has 51 bytes, expected 52 for a row of dimension 12"
    (folder / "minus.fvecs").write_bytes((-12).to_bytes(4, "little", signed=True) + bytes(48))
    yield folder / "minus.fvecs", "row 0 at offset 0 has the dimension -12, expected at least 1"
    flipped = bytearray(whole[".fvecs"])
    flipped[7 * 52] = 13
    (folder / "flip.fvecs").write_bytes(flipped)
    yield folder / "flip.fvecs", "row 7 at offset 364 has the dimension 13, expected 12 as row 0"
    (folder / "zero.fvecs").write_bytes(bytes(16))
    yield folder / "zero.fvecs", "has the dimension 0"
    flipped = bytearray(whole["compressed.npz"])
    flipped[len(flipped) // 2] ^= 1
    (folder / "flip.npz").write_bytes(flipped)
    yield folder / "flip.npz", ""
    np.save(folder / "object.npy", np.array([[None]]), allow_pickle=True)
    yield folder / "object.npy", "dtype an object"
    np.save(folder / "deep.npy", np.ones((2, 2, 2)))
    yield folder / "deep.npy", "shape (2, 2, 2), expected rows (n, dim); for rows along the last"
    np.savez(folder / "deep.npz", a=np.ones((2, 3, 4, 5)), label=np.arange(3))
    yield folder / "deep.npz", "'a' has shape (2, 3, 4, 5), expected rows (n, dim); for rows along"
    np.save(folder / "flat.npy", np.ones((3, 0)))
    yield folder / "flat.npy", "it has shape (3, 0), expected rows of at least one value"
    if (folder / "rows.parquet").exists():
        pa = importlib.import_module("pyarrow")
        yield (
            parquet(folder / "uneven.parquet", {"x": [[1.0, 2], [3.0]]}),
            "row 1 of column 'x' has 1 value, expected 2 as row 0",
        )
        yield parquet(folder / "null.parquet", {"x": [[1.0], None]}), "row 1 of column 'x' is null"
        yield parquet(folder / "null0.parquet", {"x": [None, [1.0]]}), "row 0 of column 'x' is null"
        inner = pa.array([[1.0, 2], [3, None]])
        yield parquet(folder / "inner.parquet", {"x": inner}), "row 1, column 1 is null"
        yield (
            parquet(folder / "flat.parquet", {"x": [1.0]}),
            "'x': double, not a list of shape (1,)",
        )
        yield parquet(folder / "ints.parquet", {"x": [[1]]}), "int64"


def test_damage_is_an_error_that_names_the_file(tmp_path, x):
    for path, part in damaged(tmp_path, x):
        with pytest.raises(ValueError, match=path.name) as caught, files.open_rows(path) as rows:
            list(rows.chunks())
        assert part in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_random_damage_is_a_value_error_or_harmless(tmp_path, x, suffix):
    whole = write(tmp_path, suffix, x).read_bytes()
    rng = np.random.default_rng(1)
    path = tmp_path / f"bad{suffix}"
    for _ in range(300):
        bad = bytearray(whole[: rng.integers(len(whole)) if rng.random() < 0.3 else None])
        for _ in range(rng.integers(1, 4) if bad else 0):
            end = min(300, len(bad))  # headers stand at either end
            at = rng.choice([rng.integers(len(bad)), rng.integers(end), len(bad) - end])
            bad[at] = rng.integers(256)
        path.write_bytes(bad)
        caught = None
        try:
            with files.open_rows(path) as rows:
                if rows.shape[0] * rows.shape[1] < 10**6:
                    list(rows.chunks())
        except ValueError as error:
            caught = str(error)
        assert caught is None or (path.name in caught and "\n" not in caught)


def npy(values=b"", descr="<f4", fortran=False, shape="(50, 12)", version=(1, 0), pad=64):
    """A .npy file of this header."""
    text = f"{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}".encode()
    width = 2 if version == (1, 0) else 4
    text += b" " * (-(len(text) + 9 + width) % pad) + b"\n"
    return b"\x93NUMPY" + bytes(version) + len(text).to_bytes(width, "little") + text + values


def npz(path, *members, **options):
    """A .npz file of these names and contents, of which several can have one name."""
    with zipfile.ZipFile(path, "w", **options) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about names that come twice
        for name, content in members:
            archive.writestr(f"{name}.npy", content)
    return path


@pytest.mark.parametrize("packed", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, None])
def test_every_header_that_numpy_reads(tmp_path, x, packed):
    """Without the warning of NumPy about Python 2, which is an error here."""
    for content in (
        npy(x.tobytes()),
        npy(x.tobytes(), version=(2, 0)),
        npy(x.tobytes(), version=(3, 0)),
        npy(x.tobytes(), pad=1),
        npy(x.tobytes(), shape="(50L, 12L)"),
        npy(x.tobytes() + b"more"),
        npy(x.astype(">f8").tobytes("F"), ">f8", True, "(50L,12L)"),
        npy(x.astype(">f4").tobytes("F"), ">f4", True, version=(3, 0), pad=1),
    ):
        path = tmp_path / ("x.npy" if packed is None else "x.npz")
        if packed is None:
            path.write_bytes(content)
        else:
            npz(path, ("before", npy(bytes(8), shape="(2,)")), ("x", content), compression=packed)
        with files.open_rows(path) as rows:
            assert np.array_equal(rows[7:9], x[7:9])
            assert np.array_equal(rows[:], x)
    half = npy(x.astype(">f2").tobytes(), ">f2")
    with files.open_rows(npz(tmp_path / "half.npz", ("x", half))) as rows:
        assert np.array_equal(rows[:], x.astype("f2"))


HUGE = 2**62

#: Headers, and what the error says about them.
HEADERS = [
    ({"shape": "(-1, 12)"}, "shape (-1, 12), expected whole numbers, at least 0"),
    ({"shape": "(True, 12)"}, "shape (True, 12), expected whole numbers, at least 0"),
    ({"shape": "(2.0, 12)"}, "shape"),
    ({"shape": "50"}, "shape"),
    ({"shape": f"(0, {HUGE})"}, f"shape (0, {HUGE}), which is more than memory can address"),
    ({"shape": f"({HUGE}, {HUGE})"}, "more than memory can address"),
    ({"shape": f"({HUGE}, {HUGE})", "fortran": True}, "more than memory can address"),
    ({"shape": "(51, 12)"}, "truncated: 2400 bytes of values"),
    ({"shape": "(51, 12)", "fortran": True}, "truncated: 2400 bytes of values"),
    ({"shape": "(500000000, 1000000)"}, "expected 2000000000000000 for float32 of shape"),
    ({"shape": "(" * 300}, "header"),
    ({"shape": "()"}, "holds no rows of floats|shape \\(\\), expected rows"),
    ({"version": (4, 0)}, "version (4, 0), expected (1, 0), (2, 0) or (3, 0)"),
    ({"descr": "<c8"}, "complex64"),
    ({"descr": "<V2"}, "void16"),
]


@pytest.mark.parametrize("packed", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, None])
@pytest.mark.parametrize(("header", "says"), HEADERS)
def test_headers_that_lie(tmp_path, x, header, says, packed):
    content = npy(x.tobytes(), **header)
    path = tmp_path / ("x.npy" if packed is None else "x.npz")
    if packed is None:
        path.write_bytes(content)
    else:  # what follows the array in the file is not taken for its rows
        npz(path, ("x", content), ("y", npy(bytes(4000), shape="(1000,)")), compression=packed)
    with pytest.raises(ValueError, match="^" + re.escape(str(path))) as caught:
        files.open_rows(path, array=None if packed is None else "x")
    said = str(caught.value)
    assert says in said or re.search(says, said), said
    assert len(said) < 500


@pytest.mark.parametrize("packed", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_of_one_name(tmp_path, x, packed):
    path = tmp_path / "x.npz"
    labels = io.BytesIO()
    np.save(labels, np.arange(50))
    npz(path, ("v", npy(x.tobytes())), ("v", labels.getvalue()), compression=packed)
    for array in (None, "v"):
        with files.open_rows(path, array=array) as rows:
            assert np.array_equal(rows[:], x)
    npz(path, ("v", npy(x.tobytes())), ("v", npy(x.tobytes())), compression=packed)
    for array in (None, "v"):
        with pytest.raises(ValueError, match=r"x\.npz holds 2 arrays of the name 'v'; rename all"):
            files.open_rows(path, array=array)


def safetensors_file(path, tensors, data):
    """Tensors as text: what no writer makes can be written too."""
    header = tensors.encode()
    header += b" " * (-len(header) % 8)
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)
    return path


@pytest.mark.parametrize(
    ("tensors", "says"),
    [
        ('{"x":{"dtype":"F32","shape":[-1,12],"data_offsets":[0,2400]}}', ""),
        ('{"x":{"dtype":"F32","shape":[true,12],"data_offsets":[0,2400]}}', ""),
        (f'{{"x":{{"dtype":"F32","shape":[{HUGE},{HUGE}],"data_offsets":[0,2400]}}}}', ""),
        (f'{{"x":{{"dtype":"F32","shape":[0,{HUGE}],"data_offsets":[0,0]}}}}', "than memory can"),
        ('{"x":{"dtype":"F32","shape":[51,12],"data_offsets":[0,2400]}}', ""),
        ('{"x":{"dtype":"F32","shape":[51,12],"data_offsets":[0,2448]}}', "truncated: it has"),
        ('{"x":{"dtype":"F32","shape":[50,12],"data_offsets":[2400,0]}}', ""),
        (
            '{"x":{"dtype":"F32","shape":[50,12],"data_offsets":[0,2400]},'
            '"y":{"dtype":"F32","shape":[25,12],"data_offsets":[1200,2400]}}',
            "",
        ),
        (
            '{"x":{"dtype":"F32","shape":[50,12],"data_offsets":[0,2400]},'
            '"x":{"dtype":"F32","shape":[12,50],"data_offsets":[0,2400]}}',
            "its header names 'x' twice",
        ),
        ("[]", ""),
        ('{"x":5}', ""),
    ],
)
def test_tensors_that_lie(tmp_path, x, tensors, says):
    path = safetensors_file(tmp_path / "x.safetensors", tensors, x.tobytes())
    if '"data_offsets":[0,0]' in tensors:
        path = safetensors_file(path, tensors, b"")
    with pytest.raises(ValueError, match="^" + re.escape(f"{path}: ")) as caught:
        files.open_rows(path)
    assert says in str(caught.value)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_truncated_file_is_called_truncated(tmp_path, x, suffix):
    content = write(tmp_path, suffix, x).read_bytes()
    path = tmp_path / f"short{suffix}"
    for length in {*range(0, 200, 3), *range(200, len(content), 97), len(content) - 1}:
        path.write_bytes(content[:length])
        whole = suffix == ".fvecs" and length and length % 52 == 0
        # An archive of four bytes or less does not start as one.
        if whole or (suffix.endswith("npz") and length < 4):
            continue
        with pytest.raises(ValueError, match="^" + re.escape(f"{path}: ") + ".*truncated"):
            files.open_rows(path)


def test_truncated_codes_are_called_truncated(tmp_path, rng):
    x = rng.standard_normal((3, 8)).astype(np.float32)
    np.save(tmp_path / "y.npy", x)
    q = bq.Eden(8, 4, center=x, store_norm=True)
    path = tmp_path / "codes.safetensors"
    bq.save(path, q, q.encode(x))
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        for open_it in (bq.load, files.open_rows, files.list_arrays):
            with pytest.raises(ValueError, match="^" + re.escape(f"{path}: ") + ".*is truncated"):
                open_it(path)
        if length % 29 == 0:
            fails(2, "info", path, [f"{path}: ", "is truncated"])
            fails(2, "search", path, "--queries", tmp_path / "y.npy", ["is truncated"])
            fails(2, "decode", path, "--out", tmp_path / "out.npy", ["is truncated"])
            fails(2, "encode", path, "--out", tmp_path / "out.safetensors", ["is truncated"])
    assert json.loads(content[8 : content.index(b" ")])["__metadata__"]["format"] == "blockquant"


def test_damaged_codes_are_not_taken_for_rows(tmp_path, rng):
    q = bq.Eden(8, 4)
    path = tmp_path / "codes.safetensors"
    bq.save(path, q, q.encode(rng.standard_normal((3, 8))))
    content = bytearray(path.read_bytes())
    content[content.index(b'"dim"') + 1] ^= 1
    path.write_bytes(content)
    fails(2, "info", path, [f"{path}: the header, bytes 0 to ", "is damaged"])
