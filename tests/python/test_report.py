"""The report: the terminal's table, the page, the files."""

import builtins
import csv
import json
import re
from dataclasses import replace

import numpy as np
import pytest

import blockquant as bq
from blockquant import report
from blockquant.report import _plots
from blockquant.report._summary import answers, choices
from pages import Page


@pytest.fixture(scope="module")
def comparison(sample):
    x, y = sample[0][:200], sample[1][:20]
    return bq.compare(x, y, bits=[1, 2], seeds=2, source="<rows> & queries")


@pytest.fixture(scope="module")
def folder(comparison, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "new" / "folder"
    written = comparison.save(path)
    assert sorted(written) == sorted(path.iterdir())
    return path


@pytest.fixture(scope="module")
def page(folder):
    return Page((folder / "report.html").read_text(encoding="utf-8"))


def test_the_page_needs_nothing_else(page, folder):
    assert all(link.startswith("#") for link in page.links)
    assert len(page.ids) == len(set(page.ids))
    text = (folder / "report.html").read_text(encoding="utf-8")
    outside = set(re.findall(r"https?://[^\s\"'<>]+", text))
    assert all(link.startswith("http://www.w3.org/") for link in outside), outside
    assert "@import" not in text
    assert "&lt;rows&gt; &amp; queries" in text
    # Every colour of a plot follows the page.
    drawings = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(drawings) == 6
    for drawing in drawings:
        assert set(re.findall(r"#[0-9a-fA-F]{6}\b", drawing)) <= {"#ffffff"}


def test_the_page_has_every_figure(page, comparison):
    tables = {table[0][3][1]: table for table in page.tables if len(table[0]) > 3}
    body = tables["normalised MSE"][1:]
    assert len(body) == len(comparison.rows())
    for cells, row in zip(body, comparison.rows(), strict=True):
        assert cells[0][1] == row["method"]
        assert float(cells[3][0]) == pytest.approx(row["nmse"])
        assert f"theory {row['nmse_theory']:.4f}"[:12] in cells[3][1]
    marked = [cells[0][1] for cells in body if "★" in cells[3][1]]
    want = [v.best for v in comparison.verdicts() if v.field == "nmse"]
    assert marked == want
    assert all(len(row) == len(table[0]) for table in page.tables for row in table)


def test_the_page_answers(page, comparison):
    found = answers(comparison)
    assert [answer.method for answer in found[:3]] == [
        "trellis/unbiased",
        "trellis/mse",
        "trellis/unbiased",
    ]
    for answer in found:
        assert answer.question in page.text
        assert all(sentence in page.text for sentence in answer.sentences)
    assert "52 bytes" in found[1].sentences[0]
    assert "turboquant/mse" in found[2].sentences[-1]
    assert [choice.purpose for choice in choices(comparison)] == 2 * [
        "search",
        "reconstruction",
        "guarantees",
    ]


def test_search_is_told_by_recall_and_the_typical_error(page, comparison):
    """In the card first, and in the first figures of the table of what to take."""
    rows = comparison.table()
    recall, error, *_ = answers(comparison)[0].sentences
    for rate in (1, 2):
        row = rows[rate, "trellis/unbiased"]
        assert f"{row['recall10']:.3f} at {rate} bit" in recall
        assert f"{row['q50']:.3g} at {rate} bit" in error
    assert recall.startswith("Recall@10")
    head, first, *_ = page.tables[0]
    assert [text for _, text in head[3:5]] == ["recall@10", "typical score error"]
    row = rows[1, "trellis/unbiased"]
    assert [float(value) for value, _ in first[3:5]] == pytest.approx([row["recall10"], row["q50"]])


def test_who_finds_more_than_the_best_for_scores(sample):
    """Where the noise of the seeds does not explain it."""
    x, y = sample[0][:100], sample[1][:10]
    found = bq.compare(x, y, ["eden/unbiased", "turboquant/prod"], [1, 2], seeds=3)
    for (rate, name), runs in found.runs.items():
        spread = 0.1 if rate == 1 else 1e-3
        more = 0.02 if name == "turboquant/prod" else 0.0
        found.runs[rate, name] = [
            replace(run, recall10=0.8 + more + spread * place * (1 if more else -1))
            for place, run in enumerate(runs)
        ]
    assert "turboquant/prod finds more: 0.821 at 2 bits." in answers(found)[0].sentences


def test_the_bias_has_its_error(page, comparison):
    table = next(table for table in page.tables if "bias (slope)" in [t for _, t in table[0]])
    for cells, row in zip(table[1:], comparison.rows(), strict=True):
        assert f"± {row['bias_se']:.1e}" in cells[4][1]
    assert "(bias)" in comparison.to_text()


def test_a_table_that_scrolls_shows_it(folder):
    text = (folder / "report.html").read_text(encoding="utf-8")
    tables = re.findall(r'<div class="wide" tabindex="0"[^>]*><table>', text)
    assert len(tables) == text.count("<table>") == 6
    style = re.search(r"\.wide \{[^}]*\}", text)[0]
    assert "overflow-x: auto" in style
    assert style.count("var(--shade)") == 2


def test_plots_name_the_curves_that_coincide(folder, comparison):
    """At 1 bit `rabitq` is `eden`: their curves are one."""
    drawing = (folder / "errors.svg").read_text(encoding="utf-8")
    names = re.findall(r">([^<>]+)</t(?:ext|span)>", drawing)
    assert names.count("eden/unbiased") == names.count("rabitq/unbiased") == 2  # legend and label
    assert names.count("turboquant/prod") == 1
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "curves that lie on top of each other" in page


def test_logarithmic_axes_have_minor_labels(folder):
    for name in ("mse", "cost"):
        drawing = (folder / f"{name}.svg").read_text(encoding="utf-8")
        labels = re.findall(r">([0-9.e-]+)</text>", drawing)
        assert {"0.2", "0.5"} <= set(labels), name
    labels = re.findall(r">([0-9.e-]+)</text>", (folder / "tails.svg").read_text("utf-8"))
    assert {"0.03", "0.3"} <= set(labels) or {"0.02", "0.2"} <= set(labels)


def test_a_winner_that_changes_with_the_rate(sample, tmp_path):
    """Two winners, each at one rate: neither wins at most of them."""
    x, y = sample[0][:50], sample[1][:5]
    found = bq.compare(x, y, ["blockquant/mse", "eden/mse"], bytes_per_vector=[30, 60], seeds=2)
    better = found.runs[60, "eden/mse"], found.runs[60, "blockquant/mse"]
    found.runs[60, "blockquant/mse"], found.runs[60, "eden/mse"] = better
    found.save(tmp_path)
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    # A column of rates sorts by the number, not by the text.
    assert [row[0][0] for row in page.tables[0][1:]] == 3 * ["30"] + 3 * ["60"]
    _, first, third, _ = answers(found)
    assert first.method == "blockquant/mse"
    assert first.sentences[0].endswith("the least at 1 of 2 rates.")
    # Without another family the margin does not exist. It is not 0 %.
    assert first.sentences[1:] == ["Within 60 bytes eden/mse is ahead."]
    assert third.sentences[2] == "Within 60 bytes those of eden/mse are narrower."


def test_the_fastest_is_that_of_its_rates(sample):
    """A method that is there at small budgets alone is not beside the slower rates of others."""
    x, y = sample[0][:50], sample[1][:5]
    names = ["eden/mse", "turboquant/prod", "rabitq/unbiased"]
    found = bq.compare(x, y, names, bytes_per_vector=[56, 200], seeds=1)
    del found.runs[200, "turboquant/prod"]
    for (rate, name), times in {
        (56, "eden/mse"): 1.0,
        (56, "turboquant/prod"): 2.0,
        (56, "rabitq/unbiased"): 5.0,
        (200, "eden/mse"): 10.0,
        (200, "rabitq/unbiased"): 50.0,
    }.items():
        found.runs[rate, name] = [replace(found.runs[rate, name][0], encode_us=times)]
    assert answers(found)[-1].method == "eden/mse"


def timed(found, times):
    """The figures with these errors and times: nmse and µs by method, at every rate."""
    for (rate, name), runs in found.runs.items():
        error, time = times[name]
        found.runs[rate, name] = [replace(run, nmse=error, encode_us=time) for run in runs]
    return found


def test_what_is_between_the_fastest_and_the_best(sample):
    x, y = sample[0][:50], sample[1][:5]
    names = ["eden/mse", "blockquant/mse", "rabitq/mse", "trellis/mse"]

    def said(**times):
        found = bq.compare(x, y, names, [1, 2], seeds=2)
        times = {f"{name}/mse": time for name, time in times.items()}
        return answers(timed(found, times))[-1]

    ends = {"eden": (0.4, 1.0), "trellis": (0.2, 8.0)}
    answer = said(**ends, blockquant=(0.3, 4.0), rabitq=(0.35, 2.0))
    assert answer.method == "eden/mse"
    assert answer.sentences[-1] == (
        "Between them is blockquant/mse: 1.50 times the least error in 0.5 of its time at 1 bit, "
        "1.50 times the least error in 0.5 of its time at 2 bits."
    )
    # Neither what takes longer than the best is between them, nor what has more error than the
    # fastest.
    for other in ((0.3, 9.0), (0.5, 4.0)):
        answer = said(**ends, blockquant=other, rabitq=other)
        assert "Between" not in " ".join(answer.sentences)


def test_the_stairs_join_the_least_errors(sample, tmp_path):
    x, y = sample[0][:50], sample[1][:5]
    found = bq.compare(x, y, ["eden/mse", "rabitq/mse", "trellis/mse"], [2], seeds=2)
    timed(found, {"eden/mse": (0.4, 1.0), "rabitq/mse": (0.5, 4.0), "trellis/mse": (0.2, 8.0)})
    plot = next(plot for plot in _plots.draw(found) if plot.name == "trade")
    (axes,) = plot.figure.axes
    lines = {line.get_label(): line.get_xydata().tolist() for line in axes.get_lines()}
    assert lines["rabitq/mse"] == [[4.0, 0.5]]
    stairs = [[1.0, 0.4], [8.0, 0.2], [8.0, 0.2]]
    assert stairs in lines.values()
    assert lines["Shannon's bound"] == [[0, 1 / 16], [1, 1 / 16]]


def test_intervals_that_do_not_hold_are_no_guarantee(sample, monkeypatch):
    class Narrow(bq.Eden):
        def interval(self, codes, y, confidence):
            product = self.inner_product(codes, y)
            return product - 1e-6, product + 1e-6

    class Foreign:
        def __init__(self, **options):
            self._q = Narrow(**options)
            self.encode, self.decode, self.interval = (
                getattr(self._q, name) for name in ("encode", "decode", "interval")
            )

    monkeypatch.setitem(bq.registry._FACTORIES, "narrow", Foreign)
    found = bq.compare(sample[0][:100], sample[1][:10], ["narrow", "eden/mse"], [1, 2], seeds=2)
    answer = next(answer for answer in answers(found) if "guarantees" in answer.question)
    assert answer.method == "eden/mse"
    assert "Not counted where they miss more than twice as often as stated: narrow." in (
        answer.sentences
    )


def test_files(comparison, folder):
    names = {path.name for path in folder.iterdir()}
    plots = ("mse", "errors", "tails", "recall", "cost", "trade")
    assert names == {"report.html", "results.csv", "results.json"} | {
        f"{name}.{kind}" for name in plots for kind in ("svg", "png")
    }
    with (folder / "results.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["nmse"]) for row in rows] == [row["nmse"] for row in comparison.rows()]
    assert json.loads((folder / "results.json").read_text(encoding="utf-8")) == (
        comparison.to_dict()
    )
    assert (folder / "mse.png").read_bytes().startswith(b"\x89PNG")
    assert "var(--" not in (folder / "mse.svg").read_text(encoding="utf-8")


def test_without_matplotlib(comparison, tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name.startswith("matplotlib") or (rest and "_plots" in (rest[2] or ())):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.warns(UserWarning, match=r"pip install '\.\[plot\]'"):
        names = {path.name for path in comparison.save(tmp_path)}
    assert names == {"report.html", "results.csv", "results.json"}
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "the report has no plots: they need matplotlib" in page.text


def test_one_method_one_seed_and_budgets(sample, tmp_path):
    x, y = sample[0][:50], sample[1][:5]
    for options in (
        {"methods": ["turboquant/prod"], "bits": [1]},
        {"methods": ["eden/mse", "turboquant/mse"], "bytes_per_vector": [52, 30]},
    ):
        found = bq.compare(x, y, seeds=1, **options)
        found.save(tmp_path)
        text = (tmp_path / "report.html").read_text(encoding="utf-8")
        Page(text)
        assert report.text(found)
        assert report.markdown(found)
        assert not re.search(r"\binf\b|\bnan\b", text + report.text(found))
    assert "needs at least 52 bytes" in text


@pytest.mark.parametrize("others", [[], ["eden/mse"]])
def test_a_method_without_loss(sample, tmp_path, monkeypatch, others):
    class Same:
        def __init__(self, **options): ...

        def encode(self, x):
            return x.copy()

        def decode(self, codes):
            return codes

        def inner_product(self, codes, y):
            return y @ codes.T

    monkeypatch.setitem(bq.registry._FACTORIES, "same", Same)
    found = bq.compare(sample[0][:50], sample[1][:5], ["same", *others], [1, 2], seeds=2)
    assert found.rows()[0]["nmse"] == found.rows()[0]["q999"] == 0
    found.save(tmp_path)
    assert [answer.method for answer in answers(found)[:2]] == ["same", "same"]


def test_one_dimension(tmp_path):
    """Where no method but `prod` has a loss."""
    x = np.array([[1.0], [-2.0], [3.0], [0.5]])
    found = bq.compare(x, x, bits=[1, 2], seeds=2)
    found.save(tmp_path)
    Page((tmp_path / "report.html").read_text(encoding="utf-8"))


def test_a_method_of_ones_own(sample, tmp_path, monkeypatch):
    """Without bits, bytes, theory or intervals; its name is escaped."""

    class Rounded:
        def __init__(self, **options): ...

        def encode(self, x):
            return [x.round(1)]

        def decode(self, codes):
            return codes[0]

    monkeypatch.setitem(bq.registry._FACTORIES, "<own>", Rounded)
    found = bq.compare(sample[0][:50], sample[1][:5], ["<own>", "eden/mse"], [2], seeds=2)
    found.save(tmp_path)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "&lt;own&gt;" in text
    assert "<own>" not in text
    with pytest.raises(ValueError, match="does not say how many bytes"):
        bq.compare(sample[0][:50], sample[1][:5], ["<own>"], seeds=1, bytes_per_vector=[99])
