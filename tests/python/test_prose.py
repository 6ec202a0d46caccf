"""The check of prose in `.ci/prose` finds what it is to find, and nothing in code."""

import importlib.util
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / ".ci" / "prose"
LONG = "many words " * 10


@pytest.fixture(scope="module")
def prose():
    if not SCRIPT.is_file():
        pytest.skip("the source distribution does not have .ci")
    loader = SourceFileLoader("prose", str(SCRIPT))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("prose", loader))
    loader.exec_module(module)
    return module


def found(prose, path, text):
    path.write_text(text, encoding="utf-8")
    return [(number, wrong) for number, wrong, _ in prose.findings(path)]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.md", f"{LONG}\n", [(1, "110 columns")]),
        ("a.md", f"| {LONG} |\n{LONG} https://example.org\n", []),
        ("a.md", f"```text\n{LONG}\n```\n{LONG}\n", [(4, "110 columns")]),
        ("a.md", f"````\n```\n{LONG}\n````\n", []),
        ("a.md", "4 bytes a row, `4 bytes a row`\n", [(1, 'write "per"')]),
        ("a.md", "This is no file. This is no longer true.\n", [(1, 'write "is not a"')]),
        ("a.md", "Of a link the file is replaced.\n", [(1, "begin with the subject")]),
        ("a.rs", f"//! {LONG}\n", [(1, "114 columns")]),
        ("a.rs", f"//! ```\n//! {LONG}\n//! ```\n/// | {LONG}|\n", []),
        ("a.rs", "let bytes = a; // 2 bits a value\n", [(1, 'write "per"')]),
        ("a.rs", '    f("is no file");\n', [(1, 'write "is not a"')]),
        ("a.py", 'x = """one\nfor ever\n"""\n', [(2, "use common words")]),
        ("a.py", "bytes, a = row  # is no row\n", [(1, 'write "is not a"')]),
        ("a.py", 'def f():\n    raise E(f"{x} is no number")\n', [(2, 'write "is not a"')]),
        ("a.toml", f'# the centre\nkey = "{LONG}"\n', [(1, 'write "center"')]),
    ],
)
def test_findings(prose, tmp_path, name, text, expected):
    assert found(prose, tmp_path / name, text) == expected


def test_the_command_names_the_place_and_fails(prose, tmp_path, capsys):
    path = tmp_path / "a.md"
    path.write_text("fine\nIt is no table.\n", encoding="utf-8")
    assert prose.main([str(path)]) == 1
    assert f'{path}:2: write "is not a": It is no table.' in capsys.readouterr().out
    path.write_text("fine\n", encoding="utf-8")
    assert prose.main([str(path)]) == 0
