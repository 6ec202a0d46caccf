"""Every entry point in forked children: what they compute is what the parent computes, to the
byte, however the parent has used its threads before."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

#: Seconds that a child may take; a child that waits for a thread that it does not have never ends.
LIMIT = 120

#: How the parent sets its threads: an environment, and a count.
THREADS = {
    "default": ({}, None),
    "set 1": ({}, 1),
    "set 2": ({}, 2),
    "RAYON_NUM_THREADS=1": ({"RAYON_NUM_THREADS": "1"}, None),
}

SCRIPT = Path(__file__).parent / "forks.py"


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("how", ["cold", "warm", "busy", "pool"])
def test_children_compute_what_the_parent_computes(how, threads, tmp_path):
    environment, count = THREADS[threads]
    command = [sys.executable, "-W", "ignore", str(SCRIPT), how, str(count or 0), str(LIMIT)]
    # NumPy's own threads are not what is tested.
    known = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    known.pop("RAYON_NUM_THREADS", None)
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**known, **environment},
        capture_output=True,
        text=True,
        timeout=8 * LIMIT,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found["parent"]) > 30
    assert len(found["children"]) >= 2
    for child in found["children"]:
        assert child == found["parent"]
    # A child keeps what was set.
    assert set(found["counts"]) == {found["count"]}
    if count or environment:
        assert found["count"] == (count or 1)


def test_calls_import_nothing(tmp_path):
    """A child that is forked while another thread imports a module waits forever for its lock."""
    script = """
import sys
import blockquant as bq
import numpy.random  # not this package's, but of the rows below
x = numpy.random.default_rng(0).standard_normal((300, 24)).astype("float32")
before = set(sys.modules)
q = bq.BlockQuant(24, 2, store_norm=True)
codes = q.encode(x)
codes.append(q.encode(x.tolist()))
q.decode(codes), q.inner_product(codes, x), q.interval(codes, x), q.search(codes, x, 5)
index = bq.Index.of(q)
index.add(x, ids=range(300))
index.remove([3])
index.search(x, 5, "l2", allow=[1, 2], rerank=x)
bq.save("codes", q, codes)
bq.load("codes")
index.save("index")
bq.Index.load("index")
print(sorted(set(sys.modules) - before))
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT)
    assert done.stdout == "[]\n", done.stdout + done.stderr
