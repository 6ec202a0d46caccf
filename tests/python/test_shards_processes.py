"""Jobs whose workers or whole process are killed, and shards in forked children, pickles and
threads: every byte and every result is that of one process."""

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import cloudpickle
import numpy as np
import pytest

import blockquant as bq
from blockquant.shards import _engines
from shardjobs import SPEC, contents, encode, parts, same_rows

SCRIPT = Path(__file__).parent / "shardruns.py"
#: Seconds until a test gives up on a process.
LIMIT = 120

posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


@pytest.fixture
def rows(tmp_path, x):
    return parts(tmp_path / "rows", x, "abcdef")


@pytest.fixture
def expected(tmp_path, rows):
    """The files of a job in one process."""
    return contents(encode(rows, tmp_path / "expected", {**SPEC, "center": "mean"}).folder)


OPTIONS = {"workers": 2, "shard_rows": 64}


def start(rows, out, pause=None, **options):
    """A job in a process of its own, with two workers."""
    spec = json.dumps({**SPEC, "center": "mean"})
    command = [sys.executable, str(SCRIPT), str(rows), str(out), spec]
    command.append(json.dumps({**OPTIONS, **options}))
    more = {} if pause is None else {"SHARDS_PAUSE": str(pause)}
    return subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def done(process):
    out, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, err
    assert out == "300\n"


def until(condition):
    """Waits for something."""
    deadline = time.monotonic() + LIMIT
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


def working(pause):
    """The workers that have begun a shard, the latest last."""
    names = sorted(pause.iterdir(), key=lambda path: int(path.name.split("-")[1]))
    return [int(path.name.split("-")[0]) for path in names]


def is_alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    # A child of a process that is gone stays as a zombie where nobody collects it.
    status = Path(f"/proc/{process}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


def shard_files(folder):
    return list(folder.glob("shard-*.safetensors"))


# ---- workers


def test_two_workers_make_the_files_of_one_process(rows, tmp_path, expected):
    done(start(rows, tmp_path / "codes"))
    assert contents(tmp_path / "codes") == expected


@posix
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_worker_that_is_killed_is_replaced(rows, tmp_path, expected, number):
    pause = tmp_path / "pause"
    pause.mkdir()
    process = start(rows, tmp_path / "codes", pause)
    for more in (1, 5):
        os.kill(until(lambda more=more: working(pause)[more:])[-1], number)
    done(process)
    assert contents(tmp_path / "codes") == expected
    assert len(set(working(pause))) > 2


class Fatal:
    """Kills the worker that unpickles it."""

    def __reduce__(self):
        return os._exit, (3,)


def test_workers_that_always_die_end_the_job():
    engine = _engines.Engine.of("local", 2, 1, None)
    tasks = [3, 4, 5, Fatal()]
    results, found = engine.run(abs, tasks), {}
    with pytest.raises(ChildProcessError, match=r"a worker died 2 times .* 1 shard left"):
        found.update(results)
    assert found == {0: 3, 1: 4, 2: 5}


def test_an_error_of_a_worker_is_that_of_the_job(rows, tmp_path, x):
    x[250, 3] = np.nan
    parts(rows, x, "abcdef")
    with pytest.raises(ValueError, match=r"f\.npy: row 0, column 3 is NaN"):
        bq.shards.encode(rows, tmp_path / "codes", SPEC, workers=2, shard_rows=64)
    # What was finished stays, and is not done again.
    finished = {path: path.stat().st_mtime_ns for path in shard_files(tmp_path / "codes")}
    assert finished
    assert not list((tmp_path / "codes").glob("manifest.json"))
    x[250, 3] = 0
    np.save(rows / "f.npy", x[250:])
    shards = bq.shards.encode(rows, tmp_path / "codes", SPEC, workers=2, shard_rows=64)
    same_rows(shards, bq.create(dim=32, **SPEC), x)
    assert (
        finished.items()
        <= {path: path.stat().st_mtime_ns for path in shard_files(tmp_path / "codes")}.items()
    )


# ---- the whole job


@posix
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_job_that_is_killed_goes_on(rows, tmp_path, expected, workers, number):
    pause, codes = tmp_path / "pause", tmp_path / "codes"
    pause.mkdir()
    process = start(rows, codes, pause, workers=workers)
    until(lambda: codes.exists() and len(shard_files(codes)) >= 2)
    process.send_signal(number)
    process.communicate(timeout=LIMIT)
    assert process.returncode != 0
    # No worker outlives the job.
    until(lambda: not any(map(is_alive, working(pause))))
    before = {path: path.stat() for path in shard_files(codes)}
    assert 2 <= len(before) < 6
    assert not (codes / "manifest.json").exists()
    with pytest.raises(ValueError, match=r"has no manifest\.json"):
        bq.shards.open(codes)
    if number == signal.SIGINT:
        assert not list(codes.glob(".blockquant*"))
    (codes / ".blockquant-1-0.tmp").write_bytes(b"what a killed process may leave")
    done(start(rows, codes, workers=workers))
    assert contents(codes) == expected
    for path, stat in before.items():
        assert path.stat().st_ino == stat.st_ino, "a finished shard was made again"


@posix
def test_an_append_that_is_killed_goes_on(rows, tmp_path, x):
    first, more, codes = rows / "a.npy", parts(tmp_path / "more", x), tmp_path / "codes"
    pause = tmp_path / "pause"
    pause.mkdir()
    q = bq.create(dim=32, **SPEC)
    encode(first, codes)
    before = contents(codes)
    command = [sys.executable, str(SCRIPT), str(first), str(codes), json.dumps(SPEC)]
    command += [json.dumps(OPTIONS), str(more)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    slow = {**environment, "SHARDS_PAUSE": str(pause)}
    with subprocess.Popen(command, env=slow, start_new_session=True) as process:
        until(lambda: len(shard_files(codes)) >= 3)
        process.kill()
    until(lambda: not any(map(is_alive, working(pause))))
    # Until it is done, the folder holds what it held.
    assert before.items() <= contents(codes).items()
    same_rows(bq.shards.open(codes), q, x[:50])
    subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, timeout=LIMIT)
    same_rows(bq.shards.open(codes), q, np.concatenate([x[:50], x]))
    assert not (codes / "job.json").exists()


# ---- other executors, forks, pickles, threads


def test_executors_of_others(rows, tmp_path, expected):
    spec = {**SPEC, "center": "mean"}
    with ThreadPoolExecutor(3) as pool:
        encode(rows, tmp_path / "threads", spec, engine=pool, workers=None)
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        encode(rows, tmp_path / "processes", spec, engine=pool, workers=None)
        with pytest.raises(ValueError, match="workers= is not for an Executor"):
            encode(rows, tmp_path / "processes", spec, engine=pool, workers=2)
    assert contents(tmp_path / "threads") == contents(tmp_path / "processes") == expected


def answers(shards, y):
    """The bytes of what shards give."""
    found = [*shards.search(y, 7, "l2"), *shards.search(y[:1], 3), shards.decode(90, 130)]
    return b"".join(array.tobytes() for array in found)


def job_and_answers(rows, out, y):
    """In a child: a job of its own, and a search."""
    return contents(encode(rows, out).folder), answers(bq.shards.open(out), y)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_children(rows, tmp_path, x):
    shards = encode(rows, tmp_path / "codes")
    wanted = answers(shards, x[:5])
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(LIMIT)
        try:
            # What the parent has opened, and two workers of the child's own.
            two = bq.shards.encode(rows, tmp_path / "child", SPEC, workers=2, shard_rows=64)
            is_same = answers(shards, x[:5]) == answers(two, x[:5]) == wanted
            os.write(theirs, b"same" if is_same else b"others")
        finally:
            os._exit(0)
    os.close(theirs)
    with os.fdopen(ours, "rb") as file:
        assert file.read() == b"same"
    os.waitpid(child, 0)
    assert contents(tmp_path / "child") == contents(tmp_path / "codes")
    with ProcessPoolExecutor(2, get_context("fork")) as pool:
        jobs = [pool.submit(job_and_answers, rows, tmp_path / f"{i}", x[:5]) for i in range(2)]
        assert [job.result(LIMIT)[1] for job in jobs] == [wanted, wanted]


def test_pickles(rows, tmp_path, x):
    shards = encode(rows, tmp_path / "codes")
    wanted = answers(shards, x[:5])
    assert answers(pickle.loads(pickle.dumps(shards)), x[:5]) == wanted
    assert answers(cloudpickle.loads(cloudpickle.dumps(shards)), x[:5]) == wanted
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        assert pool.submit(answers, shards, x[:5]).result(LIMIT) == wanted


def test_threads_search_while_another_appends(rows, tmp_path, x, monkeypatch):
    monkeypatch.setattr("blockquant.shards._shards._OPEN", 2)
    names = [rows / f"{name}.npy" for name in "abcdef"]
    q = bq.create(dim=32, **SPEC)
    codes = q.encode(x)
    wanted = {
        size: b"".join(a.tobytes() for a in q.search(codes[:size], x[:3], 9, "cosine"))
        for size in range(50, 301, 50)
    }
    shards = encode(names[0], tmp_path / "codes")
    seen, errors, stop = set(), [], threading.Event()

    def search():
        try:
            while not stop.is_set():
                found = b"".join(a.tobytes() for a in shards.search(x[:3], 9, "cosine"))
                (size,) = [size for size, bytes_ in wanted.items() if bytes_ == found]
                seen.add(size)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=search) for _ in range(4)]
    for thread in threads:
        thread.start()
    for name in names[1:]:
        shards.append(name, workers=1)
        time.sleep(0.05)
    stop.set()
    for thread in threads:
        thread.join(LIMIT)
    assert not errors
    assert len(seen) > 1
    same_rows(shards, q, x)
