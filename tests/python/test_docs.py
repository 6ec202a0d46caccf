"""The code and the commands of README and `docs` run and print what stands below them.

Times differ from run to run and are not compared; `...` stands for anything. With
BLOCKQUANT_WRITE_DOCS=1 what is printed is written in place of what differs; read the difference
before committing it.
"""

import contextlib
import doctest
import io
import os
import re
import shlex
import tempfile
from pathlib import Path

import pytest

from blockquant import cli, registry
from commands import call

DOCS = Path(__file__).parents[2] / "docs"

#: A block of Python and, where one follows at once, the block of what it prints; or commands, each
#: with what it prints below.
BLOCK = re.compile(
    r"^```(?:python\n(.*?)^```\n(?:\n^```text\n(.*?)^```$)?|console\n(.*?)^```$)", re.M | re.S
)
#: A command and what it prints.
COMMAND = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.M)
TIME = re.compile(r"\d+\.\d\d s, [\d,]+ (rows|queries)/s")

PAGES = sorted(page for page in DOCS.rglob("*.md") if BLOCK.search(page.read_text("utf-8")))
PAGES.append(DOCS.parent / "README.md")


def alike(printed, expected):
    printed, expected = (TIME.sub(r"0.00 s, 0 \1/s", text) for text in (printed, expected))
    return doctest.OutputChecker().check_output(expected, printed, doctest.ELLIPSIS)


def run_python(code, page, names):
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(code, page, "exec"), names)
    return output.getvalue()


def run_command(line):
    """What `blockquant` prints; its output can go to a file, as in a shell."""
    program, *arguments = shlex.split(line)
    assert program == "blockquant", line
    target = None
    if ">" in arguments:
        arguments, target = arguments[:-2], arguments[-1]
    _, out, err = call(*arguments)
    if target is not None:
        Path(target).write_text(out, "utf-8")
        out = ""
    return err + out


def test_there_are_pages_with_code():
    names = {"tutorial.md", "extending.md", "methods.md", "cli.md", "recipes.md", "README.md"}
    assert {page.name for page in PAGES} >= names


def test_the_readme_shows_code_with_its_output():
    text = (DOCS.parent / "README.md").read_text("utf-8")
    (block,) = (block for block in BLOCK.finditer(text) if block[1] is not None)
    assert "q.search(" in block[1]
    assert block[2].strip()


def test_every_command_has_an_example():
    examples = re.findall(r"^\$ blockquant (\w+)", (DOCS / "cli.md").read_text("utf-8"), re.M)
    assert set(examples) == set(cli.main.commands)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_prints_what_the_page_says(page, monkeypatch):
    monkeypatch.setattr(registry, "_FACTORIES", dict(registry._FACTORIES))
    text = page.read_text("utf-8")
    names = {"__name__": f"docs.{page.stem}"}
    #: Start and end of each expected output in the page, and the output.
    found = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # a mapped file
        monkeypatch.chdir(folder)
        for block in BLOCK.finditer(text):
            if block[3] is not None:
                for command in COMMAND.finditer(text, block.start(3), block.end(3)):
                    found.append((*command.span(2), run_command(command[1])))
                continue
            # Lines are the page's, so that a traceback names them.
            printed = run_python("\n" * text.count("\n", 0, block.start(1)) + block[1], page, names)
            if block[2] is not None:
                found.append((*block.span(2), printed))
            elif printed:
                found.append((block.end(), block.end(), f"\n```text\n{printed}```"))
        monkeypatch.undo()
        names.clear()
    wrong = [place for place in found if not alike(place[2], text[place[0] : place[1]])]
    if os.environ.get("BLOCKQUANT_WRITE_DOCS") == "1":
        for start, end, printed in reversed(wrong):
            text = text[:start] + printed + text[end:]
        page.write_text(text, "utf-8")
        return
    for start, end, printed in wrong:
        line = text.count("\n", 0, start) + 1
        assert printed == text[start:end], f"{page.name}, what stands at line {line}"
