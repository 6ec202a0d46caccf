"""Files and pickles of the key-value cache: the same state, or a clear error."""

import json
import os
import pickle
import re
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

import blockquant as bq
from caches import extend, filled, same, tokens
from containers import crc64, join, split

GOLDEN = Path(__file__).parents[1] / "golden" / "cache"
EDEN = {"keys": "eden", "key_bits": 3, "values": "eden", "value_bits": 2}
OPTIONS = {
    "defaults": {},
    "rotary": {**EDEN, "center": "rotary", "rotary": 1e4, "centroids": 5, "layer": 3},
    "given": {**EDEN, "center": np.full((2, 24), 0.5, np.float32), "rollback": 90},
    "prod": {"keys": "turboquant/prod", "values": "turboquant/prod", "center": None},
    "floats": {**EDEN, "byte_scales": False, "debias": True, "dtype": "float32"},
    "rotation": {**EDEN, "rotation": "haar", "seed": 2**64 - 1, "window": 0, "sinks": 0},
}


def frozen_tokens(heads, count, dim, step):
    """Numbers that are the same on every platform."""
    shape = 2, heads, count, dim
    number = (np.arange(np.prod(shape)) * step % 1009).reshape(shape)
    return (number / 504 - 1).astype(np.float32)


def golden_caches():
    """FROZEN: these caches always have the same bytes, in `tests/golden/cache`."""
    k, v = frozen_tokens(2, 210, 6, 7919) + 1, frozen_tokens(2, 210, 5, 6007)
    frequencies = 2.0 ** -np.arange(3)
    yield (
        "rotary",
        filled(
            *(k, v, [0, 41], [100, 1, 60]),
            **{"window": 8, "sinks": 2, "rollback": 30, "layer": 4, "seed": 5},
            **{
                "center": "rotary",
                "rotary": frequencies,
                "centroids": 3,
                "keys": "eden",
                "value_bits": 1.5,
            },
        ),
    )
    cache = filled(
        *(k.astype(np.float16), v.astype(np.float16)),
        **{"keys": "turboquant/prod", "values": "rabitq", "value_bits": 6, "window": 3},
    )
    cache.crop(150)
    cache.select([1, 0, 1])
    yield "halves", cache


@pytest.fixture
def kv(rng):
    return tokens(rng, 2, 2, 230, 24, 20)


@pytest.fixture
def q(rng):
    return rng.standard_normal((2, 2, 3, 24)).astype(np.float32)


@pytest.fixture
def small(tmp_path):
    """A file with pages of every kind."""
    k, v = frozen_tokens(1, 150, 4, 7919), frozen_tokens(1, 150, 3, 6007)
    options = {**EDEN, "window": 1, "sinks": 1, "rollback": 25, "centroids": 3}
    cache = filled(k, v, [0, 40], **options)
    path = tmp_path / "small.safetensors"
    cache.save(path)
    assert cache.coded == [128, 64]
    return path, cache


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_round_trips(kv, q, tmp_path, options, dtype):
    if options.get("dtype", dtype) != dtype:
        pytest.skip("the cache is of another type")
    k, v = (x.astype(getattr(ml_dtypes, dtype, dtype)) for x in kv)
    cache = filled(k[:, :, :200], v[:, :, :200], [0, 31], **options)
    cache.save(tmp_path / "cache")
    data = (tmp_path / "cache").read_bytes()
    twins = [
        bq.KeyValueCache.load(tmp_path / "cache"),
        *(pickle.loads(pickle.dumps(cache, p)) for p in range(pickle.HIGHEST_PROTOCOL + 1)),
    ]
    extend(cache, k[:, :, 200:], v[:, :, 200:])
    for twin in twins:
        assert twin._core.to_bytes() == data
        assert (twin.layer, twin.dtype) == (cache.layer, dtype)
        extend(twin, k[:, :, 200:], v[:, :, 200:], steps=[3])
        assert same(twin, cache, q)
        assert repr(twin) == repr(cache)
        assert twin.nbytes == cache.nbytes


def test_an_empty_cache(tmp_path):
    for options in OPTIONS.values():
        cache = bq.KeyValueCache(2, 24, batch=3, **options)
        twin = pickle.loads(pickle.dumps(cache))
        assert (len(twin), twin.batch, twin.dtype) == (0, 3, cache.dtype)
        assert twin._core.to_bytes() == cache._core.to_bytes()


def test_shared_pages_are_stored_once(kv, q, tmp_path):
    cache = filled(*kv, **EDEN)
    size = len(cache._core.to_bytes())
    cache.repeat(10)
    assert len(cache._core.to_bytes()) < size + 5000
    twin = pickle.loads(pickle.dumps(cache))
    assert twin.nbytes == cache.nbytes
    np.testing.assert_array_equal(twin.attend(q.repeat(10, 0)), cache.attend(q.repeat(10, 0)))


def test_attributes_of_a_subclass_are_pickled(kv):
    twin = pickle.loads(pickle.dumps(Mine(2, 24, value_dim=20, batch=2)))
    assert type(twin) is Mine
    assert twin.note == "mine"


class Mine(bq.KeyValueCache):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.note = "mine"


@pytest.mark.parametrize("name", ["rotary", "halves"])
def test_golden_bytes(name):
    cache = dict(golden_caches())[name]
    path = GOLDEN / f"{name}.safetensors"
    if "BLOCKQUANT_WRITE_GOLDEN" in os.environ:
        path.parent.mkdir(exist_ok=True)
        cache.save(path)
    assert cache._core.to_bytes() == path.read_bytes()
    assert bq.KeyValueCache.load(path)._core.to_bytes() == path.read_bytes()


def test_an_independent_reader(small):
    path, cache = small
    text, raw = split(path.read_bytes())
    header = json.loads(text)
    metadata = header["__metadata__"]
    assert metadata["format"] == "blockquant-cache"
    assert metadata["version"] == "1"
    end = 0
    for name, tensor in header.items():
        if name != "__metadata__":
            first, last = tensor["data_offsets"]
            assert first == end
            assert metadata[f"{name}_checksum"] == crc64(raw[first:last])
            width = (last - first) // max(int(np.prod(tensor["shape"])), 1)
            assert first % max(width, 1) == 0
            end = last
    assert end == len(raw)
    with safe_open(path, "numpy") as file:
        assert file.metadata() == metadata
    found = load_file(path)
    assert found["sequences"].tolist() == [[0, 1, 2, 1, 1], [40, 1, 1, 1, 2]]
    rows = found["exact_keys"].reshape(-1, 4)
    lengths = found["exact_lengths"].tolist()
    place = int(found["tables"][0, 0])
    np.testing.assert_array_equal(rows[sum(lengths[:place])], cache.decode()[0][0, 0, 0])


def test_every_flip_and_truncation(small):
    path, _ = small
    data = path.read_bytes()
    for at in [*range(0, len(data), 37), *range(0, 3000, 5), *range(250)]:
        damaged = bytearray(data)
        damaged[at] ^= 1 << at % 8
        with pytest.raises(ValueError, match=r"\w"):
            bq.KeyValueCache.load(_write(path, damaged))
    for length in range(0, len(data), 31):
        with pytest.raises(ValueError, match=re.escape(f"{path}: the file is truncated: it has ")):
            bq.KeyValueCache.load(_write(path, data[:length]))
    with pytest.raises(ValueError, match=f"too long: it has {len(data) + 1} bytes"):
        bq.KeyValueCache.load(_write(path, data + b"\0"))


def _write(path, data):
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"version":"1"', '"version":"2"', 'version "2" of the format, this build reads "1"'),
        ('"blockquant-cache"', '"pt"', "this is not a file of a key-value cache"),
        ('"dim":"4"', '"dim":"1025"', "dim=1025, expected 1 to 1024"),
        ('"dim":"4"', '"dim":"5"', "another codebook or rotation"),
        ('"seed":"0"', '"seed":"1"', "another codebook or rotation"),
        ('"heads":"1"', '"heads":"2"', "the tensor exact_keys is F32"),
        ('"heads":"1"', '"heads":"01"', "byte "),
        ('"tokens":"150"', '"tokens":"151"', "sequence 0 has another number of tokens"),
        ('"sinks":"1"', '"sinks":"2"', "sequence 0 has another number of sinks"),
        ('"centroids":"3"', '"centroids":"2"', "the tensor centroid_indexes"),
        ('"centroids":"3"', '"centroids":"300"', "centroids=300, expected 2 to 256"),
        ('"center":"static"', '"center":"none"', "centroids=3 with center none"),
        ('"center":"static"', '"center":"rotary"', "the tensor frequencies is missing"),
        ('"center":"static"', '"center":"x"', 'center is "x"'),
        ('"keys":"eden"', '"keys":"mine"', 'unknown method "mine"'),
        ('"key_bits":"3"', '"key_bits":"9"', "keys: bits=9 for eden"),
        ('"debias":"false"', '"debias":"no"', 'debias is "no"'),
        ('"numbers":"float32"', '"numbers":"float16"', "the tensor exact_keys is F32"),
        ('"numbers":"float32",', "", "byte "),
        ('"window":"1"', '"window":"1","x":"y"', "byte "),
        ('"window":"1",', "", "no text for window"),
        ('"rollback":"25"', '"rollback":"25","layer":"0"', "byte "),
        ('"numbers":', '"key_scale_search":"1","numbers":', "byte "),
        ('"numbers":', '"key_scale_search":"4","numbers":', "keys: scale_search=4, expected an"),
        ('"tables":{"dtype":"U32"', '"tables":{"dtype":"F32"', "the tensor tables is F32"),
        ('"tables":{"dtype":"U32"', '"tables":{"dtype":"I32"', "the tensor tables is I32"),
        ('"tables":{"dtype":"U32"', '"tables":{"kind":"U32"', "does not describe the tensor tab"),
        ('"data_offsets":[0,', '"data_offsets":[1,', "in the bytes 1 to"),
        ('"__metadata__":{', '"__metadata__":{"a":"b",', "byte "),
    ],
)
def test_forged_headers(small, old, new, says):
    path, _ = small
    text, tensors = split(path.read_bytes())
    assert old in text
    path.write_bytes(join(text.replace(old, new, 1), tensors))
    with pytest.raises(ValueError, match=re.escape(says)):
        bq.KeyValueCache.load(path)


@pytest.mark.parametrize(
    ("name", "place", "value", "says"),
    [
        ("sequences", 0, 1, "sequence 0 has another number of tokens"),
        ("sequences", 1, 0, "another number of sinks"),
        ("sequences", 1, 999, "names a page that is not there"),
        ("sequences", 2, 1, "another number of tokens"),
        ("tables", 5, 1, "keeps another number of exact tokens than coded ones"),
        ("sequences", 4, 0, "sequence 0 has coded tokens without their center"),
        ("sequences", 4, 9, "names a page that is not there"),
        ("tables", 0, 77, "names a page that is not there"),
        ("tables", 2, 77, "names a page that is not there"),
        ("tables", 3, 77, "names a page that is not there"),
        ("exact_lengths", 0, 65, "page 0 has 65 tokens, expected 1 to 64"),
        ("coded_lengths", 0, 0, "page 0 has 0 tokens"),
        ("coded_lengths", 0, 63, "the tensor key_packed"),
        ("centers", 0, np.nan, "centers of row 0 is NaN"),
        ("exact_keys", 3, np.inf, "has NaN or infinity"),
        ("key_scale_base", 0, 3000, "key_scale_base 0 is 3000, out of range"),
        ("centroid_indexes", 0, 255, "names a centroid beyond 3"),
    ],
)
def test_forged_tensors(small, name, place, value, says):
    """Tensors with the right checksums and impossible content."""
    path, _ = small
    text, raw = split(path.read_bytes())
    tensor = json.loads(text)[name]
    first, last = tensor["data_offsets"]
    kinds = {"U32": "<u4", "F32": "<f4", "I16": "<i2", "U8": "<u1"}
    array = np.frombuffer(raw[first:last], kinds[tensor["dtype"]]).copy()
    old = crc64(array.tobytes())
    array[place] = value
    text = text.replace(f'{name}_checksum":"{old}', f'{name}_checksum":"{crc64(array.tobytes())}')
    path.write_bytes(join(text, raw[:first] + array.tobytes() + raw[last:]))
    with pytest.raises(ValueError, match=re.escape(says)):
        bq.KeyValueCache.load(path)


def test_files_of_the_other_kind(small, tmp_path):
    path, _ = small
    with pytest.raises(ValueError, match="it holds a key-value cache"):
        bq.load(path)
    q = bq.Eden(4, 2)
    bq.save(tmp_path / "codes", q, q.encode(np.ones((2, 4))))
    with pytest.raises(ValueError, match="it holds codes, which `load` reads"):
        bq.KeyValueCache.load(tmp_path / "codes")
    with pytest.raises(ValueError, match="header of"):
        bq.KeyValueCache.load(_write(tmp_path / "junk", b"no cache at all"))
    with pytest.raises(ValueError, match="truncated"):
        bq.KeyValueCache.load(_write(tmp_path / "empty", b""))
    with pytest.raises(FileNotFoundError):
        bq.KeyValueCache.load(tmp_path / "none")


def test_a_failed_write_changes_nothing(small):
    path, cache = small
    before = path.read_bytes()
    with pytest.raises(OSError, match="nowhere"):
        cache.save(path.parent / "nowhere" / "cache")
    assert path.read_bytes() == before
    assert [*path.parent.iterdir()] == [path]
    cache.save(path)
    assert path.read_bytes() == before
