"""The command line, in a pipe."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import blockquant as bq
from blockquant import cli
from blockquant.cli import compare as compare_module


def run(*arguments, **environment):
    command = [sys.executable, "-m", "blockquant", *map(str, arguments)]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=os.environ | environment,
        timeout=120,
        check=False,
    )


def fails(result, *parts):
    """One line of error, which holds all parts, and nothing of a result."""
    assert result.returncode == 2
    assert result.stdout == ""
    line, end, rest = result.stderr.partition("\n")
    assert line.startswith("Error: ")
    assert (end, rest) == ("\n", "")
    for part in parts:
        assert part in line


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
    ("arguments", "parts"),
    [
        (["compare", "missing.npy"], ["missing.npy", "compare --help)"]),
        (["compare", "{tiny}", "--methods", "nosuch"], ["nosuch", "eden/mse"]),
        (["compare", "{tiny}", "--bits", "zero"], ["zero"]),
        (["compare", "{tiny}", "--bits", "nan"], ["bits=NaN", "at most 16"]),
        (["compare", "{tiny}", "--bits"], ["'--bits'", "compare --help)"]),
        (["compare", "{tiny}", "--seeds", "0"], ["--seeds", "compare --help)"]),
        (["compare", "{tiny}", "--rotation", "x"], ["hadamard", "compare --help)"]),
        (["compare", "--queries", "{tiny}"], ["--queries needs a FILE", "compare --help)"]),
        (["compare", "--array", "a"], ["--array needs a FILE", "compare --help)"]),
        (["compare", "{tiny}", "--array", "a"], ["one array without a name", "--array a"]),
        (["compare", "{tiny}", "--queries-array", "a"], ["--queries-array needs --queries"]),
        (["compare", "{tiny}", "--bytes", "1.5"], ["--bytes", "64,128"]),
        (["compare", "{tiny}", "--bytes", "16", "--bits", "1"], ["exclude each other"]),
        (["compare", "{tiny}", "--confidence", "1"], ["--confidence", "compare --help)"]),
        (["compare", "--nosuch"], ["--nosuch", "compare --help)"]),
        (["info", "extra"], ["extra", "info --help)"]),
        (["--nosuch"], ["--nosuch", "blockquant --help)"]),
        (["nosuch"], ["nosuch", "blockquant --help)"]),
    ],
)
def test_errors_are_one_line(tiny, arguments, parts):
    fails(run(*[a.format(tiny=tiny) for a in arguments]), *parts)


@pytest.mark.parametrize("command", ["info", "compare"])
def test_an_instruction_set_that_does_not_exist(command):
    fails(run(command, BLOCKQUANT_ISA="nosuch"), "BLOCKQUANT_ISA", "nosuch", "scalar")


def write(path, content):
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content, allow_pickle=True)
    return path


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is truncated: it has 0 bytes"),
        (b"junk, no array at all", "it starts with b'junk, '"),
        (
            b"\x93NUMPY\x01\x00\x76\x00{'descr'",
            "truncated: it has 18 bytes, its header ends at 128",
        ),
        (np.array([[None, 1.0]], dtype=object), "object"),
        (np.ones((5, 8), int), "it has dtype int64, expected float16"),
        (
            np.ones((5, 8, 2)),
            "shape (5, 8, 2), expected rows (n, dim); for rows along the last axis save x.reshape(",
        ),
    ],
)
def test_a_file_that_holds_no_rows(tmp_path, content, reason):
    path = write(tmp_path / "rows.npy", content)
    result = run("compare", path)
    fails(result, f"{path}: ", reason)
    assert "pickle" not in result.stderr


def test_a_file_that_is_truncated(tiny):
    tiny.write_bytes(tiny.read_bytes()[:-1])
    fails(run("compare", tiny), f"{tiny}: it is truncated: 15359 bytes of values at offset 128")


def test_an_archive_under_another_name(tmp_path):
    path = tmp_path / "rows.npz"
    np.savez(path, x=np.ones((5, 8)))
    path = path.rename(tmp_path / "rows.npy")
    fails(run("compare", path), f"{path}: it is not a .npy file: it starts with b'PK")


@pytest.mark.parametrize("inside", ["", "deeper"])
def test_a_folder_that_cannot_be_written_stops_before_measuring(tiny, monkeypatch, inside):
    out = tiny / inside if inside else "/proc" if Path("/proc").is_dir() else tiny
    monkeypatch.setattr(compare_module, "run_comparison", lambda *_: pytest.fail("it measured"))
    result = CliRunner().invoke(cli.main, ["compare", str(tiny), "--out", str(out)])
    assert result.exit_code == 2
    assert f"{out}" in result.output


def test_trying_the_folder_leaves_nothing(tiny, tmp_path):
    out = tmp_path / "new" / "out"
    fails(run("compare", tiny, "--bits", "nan", "--out", out), "bits=NaN")
    assert not out.parent.exists()


def test_rows_that_are_not_finite(tmp_path):
    x = np.ones((5, 8), np.float32)
    x[3, 2] = np.nan
    np.save(tmp_path / "bad.npy", x)
    result = run("compare", tmp_path / "bad.npy", "--bits", "1", "--seeds", "1")
    fails(result, "bad.npy: row 3, column 2 is NaN")


def test_queries_of_another_dimension(tiny, tmp_path):
    np.save(tmp_path / "q.npy", np.ones((2, 8)))
    result = run("compare", tiny, "--queries", tmp_path / "q.npy", "--bits", "1")
    fails(result, f"{tmp_path / 'q.npy'} has 8 columns", "32")


def test_compare_takes_every_kind_of_file(tiny, tmp_path):
    x = np.load(tiny)
    np.savez(tmp_path / "x.npz", rows=x[:100], queries=x[100:])
    path, options = (
        tmp_path / "x.npz",
        ["--bits", "1", "--seeds", "1", "--methods", "eden", "--json"],
    )
    arrays = ["--array", "rows", "--queries-array", "queries"]
    result = run("compare", path, "--queries", path, *arrays, *options)
    assert result.returncode == 0, result.stderr
    (line,) = result.stdout.splitlines()
    found = json.loads(line)
    assert found["rows"][0]["method"] == "eden/unbiased"
    assert "NaN" not in line
    fails(run("compare", path, *options), "pick one with --array NAME: 'rows': float32")


def test_compare_hands_on_what_was_asked(tiny, monkeypatch):
    seen = {}

    def compare(*given, **options):
        seen.update(given=given, options=options)
        raise ValueError("stop")

    monkeypatch.setattr(compare_module, "run_comparison", compare)
    arguments = ["--bytes", "8,16", "--confidence", "0.9", "--rotation", "haar", "--seeds", "2"]
    result = CliRunner().invoke(cli.main, ["compare", str(tiny), *arguments])
    assert result.exit_code == 2
    x, y, names, _bits, seeds, rotation, progress = seen["given"]
    assert x.shape == (120, 32)
    assert (y, seeds, rotation, progress) == (None, 2, "haar", None)
    assert "eden/mse" in names
    wanted = {"bytes_per_vector": [8, 16], "confidence": 0.9, "source": str(tiny)}
    assert seen["options"] == wanted


def test_help_and_version():
    assert "compare" in run("--help").stdout
    assert run().stdout == run("--help").stdout
    assert getattr(bq, "__version__", "") in run("--version").stdout


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are bytes on Linux")
def test_a_name_that_is_no_text(tiny, tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/rows\xff.npy"))
    path.write_bytes(tiny.read_bytes())
    options = ("--bits", "1", "--methods", "eden", "--seeds", "1", "--out", tmp_path / "out")
    result = run("compare", path, *options)
    assert result.returncode == 0, result.stderr
    assert "rows\ufffd.npy" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
