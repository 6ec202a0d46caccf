"""Layers point one way, and nothing imports in a circle, in Python and in Rust.

Each table lists the layers from the top to the bottom. A module imports from lower layers and from
its own package or folder, never from the same layer or a higher one. Every import counts: inside a
function, under TYPE_CHECKING, or in a test of the core.
"""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PYTHON = (
    ("__main__",),
    ("cli", "integrations"),
    ("__init__",),  # the names that a user imports
    ("shards",),
    ("report",),
    ("cache", "index", "measurement"),
    ("fitting",),
    ("files", "theory"),
    ("tables",),
    ("registry",),
    ("methods",),
    ("quantizer",),
    ("_fitted",),
    ("_certainty", "_parameters", "_search", "threads"),
    ("axes", "codes"),
    ("_exchange",),
    ("_arrays", "_columns", "_row_bytes"),
    ("_arrow", "_filled", "_objects"),
    ("_checks", "_json", "_locks", "_methods", "_progress"),
    ("_core",),
)

RUST = (
    ("python",),
    ("cache",),
    ("file",),
    ("quantizer",),
    ("methods", "scan"),
    ("axes", "codebook", "codes", "rotation"),
    ("rows",),
    ("kernels",),
    ("aligned", "interval", "isa", "rng", "threads"),
    ("error",),
)

Module = tuple[str, ...]
Graph = dict[Module, set[Module]]


def deepest(path: Module, modules: set[Module]) -> Module:
    """The longest beginning of the path that is a module; () is the root."""
    while path and path not in modules:
        path = path[:-1]
    return path


def module_names(folder: Path, suffix: str, index: str) -> dict[Module, Path]:
    """The modules below a folder with their files; a folder is called by its index file."""
    found = {}
    for path in sorted(folder.rglob(f"*{suffix}")):
        parts = path.relative_to(folder).with_suffix("").parts
        found[parts[:-1] if parts[-1] == index else parts] = path
    return found


# ---- Python


def python_graph(folder: Path) -> Graph:
    files = module_names(folder, ".py", "__init__")
    modules = {*files, ("_core",)}
    return {
        module: {deepest(path, modules) for path in python_imports(file.read_text("utf-8"))}
        for module, file in files.items()
    }


def python_imports(text: str):
    """What of the package a module imports, as paths below the package."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            for name in node.names:
                if name.name.split(".")[0] == "blockquant":
                    yield tuple(name.name.split(".")[1:])
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports are not used here"
            parts = node.module.split(".")
            if parts[0] == "blockquant":
                for name in node.names:
                    yield (*parts[1:], name.name)


# ---- Rust


def rust_graph(folder: Path) -> Graph:
    files = module_names(folder, ".rs", "mod")
    lib = files.pop(("lib",)).read_text("utf-8")
    modules = set(files)
    exported = {
        path[-1]: path[:-1]
        for use in re.findall(r"^pub use ([^;]+);", lib, re.MULTILINE)
        for path in use_paths(use)
    }
    graph = {}
    for module, file in files.items():
        paths = [path for path in rust_references(module, file.read_text("utf-8")) if path]
        # A name that the root exports leads to the module that defines it.
        full = (exported.get(path[0], path[:1]) + path[1:] for path in paths)
        graph[module] = {deepest(path, modules) for path in full} - {()}
    return graph


def rust_references(module: Module, text: str):
    """Paths from the root of the crate that a file names with `crate::` or `super::`."""
    text = re.sub(r"//.*", "", text)
    inline = [
        (match.start(), match.end(), match["name"])
        for match in re.finditer(
            r"^(?P<indent> *)(?:pub(?:\(\w+\))? )?mod (?P<name>\w+) \{.*?^(?P=indent)\}",
            text,
            re.MULTILINE | re.DOTALL,
        )
    ]
    for match in re.finditer(r"\b(crate|super(?:::super)*)::", text):
        base = ()
        if match[1] != "crate":
            within = tuple(name for start, end, name in inline if start < match.start() < end)
            base = (module + within)[: -match[1].count("super")]
        tree = re.match(r"[\w:]*(?:\{[^;]*\})?", text[match.end() :])[0]
        for path in use_paths(tree):
            yield base + path


def use_paths(tree: str) -> list[Module]:
    """`a::{b, c::{d, self}}` is a::b, a::c::d and a::c."""
    head, brace, rest = tree.partition("{")
    names = tuple(re.findall(r"\w+", head.split(" as ")[0]))
    if not brace:
        return [tuple(name for name in names if name != "self")]
    parts, depth, start = [], 0, 0
    for place, letter in enumerate(rest):
        if letter in ",}" and depth == 0:
            parts.append(rest[start:place])
            start = place + 1
            if letter == "}":
                break
        depth += {"{": 1, "}": -1}.get(letter, 0)
    return [names + path for part in parts if part.strip() for path in use_paths(part)]


# ---- the rules


def upward(graph: Graph, layers) -> list[tuple[Module, Module]]:
    """The imports that do not go to a lower layer."""
    height = {name: -place for place, layer in enumerate(layers) for name in layer}

    def top(module: Module) -> str:
        return module[0] if module else "__init__"

    return [
        (module, other)
        for module, others in graph.items()
        for other in sorted(others)
        if top(module) != top(other) and height[top(module)] <= height[top(other)]
    ]


def siblings(graph: Graph) -> Graph:
    """The imports between neighbours in a folder; what a folder and its own parts share is not."""
    found: Graph = {}
    for module, others in graph.items():
        for other in others:
            shared = next(
                (i for i, (a, b) in enumerate(zip(module, other, strict=False)) if a != b), None
            )
            if shared is not None:
                found.setdefault(module[: shared + 1], set()).add(other[: shared + 1])
    return found


def circle(graph: Graph) -> list[Module]:
    """The modules of a circle of imports, if there is one."""
    done: set[Module] = set()

    def visit(module: Module, trail: list[Module]) -> list[Module]:
        if module in trail:
            return [*trail[trail.index(module) :], module]
        if module in done:
            return []
        for other in sorted(graph.get(module, ())):
            if found := visit(other, [*trail, module]):
                return found
        done.add(module)
        return []

    return next((found for module in sorted(graph) if (found := visit(module, []))), [])


@pytest.fixture(scope="module")
def python() -> Graph:
    return python_graph(ROOT / "python" / "blockquant")


@pytest.fixture(scope="module")
def rust() -> Graph:
    return rust_graph(ROOT / "rust")


def test_every_module_has_a_layer(python, rust):
    for graph, layers in ((python, PYTHON), (rust, RUST)):
        listed = [name for layer in layers for name in layer]
        assert len(listed) == len(set(listed))
        present = {module[0] if module else "__init__" for module in graph} | {"_core"}
        assert present - {*listed} <= {"_core"}, "these modules have no layer"
        assert {*listed} <= present, "these layers list a module that does not exist"


def test_python_imports_go_down(python):
    assert upward(python, PYTHON) == []


def test_python_has_no_circle(python):
    assert circle(python) == []


def test_rust_imports_go_down(rust):
    assert upward(rust, RUST) == []


def test_rust_has_no_circle_among_the_modules_of_a_folder(rust):
    assert circle(siblings(rust)) == []


def test_methods_do_not_import_each_other(rust):
    methods = {module for module in rust if module[:-1] == ("methods",)}
    assert len(methods) > 1
    assert [(m, other) for m in methods for other in rust[m] if other in methods - {m}] == []


def test_only_the_binding_names_python():
    for path in (ROOT / "rust").rglob("*.rs"):
        if path.relative_to(ROOT / "rust").parts[0] != "python":
            assert not re.search(r"\b(pyo3|numpy)::", path.read_text("utf-8")), path


# ---- what the parsers see


def test_what_counts_as_an_import_in_python():
    text = """
import numpy
import blockquant.files.npy
if TYPE_CHECKING:
    from blockquant.codes import Codes
def f():
    from blockquant import report
"""
    assert sorted(python_imports(text)) == [("codes", "Codes"), ("files", "npy"), ("report",)]


def test_what_counts_as_an_import_in_rust():
    text = """
// use crate::scan;
use crate::{Isa, codes::{self, Field as F}};
use super::{level, rows::Hit};
fn f() { crate::threads::run(g) }
#[cfg(test)]
mod tests {
    use super::helper;
    use super::super::seeds;
}
"""
    found = set(rust_references(("scan", "filter"), text))
    assert found == {
        *(("Isa",), ("codes",), ("codes", "Field"), ("threads", "run")),
        *(("scan", "level"), ("scan", "rows", "Hit")),
        *(("scan", "filter", "helper"), ("scan", "seeds")),
    }


def test_a_circle_and_a_step_up_are_found():
    graph = {("a",): {("b", "x")}, ("b", "x"): {("c",)}, ("c",): {("b",), ("a",)}}
    assert circle(siblings(graph)) == [("a",), ("b",), ("c",), ("a",)]
    assert upward(graph, (("a",), ("b",), ("c",))) == [(("c",), ("a",)), (("c",), ("b",))]
