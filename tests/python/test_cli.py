"""The command line, in a pipe."""

import subprocess
import sys

import numpy as np
import pytest

import blockquant as bq


def run(*arguments, cwd=None):
    command = [sys.executable, "-m", "blockquant", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, timeout=120, check=False
    )


@pytest.fixture
def tiny(tmp_path, rng):
    path = tmp_path / "tiny.npy"
    np.save(path, rng.standard_normal((120, 32)).astype(np.float32))
    return path


def test_compare(tiny, tmp_path):
    out = tmp_path / "out"
    result = run(
        "compare",
        tiny,
        "--bits",
        "1,2",
        "--methods",
        "eden/mse,blockquant/mse",
        "--seeds",
        "2",
        "--out",
        out,
    )
    assert result.returncode == 0, result.stderr
    assert "eden/mse" in result.stdout
    assert "blockquant/mse" in result.stdout
    assert "\r" not in result.stdout + result.stderr
    assert "\x1b" not in result.stdout + result.stderr
    table = next(out.glob("*.csv")).read_text().splitlines()
    assert len(table) == 5, table
    assert "nmse" in table[0]


def test_plot(tiny, tmp_path):
    pytest.importorskip("matplotlib")
    result = run(
        "compare",
        tiny,
        "--bits",
        "1",
        "--methods",
        "eden/mse",
        "--seeds",
        "1",
        "--out",
        tmp_path / "out",
    )
    assert result.returncode == 0, result.stderr
    assert next((tmp_path / "out").glob("*.png")).stat().st_size > 1000


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["compare", "missing.npy"], "missing.npy"),
        (["compare", "{tiny}", "--methods", "nosuch"], "nosuch"),
        (["compare", "{tiny}", "--bits", "zero"], "zero"),
        (["compare", "{tiny}", "--seeds", "0"], "seeds"),
        (["nosuch"], "nosuch"),
    ],
)
def test_errors(tiny, arguments, word):
    result = run(*[a.format(tiny=tiny) for a in arguments])
    assert result.returncode != 0
    assert word in result.stderr
    assert "Traceback" not in result.stderr


def test_rows_that_are_not_finite(tmp_path):
    x = np.ones((5, 8), np.float32)
    x[3, 2] = np.nan
    np.save(tmp_path / "bad.npy", x)
    result = run("compare", tmp_path / "bad.npy", "--bits", "1", "--seeds", "1")
    assert result.returncode != 0
    assert "row 3" in result.stderr
    assert "Traceback" not in result.stderr


def test_help_and_version():
    assert "compare" in run("--help").stdout
    assert getattr(bq, "__version__", "") in run("--version").stdout
