"""The code on the pages of `docs` runs and prints what stands below it.

BLOCKQUANT_WRITE_DOCS=1 writes what it prints instead; read the difference before committing it.
"""

import contextlib
import io
import os
import re
import tempfile
from pathlib import Path

import pytest

from blockquant import registry

DOCS = Path(__file__).parents[2] / "docs"

#: A block of Python and, where one follows at once, the block of what it prints.
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n^```text\n(.*?)^```$)?", re.M | re.S)

PAGES = sorted(page for page in DOCS.rglob("*.md") if BLOCK.search(page.read_text("utf-8")))


def test_there_are_pages_with_code():
    assert {page.name for page in PAGES} >= {"tutorial.md", "extending.md", "methods.md"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_prints_what_the_page_says(page, monkeypatch):
    monkeypatch.setattr(registry, "_FACTORIES", dict(registry._FACTORIES))
    text = page.read_text("utf-8")
    names = {"__name__": f"docs.{page.stem}"}
    printed = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # a mapped file
        monkeypatch.chdir(folder)
        for block in BLOCK.finditer(text):
            # Lines are the page's, so that a traceback names them.
            code = "\n" * text.count("\n", 0, block.start(1)) + block[1]
            output = io.StringIO()
            with contextlib.redirect_stdout(output):
                exec(compile(code, page, "exec"), names)
            printed.append((block, output.getvalue()))
        monkeypatch.undo()
        names.clear()
    if os.environ.get("BLOCKQUANT_WRITE_DOCS") == "1":
        for block, output in reversed(printed):
            below = f"\n```text\n{output}```" if output else ""
            text = (
                text[: block.start()] + f"```python\n{block[1]}```\n{below}" + text[block.end() :]
            )
        page.write_text(text, "utf-8")
        return
    for block, output in printed:
        line = text.count("\n", 0, block.start()) + 1
        assert output == (block[2] or ""), f"{page.name}, the block at line {line}"


def test_the_code_of_the_readme_runs(monkeypatch, tmp_path):
    """All blocks one after the other, as a reader would paste them."""
    monkeypatch.setattr(registry, "_FACTORIES", dict(registry._FACTORIES))
    monkeypatch.chdir(tmp_path)
    text = (DOCS.parent / "README.md").read_text("utf-8")
    blocks = list(BLOCK.finditer(text))
    assert len(blocks) >= 2
    names = {"__name__": "readme"}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for block in blocks:
            exec(compile(block[1], "README.md", "exec"), names)
    assert "Difference(method='blockquant/mse', other='signs'" in printed.getvalue()
    assert names["c"].runs.keys() == {
        (size, name) for size in (52, 100) for name in ("blockquant/mse", "signs")
    }
    assert names["low"].shape == names["high"].shape
    assert (tmp_path / "report" / "report.html").exists()
    names.clear()
