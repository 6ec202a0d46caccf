"""encode, decode, search, info, completion: what they write, print, refuse and hold in memory."""

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO

import numpy as np
import pytest

import blockquant as bq
from blockquant import files
from blockquant.cli import encode as encode_module
from blockquant.cli import main
from blockquant.files import rows as rows_module


def call(*arguments):
    """A command in this process: exit code, stdout, stderr."""
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments], prog_name="blockquant")
    return caught.value.code, out.getvalue(), err.getvalue()


def done(*arguments):
    code, out, err = call(*arguments)
    assert (code, err) == (0, "")
    return out


def found(*arguments):
    (line,) = done(*arguments, "--json").splitlines()
    return json.loads(line)


def fails(code, *arguments_then_parts):
    *arguments, parts = arguments_then_parts
    exit_code, out, err = call(*arguments)
    assert (exit_code, out) == (code, ""), err
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    for part in parts:
        assert part in err


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Chunks of 32 rows."""
    monkeypatch.setattr(rows_module, "CHUNK_BYTES", 32 * 32 * 4)


@pytest.fixture
def x(rng):
    return (rng.standard_normal((300, 32)) + 1).astype(np.float32)


@pytest.fixture
def rows(tmp_path, x):
    path = tmp_path / "x.npy"
    np.save(path, x)
    return path


@pytest.fixture
def codes(tmp_path, x):
    path = tmp_path / "codes.safetensors"
    q = bq.Eden(dim=32, bits=4, store_norm=True)
    bq.save(path, q, q.encode(x))
    return path


@pytest.mark.parametrize(
    ("options", "made"),
    [
        ([], {"name": "blockquant", "bits": 2}),
        (
            ["--method", "eden/mse", "--bits", "3", "--seed", "7"],
            {"name": "eden/mse", "bits": 3, "seed": 7},
        ),
        (["--bits", "2.5", "--block", "2"], {"name": "blockquant", "bits": 2.5, "block": 2}),
        (
            ["--method", "rabitq", "--rotation", "haar", "--store-norm"],
            {"name": "rabitq", "bits": 2, "rotation": "haar", "store_norm": True},
        ),
    ],
)
def test_encode_is_the_quantizer_on_the_whole_array(rows, x, tmp_path, options, made):
    out = tmp_path / "c.safetensors"
    done("encode", rows, "--out", out, *options)
    q = bq.create(made.pop("name"), dim=32, **made)
    same, codes = bq.load(out)
    assert repr(same) == repr(q)
    assert codes == q.encode(x)


def test_encode_with_a_center(rows, x, tmp_path):
    mean, given = tmp_path / "mean.safetensors", tmp_path / "given.safetensors"
    done("encode", rows, "--out", mean, "--center-mean")
    np.save(tmp_path / "center.npy", x.mean(axis=0))
    done("encode", rows, "--out", given, "--center", tmp_path / "center.npy")
    for path in (mean, given):
        assert np.allclose(bq.load(path)[0].center, x.mean(axis=0, dtype=float), atol=1e-6)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".parquet", ".fvecs"])
def test_encode_takes_every_kind_of_file(tmp_path, x, codes, suffix):
    path, out = tmp_path / f"y{suffix}", tmp_path / "out.safetensors"
    if suffix == ".npz":
        np.savez_compressed(path, a=x, b=x[:5])
    else:
        if suffix == ".parquet":
            pytest.importorskip("pyarrow")
        with files.write_rows(path, 300, 32, "a") as writer:
            writer.write(x)
    array = [] if suffix == ".fvecs" else ["--array", "a"]
    options = ["--method", "eden", "--bits", "4", "--store-norm", *array]
    assert found("encode", path, "--out", out, *options)["array"] == (array[1] if array else None)
    assert out.read_bytes() == codes.read_bytes()


@pytest.mark.parametrize("suffix", [".npy", ".safetensors", ".parquet", ".fvecs"])
@pytest.mark.parametrize("span", [None, "5:9", ":-290", "290:", "-3:", "9:5"])
def test_decode_writes_what_the_quantizer_decodes(tmp_path, codes, suffix, span):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    out = tmp_path / f"back{suffix}"
    if suffix == ".fvecs" and span == "9:5":
        fails(2, "decode", codes, "--out", out, "--rows", span, ["0 rows"])
        return
    done("decode", codes, "--out", out, *([] if span is None else ["--rows", span]))
    q, held = bq.load(codes)
    wanted = slice(*(int(p) if p else None for p in (span or ":").split(":")))
    with files.open_rows(out) as back:
        assert np.array_equal(back[:], q.decode(held)[wanted])


@pytest.mark.parametrize("metric", ["ip", "l2", "cosine"])
def test_search_finds_what_the_quantizer_finds(tmp_path, rows, codes, x, monkeypatch, metric):
    monkeypatch.setattr("blockquant.cli.search._QUERIES", 7)
    q, held = bq.load(codes)
    score, index, certain = q.search(held, x[:20], k=5, metric=metric, certified=True)
    np.save(tmp_path / "q.npy", x[:20])
    options = [
        "search",
        codes,
        "--queries",
        tmp_path / "q.npy",
        "-k",
        5,
        "--metric",
        metric,
        "--certified",
    ]
    results = found(*options)["results"]
    assert [result["query"] for result in results] == list(range(20))
    assert np.array_equal([result["index"] for result in results], index)
    assert np.array_equal(np.float32([result["score"] for result in results]), score)
    assert [result["certain"] for result in results] == certain.tolist()
    lines = done(*options).splitlines()
    assert lines[0].split() == ["query", "rank", "row", "score", "certain"]
    assert len(lines) == 1 + 20 * 5
    assert lines[7].split()[:3] == ["1", "2", str(index[1, 1])]
    out = tmp_path / "found.npz"
    assert "20 queries among 300 rows" in done(*options, "--out", out)
    with np.load(out) as archive:
        assert sorted(archive) == ["certain", "index", "score"]
        assert np.array_equal(archive["score"], score)
        assert archive["index"].dtype == np.int64
    assert found(*options, "--out", out, "--force")["out"] == str(out)


def test_search_of_few_rows_and_no_queries(tmp_path, x):
    q = bq.Eden(dim=32, bits=1)
    codes, none = tmp_path / "c.safetensors", tmp_path / "none.npy"
    bq.save(codes, q, q.encode(x[:2]))
    np.save(none, x[:0])
    np.save(tmp_path / "one.npy", x[0])
    assert found("search", codes, "--queries", none)["results"] == []
    (result,) = found("search", codes, "--queries", tmp_path / "one.npy")["results"]
    assert sorted(result["index"]) == [0, 1]


QUANTIZER = {"method", "dim", "bits", "block", "rotation", "seed", "store_norm", "center"}
COST = {"rows", "dim", "quantizer", "bytes", "file_bytes", "bytes_per_vector", "bits_per_dimension"}
COST |= {"ratio_float32", "ratio_float16"}
SPEED = {"seconds", "rows_per_second"}


def test_json_has_these_keys(rows, codes, tmp_path):
    out = tmp_path / "out"
    named = {"command", "file", "array", "stored", "out"}
    encoded = found("encode", rows, "--out", f"{out}.safetensors", "--bits", 4)
    assert set(encoded) == named | COST | SPEED
    assert set(encoded["quantizer"]) == QUANTIZER
    assert encoded["bytes_per_vector"] == 20
    assert encoded["ratio_float32"] == 6.4
    decoded = found("decode", codes, "--out", f"{out}.npy")
    names = {"command", "codes", "out", "first_row", "rows", "dim", "quantizer", "file_bytes"}
    assert set(decoded) == names | SPEED
    searched = found("search", codes, "--queries", rows)
    names = {"command", "codes", "queries", "query_count", "rows", "k", "metric", "certified"}
    assert set(searched) == names | {"seconds", "results"}
    assert set(searched["results"][0]) == {"query", "index", "score"}
    of_codes = found("info", codes)
    assert set(of_codes) == {"command", "kind", "file", "verified"} | COST
    assert (of_codes["kind"], of_codes["verified"]) == ("codes", True)
    assert found("info", codes, "--no-verify")["verified"] is False
    of_rows = found("info", rows)
    assert set(of_rows) == {"command", "kind", "file", "file_bytes", "arrays"}
    assert of_rows["arrays"] == [
        {"name": None, "shape": [300, 32], "dtype": "float32", "is_rows": True}
    ]
    here = found("info")
    names = {"command", "kind", "version", "machine", "isa", "available_isa", "threads", "python"}
    assert set(here) == names | {"numpy", "methods"}


def test_text(rows, codes, tmp_path):
    out = tmp_path / "c.safetensors"
    lines = done("encode", rows, "--out", out).splitlines()
    assert lines[0] == f"{out}: 300 rows, d = 32, of {rows} (float32)"
    assert "12 bytes a vector, 3.000 bits a dimension, 10.7× smaller than float32" in lines[2]
    assert lines[3].endswith("rows/s")
    lines = done("info", out).splitlines()
    assert lines[0] == f"{out}: codes of 300 rows, d = 32"
    assert lines[-1] == "checksums: verified"
    assert done("info", out, "--no-verify").splitlines()[-1].startswith("checksums: not compared")
    assert "float32 of shape (300, 32); 300 rows, d = 32" in done("info", rows)


def test_no_rows(tmp_path, x):
    np.save(tmp_path / "none.npy", x[:0])
    out, back = tmp_path / "c.safetensors", tmp_path / "back.npy"
    encoded = found("encode", tmp_path / "none.npy", "--out", out)
    assert (encoded["rows"], encoded["bytes_per_vector"], encoded["bits_per_dimension"]) == (
        0,
        None,
        None,
    )
    assert "no rows" in done("info", out)
    assert found("decode", out, "--out", back)["rows"] == 0
    assert np.load(back).shape == (0, 32)


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
            ["short.npy", "cut short", "offset 128", "38400"],
        ),
        (["encode", "{tmp}", "--out", "{new}"], ["is a directory"]),
        (["encode", "{text}", "--out", "{new}"], ["text.txt: expected a name that ends in .npy"]),
        (["encode", "{nan}", "--out", "{new}"], ["nan.npy: row 123, column 5 is nan"]),
        (["encode", "{nan}", "--out", "{new}", "--center-mean"], ["row 123, column 5 is nan"]),
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
        (["search", "{codes}"], ["--queries", "search --help)"]),
        (["search", "{codes}", "--queries", "{narrow}"], ["narrow.npy has d = 5", "has d = 32"]),
        (["search", "{codes}", "--queries", "{nan}"], ["nan.npy: row 123, column 5 is nan"]),
        (["search", "{codes}", "--queries", "{x}", "-k", "0"], ["-k", "search --help)"]),
        (["search", "{codes}", "--queries", "{x}", "--metric", "l1"], ["cosine"]),
        (["search", "{codes}", "--queries", "{x}", "--out", "{x}"], [".npz"]),
        (["search", "{codes}", "--queries", "{x}", "--queries-array", "a"], ["--queries-array a"]),
        (["search", "{plain}", "--queries", "{x}", "--metric", "l2"], ["store_norm"]),
        (["search", "{plain}", "--queries", "{x}", "--certified"], ["store_norm"]),
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


def test_no_more_than_a_chunk_is_read(rows, codes, tmp_path, monkeypatch):
    read, asked = rows_module.PlainRows._read, []

    def counted(self, start, stop):
        asked.append(stop - start)
        return read(self, start, stop)

    monkeypatch.setattr(rows_module.PlainRows, "_read", counted)
    done("encode", rows, "--out", tmp_path / "c.safetensors", "--center-mean")
    assert sum(asked) == 2 * 300
    assert max(asked) == 32


@pytest.mark.skipif(not hasattr(os, "wait4"), reason="needs the peak memory of a child")
def test_a_large_file_does_not_fill_the_memory(tmp_path):
    path = tmp_path / "large.npy"
    header = {"descr": "<f4", "fortran_order": False, "shape": (2**16, 2048)}
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 4 * 2**27)  # 512 MiB, on most systems none on the disk
    arguments = [
        "encode",
        path,
        "--out",
        tmp_path / "c.safetensors",
        "--method",
        "eden",
        "--bits",
        "1",
    ]
    command = [sys.executable, "-m", "blockquant", *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    with process.stdout:
        process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    unit = 1 if sys.platform == "darwin" else 1024
    assert unit * usage.ru_maxrss < 256 * 2**20


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal")
def test_a_bar_on_a_terminal(rows, tmp_path):
    ours, theirs = os.openpty()  # of no known width
    os.set_blocking(ours, False)
    arguments = ["encode", rows, "--out", tmp_path / "c.safetensors"]
    command = [sys.executable, "-m", "blockquant", *map(str, arguments)]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, check=True, timeout=60)
    shown = os.read(ours, 10_000).decode()
    os.close(theirs)
    os.close(ours)
    assert "encode:" in shown
    assert "rows/s" in shown
    assert b"\r" not in result.stdout


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_signal_interrupts(tmp_path):
    import signal

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


def complete(words):
    """What click answers to a shell."""
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


def test_without_pyarrow(rows, codes, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    for arguments in (
        ["encode", tmp_path / "x.parquet", "--out", tmp_path / "c.safetensors"],
        ["decode", codes, "--out", tmp_path / "y.parquet"],
        ["info", tmp_path / "x.parquet"],
    ):
        fails(2, *arguments, ["pip install 'blockquant[parquet]'"])


def test_encode_rows_names_only_its_own_errors(rows):
    class Broken(bq.Eden):
        def encode(self, x):
            if len(x):
                raise ValueError("broken")
            return super().encode(x)

    with files.open_rows(rows) as opened, pytest.raises(ValueError, match="broken"):
        encode_module.encode_rows(Broken(dim=32, bits=1), opened)
