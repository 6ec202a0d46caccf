"""Completion of commands in a shell."""

import os
import shutil
import subprocess
import sys

import pytest

from commands import done


def complete(words):
    """The completions that click gives a shell for these words."""
    environment = {
        "_BLOCKQUANT_COMPLETE": "bash_complete",
        "COMP_WORDS": f"blockquant {words}",
        "COMP_CWORD": str(len(words.split()) + (0 if not words.endswith(" ") else 1)),
    }
    command = [
        sys.executable,
        "-c",
        "from blockquant.cli import main; main(prog_name='blockquant')",
    ]
    result = subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, check=True
    )
    return result.stdout.split()


@pytest.mark.parametrize(
    ("words", "answers"),
    [
        ("enc", ["plain,encode"]),
        ("encode x.npy --method eden/", ["plain,eden/mse", "plain,eden/unbiased"]),
        (
            "compare --methods eden/mse,eden/",
            ["plain,eden/mse,eden/unbiased"],
        ),
        ("search x --metric c", ["plain,cosine"]),
        ("encode x", ["file,x"]),
        ("decode --out ba", ["file,ba"]),
        ("encode --rot", ["plain,--rotation"]),
    ],
)
def test_completion(words, answers):
    assert complete(words) == answers


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell, tmp_path):
    script = done("completion", shell)
    assert "_BLOCKQUANT_COMPLETE" in script
    program = shutil.which(shell)
    if program is not None:
        path = tmp_path / "script"
        path.write_text(script)
        subprocess.run([program, "-n", path], check=True)
