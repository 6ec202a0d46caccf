"""Jobs on Ray make the files of one process, also where a worker is killed while it works; and the
page about clusters prints what it says.
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import ray

from commands import done, fails
from docpages import DOCS, check_page
from shardjobs import SPEC, contents, encode, parts, same_rows

#: What Ray, Dask, Spark, Daft and their dependencies warn of; processes live on when objects that
#: hold them go.
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning",
    "ignore::FutureWarning",
    "ignore::ResourceWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)
#: Seconds until a test gives up.
LIMIT = 120
MEAN = {**SPEC, "center": "mean"}


@pytest.fixture(scope="module", autouse=True)
def environment():
    """Workers find what this process finds, and Ray may start slowly on a busy machine."""
    patch = pytest.MonkeyPatch()
    patch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    patch.setenv("RAY_raylet_start_wait_time_s", str(LIMIT))
    yield
    ray.shutdown()
    patch.undo()


@pytest.fixture
def two_workers():
    """A cluster, which the tests share."""
    if not ray.is_initialized():
        ray.init(num_cpus=2, include_dashboard=False, logging_level="warning")


@pytest.fixture
def x():
    return np.random.default_rng(3).standard_normal((300, 32), np.float32) + 1


@pytest.fixture
def rows(tmp_path, x):
    return parts(tmp_path / "rows", x, "abcdef")


def test_the_files_of_one_process(rows, tmp_path, x, two_workers):
    expected = contents(encode(rows, tmp_path / "expected", MEAN).folder)
    for workers in (None, 2):
        shards = encode(rows, tmp_path / f"{workers}", MEAN, engine="ray", workers=workers)
        assert contents(shards.folder) == expected
    same_rows(shards, shards.quantizer, x)
    assert ray.is_initialized()
    more = np.concatenate([x, x[:40]])
    np.save(tmp_path / "more.npy", x[:40])
    shards.append(tmp_path / "more.npy", engine="ray")
    same_rows(shards, shards.quantizer, more)
    with pytest.raises(ValueError, match="connected to Ray already"):
        encode(rows, tmp_path / "new", engine="ray", address="auto")


def test_a_worker_that_is_killed_while_it_works(tmp_path, two_workers):
    x = np.random.default_rng(4).standard_normal((6000, 256), np.float32)
    rows = parts(tmp_path / "rows", x, "abcdef")
    # Eight bits of RaBitQ take long enough that a kill hits a worker that works.
    spec = {"name": "rabitq", "bits": 8, "store_norm": True}
    expected = contents(encode(rows, tmp_path / "expected", spec, shard_rows=1000).folder)
    killed = []

    def kill_one():
        """Kills the first worker that has used its processor for a while."""
        deadline = time.monotonic() + LIMIT
        while time.monotonic() < deadline and not killed:
            for process in psutil.process_iter(["cmdline"]):
                if (process.info["cmdline"] or [""])[0].startswith("ray::encode_part"):
                    time.sleep(0.1)
                    process.send_signal(signal.SIGKILL)
                    killed.append(process.pid)
                    return
            time.sleep(0.01)

    killer = threading.Thread(target=kill_one)
    killer.start()
    shards = encode(rows, tmp_path / "codes", spec, shard_rows=1000, engine="ray", workers=2)
    killer.join(LIMIT)
    assert len(killed) == 1
    assert contents(shards.folder) == expected
    same_rows(shards, shards.quantizer, x)


def test_errors_come_as_they_are(rows, tmp_path, x, two_workers):
    x[60, 3] = np.nan
    np.save(rows / "b.npy", x[50:100])
    with pytest.raises(ValueError, match=r"b\.npy: row 10, column 3 is NaN"):
        encode(rows, tmp_path / "codes", engine="ray")
    shards = encode(rows, tmp_path / "codes", engine="ray", skip_bad=True)
    assert contents(shards.folder) == contents(
        encode(rows, tmp_path / "expected", skip_bad=True).folder
    )
    assert [(Path(file).name, row) for file, row, *_ in shards.skipped] == [("b.npy", 10)]


def test_a_worker_that_always_dies_ends_the_job(rows, tmp_path, monkeypatch, two_workers):
    monkeypatch.setattr("blockquant.shards._job.encode_part", lambda task: os._exit(3))
    with pytest.raises(ChildProcessError, match="Ray gave up on a shard"):
        encode(rows, tmp_path / "codes", engine="ray", retries=1)


def test_the_command_starts_ray_and_stops_it(rows, tmp_path):
    ray.shutdown()
    options = ["--method", "eden", "--store-norm", "--shard-rows", "64", "--center-mean"]
    command = ["encode", rows / "*.npy", "--out", tmp_path / "codes", *options, "--engine", "ray"]
    done(*command, "--workers", "2")
    assert not ray.is_initialized()
    assert contents(tmp_path / "codes") == contents(encode(rows, tmp_path / "one", MEAN).folder)
    for address, text in (
        ("localhost:1", "address='localhost:1': "),
        ("auto", "Could not find any running Ray instance"),
        ("nonsense", "address='nonsense': "),
    ):
        # The mean of other rows, for which the job needs Ray.
        command[3] = tmp_path / address.replace(":", "-")
        fails(2, *command, "--address", address, [text])
        assert not ray.is_initialized()


def test_the_page_about_clusters(monkeypatch):
    ray.shutdown()
    check_page(DOCS / "cluster.md", monkeypatch)
