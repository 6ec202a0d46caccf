"""Files: an independent reader, round trips, damage, and writes that succeed or change nothing."""

import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

import blockquant as bq
from containers import crc64, join, split

safetensors = pytest.importorskip("safetensors")
from safetensors.numpy import load_file, save_file  # noqa: E402

GOLDEN = sorted((Path(__file__).parents[1] / "golden").glob("*.safetensors"))
NAMES = list(bq.available())


def same(a, b):
    """Assert that codes and quantizers are equal."""
    (q, codes), (other, back) = a, b
    assert repr(q) == repr(other)
    assert type(q) is type(other)
    assert codes == back
    assert codes.dim == back.dim


@pytest.fixture
def small(tmp_path):
    q = bq.TurboQuant(24, 2, variant="prod", store_norm=True, seed=7)
    codes = q.encode(np.random.default_rng(0).standard_normal((3, 24)))
    path = tmp_path / "small.safetensors"
    bq.save(path, q, codes)
    return path, q, codes


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_golden_files(path, tmp_path):
    q, codes = bq.load(path)
    assert len(codes) == 3
    assert np.isfinite(q.decode(codes)).all()
    bq.save(tmp_path / "again", q, codes)
    assert (tmp_path / "again").read_bytes() == path.read_bytes()
    assert len(GOLDEN) >= 3


def test_an_independent_reader(small):
    """A reader that knows only the table in `rust/file/mod.rs` finds everything in its place."""
    path, _, codes = small
    data = path.read_bytes()
    text, tensors = split(data)
    header = json.loads(text)
    metadata = header.pop("__metadata__")
    parts = {"norm": codes.norm, "residual_norm": codes.residual_norm, "scale": codes.scale}
    parts["packed"] = codes.packed
    assert list(header) == list(parts)
    start = 0
    for name, array in parts.items():
        raw = array.tobytes()
        assert header[name]["dtype"] == ("U8" if name == "packed" else "F32")
        assert header[name]["shape"] == list(array.shape)
        assert header[name]["data_offsets"] == [start, start + len(raw)]
        assert tensors[start : start + len(raw)] == raw
        assert metadata.pop(f"{name}_checksum") == crc64(raw)
        start += len(raw)
    assert start == len(tensors)
    assert (len(data) - codes.packed.nbytes) % 64 == 0
    own = metadata.pop("header_checksum")
    assert own == crc64(data[: len(data) - start].replace(own.encode(), b"0" * 16))
    assert re.fullmatch(r"[0-9a-f]{16}", metadata.pop("digest"))
    assert metadata == {
        "format": "blockquant",
        "version": "1",
        "method": "turboquant/prod",
        "dim": "24",
        "bits": "2",
        "rotation": "hadamard",
        "seed": "7",
        "store_norm": "true",
    }


def test_safetensors_reads_it(small):
    path, _, codes = small
    arrays = load_file(path)
    assert set(arrays) == {"packed", "scale", "norm", "residual_norm"}
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, getattr(codes, name))
    with safetensors.safe_open(path, "numpy") as file:
        assert file.metadata()["method"] == "turboquant/prod"


@settings(max_examples=40, deadline=None)
@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_round_trip(name, data, tmp_path_factory):
    dim = data.draw(st.sampled_from([1, 2, 7, 16, 33, 130]))
    options = {
        "bits": data.draw(st.sampled_from([1, 2, 4])),
        "rotation": data.draw(st.sampled_from(["hadamard", "haar"])),
        "seed": data.draw(st.sampled_from([0, 1, 2**63, 2**64 - 1])),
        "store_norm": data.draw(st.booleans()),
        "center": data.draw(st.sampled_from([None, np.full(dim, -3.5)])),
    }
    if name.startswith("blockquant"):
        options["bits"] = data.draw(st.sampled_from([1, 1.5, 2, 2.5, 0.7]))
        options["block"] = data.draw(st.sampled_from([None, 2, 3]))
    if name in ("eden/mse", "blockquant/unbiased"):
        options["scale_search"] = data.draw(st.sampled_from([None, 1, 3]))
        options["bits"] = 4 if options["scale_search"] == 3 else options["bits"]
    if name.startswith("trellis"):
        options["bits"] = data.draw(st.sampled_from([0.5, 1, 2.5, 4]))
        options["states"] = data.draw(st.sampled_from([16, 64, 256]))
    try:
        q = bq.create(name, dim=dim, **options)
    except ValueError:  # a block larger than dim, or one without a bit
        reject()
    rows = data.draw(st.integers(0, 4))
    codes = q.encode(np.random.default_rng(rows).standard_normal((rows, dim)))
    path = tmp_path_factory.getbasetemp() / "round-trip.safetensors"
    bq.save(path, q, codes)
    for verify in (True, False):
        loaded = bq.load(path, verify)
        same(loaded, (q, codes))
        np.testing.assert_array_equal(loaded[0].decode(loaded[1]), q.decode(codes))


def test_codes_are_views_of_the_file(small):
    path, q, codes = small
    _, mapped = bq.load(path)
    for name in ("packed", "scale", "norm", "residual_norm"):
        array, base = getattr(mapped, name), getattr(mapped, name)
        while not isinstance(base, np.memmap) and base is not None:
            base = base.base
        assert isinstance(base, np.memmap), name
        assert type(array) is np.ndarray
        assert array.flags.aligned
        assert array.flags.c_contiguous
        assert not array.flags.writeable
    assert mapped.packed.ctypes.data % 64 == 0
    y = np.ones((2, 24), np.float32)
    np.testing.assert_array_equal(q.inner_product(mapped, y), q.inner_product(codes, y))
    assert pickle.loads(pickle.dumps(mapped)) == codes
    bq.save(path, q, mapped[1:])  # onto the file that is mapped
    assert mapped == codes
    same(bq.load(path), (q, codes[1:]))


def test_the_center_is_in_the_file(tmp_path):
    """The center is a parameter, so it is checked without `verify` too."""
    x = np.random.default_rng(0).standard_normal((5, 16)) + 3
    q = bq.Eden(16, 4, center=x, store_norm=True)
    codes, path = q.encode(x), tmp_path / "centered"
    bq.save(path, q, codes)
    same(bq.load(path), (q, codes))
    same(bq.load(path, verify=False), (q, codes))
    np.testing.assert_array_equal(load_file(path)["center"], q.center)
    np.testing.assert_array_equal(bq.load(path)[0].center, q.center)
    text, tensors = split(path.read_bytes())
    moved = np.float32(1).tobytes() + tensors[4:]
    for damaged, says in [
        (moved, "tensor center"),
        (np.float32("inf").tobytes() + tensors[4:], "center: column 0 is inf"),
        (tensors[:60], "truncated: it has 60 bytes of tensors, expected at least the 64 of center"),
    ]:
        path.write_bytes(join(text, damaged))
        with pytest.raises(ValueError, match=says):
            bq.load(path, verify=False)
    # With a forged center and the right checksum, the file is that of another quantizer.
    forged = text.replace(crc64(tensors[:64]), crc64(moved[:64]))
    path.write_bytes(join(forged, moved))
    assert repr(bq.load(path)[0]) != repr(q)


def test_strided_codes(small, tmp_path):
    path, q, codes = small
    bq.save(path, q, codes[::-1])
    same(bq.load(path), (q, codes[::-1]))


def test_every_flip_and_truncation_of_a_small_file(small):
    path, _, codes = small
    data = path.read_bytes()
    start = len(data) - codes.nbytes
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 1 << at % 8
        for verify in (True, False)[: 1 + (at < start)]:
            path.write_bytes(damaged)
            with pytest.raises(ValueError, match=re.escape(str(path))):
                bq.load(path, verify)
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match=re.escape(f"{path}: the file is truncated: it has ")):
            bq.load(path, verify=False)
    path.write_bytes(data + b"\0")
    with pytest.raises(ValueError, match=f"has {len(data) + 1} bytes, expected {len(data)}"):
        bq.load(path, verify=False)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"version":"1"', '"version":"2"', "the metadata has no text for ids"),
        (
            '"version":"1"',
            '"version":"4"',
            'has version "4" of the format, this build reads "1" and',
        ),
        ('"format":"blockquant"', '"format":"pt"', "this is not a blockquant file"),
        ('"dim":"24"', '"dim":"16777217"', "dim=16777217, expected 1 to 16777216"),
        ('"dim":"24"', '"dim":"32769"', "dim=32769 with a dense matrix"),
        ('"dim":"24"', '"dim":"99999999999999999999"', 'dim is "99999999999999999999"'),
        ('"dim":"24"', '"dim":"32768"', "the file is truncated"),
        ('"dim":"24"', '"dim":"024"', "byte "),
        ('"bits":"2"', '"bits":"nan"', "bits=NaN"),
        ('"bits":"2"', '"bits":"2.0"', "byte "),
        ('"method":"turboquant/prod"', '"method":"mine"', 'unknown method "mine"'),
        ('"method":"turboquant/prod"', '"method":"eden"', "the file is too long"),
        ('"rotation":"hadamard"', '"rotation":"none"', 'unknown rotation "none"'),
        ('"seed":"7"', '"seed":"8"', "another codebook or rotation"),
        ('"seed":"7"', '"seed":"7","seed":"7"', "byte "),
        ('"seed":"7"', '"seed":"7","name":"x"', "byte "),
        ('"seed":"7"', '"seed":7', "no text for seed"),
        ('"seed":"7",', "", "no text for seed"),
        ('"store_norm":"true"', '"store_norm":"false"', "the file is too long"),
        ('"shape":[3,6]', '"shape":[6,3]', "byte "),
        ('"shape":[3,6]', '"shape":[18]', "byte "),
        ('"packed":{"dtype":"U8"', '"packed":{"dtype":"I8"', "byte "),
        ('"data_offsets":[36,54]', '"data_offsets":[35,53]', "byte "),
        ('"data_offsets":[36,54]', '"data_offsets":[36,55]', "byte "),
        ('"data_offsets":[36,54]}', '"data_offsets":[36,54]},"x":{}', "byte "),
        ('"data_offsets":[12,24]', '"data_offsets":[0,12]', "byte "),
        (
            '"scale":{"dtype":"F32","shape":[3]',
            '"scale":{"dtype":"F32","shape":[18446744073709551615]',
            "the file is truncated",
        ),
        ('"scale":{"dtype":"F32","shape":[3]', '"scale":{"dtype":"F32","shape":[-3]', "number of"),
        ('{"__metadata__"', '{"__metadata__":{},"__metadata__"', "byte 25"),
        (" ", "", "byte "),
    ],
)
def test_forged_headers(small, old, new, says):
    """Headers are changed and all checksums corrected, so only the checks behind them are left."""
    path, _, _ = small
    text, tensors = split(path.read_bytes())
    assert old in text
    path.write_bytes(join(text.replace(old, new, 1), tensors))
    with pytest.raises(ValueError, match=re.escape(says)) as caught:
        bq.load(path, verify=False)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value)) < len(str(path)) + 250


@pytest.mark.parametrize("length", [0, 1, 2**16 + 1, 2**32, 2**63, 2**64 - 1])
def test_lengths_of_a_header(small, length):
    path, _, _ = small
    path.write_bytes(length.to_bytes(8, "little") + path.read_bytes()[8:])
    with pytest.raises(ValueError, match="header"):
        bq.load(path)


def test_not_finite(small):
    path, _, codes = small
    text, tensors = split(path.read_bytes())
    at = codes.norm.nbytes + codes.residual_norm.nbytes
    scale = codes.scale.copy()
    scale[1] = np.nan
    tensors = tensors[:at] + scale.tobytes() + tensors[at + scale.nbytes :]
    key = '"scale_checksum":"'
    text = text.replace(key + crc64(codes.scale.tobytes()), key + crc64(scale.tobytes()))
    path.write_bytes(join(text, tensors))
    with pytest.raises(ValueError, match="scale of row 1 is NaN, expected a finite number"):
        bq.load(path)


def test_a_file_of_someone_else(tmp_path):
    path = tmp_path / "theirs.safetensors"
    save_file({"scale": np.ones(3, np.float32)}, path)
    with pytest.raises(
        ValueError, match='this is not a blockquant file: the metadata has no format "blockq'
    ):
        bq.load(path)
    for data in (b"", b"\x93NUMPY", b"PK\3\4" * 9):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=re.escape(str(path))):
            bq.load(path)


def test_wrong_arguments(small, tmp_path):
    path, q, codes = small
    with pytest.raises(TypeError, match="quantizer is str, expected a Quantizer"):
        bq.save(path, "eden", codes)
    with pytest.raises(TypeError, match="codes is tuple, expected Codes"):
        bq.save(path, q, ())
    with pytest.raises(ValueError, match="the codes were made by"):
        bq.save(path, bq.Eden(24, 2), codes)
    with pytest.raises(TypeError, match="verify is str"):
        bq.load(path, "yes")
    with pytest.raises(TypeError):
        bq.load(3)
    part = bq.Codes(codes.packed, codes.scale, None, codes.residual_norm, 24, repr(q))
    with pytest.raises(ValueError, match=re.escape(f"{path}: norm is missing")):
        bq.save(path, q, part)
    same(bq.load(path), (q, codes))


def test_paths(small, tmp_path, monkeypatch):
    _, q, codes = small
    folder = tmp_path / "Ordner ä 向量 🗜"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for path in ("plain", os.fsencode("bytes ß"), folder / "path", "x" * 255):
        bq.save(path, q, codes)
        same(bq.load(path), (q, codes))
    if os.name == "posix":
        os.symlink("plain", "link")
        bq.save("link", q, codes[:1])
        assert Path("link").is_symlink()
        same(bq.load("plain"), (q, codes[:1]))
        os.chmod("plain", 0o640)
        bq.save("plain", q, codes)
        assert os.stat("plain").st_mode & 0o777 == 0o640
    assert not list(folder.glob(".blockquant*"))
    for call in (lambda path: bq.save(path, q, codes), bq.load):
        with pytest.raises(FileNotFoundError) as caught:
            call(folder / "none" / "ä")
        assert caught.value.filename == str(folder / "none" / "ä")


def test_a_failed_write_leaves_the_old_file(small, tmp_path):
    """A rename onto a folder fails; a limit on the size of files acts as a full disk."""
    path, q, codes = small
    with pytest.raises(OSError, match=re.escape(str(tmp_path))) as caught:
        bq.save(tmp_path, q, codes)
    assert caught.value.errno or os.name == "nt"
    before = path.read_bytes()
    if os.name == "posix":
        script = """
import resource, sys
import numpy as np, blockquant as bq
q = bq.Eden(64, 8)
codes = q.encode(np.ones((1000, 64), np.float32))
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    bq.save(sys.argv[1], q, codes)
except OSError as error:
    print(error.errno, error.filename)
"""
        command = [sys.executable, "-c", script, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        assert done.stdout == f"27 {path}\n"  # EFBIG
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() == 0, reason="permissions do not bind this user"
)
def test_a_folder_that_is_read_only(small, tmp_path):
    path, q, codes = small
    before = path.read_bytes()
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(PermissionError):
            bq.save(path, q, codes[:1])
        with pytest.raises(PermissionError):
            bq.save(tmp_path / "new", q, codes[:1])
        same(bq.load(path), (q, codes))
    finally:
        tmp_path.chmod(0o700)
    assert path.read_bytes() == before


def test_a_killed_write_leaves_the_old_file(small, tmp_path):
    path, q, codes = small
    script = """
import sys, time, threading, os
import numpy as np, blockquant as bq
q = bq.Eden(64, 8)
codes = q.encode(np.ones((1 << 18, 64), np.float32))
threading.Thread(target=lambda: (time.sleep(0.004), os.kill(os.getpid(), 9))).start()
bq.save(sys.argv[1], q, codes)
time.sleep(1)
"""
    if os.name == "posix":
        subprocess.run([sys.executable, "-c", script, str(path)], timeout=60, check=False)
        q2, codes2 = bq.load(path)
        assert len(codes2) in (len(codes), 1 << 18)
        if len(codes2) == len(codes):
            same((q2, codes2), (q, codes))
