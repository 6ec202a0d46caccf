"""Ctrl-C ends long calls within half a second, and leaves nothing half done."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="it sends itself a signal")

SCRIPT = Path(__file__).parent / "interrupts.py"


@pytest.mark.parametrize("threads", [1, 2])
def test_long_calls_end_soon(threads):
    command = [sys.executable, str(SCRIPT), str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found["seconds"]) == 19
    for name, seconds in found["seconds"].items():
        assert seconds is not None, f"{name} is too short to be interrupted"
        # Half a second, and as much for a machine that has other work.
        assert seconds < 1, name
    assert found["same"]
    # What another handler raises comes out of the call too.
    assert found["raised"] == "from the handler"
