"""The report's files appear whole or not at all, from Python and from the command line."""

import errno
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

import blockquant as bq
from blockquant import report
from blockquant.report import _files
from commands import call, done, fails

OPTIONS = ("--bits", "1", "--methods", "eden", "--seeds", "1")


@pytest.fixture(scope="module")
def comparison(sample):
    return bq.compare(sample[0][:60], sample[1][:5], ["eden", "rabitq"], [1], seeds=1)


@pytest.fixture(scope="module")
def drawn(comparison):
    """The files' contents, which take a second to draw."""
    return _files._content(comparison)


@pytest.fixture
def quick(drawn, monkeypatch):
    """Nothing is drawn again."""
    monkeypatch.setattr(_files, "_content", lambda _: drawn)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(params=["sync", "rename", "interrupt"])
def full(request, monkeypatch):
    """A disk that is full, or Ctrl-C, at the fourth file; or a first rename that fails."""
    where = {"sync": "fsync", "rename": "replace", "interrupt": "fsync"}
    real, count = getattr(os, where[request.param]), []

    def fail(*given):
        count.append(given)
        if len(count) == (1 if request.param == "rename" else 4):
            if request.param == "interrupt":
                raise KeyboardInterrupt
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*given)

    monkeypatch.setattr(os, where[request.param], fail)
    return KeyboardInterrupt if request.param == "interrupt" else OSError


def test_a_disk_that_is_full_leaves_the_report(comparison, tmp_path, full, quick):
    folder = tmp_path / "report"
    folder.mkdir()
    (folder / "report.html").write_text("an earlier report")
    (folder / "mine.txt").write_text("not of a report")
    before = contents(folder)
    with pytest.raises(full):
        comparison.save(folder)
    assert contents(folder) == before


def test_a_disk_that_is_full_leaves_no_folder(comparison, tmp_path, full, quick):
    with pytest.raises(full):
        comparison.save(tmp_path / "new" / "folder")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_replaced_unasked(comparison, tmp_path, quick):
    (tmp_path / "cost.png").write_text("mine")
    before = contents(tmp_path)
    with pytest.raises(FileExistsError, match=r"a report is there \(cost.png\)"):
        comparison.save(tmp_path, replace=False)
    assert contents(tmp_path) == before
    assert (tmp_path / "cost.png") in comparison.save(tmp_path)
    (tmp_path / "report.html").unlink()
    (tmp_path / "report.html").mkdir()
    with pytest.raises(IsADirectoryError, match=r"cannot be replaced: .*report.html"):
        comparison.save(tmp_path)


def test_all_files_are_of_one_report(comparison, drawn, tmp_path, monkeypatch):
    """Plots of an earlier report do not stay beside a report without plots."""
    for name, content in drawn.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "mine.png").write_text("not of a report")
    monkeypatch.setattr("blockquant.report._files.has_plots", lambda: False)
    report.save(comparison, tmp_path, True)
    assert set(contents(tmp_path)) == {"report.html", "results.csv", "results.json", "mine.png"}
    # A file of that name that is not of a report stays.
    other = tmp_path / "other"
    other.mkdir()
    (other / "cost.png").write_text("mine")
    report.save(comparison, other, True)
    assert (other / "cost.png").read_text() == "mine"


def test_force_replaces_a_report(rows, tmp_path, quick):
    out = tmp_path / "out"
    out.mkdir()
    (out / "report.html").write_text("an earlier report")
    before = contents(out)
    said = [f"--out {out} has a report (report.html)", "--force replaces it"]
    fails(2, "compare", rows, *OPTIONS, "--out", out, said)
    assert contents(out) == before
    done("compare", rows, *OPTIONS, "--out", out, "--force")
    assert contents(out)["report.html"] != before["report.html"]
    # Other files may be in the folder.
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("mine")
    done("compare", rows, *OPTIONS, "--out", tmp_path / "other")
    assert (tmp_path / "other" / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize("json_too", [False, True])
def test_the_figures_are_printed_although_the_disk_is_full(rows, tmp_path, monkeypatch, json_too):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "report.html")

    monkeypatch.setattr(report, "save", full)
    out = tmp_path / "out"
    options = [*OPTIONS, *(["--json"] if json_too else [])]
    code, printed, said = call("compare", rows, *options, "--out", out)
    assert code == 1
    assert f"--out {out}: report.html: {os.strerror(errno.ENOSPC)}" in said
    if json_too:
        assert json.loads(printed)["written"] == []
    else:
        assert "eden/unbiased" in printed
        assert "written" not in printed
    assert not out.exists()


def test_without_matplotlib_the_command_says_so(rows, tmp_path, monkeypatch):
    monkeypatch.setattr("blockquant.report._files.has_plots", lambda: False)
    monkeypatch.setattr(report, "has_plots", lambda: False)
    code, printed, said = call("compare", rows, *OPTIONS, "--out", tmp_path / "out")
    assert code == 0
    assert "report.html" in printed
    assert said == report.NO_PLOTS + "\n"
    assert "pip install '.[plot]'" in said


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_an_interrupt_leaves_no_folder(tmp_path):
    """Ctrl-C while it measures."""
    rng = np.random.default_rng(1)
    np.save(tmp_path / "rows.npy", rng.standard_normal((20_000, 64), dtype=np.float32))
    out = tmp_path / "new" / "out"
    command = [sys.executable, "-m", "blockquant", "compare", tmp_path / "rows.npy", "--out", out]
    with subprocess.Popen(
        [*map(str, command), "--seeds", "500"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=3)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert {path.name for path in tmp_path.iterdir()} == {"rows.npy"}


@pytest.mark.parametrize("options", [["--bits", "1,2.5"], ["--bytes", "11,16"]])
def test_the_output_fits_a_terminal(rows, tmp_path, options):
    """Also with budgets, methods that are left out, and a long path."""
    folder = tmp_path / ("long name of a folder " * 4).strip()
    folder.mkdir()
    path = folder / "x.npy"
    path.write_bytes(rows.read_bytes())
    some = ["--methods", "blockquant/unbiased,eden/unbiased,turboquant/prod", "--seeds", "2"]
    printed = done("compare", path, *options, *some, "--out", folder / "out")
    assert "left out" in printed
    wide = [line for line in printed.splitlines() if len(line) > 100]
    assert not wide
