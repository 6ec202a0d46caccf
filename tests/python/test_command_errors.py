"""What the commands refuse, and what they leave when they fail."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import blockquant as bq
from blockquant import files
from blockquant.cli import encode as encode_module
from commands import done, fails

pytestmark = pytest.mark.usefixtures("chunks_of_32_rows")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["encode", "{x}"], ["--out", "encode --help)"]),
        (["encode", "missing.npy", "--out", "{new}"], ["missing.npy", "does not exist"]),
        (["encode", "{x}", "--out", "{x}.csv"], ["x.npy.csv: expected a name that ends in .safe"]),
        (["encode", "{x}", "--out", "{codes}"], ["codes.safetensors exists; --force replaces it"]),
        (["encode", "{x}", "--out", "{tmp}/no/c.safetensors"], ["no/c.safetensors: cannot write"]),
        (["encode", "{x}", "--out", "{new}", "--method", "eden/x"], ["unknown method 'eden/x'"]),
        (["encode", "{x}", "--out", "{new}", "--bits", "99"], ["bits=99", "at most 16"]),
        (["encode", "{x}", "--out", "{new}", "--bits", "two"], ["--bits", "encode --help)"]),
        (["encode", "{x}", "--out", "{new}", "--seed", "-1"], ["seed=-1"]),
        (["encode", "{x}", "--out", "{new}", "--block", "33"], ["block=33"]),
        (
            ["encode", "{x}", "--out", "{new}", "--block", "2", "--method", "eden"],
            ["--block is for blockquant, not for eden/unbiased"],
        ),
        (
            ["encode", "{x}", "--out", "{new}", "--states", "64"],
            ["--states is for trellis, not for blockquant/unbiased"],
        ),
        (
            ["encode", "{x}", "--out", "{new}", "--method", "trellis", "--states", "100"],
            ["states=100 for trellis, expected one of 16, 32, 64"],
        ),
        (
            ["encode", "{x}", "--out", "{new}", "--scale-search", "9", "--method", "rabitq"],
            ["--scale-search is for blockquant, eden, not for rabitq/unbiased"],
        ),
        (
            ["encode", "{x}", "--out", "{new}", "--scale-search", "9"],
            ["scale_search=9 at bits=2, expected at least 3 bits"],
        ),
        (
            ["encode", "{x}", "--out", "{new}", "--center", "{narrow}"],
            ["narrow.npy has d = 5", "32"],
        ),
        (
            ["encode", "{x}", "--out", "{new}", "--center", "{x}", "--center-mean"],
            ["exclude each other"],
        ),
        (["encode", "{codes}", "--out", "{new}"], ["it holds codes, not rows", "decode"]),
        (["encode", "{codes}", "--out", "{codes}", "--force"], ["holds codes"]),
        (["encode", "{none}", "--out", "{new}", "--center-mean"], ["none.npy has 0 rows"]),
        (["encode", "{ints}", "--out", "{new}"], ["ints.npy", "int64", "float32"]),
        (
            ["encode", "{short}", "--out", "{new}"],
            ["short.npy", "truncated", "offset 128", "38400"],
        ),
        (["encode", "{tmp}", "--out", "{new}"], ["is a directory"]),
        (["encode", "{text}", "--out", "{new}"], ["text.txt: expected a name that ends in .npy"]),
        (["encode", "{nan}", "--out", "{new}"], ["nan.npy: row 123, column 5 is NaN"]),
        (["encode", "{nan}", "--out", "{new}", "--center-mean"], ["row 123, column 5 is NaN"]),
        (["decode", "{x}", "--out", "{tmp}/y.npy"], ["x.npy"]),
        (["decode", "{flipped}", "--out", "{tmp}/y.npy"], ["flipped.safetensors", "packed"]),
        (["decode", "{codes}", "--out", "{x}"], ["x.npy exists; --force"]),
        (["decode", "{codes}", "--out", "{codes}", "--force"], ["is an input"]),
        (
            ["decode", "{codes}", "--out", "{tmp}/y.npz"],
            ["expected a name that ends in .npy, .safe"],
        ),
        (["decode", "{codes}", "--out", "{tmp}/y.npy", "--rows", "5"], ["--rows: '5'", "0:1000"]),
        (["decode", "{codes}", "--out", "{tmp}/y.npy", "--rows", "a:b"], ["--rows: 'a:b'"]),
        (["decode", "{codes}", "--out", "{tmp}/y.npy", "--rows", "0:301"], ["301", "300 rows"]),
        (
            ["decode", "{codes}", "--out", "{tmp}/y.npy", "--rows", "10:5"],
            ["--rows 10:5 selects none of the 300 rows", "a < b"],
        ),
        (["decode", "{codes}", "--out", "{tmp}/y.npy", "--rows", "7:7"], ["7:7 selects none"]),
        (["decode", "{codes}", "--out", "{tmp}/y.npy", "--rows", "-5:-9"], ["-5:-9 selects none"]),
        (["search", "{codes}"], ["--queries", "search --help)"]),
        (["search", "{codes}", "--queries", "{narrow}"], ["narrow.npy has d = 5", "has d = 32"]),
        (["search", "{codes}", "--queries", "{nan}"], ["nan.npy: row 123, column 5 is NaN"]),
        (["search", "{codes}", "--queries", "{x}", "-k", "0"], ["-k", "search --help)"]),
        (["search", "{codes}", "--queries", "{x}", "--metric", "l1"], ["cosine"]),
        (["search", "{codes}", "--queries", "{x}", "--out", "{x}"], [".npz"]),
        (["search", "{codes}", "--queries", "{x}", "--queries-array", "a"], ["--queries-array a"]),
        (["search", "{plain}", "--queries", "{x}", "--metric", "l2"], ["with --store-norm"]),
        (["search", "{plain}", "--queries", "{x}", "--certified"], ["with --store-norm"]),
        (["info", "{flipped}"], ["flipped.safetensors", "checksum"]),
        (["info", "{short}", "extra"], ["extra", "info --help)"]),
        (["info", "{text}"], ["text.txt: expected a name"]),
        (["completion", "tcsh"], ["bash", "completion --help)"]),
    ],
)
def test_mistakes_are_one_line_and_code_2(tmp_path, rows, codes, x, arguments, parts):
    np.save(tmp_path / "narrow.npy", x[:3, :5])
    np.save(tmp_path / "none.npy", x[:0])
    np.save(tmp_path / "ints.npy", np.ones((3, 32), np.int64))
    (tmp_path / "short.npy").write_bytes(rows.read_bytes()[:-7])
    (tmp_path / "text.txt").write_text("1 2 3")
    x[123, 5] = np.nan
    np.save(tmp_path / "nan.npy", x)
    flipped = bytearray(codes.read_bytes())
    flipped[-1] ^= 1
    (tmp_path / "flipped.safetensors").write_bytes(flipped)
    q = bq.Eden(dim=32, bits=1)
    bq.save(tmp_path / "plain.safetensors", q, q.encode(np.ones((3, 32))))
    names = {path.stem: path for path in tmp_path.iterdir()}
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    names |= {"tmp": tmp_path, "new": tmp_path / "new.safetensors"}
    fails(2, *[argument.format(**names) for argument in arguments], parts)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_an_input_is_never_replaced(tmp_path, x):
    path = tmp_path / "x.safetensors"
    with files.write_rows(path, 300, 32) as out:
        out.write(x)
    if hasattr(os, "link"):
        os.link(path, tmp_path / "same.safetensors")
        out = tmp_path / "same.safetensors"
        fails(2, "encode", path, "--out", out, "--force", ["same.safetensors is an input"])
    fails(2, "encode", path, "--out", path, "--force", ["is an input; choose another name"])


def test_force_replaces(rows, codes):
    before = codes.read_bytes()
    done("encode", rows, "--out", codes, "--force")
    assert codes.read_bytes() != before


@pytest.mark.parametrize(
    ("error", "code", "part"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (OSError(28, "No space left on device"), 1, "No space left on device"),
        (OSError(13, "Permission denied"), 2, "Permission denied"),
        (MemoryError(), 1, "not enough memory"),
    ],
)
@pytest.mark.parametrize("command", ["encode", "decode", "search"])
def test_an_error_on_the_way_leaves_nothing(
    rows, codes, tmp_path, monkeypatch, command, error, code, part
):
    function, calls = getattr(bq.Quantizer, command), []

    def fail(*given, **options):
        calls.append(given)
        if len(calls) == 3:
            raise error
        return function(*given, **options)

    monkeypatch.setattr("blockquant.cli.search._QUERIES", 7)
    monkeypatch.setattr(bq.Quantizer, command, fail)
    before = sorted(tmp_path.iterdir())
    arguments = {
        "encode": [rows, "--out", tmp_path / "new.safetensors"],
        "decode": [codes, "--out", tmp_path / "new.npy"],
        "search": [codes, "--queries", rows, "--out", tmp_path / "new.npz"],
    }[command]
    fails(code, command, *arguments, [part])
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_signal_interrupts(tmp_path):
    np.save(tmp_path / "x.npy", np.ones((40_000, 384), np.float32))
    arguments = ["encode", tmp_path / "x.npy", "--out", tmp_path / "c.safetensors", "--bits", "4"]
    code = (
        "import sys, time; from blockquant.cli import main; from blockquant import Quantizer as Q;"
        "e = Q.encode; Q.encode = lambda *a: (print(flush=True), time.sleep(0.2), e(*a))[2];"
        "main(sys.argv[1:])"
    )
    command = [sys.executable, "-c", code, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.decode() == "Error: interrupted\n"
    assert [path.name for path in tmp_path.iterdir()] == ["x.npy"]


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal")
def test_a_signal_interrupts_the_construction_of_a_codebook(tmp_path):
    np.save(tmp_path / "x.npy", np.ones((10, 384), np.float32))
    arguments = ["encode", tmp_path / "x.npy", "--out", tmp_path / "c.safetensors"]
    arguments += ["--bits", "4", "--block", "4"]  # 65,536 words, which take minutes
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "blockquant", *map(str, arguments)]
    with subprocess.Popen(command, stderr=theirs) as process:
        assert os.read(ours, 100).startswith(b"building codebook")
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
    assert os.read(ours, 1000).endswith(b"\rError: interrupted\r\n")
    os.close(theirs)
    os.close(ours)
    assert [path.name for path in tmp_path.iterdir()] == ["x.npy"]


def test_without_pyarrow(rows, codes, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    for arguments in (
        ["encode", tmp_path / "x.parquet", "--out", tmp_path / "c.safetensors"],
        ["decode", codes, "--out", tmp_path / "y.parquet"],
        ["info", tmp_path / "x.parquet"],
    ):
        fails(2, *arguments, [".parquet files need pyarrow", "pip install pyarrow"])


def test_encode_rows_names_only_its_own_errors(rows):
    class Broken(bq.Eden):
        def encode(self, x):
            if len(x):
                raise ValueError("broken")
            return super().encode(x)

    with files.open_rows(rows) as opened, pytest.raises(ValueError, match="broken"):
        encode_module.encode_rows(Broken(dim=32, bits=1), opened)
