"""Generic code names no method: the core's table of methods has what is known of each.

Exempt are the methods' own modules and faces (also in torch), the closed forms of `theory`, the
default of the transformer for scikit-learn, which shows in its signature, and examples in
docstrings and comments.
"""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: "blockquant" is left out: it is also the name of the package and of the file format.
NAME = re.compile(r"(eden|rabitq|trellis|turboquant)(/\w+)?|blockquant/(none|mse|unbiased)")


def named_in_python(text):
    """The names of methods among the strings of the code, docstrings left out."""
    tree = ast.parse(text)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and id(node) not in docstrings
        if isinstance(node.value, str) and NAME.fullmatch(node.value)
    }


def named_in_rust(text):
    """The names of methods among the strings of the code, comments and unit tests left out."""
    code = "\n".join(re.sub(r"//.*", "", line) for line in text.splitlines())
    code = code.partition("#[cfg(test)]")[0]
    return {found for found in re.findall(r'"([^"\n]*)"', code) if NAME.fullmatch(found)}


def sources(folder, suffix, exempt):
    """The files of a folder but those that are, or lie in, a path of `exempt`."""
    files = sorted((ROOT / folder).rglob(f"*{suffix}"))
    paths = [ROOT / folder / path for path in exempt]
    return [file for file in files if not {file, *file.parents}.intersection(paths)]


@pytest.mark.parametrize(
    "file",
    sources(
        "python/blockquant",
        ".py",
        {"methods.py", "theory", "integrations/_torch_words.py", "integrations/sklearn.py"},
    ),
    ids=lambda file: file.stem,
)
def test_python_names_no_method(file):
    assert named_in_python(file.read_text("utf-8")) == set()


@pytest.mark.parametrize("file", sources("rust", ".rs", {"methods"}), ids=lambda file: file.stem)
def test_rust_names_no_method(file):
    assert named_in_rust(file.read_text("utf-8")) == set()


def test_names_are_found_where_they_stand():
    assert named_in_python((ROOT / "python/blockquant/methods.py").read_text("utf-8"))
    assert named_in_rust((ROOT / "rust/methods/mod.rs").read_text("utf-8"))
