"""What README and docs say was measured is what `benches/results` keeps."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benches" / "results"
DOCS = sorted(
    page
    for page in (ROOT / "docs").rglob("*.md")
    if "_generated" not in page.relative_to(ROOT).parts
)
#: The text blocks of the specification are definitions.
PAGES = [ROOT / "README.md", *(page for page in DOCS if page.name != "specification.md")]

#: A block of text, and whether it is the output of the Python block right above it, which
#: `test_docs.py` compares.
BLOCK = re.compile(r"(^```\n\n)?^```text\n(.*?)^```$", re.M | re.S)


def files():
    return {path.name: path.read_text("utf-8") for path in sorted(RESULTS.glob("*.txt"))}


def measured_blocks(text):
    python = {match.end() for match in re.finditer(r"^```python\n.*?^```\n\n", text, re.M | re.S)}
    for match in BLOCK.finditer(text):
        if match.end(1) not in python:
            yield text.count("\n", 0, match.start(2)) + 1, match[2]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_measured_block_is_a_part_of_a_kept_result(page):
    kept = files()
    for line, block in measured_blocks(page.read_text("utf-8")):
        assert any("\n" + block in "\n" + text for text in kept.values()), f"{page.name}:{line}"


def test_a_changed_block_is_found_and_an_output_of_python_is_not_looked_at():
    text = "```python\nprint(1)\n```\n\n```text\n1\n```\nand\n\n```text\nmeasured\n```\n"
    assert list(measured_blocks(text)) == [(11, "measured\n")]


def test_pages_show_results_and_no_slices_of_the_readme():
    shown = set()
    for page in DOCS:
        text = page.read_text("utf-8")
        assert "include} ../README.md" not in text, page.name
        shown |= set(re.findall(r"^```\{literalinclude\} \.\./benches/results/(\S+)$", text, re.M))
    assert shown <= set(files())
    assert shown >= {
        "compare_sample.txt",
        "peers.txt",
        "peers_search.txt",
        "centering.txt",
        "inference.txt",
        "shards.txt",
    }


def test_the_readme_is_a_front_page():
    text = (ROOT / "README.md").read_text("utf-8")
    assert len(text.splitlines()) <= 140
    for link in re.findall(r"(?:\]\(|srcset=\"|src=\")(?!http)([^)\"#]+)", text):
        assert (ROOT / link).is_file(), link


def test_the_table_of_the_readme_is_that_of_the_search():
    kept = files()["peers_search.txt"].partition("beside the peer")[0]
    lines = (re.fullmatch(r"(\S.*?) {2,}(\d.*)", line) for line in kept.splitlines())
    kept = {line[1]: line[2].split() for line in lines if line}
    rows = re.findall(
        r"^\| (\S.*?) \| (\d+) \| (0\.\d+) \| ([\d.]+) \|$", (ROOT / "README.md").read_text(), re.M
    )
    assert len(rows) == 8
    for label, size, recall, time in rows:
        cells = kept[label]
        # Columns: bytes, recall at 10, ns per pair of 100 queries for the 10 nearest.
        assert (cells[0], cells[3], cells[8]) == (size, recall, time), label


#: Text of the README, the kept file, and the place in it.
FIGURES = (
    (
        "0.0969 is measured at 2 bits",
        "peers_compare.txt",
        r"blockquant/mse +100 0\.09693\* 0\.09682",
    ),
    ("0.0968 is what theory", "compare_sample.txt", r"blockquant/mse +100 0\.09688 +0\.09682"),
    (
        "below that of faiss's trained PQ",
        "peers_compare.txt",
        r"nmse +blockquant/mse +4\.13 % .*faiss/pq",
    ),
    (
        "is 24 % below\n  BlockQuant's",
        "compare_sample.txt",
        r"2 +nmse +trellis/mse +24\.10 % .*blockquant/mse",
    ),
    # 1 − .09688/.1167 = .170
    ("is 17 % below EDEN's", "compare_sample.txt", r"eden/mse +100 +0\.1167 "),
    ("0.990 of the pairs", "peers_compare.txt", r"in 0\.9900 to 0\.9900 of the pairs"),
    ("3.07 ns per pair", "peers_search.txt", r"blockquant 2 p=4 +100 .* 3\.07 +\S+ +\S+ +\S+$"),
    ("81.18 ns for exact", "peers_search.txt", r"faiss Flat +1536 .* 81\.18 +\S+ +\S+ +\S+$"),
    (
        "1.8 µs per 1536-d row",
        "peers.txt",
        r"eden 2 +faiss HR,EDEN2 +388 +520 .* 1\.8 +39\.4 21\.73",
    ),
    ("388 bytes per 1536-d row", "peers.txt", r"eden 2 +faiss HR,EDEN2 +388 +520"),
)


@pytest.mark.parametrize(("said", "name", "pattern"), FIGURES)
def test_each_figure_of_the_readme_is_in_a_kept_result(said, name, pattern):
    assert said in (ROOT / "README.md").read_text("utf-8")
    assert re.search(pattern, files()[name], re.M)


def test_the_picture_has_every_point():
    pytest.importorskip("matplotlib")
    path = ROOT / "benches" / "front_page.py"
    spec = importlib.util.spec_from_file_location("front_page", path)
    front_page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(front_page)
    recalls = front_page.recalls()
    assert list(recalls) == [title for title, *_ in front_page.SEARCHERS]
    for title, (sizes, found) in recalls.items():
        assert len(sizes) >= 2, title
        assert sizes == sorted(sizes), title
        assert all(
            size > 40 and 0.6 < recall < 1 for size, recall in zip(sizes, found, strict=True)
        )
        # OPQ has no point at 4 bits, and turbovec none at 1 bit.
        fitted = recalls[front_page.FITTED][1]
        fitted = fitted[: len(found)] if sizes[0] < 60 else fitted[-len(found) :]
        assert title == front_page.FITTED or all(a > b for a, b in zip(fitted, found, strict=True))
    errors = front_page.errors()
    for name, *_ in front_page.METHODS:
        found = [errors[name, bits] for bits in front_page.BITS]
        assert found == sorted(found, reverse=True), name
