"""The verdicts of `benches/claims.py`, on invented figures."""

import sys
from pathlib import Path

import numpy as np
import pytest

BENCHES = Path(__file__).parents[2] / "benches"


@pytest.fixture(scope="module")
def claims():
    sys.path.insert(0, str(BENCHES))
    import claims as module

    yield module
    sys.path.remove(str(BENCHES))


@pytest.mark.parametrize(
    ("figure", "half", "verdict"),
    [(2.0, 1.0, "holds"), (0.5, 1.0, "open"), (-0.5, 1.0, "open"), (-2.0, 1.0, "fails")],
)
def test_a_cell(claims, figure, half, verdict):
    assert claims.Cell("rows", "a below b", 2, figure, half).verdict == verdict


def test_a_claim(claims):
    cells = [claims.Cell("rows", "a below b", b, f, 1.0) for b, f in ((1, 3), (2, 0.2), (4, -3))]
    claim = claims.Claim("A leads", "Of nmse.", "per cent below", cells)
    assert "holds in 1 of 3 cells, is open in 1, fails in 1" in claim.verdict()
    assert list(claim.table())[2] == (
        "| rows | a below b | +3.00 ± 1.00 | +0.20 ± 1.00 (open) | – | -3.00 ± 1.00 (**fails**) |"
    )
    told = list(claims.failures([claim]))
    assert len(told) == 2
    assert "fails in 1 of 3 cells (rows; bits 4)" in told[0]
    sure = claims.Claim("A leads", "Of nmse.", "per cent below", cells[:1])
    assert sure.verdict() == "**Holds** in all 1 cells."
    assert list(claims.failures([sure])) == ["- Nowhere, in these cells."]


def test_bits_saved(claims, sample):
    """EDEN needs almost exactly one bit less than TurboQuant prod."""
    import blockquant as bq

    x, y = sample[0][:300], sample[1][:30]
    names = ["eden/unbiased", "turboquant/prod"]
    found = {"rows": {b: bq.compare(x, y, names, [b], seeds=3) for b in claims.BITS}}
    cells = claims.prod_in_bits(found).cells
    assert [cell.bits for cell in cells] == [2, 3, 4]
    assert all(0.9 < cell.figure < 1.5 and cell.verdict == "holds" for cell in cells)


@pytest.mark.parametrize(("error", "bits"), [(-1, 1), (-2, 1.5), (-4, 2.5), (-9, 4), (0, 0.5)])
def test_the_rate_of_an_error(claims, error, bits):
    """The rate is also extrapolated below the least rate; a cut there would hide the spread."""
    assert claims.rate_of(error, np.array([-1.0, -3.0, -5.0, -9.0])) == pytest.approx(bits)


def test_without_the_shared_data_a_bench_measures_the_sample_and_says_so(
    claims, tmp_path, monkeypatch, capsys
):
    import common
    from claims_data import datasets

    monkeypatch.setattr(common, "DATA", tmp_path)
    assert "the shipped sample" in next(datasets(None, 60))[1]
    assert f"{tmp_path / common.FILES[0]} and " in capsys.readouterr().out
    for name, about, x, y in datasets(None, 60):
        assert name
        assert about
        assert len(x) in (30, 60)
        assert len(y) == 200
        assert (x != 0).any(axis=1).all()


def test_a_named_folder_without_the_data_is_refused(claims, tmp_path):
    import common

    np.save(tmp_path / common.FILES[0], np.eye(3, dtype=np.float16))
    with pytest.raises(SystemExit, match=f"^--data: .*{common.FILES[1]} not found$"):
        common.embeddings(tmp_path)
    np.save(tmp_path / common.FILES[1], np.ones((1, 3), np.float16))
    found = common.embeddings(tmp_path)
    assert (found.x.shape, found.y.shape, found.is_sample) == ((3, 3), (1, 3), False)


def test_the_page(claims, sample, monkeypatch):
    """The whole page is made, from few rows at two rates."""
    from argparse import Namespace

    from blockquant import registry

    monkeypatch.setattr(registry, "_FACTORIES", dict(registry._FACTORIES))
    monkeypatch.setattr(claims, "BITS", (1, 2))
    monkeypatch.setattr(claims, "BLOCKS", {1: (2, 8), 2: (2, 4)})
    claims.register_blocks("hadamard")
    found = {"rows": claims.measured(sample[0][:60], sample[1][:10], 2, "hadamard")}
    options = Namespace(seeds=2, rotation="hadamard")
    text = "\n".join(claims.page(found, {"rows": "some rows"}, options))
    for claim in claims.CLAIMS:
        assert f"## {claim(found).title}" in text
    assert "| rows | p = 8, unbiased | " in text
    assert "nan" not in text
