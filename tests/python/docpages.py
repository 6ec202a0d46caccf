"""Runs the code and the commands of a page of the documentation."""

import contextlib
import doctest
import io
import os
import re
import shlex
import tempfile
from pathlib import Path

from blockquant import registry
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

#: These need the extra of an integration, libraries of tables, or engines of clusters;
#: `tests/frameworks` runs them.
OF_FRAMEWORKS = ("cluster.md", "frameworks.md", "tables.md", "transformers.md")
PAGES = sorted(
    page
    for page in DOCS.rglob("*.md")
    if BLOCK.search(page.read_text("utf-8")) and page.name not in OF_FRAMEWORKS
)
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


def check_page(page, monkeypatch):
    """What the code of a page prints is what stands below it."""
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
