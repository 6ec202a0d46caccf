"""What a comparison shows: the terminal's table, the notebook's, what is left out."""

import csv
import inspect
import json
import re
import time

import pytest

import blockquant as bq
from blockquant import measurement, report
from blockquant.report._summary import answers
from pages import Page


@pytest.fixture(scope="module")
def comparison(sample):
    x, y = sample[0][:200], sample[1][:20]
    return bq.compare(x, y, bits=[1, 2], seeds=2, source="<rows> & queries")


def test_the_terminals_table(comparison):
    text = comparison.to_text()
    table = text.split("\n\n")[0].splitlines()
    assert max(map(len, text.splitlines())) <= 100
    assert len(table) == 1 + 2 + len(comparison.rows())
    # The time columns, the last two, have no stars.
    for line in table[1:]:
        assert line.startswith("---") or "*" not in line.split("%")[-1][-12:]
    # Each column ends at the same place.
    starts = [re.search(r"/(mse|unbiased|prod)", line) for line in table if "/" in line]
    assert all(starts)
    assert "0.99" in text
    for verdict in comparison.verdicts():
        line = rf"{verdict.rate:g} .* {verdict.best} +{verdict.margin:.2f} % .* {verdict.runner_up}"
        assert re.search(line, text)


def test_names_and_figures_of_any_length(sample, tmp_path, monkeypatch):
    """The columns of the terminal end at the same places, and the legend has each name."""

    class Slow:
        def __init__(self, **options): ...

        def encode(self, x):
            time.sleep(0.2 * len(x) / 20)
            return [x]

        def decode(self, codes):
            return codes[0] * 0.9

    names = ["_a/name that is longer than all others", "$\\frac$", "eden/mse"]
    for name in names[:2]:
        monkeypatch.setitem(bq.registry._FACTORIES, name, Slow)
    found = bq.compare(sample[0][:20], sample[1][:5], names, [1], seeds=1)
    head, rule, *rows = found.to_text().split("\n\n")[0].splitlines()
    # A name that has no room stands above its figures.
    assert "1    _a/name that is longer than all others" in rows
    figures = [row for row in rows if "longer" not in row]
    assert len(figures) == 3
    assert len(rule) == len(head) == max(map(len, figures)) <= 100
    end = head.index("bytes") + len("bytes")
    assert all(row[end - 1] != " " and row[end] == " " for row in figures)
    assert max(map(len, found.to_text().splitlines())) <= 100
    found.save(tmp_path)
    legend = (tmp_path / "recall.svg").read_text(encoding="utf-8")
    assert ("eden/mse" in legend, "longer than all" in legend) == (True, False)  # it has no bytes
    legend = (tmp_path / "cost.svg").read_text(encoding="utf-8")
    assert "longer than all" in legend
    assert "$\\frac$" in legend


def test_equal_figures_share_the_star(sample):
    """At 1 bit `rabitq` is `eden`. Times have no stars, whoever is the fastest."""
    found = bq.compare(sample[0][:60], sample[1][:5], ["eden", "rabitq"], [1], seeds=2)
    first, second = found.to_text().splitlines()[2:4]
    stars = [re.findall(r"[0-9.]+\*", line) for line in (first, second)]
    assert len(stars[0]) == 4
    assert stars[0] == stars[1]
    # Each column of both rows but bias, variance, coverage and the two times.
    assert report._page.page(found, []).count("★") == 2 * 12


def test_the_public_compare_takes_what_the_measurement_takes():
    public, inner = (inspect.signature(one).parameters for one in (bq.compare, measurement.compare))
    assert public == inner


def test_a_comparison_shows_itself(comparison):
    assert str(comparison) == comparison.to_text()
    text = comparison._repr_html_()
    page = Page(text)
    (table,) = page.tables
    assert len(table) == 1 + len(comparison.rows())
    assert all(len(row) == len(table[0]) for row in table)
    assert "&lt;rows&gt; &amp; queries" in text
    assert not page.links
    assert all(str(verdict) in page.text for verdict in comparison.verdicts())


def test_methods_that_cannot_have_the_bits(sample, tmp_path):
    x, y = sample[0][:50], sample[1][:5]
    found = bq.compare(x, y, ["blockquant", "eden", "rabitq"], [2, 2.5], seeds=1)
    assert {name for rate, name in found.runs if rate == 2.5} == {"blockquant/unbiased"}
    assert set(found.unmet) == {(2.5, "eden/unbiased"), (2.5, "rabitq/unbiased")}
    said = "eden/unbiased at 2.5 bits: left out, bits=2.5 for eden, expected a whole number"
    assert said in found.to_text()
    assert max(map(len, found.to_text().splitlines())) <= 100
    assert said in Page(found._repr_html_()).text
    found.save(tmp_path)
    assert said in Page((tmp_path / "report.html").read_text("utf-8")).text
    unmet = json.loads((tmp_path / "results.json").read_text("utf-8"))["unmet"]
    assert [(one["rate"], one["unit"], one["method"]) for one in unmet] == [
        (2.5, "bits", "eden/unbiased"),
        (2.5, "bits", "rabitq/unbiased"),
    ]
    with pytest.raises(ValueError, match=r"^eden/unbiased was left out at 2.5 bits: bits=2.5 for"):
        found.difference("blockquant/unbiased", "eden/unbiased", rate=2.5)
    with pytest.raises(ValueError, match=r"'mine' at 2 bits was not compared, expected one of bl"):
        found.errors(2, "mine")
    with pytest.raises(ValueError, match=r"at 3 bits was not compared, .* at 2, 2.5 bits$"):
        found.values(3, "eden/unbiased", "nmse")
    with pytest.raises(ValueError, match=r"^no method has 2.5 bits: eden/unbiased: bits=2.5 for"):
        bq.compare(x, y, ["eden"], [2.5])
    with pytest.raises(TypeError, match=r"^bits is 2, expected a list of numbers"):
        bq.compare(x, y, ["eden"], 2)


def test_a_budget_tells_what_each_method_uses(sample):
    x, y = sample[0][:50], sample[1][:5]
    names = ["blockquant/unbiased", "eden/unbiased", "turboquant/prod"]
    found = bq.compare(x, y, names, bytes_per_vector=[60, 148], seeds=2)
    rows = found.table()
    for verdict in found.verdicts():
        for name in (verdict.best, verdict.runner_up):
            row = rows[verdict.rate, name]
            used = f"{name} ({row['bits']:.3g} bit"
            assert used in str(verdict)
            assert f"{row['bytes_per_vector']:g} bytes)" in str(verdict)
            assert used in found.to_text().replace("\n" + 19 * " ", " ")
    assert max(map(len, found.to_text().splitlines())) <= 100
    card = answers(found)[0].sentences[0]
    assert re.search(r"within 148 bytes \(3 bits, 148 bytes\)", card)


def test_what_is_zero_is_told(sample, tmp_path):
    x, y = sample[0][:50].copy(), sample[1][:5].copy()
    x[3] = y[2] = y[4] = 0
    found = bq.compare(x, y, ["eden"], [1], seeds=2)
    assert (found.about["zero_rows"], found.about["zero_queries"]) == (1, 2)
    assert found.shape == (49, 3, 384)
    said = "1 zero row and 2 zero queries left out"
    assert said in found.to_text()
    assert said in found._repr_html_()
    found.save(tmp_path)
    assert said in Page((tmp_path / "report.html").read_text("utf-8")).text
    saved = json.loads((tmp_path / "results.json").read_text("utf-8"))
    assert (saved["about"]["zero_rows"], saved["rows"][0]["zero_queries"]) == (1, 2)
    with (tmp_path / "results.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["zero_rows"], row["zero_queries"]) == ("1", "2")
