"""The code and the commands of README and `docs` run and print what stands below them.

Times differ from run to run and are not compared; `...` stands for anything. With
BLOCKQUANT_WRITE_DOCS=1 what is printed is written in place of what differs; read the difference
before committing it.
"""

import re

import pytest

from blockquant import cli
from docpages import BLOCK, DOCS, OF_FRAMEWORKS, PAGES, check_page


def test_there_are_pages_with_code():
    names = {"tutorial.md", "extending.md", "methods.md", "cli.md", "recipes.md", "README.md"}
    assert {page.name for page in PAGES} >= names


def test_the_readme_shows_code_with_its_output():
    text = (DOCS.parent / "README.md").read_text("utf-8")
    search, cache = (block for block in BLOCK.finditer(text) if block[1] is not None)
    assert "q.search(" in search[1]
    assert "cache.attend(" in cache[1]
    assert search[2].strip()
    assert cache[2].strip()


def test_every_command_has_an_example():
    examples = re.findall(r"^\$ blockquant (\w+)", (DOCS / "cli.md").read_text("utf-8"), re.M)
    assert set(examples) == set(cli.main.commands)


def test_the_pages_of_frameworks_are_there():
    """`tests/frameworks` runs each of them."""
    for name in OF_FRAMEWORKS:
        assert BLOCK.search((DOCS / name).read_text("utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_prints_what_the_page_says(page, monkeypatch):
    check_page(page, monkeypatch)
