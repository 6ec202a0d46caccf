"""The example of gradients runs with torch.distributed on two processes."""

import re
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "all_reduce.py"


def test_two_workers_train_with_one_bit_per_value():
    command = [sys.executable, str(EXAMPLE), "--workers", "2", "--bits", "1", "--steps", "20"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 0, run.stderr
    found = re.search(
        r"^([\d.]+) bits per value, loss ([\d.]+) -> ([\d.]+), weights of the workers equal$",
        run.stdout,
        re.MULTILINE,
    )
    assert found, run.stdout
    sent, before, after = map(float, found.groups())
    assert 1 < sent <= 1.02
    assert after < 0.6 * before
