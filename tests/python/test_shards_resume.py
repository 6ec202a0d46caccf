"""What a job keeps, does again or refuses in a folder that is there, and what damage is found."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import blockquant as bq
from blockquant.shards import _work
from shardjobs import SPEC, contents, encode, parts, same_rows

MEAN = {**SPEC, "center": "mean"}


@pytest.fixture
def rows(tmp_path, x):
    return parts(tmp_path / "rows", x)


@pytest.fixture
def codes(tmp_path):
    return tmp_path / "codes"


@pytest.fixture
def made(monkeypatch):
    """The shards that jobs of this process write, in order."""
    found, save = [], _work.save

    def noted(path, *rest):
        found.append(Path(path).name)
        save(path, *rest)

    monkeypatch.setattr(_work, "save", noted)
    return found


def damaged(path, at=-1):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def names_of(folder):
    return [shard["file"] for shard in manifest(folder)["shards"]]


def manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


# ---- what is kept


@pytest.mark.parametrize("spec", [SPEC, MEAN], ids=["plain", "mean"])
def test_a_finished_job_does_nothing(rows, codes, made, spec, monkeypatch):
    encode(rows, codes, spec)
    before = contents(codes)
    stats = {path: path.stat().st_mtime_ns for path in codes.iterdir()}
    assert len(made) == 6
    monkeypatch.setattr("blockquant.shards._job.sum_part", None)  # the mean is known
    encode(rows, codes, spec)
    assert len(made) == 6
    assert contents(codes) == before
    assert {path: path.stat().st_mtime_ns for path in codes.iterdir()} == stats


def test_a_damaged_shard_is_made_again(rows, codes, made):
    encode(rows, codes)
    before = contents(codes)
    names = names_of(codes)
    damaged(codes / names[1])
    (codes / names[3]).unlink()
    os.truncate(codes / names[4], 100)
    made.clear()
    encode(rows, codes)
    assert made == [names[1], names[3], names[4]]
    assert contents(codes) == before


def test_a_shard_of_someone_else_is_made_again(rows, codes, made, x):
    encode(rows, codes)
    before = contents(codes)
    names = names_of(codes)
    q = bq.create(dim=32, **{**SPEC, "seed": 1})
    bq.save(codes / names[0], q, q.encode(x[:64]))  # undamaged, by another quantizer
    bq.save(codes / names[1], *(lambda q: (q, q.encode(x[:5])))(bq.create(dim=32, **SPEC)))
    made.clear()
    encode(rows, codes)
    assert made == names[:2]
    assert contents(codes) == before


def test_a_source_that_has_changed_is_encoded_again(rows, codes, made, x):
    encode(rows, codes)
    old = names_of(codes)
    x[100:200] *= 2  # of the same size
    np.save(rows / "b.npy", x[100:200])
    os.utime(rows / "b.npy", ns=(1, 1))
    made.clear()
    shards = encode(rows, codes)
    assert len(made) == 2
    assert not {*made} & {*old}
    same_rows(shards, bq.create(dim=32, **SPEC), x)
    # The shards of what the file was are removed at last.
    assert sorted(path.name for path in codes.iterdir()) == sorted(
        ["manifest.json", *names_of(codes)]
    )
    x = np.concatenate([x[:100], x[:7], x[200:]])
    np.save(rows / "b.npy", x[100:107])
    made.clear()
    same_rows(encode(rows, codes), bq.create(dim=32, **SPEC), x)
    assert len(made) == 1


def test_a_source_that_changes_during_the_job_stops_it(rows, codes, monkeypatch):
    encode_part = _work.encode_part

    def changing(task):
        os.utime(rows / "c.npy", ns=(5, 5))
        return encode_part(task)

    monkeypatch.setattr("blockquant.shards._job.encode_part", changing)
    with pytest.raises(ValueError, match=r"c\.npy has changed since the job began: its time of"):
        encode(rows, codes)
    assert not (codes / "manifest.json").exists()


def test_until_the_manifest_is_replaced_the_old_shards_stay(rows, codes, monkeypatch, x):
    old = encode(rows, codes)
    np.save(rows / "a.npy", x[:100] + 1)
    np.save(rows / "c.npy", np.full((100, 32), np.nan))
    with pytest.raises(ValueError, match=r"c\.npy: row 0, column 0 is NaN"):
        encode(rows, codes)
    same_rows(bq.shards.open(codes), old.quantizer, x)
    assert (codes / "job.json").exists()


# ---- what is refused


@pytest.mark.parametrize("is_finished", [True, False])
@pytest.mark.parametrize(
    "other",
    [
        {"bits": 3},
        {"name": "eden/mse"},
        {"seed": 1},
        {"store_norm": False},
        {"rotation": "haar"},
        {"center": "mean"},
        {"center": np.ones(32)},
    ],
    ids=str,
)
def test_another_spec_is_refused_and_nothing_changes(rows, codes, other, is_finished):
    encode(rows, codes)
    if not is_finished:
        (codes / "manifest.json").unlink()
        kept = {"format": "blockquant-shards-job", "version": 1, "mean_of": None, "center": None}
        quantizer = {**SPEC, "method": "eden/unbiased", "dim": 32, "block": None, "seed": 0}
        quantizer |= {"rotation": "hadamard", "center": None, "bits": 2.0}
        del quantizer["name"]
        (codes / "job.json").write_text(json.dumps({**kept, "quantizer": quantizer}))
    before = contents(codes)
    with pytest.raises(
        ValueError, match=r"codes holds codes (of eden/unbiased|with another center)"
    ):
        encode(rows, codes, {**SPEC, **other})
    assert contents(codes) == before
    encode(rows, codes)  # the same spec is taken
    assert (codes / "manifest.json").exists()


def test_the_mean_of_other_rows_is_refused(rows, codes, x):
    encode(rows, codes, MEAN)
    before = contents(codes)
    np.save(rows / "d.npy", x[:9])
    with pytest.raises(ValueError, match="another center than the mean of these sources; append"):
        encode(rows, codes, MEAN)
    assert contents(codes) == before


def test_other_sources_are_refused(rows, codes, tmp_path, x):
    encode(rows, codes)
    before = contents(codes)
    for sources in (rows / "b.npy", [rows / "b.npy", rows / "a.npy"], [rows / "a.npy"]):
        with pytest.raises(
            ValueError, match=r"codes holds .*\.npy as source \d, where the job has"
        ):
            encode(sources, codes)
    with pytest.raises(ValueError, match="shards of at most 64 rows, the job asks for 63"):
        encode(rows, codes, shard_rows=63)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="file is a file, expected a folder"):
        encode(rows, tmp_path / "file")
    assert contents(codes) == before


def test_other_files_in_the_folder_stay(rows, codes):
    codes.mkdir()
    for name in ("notes.txt", "shard-1.safetensors", "a.npy"):
        (codes / name).write_text(name)
    encode(rows, codes)
    for name in ("notes.txt", "shard-1.safetensors", "a.npy"):
        assert (codes / name).read_text() == name


# ---- damage


def test_damaged_shards_are_named(rows, codes, x):
    shards = encode(rows, codes)
    names = names_of(codes)
    assert shards.verify() == []
    damaged(codes / names[1])
    (codes / names[4]).unlink()
    (codes / names[5]).write_bytes((codes / names[0]).read_bytes())
    found = bq.shards.open(codes)
    damages = found.verify()
    assert [damage.file for damage in damages] == [names[1], names[4], names[5]]
    assert [damage.rows for damage in damages] == [
        "rows 50 to 99, of a.npy",
        "rows 200 to 249, of c.npy",
        "rows 250 to 299, of c.npy",
    ]
    assert "checksum" in damages[0].error
    assert damages[1].error == "No such file or directory"
    assert "it is not the file that the manifest names" in damages[2].error
    with pytest.raises(ValueError, match=rf"{names[1]}: .*\(rows 50 to 99, of a.npy\)"):
        found.search(x[:2])
    np.testing.assert_array_equal(found.decode(0, 50), shards.quantizer.decode(shards[:50]))
    with pytest.raises(FileNotFoundError):
        found.decode(200, 250)


def test_damage_is_looked_for_once_unless_told_not_to(rows, codes, monkeypatch, x):
    encode(rows, codes)
    calls, load = [], bq.load
    monkeypatch.setattr("blockquant.shards._shards._OPEN", 1)
    monkeypatch.setattr(
        "blockquant.shards._shards.load", lambda path, verify: (calls.append(verify), load(path))[1]
    )
    shards = bq.shards.open(codes)
    for _ in range(3):
        shards.search(x[0])
    assert sum(calls) == 6
    assert len(calls) == 1 + 18
    calls.clear()
    bq.shards.open(codes, verify=False).search(x[0])
    assert not any(calls)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda text: text.replace('"rows": 50', '"rows": 51', 1), "its checksum differs"),
        (lambda text: text[:-20], "manifest.json: "),
        (lambda text: text.replace('"version": 1', '"version": 2'), "version 2, expected 1"),
        (lambda text: text.replace("blockquant-shards", "other"), "not a manifest of shards"),
        (lambda text: "[]", "not a manifest of shards"),
        (lambda text: "", "manifest.json: "),
        (lambda text: "\xff", "manifest.json: "),
    ],
)
def test_a_damaged_manifest_is_refused(rows, codes, change, text):
    encode(rows, codes)
    path = codes / "manifest.json"
    path.write_text(change(path.read_text()), "latin-1")
    before = contents(codes)
    for call in (bq.shards.open, lambda folder: encode(rows, folder)):
        with pytest.raises(ValueError, match=text):
            call(codes)
    assert contents(codes) == before


def test_a_damaged_note_of_an_unfinished_job_is_refused(rows, codes):
    codes.mkdir()
    (codes / "job.json").write_text("{")
    with pytest.raises(ValueError, match=r"job\.json: .*; choose another folder"):
        encode(rows, codes)


# ---- errors of the machine


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
@pytest.mark.parametrize("skip_bad", [False, True])
def test_an_error_of_the_system_leaves_whole_shards_alone(
    rows, codes, monkeypatch, number, skip_bad
):
    save = _work.save
    with monkeypatch.context() as patch:

        def fail(path, *rest):
            if "shard-b-50" in path:
                raise OSError(number, os.strerror(number), path)
            save(path, *rest)

        patch.setattr(_work, "save", fail)
        with pytest.raises(OSError, match="shard-b-50") as caught:
            encode(rows, codes, skip_bad=skip_bad)
    assert caught.value.errno == number
    assert not (codes / "manifest.json").exists()
    for path in codes.glob("shard*"):
        bq.load(path)
    assert len(list(codes.iterdir())) == 1 + 3
    encode(rows, codes, skip_bad=skip_bad)
    assert bq.shards.open(codes).verify() == []


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="needs a limit of the size of files")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_disk_that_is_full(rows, codes, tmp_path, workers):
    """A limit of the size of a file ends the writes as a full disk does, in the middle."""
    code = (
        "import resource, signal, sys; from blockquant import shards\n"
        "if __name__ == '__main__':\n"
        "    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        f"    spec = {SPEC!r}\n"
        f"    shards.encode(sys.argv[1], sys.argv[2], spec, workers={workers}, shard_rows=64)\n"
    )
    script = tmp_path / "full.py"
    script.write_text(code)
    done = subprocess.run(
        [sys.executable, str(script), str(rows), str(codes)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    assert "OSError: [Errno 27]" in done.stderr
    assert [path.name for path in codes.iterdir()] == ["job.json"]
    same_rows(
        encode(rows, codes),
        bq.create(dim=32, **SPEC),
        np.concatenate([np.load(rows / f"{name}.npy") for name in "abc"]),
    )


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs the peak memory")
@pytest.mark.parametrize("suffix", [".npy", ".parquet"])
def test_memory_does_not_grow_with_the_rows(tmp_path, suffix):
    """Who encodes six times as many rows needs as much memory, for the mean too."""
    code = (
        "import sys; from blockquant import shards\n"
        "spec = {'name': 'eden', 'bits': 1, 'center': 'mean'}\n"
        "shards.encode(sys.argv[1], sys.argv[2], spec, workers=1, shard_rows=20_000)\n"
        "lines = open('/proc/self/status')\n"
        "print([line.split()[1] for line in lines if line.startswith('VmHWM')][0])\n"
    )
    x = np.random.default_rng(0).standard_normal((40_000, 128), np.float32)
    path = tmp_path / f"x{suffix}"
    with bq.files.write_rows(path, *x.shape) as file:
        for start in range(0, len(x), 10_000):
            file.write(x[start : start + 10_000])
    peaks = []
    for files in (1, 6):
        folder = tmp_path / f"{files}"
        folder.mkdir()
        for place in range(files):
            os.link(path, folder / f"{place}{suffix}")
        command = [sys.executable, "-c", code, str(folder), str(tmp_path / f"codes {files}")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        out = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        peaks.append(int(out.stdout))
    assert peaks[1] < 1.1 * peaks[0]
