"""Methods on fitted axes in a comparison: the sample, the names, theory beside measurement."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

import blockquant as bq
from blockquant import measurement
from blockquant.cli import main
from pages import Page

NAMES = ["trellis", "trellis/mse", *measurement.FITTED]


@pytest.fixture(scope="module")
def rows() -> NDArray[np.float32]:
    """Gaussian rows of falling variance about a mean, in a basis of their own."""
    rng = np.random.default_rng(3)
    basis = np.linalg.qr(rng.standard_normal((64, 64)))[0]
    spread = rng.standard_normal((4500, 64)) * np.exp(-np.arange(64) / 15)
    return (5 * (spread @ basis + 0.3 * basis[0])).astype(np.float32)


@pytest.fixture(scope="module")
def comparison(rows):
    return bq.compare(rows[:4400], rows[4400:], NAMES, [2, 4], seeds=2, sample=0.5)


def unit(rows):
    return rows / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)


def test_a_share_is_drawn_and_not_measured(rows, comparison):
    assert comparison.shape == (2200, 100, 64)
    sample = comparison.about["sample"]
    assert (sample["rows"], sample["measured_too"]) == (2200, 0)
    drawn = np.sort(np.random.default_rng(0).permutation(4400)[:2200])
    assert bq.fit(unit(rows[drawn]).astype(np.float32)).digest == sample["digest"]
    again = bq.compare(rows[:4400], rows[4400:], ["eden+axes"], [2], seeds=1, sample=0.5)
    assert again.about["sample"]["digest"] == sample["digest"]
    # Without queries the last rows are held out first, and are in neither part.
    held = bq.compare(rows, methods=["eden+axes"], bits=[2], seeds=1, sample=0.25)
    assert held.shape == (3225, 200, 64)


def test_given_rows_that_are_measured_too_are_counted(rows):
    names = ["eden+axes"]
    apart = bq.compare(rows[:900], rows[4400:], names, [2], seeds=1, sample=rows[900:2000])
    assert apart.about["sample"]["rows"] == 1100
    assert "none of which is measured" in str(apart)
    # Rows are compared by their directions, as they are measured.
    both = bq.compare(rows[:900], rows[4400:], names, [2], seeds=1, sample=2 * rows[890:2000])
    assert both.about["sample"]["measured_too"] == 10
    assert "10 measured rows are in the sample, too" in str(both)


def test_rows_say_what_was_fitted(comparison):
    for (rate, name), row in comparison.table().items():
        fitted = name.startswith("trellis+axes/")
        assert row["criterion"] == (name.partition("/")[2] if fitted else None)
        assert row["training_rows"] == (2200 if fitted else None)
        assert (row["training_seconds"] is not None) == fitted
        most = 64 * rate // 8 + (8 if fitted else 4)
        assert row["bytes_per_vector"] <= most
    json.dumps(comparison.to_dict(), allow_nan=False)
    assert len(comparison.to_dict()["predicted"]) == 6


def test_each_criterion_is_the_best_at_what_it_is_for(comparison):
    for rate in (2, 4):
        rows = {row["criterion"]: row for row in comparison.rows() if row["bits"] == rate}
        for field, criterion in (("nmse", "reconstruction"), ("ip_error", "inner_product")):
            least = min(rows[name][field] for name in ("recall", "reconstruction", "inner_product"))
            assert rows[criterion][field] == least


def test_measured_errors_are_as_the_model_predicts():
    """Of rows with two variances. Shrinkage raises the smaller one by a tenth."""
    rng = np.random.default_rng(5)
    x = rng.standard_normal((8100, 64)) * np.where(np.arange(64) < 32, 1, 0.3)
    found = bq.compare(x[:8000], x[8000:], NAMES, [2, 4], seeds=2, sample=0.5)
    for row in found.rows():
        for field in ("nmse", "ip_error"):
            ratio = row[field] / row[f"{field}_theory"]
            assert abs(ratio - 1) < 0.14, (row["bits"], row["method"], field)
    assert f"at most {1.02 * 4064 / 3936:.2f} are expected" in " ".join(str(found).split())


def test_rows_of_another_kind_are_told(rows):
    """Nothing in the sample lies along the last axes, and the rows do."""
    rng = np.random.default_rng(4)
    others = rng.standard_normal((800, 64)).astype(np.float32)
    found = bq.compare(others, methods=["trellis+axes"], bits=[2], seeds=1, sample=rows)
    assert "so these are unlike it" in str(found).replace("\n ", "")


def test_a_quantizer_measures_rows_of_any_length(rows):
    """A model has the lengths of its sample, so rows are not scaled; their errors are."""
    for factor in (1.0, 300.0):
        axes = bq.fit(factor * rows[:3000])
        q = bq.create("trellis", dim=64, bits=3, axes=axes, store_norm=True)
        found = bq.measure(q, factor * rows[3000:4400], rows[4400:], 0.9)
        x = factor * rows[3000:4400]
        loss = np.square(q.decode(q.encode(x)) - x, dtype=np.float64).sum(axis=1)
        relative = (loss / np.square(x, dtype=np.float64).sum(axis=1)).mean()
        assert found.nmse == pytest.approx(relative, rel=1e-4)
        assert (found.nmse_theory, found.ip_error_theory) == (
            q.predicted.nmse,
            q.predicted.ip_error,
        )
        assert found.variance_theory is None
        assert found.coverage is not None
        assert found.coverage > 0.89
        plain = bq.measure(bq.create("trellis", dim=64, bits=3), x, rows[4400:])
        assert found.recall10 > plain.recall10
    without = bq.create("trellis", dim=64, bits=3, axes=axes)
    assert bq.measure(without, x[:50], rows[4400:]).coverage is None


def test_verdicts_tell_fitted_methods_apart(comparison):
    verdicts = comparison.verdicts()
    assert [verdict.fitted for verdict in verdicts] == [False] * 6 + [True] * 6
    assert all("+axes" not in verdict.best for verdict in verdicts[:6])
    for verdict in verdicts[6:]:
        assert verdict.best.startswith("trellis+axes/")
        assert verdict.runner_up in ("trellis/mse", "trellis/unbiased")
        assert verdict.margin > 20
        assert verdict.significant
    kinds = {("+axes" in d.method, "+axes" in d.other) for d in comparison.differences()}
    assert kinds == {(False, False), (True, False), (True, True)}


def test_the_table_and_the_report(comparison, tmp_path):
    text = str(comparison)
    assert max(map(len, text.splitlines())) <= 100
    assert text.count("-- fitted to 2200 rows in ") == 2
    assert text.count("…/reconstruction") == 2
    # Each kind has its own best figures.
    body = text.split("\n\n")[0]
    for part in body.split("-" * 100)[1:]:
        plain, fitted = part.split("-- fitted")
        assert plain.count("*") >= 4
        assert fitted.count("*") >= 4
    written = {path.name for path in comparison.save(tmp_path)}
    assert {"spectrum.svg", "allocation.png"} <= written
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    Page(page)
    for words in ("If you can fit axes to a sample", "<h2>Fitted axes</h2>", "search, fitted"):
        assert words in page
    assert page.count("<small>fitted</small>") == 4 * 6
    drawing = (tmp_path / "spectrum.svg").read_text(encoding="utf-8")
    groups = comparison.predicted[2, "trellis+axes/recall"].groups
    assert all(f">{group.bits:g}<" in drawing for group in groups)


def test_only_fitted_methods(rows, tmp_path):
    found = bq.compare(rows[:600], methods=["eden+axes"], bits=[2], seeds=1, sample=rows[600:])
    assert [verdict.runner_up for verdict in found.verdicts()] == [None] * 3
    assert "the only family" in str(found)
    found.save(tmp_path)
    assert found._repr_html_()


def test_nothing_is_fitted_without_a_sample(rows):
    found = bq.compare(rows[:100], methods=["eden"], bits=[2], seeds=1)
    assert found.model is None
    assert "sample" not in found.about
    assert "axes" not in str(found)


def test_byte_budgets(rows):
    found = bq.compare(
        rows[:600],
        methods=["trellis", "trellis+axes"],
        bytes_per_vector=[8, 17, 40],
        seeds=1,
        sample=rows[600:],
    )
    for (budget, _), row in found.table().items():
        assert row["bytes_per_vector"] <= budget
    assert found.unmet[8, "trellis+axes/recall"] == "needs more than 8 bytes"
    assert found.rates[17, "trellis+axes/recall"].bits == 9 / 8


@pytest.mark.parametrize(
    ("names", "sample", "what"),
    [
        (["trellis+axes"], None, "trellis.axes/recall needs a sample"),
        (["trellis"], 0.5, "no fitted methods"),
        (["trellis+axes/recal"], 0.5, "did you mean 'recall'"),
        (["turboquant+axes"], 0.5, "expected one of blockquant.axes"),
        (["eden+axes"], 1.5, "sample=1.5"),
        (["eden+axes"], 1e-9, "sample: 1e-09 of 90 rows"),
        (["eden+axes"], np.zeros((5, 64), np.float32), "sample"),
        (["eden+axes"], np.ones((5, 63), np.float32), "sample has d = 63, expected 64"),
    ],
)
def test_errors(rows, names, sample, what):
    with pytest.raises(ValueError, match=what):
        bq.compare(rows[:100], methods=names, bits=[2], seeds=1, sample=sample)


def test_the_command(rows, tmp_path):
    np.save(tmp_path / "x.npy", rows[:500])
    np.save(tmp_path / "sample.npy", rows[500:2000])
    np.savez(tmp_path / "two.npz", a=rows[500:900], b=rows[900:1900])

    def run(*options):
        given = ["compare", str(tmp_path / "x.npy"), "--seeds", "1", "--bits", "2", *options]
        return CliRunner().invoke(main, given)

    found = json.loads(run("--sample", str(tmp_path / "sample.npy"), "--json").output)
    names = [row["method"] for row in found["rows"]]
    assert names[-3:] == list(measurement.FITTED)
    assert found["about"]["sample"]["rows"] == 1500
    few = ("--methods", "eden,eden+axes/reconstruction")
    assert "fitted to 180 rows" in run("--sample", "0.4", *few).output
    two = ("--sample", str(tmp_path / "two.npz"))
    assert "--sample-array" in run(*two, *few).output
    assert "fitted to 1000 rows" in run(*two, "--sample-array", "b", *few).output
    for options, words in (
        (("--sample", "none.npy"), "neither a file nor a share"),
        (("--sample", "2"), "between 0 and 1"),
        (("--sample-array", "a"), "--sample-array needs"),
        (("--methods", "eden+axes"), "needs a sample"),
    ):
        result = run(*options)
        assert result.exit_code != 0
        assert words in result.output


@pytest.mark.filterwarnings("ignore:.* rows are few:UserWarning")
def test_intervals_of_fitted_codes_hold_on_the_shipped_sample(sample):
    """Within three standard errors, those between seeds."""
    x, queries = sample
    axes = bq.fit(x[:1000])
    stored = x[1000:].astype(np.float32)
    for name, bits in (("trellis", 1), ("trellis/mse", 4), ("eden", 6), ("blockquant", 8)):
        shares = []
        for seed in range(8):
            y = queries[20 * seed : 20 * seed + 20].astype(np.float32)
            true = y.astype(np.float64) @ stored.T.astype(np.float64)
            q = bq.create(name, dim=384, bits=bits, axes=axes, seed=seed, store_norm=True)
            low, high = q.interval(q.encode(stored), y, 0.9)
            shares.append(((low <= true) & (true <= high)).mean())
        error = max(np.std(shares, ddof=1) / 8**0.5, (0.09 / (8 * true.size)) ** 0.5)
        assert np.mean(shares) > 0.9 - 3 * error, (name, bits)
