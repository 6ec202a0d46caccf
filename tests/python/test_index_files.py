"""Files of indexes: golden bytes, round trips, files of codes alone, and damage."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import blockquant as bq
from containers import crc64, join, split
from indexes import DIM, NAMES, X, Y, make

GOLDEN = Path(__file__).parents[1] / "golden"
#: The ids of the golden files, which `tests/rust/ids.rs` writes.
IDS = {"numbers": [7, -(2**63), 2**63 - 2], "texts": ["", "ä 向量", 'a\0"b']}


@pytest.mark.parametrize("name", IDS)
def test_golden_files(name, tmp_path):
    path = GOLDEN / "index" / f"{name}.safetensors"
    for verify in (True, False):
        index = bq.Index.load(path, verify)
        assert list(index) == IDS[name]
        assert IDS[name][1] in index
        index.save(tmp_path / "again")
        assert (tmp_path / "again").read_bytes() == path.read_bytes()
    q, codes = bq.load(path)
    assert q == index.quantizer
    assert codes == index.codes()
    assert index.search(q.decode(codes), 1)[1][:, 0].tolist() == IDS[name]


def test_what_is_not_an_index_is_written_as_before(tmp_path):
    """Without ids the bytes are those of version 1."""
    for path in sorted(GOLDEN.glob("*.safetensors")):
        q, codes = bq.load(path)
        index = bq.Index.load(path)
        assert index.codes() == codes
        assert list(index) == [0, 1, 2]
        assert index.add(codes).tolist() == [3, 4, 5]
        bq.save(tmp_path / "again", q, codes)
        assert (tmp_path / "again").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("ids", [None, NAMES], ids=["int64", "str"])
@pytest.mark.parametrize("verify", [True, False])
def test_round_trip(ids, verify, tmp_path):
    path = tmp_path / "Ordner ä" / "index"
    path.parent.mkdir()
    index = make(ids)
    names = index.ids
    index.remove(names[::7])
    index.add(X[:1], ids=names[0])
    index.save(path)
    loaded = bq.Index.load(path, verify)
    assert list(loaded) == list(index)
    assert loaded.codes() == index.codes()
    assert loaded.quantizer == index.quantizer
    assert (loaded.kind, loaded.nbytes) == (index.kind, index.nbytes)
    for options in ({}, {"allow": names[:50]}, {"metric": "l2", "deny": names[5:]}):
        for a, b in zip(loaded.search(Y, **options), index.search(Y, **options), strict=True):
            np.testing.assert_array_equal(a, b)
    # The mapped file stays as it is, and the loaded index goes on in memory.
    before = path.read_bytes()
    more = [5000] if ids is None else ["more"]
    loaded.add(X[1], ids=more)
    loaded.remove(names[1])
    assert path.read_bytes() == before
    loaded.save(path)  # onto the file that is mapped
    assert list(bq.Index.load(path)) == list(loaded) == [*list(index)[1:], *more][-len(loaded) :]
    if ids is None:
        assert bq.Index.load(path).add(X[2]).tolist() == [5001]


def test_history_is_not_in_the_file(tmp_path):
    for ids in (None, NAMES):
        index, other = make(ids), make(ids)
        names = index.ids
        index.remove(names[3:9])
        index.compact()
        for name in names[3:9]:
            other.remove(name)
        other.add(X[:1], ids=names[4])
        other.remove(names[4])
        index.save(tmp_path / "a")
        other.save(tmp_path / "b")
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_ids_that_were_used_stay_used(tmp_path):
    index = make(rows=10)
    index.remove([8, 9])
    index.save(tmp_path / "index")
    assert bq.Index.load(tmp_path / "index").add(X[0]).tolist() == [10]


@pytest.mark.parametrize("kind", ["int64", "str", None])
def test_an_empty_index(kind, tmp_path):
    path = tmp_path / "index"
    bq.Index(DIM, 2, ids=kind).save(path)
    for verify in (True, False):
        loaded = bq.Index.load(path, verify)
        assert (len(loaded), loaded.kind) == (0, kind)
        assert loaded.add(X[:1], ids="a" if kind == "str" else None).tolist() in ([0], ["a"])


def test_codes_and_ids_are_views_of_the_file(tmp_path):
    for ids, parts in ((None, ["values"]), (NAMES, ["offsets", "data"])):
        make(ids).save(tmp_path / "index")
        now = bq.Index.load(tmp_path / "index")._now
        for array in (now.filled["packed"], *(getattr(now.ids, part) for part in parts)):
            assert not array.flags.writeable
            assert array.flags.aligned


def test_every_flip_of_a_small_file(tmp_path):
    path = tmp_path / "index"
    for ids in ([5, 6], ["ä", "b"]):
        index = bq.Index(8, 2)
        index.add(X[:2, :8], ids=ids)
        index.save(path)
        data = path.read_bytes()
        for at in range(len(data)):
            damaged = bytearray(data)
            damaged[at] ^= 1 << at % 8
            path.write_bytes(damaged)
            with pytest.raises(ValueError, match=re.escape(str(path))):
                bq.Index.load(path)
            with pytest.raises(ValueError, match=re.escape(str(path))):
                bq.load(path)
        for length in range(len(data)):
            path.write_bytes(data[:length])
            with pytest.raises(ValueError, match="truncated"):
                bq.Index.load(path, verify=False)


def forge(path, name, change):
    """Changes a tensor, and corrects the checksums."""
    text, tensors = split(path.read_bytes())
    start, stop = json.loads(text)[name]["data_offsets"]
    part = bytearray(tensors[start:stop])
    before = crc64(bytes(part))
    change(part)
    text = text.replace(before, crc64(bytes(part)))
    path.write_bytes(join(text, tensors[:start] + bytes(part) + tensors[stop:]))


@pytest.mark.parametrize(
    ("name", "at", "new", "says"),
    [
        ("ids", 2, 1, "rows 1 and 2 have the same id 1"),
        ("ids", 1, -1, "the id of row 1 is -1, which stands for no row"),
        ("ids", 2, 3, "the id of row 2 is 3, expected less than next_id, 3"),
        ("id_offsets", 0, 1, "id_offsets: value 0 is 1, expected 0"),
        ("id_offsets", 2, 0, "id_offsets: value 2 is 0, expected at least 2"),
        ("id_offsets", 3, 2**40, "id_offsets: the last value is 1099511627776, expected 6"),
        ("id_bytes", 1, b"\xc3", "the id of row 0 is not UTF-8"),
        ("id_bytes", 2, b"ab", 'rows 0 and 1 have the same id "ab"'),
    ],
)
def test_damage_behind_right_checksums(name, at, new, says, tmp_path):
    path = tmp_path / "index"
    index = bq.Index(DIM, 2)
    index.add(X[:3], ids=None if name == "ids" else ["ab", "cd", "ef"])
    index.save(path)

    def change(part):
        if isinstance(new, bytes):
            part[at : at + len(new)] = new
        else:
            part[8 * at : 8 * at + 8] = new.to_bytes(8, "little", signed=True)

    forge(path, name, change)
    for load in (bq.Index.load, bq.load):
        with pytest.raises(ValueError, match=re.escape(f"{path}: {says}")):
            load(path)
    if name == "id_offsets":  # sizes are checked without verification too
        with pytest.raises(ValueError, match=re.escape(says)):
            bq.Index.load(path, verify=False)


def test_what_is_no_path_or_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        bq.Index.load(tmp_path / "none")
    with pytest.raises(FileNotFoundError):
        make().save(tmp_path / "none" / "index")
    with pytest.raises(TypeError, match="verify is str"):
        bq.Index.load(GOLDEN / "prod.safetensors", "no")
    (tmp_path / "theirs").write_bytes(b"PK\3\4" * 9)
    with pytest.raises(ValueError, match="theirs: this is not a blockquant file"):
        bq.Index.load(tmp_path / "theirs")
