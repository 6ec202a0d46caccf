"""What `docs/inference.md` says is what `benches/inference.py` measured and kept."""

import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benches" / "results"
TEXT = (RESULTS / "inference.txt").read_text("utf-8")
TOLD = json.loads((RESULTS / "inference.json").read_text("utf-8"))
PAGE = (ROOT / "docs" / "inference.md").read_text("utf-8")


@pytest.fixture(scope="module", autouse=True)
def benches():
    sys.path.insert(0, str(ROOT / "benches"))
    yield
    sys.path.remove(str(ROOT / "benches"))


@pytest.fixture(scope="module")
def rows():
    return {row["name"]: row for row in TOLD["quality"]}


def test_everything_that_has_to_be_reached_is():
    assert len(TOLD["verdicts"]) >= 10
    assert all(verdict["holds"] for verdict in TOLD["verdicts"])
    assert "FAILS" not in TEXT
    assert "prefill: quantized" in TEXT


def test_the_tables_are_of_one_run_of_all_kinds(rows):
    from inference_parts import kinds, report

    assert list(rows) == [spec.name for spec in kinds.everything()]
    for lines in (
        report.quality_table(TOLD["quality"], 2048),
        report.needle_table(TOLD["needles"]),
        report.real_table(TOLD["real"]),
    ):
        assert "\n".join(lines) in TEXT
    assert "\n".join(TOLD["about"]) in TEXT


def test_the_bits_are_those_of_the_code(rows):
    from inference_parts import kinds

    for spec in kinds.everything():
        assert rows[spec.name]["coded_bits"] == pytest.approx(spec.coded_bits(64)), spec.name
        assert rows[spec.name]["all_bits"] == pytest.approx(spec.all_bits(2048, 64)), spec.name


def test_the_page_shows_every_section_and_picture():
    for title in re.findall(r"^== (\S+) ==$", TEXT, re.M):
        assert f"== {title} ==" in PAGE or title == "windows", title
    for theme in ("light", "dark"):
        assert f"_static/inference-{theme}.svg" in PAGE
        assert (ROOT / "docs" / "_static" / f"inference-{theme}.svg").is_file()


def test_the_picture_shows_what_its_text_says(rows):
    """From 2 to 4 bits the curve of the trellis is the lowest, and that of BlockQuant the next."""
    from inference_parts import report

    curves = {title: sorted(report.curve(TOLD["quality"], p)) for title, p, *_ in report.FAMILIES}
    lowest = dict(curves.pop("Trellis, rotary mean"))
    ours = curves.pop("BlockQuant, rotary mean")
    assert all(lowest[bits] < kl for bits, kl in ours)
    for title, points in curves.items():
        for bits, kl in points:
            if title != "KIVI" or bits < 4:
                nearest = [own for at, own in ours if at <= bits]
                assert min(nearest) < kl, title


def test_what_the_page_says_of_losses(rows):
    found = {(row["name"], row["tokens"]): row["found"] for row in TOLD["needles"]}
    two, debias = "BlockQuant 2/2", "BlockQuant 2/2, debias"
    assert rows[debias]["kl"] < rows[two]["kl"]
    assert found[debias, 500] < found[two, 500]
    assert 0.35 < found[two, 500] < 0.65
    assert all(0.58 < found["Trellis 2/2", tokens] < 0.65 for tokens in (500, 1000))
    assert found["BlockQuant 3/2", 500] > 0.75
    four = found["BlockQuant 4/4", 500]
    assert four == pytest.approx(found["Hadamard + q4_0", 500], abs=0.025)
    assert rows["BlockQuant 4/4, plain"]["kl"] > rows["KIVI 4, groups of 64"]["kl"]
    assert rows["q8_0"]["kl"] < 1e-4
    centroids = rows["BlockQuant 2/2, 16 centroids"]
    index = centroids["coded_bits"] - rows[two]["coded_bits"]
    assert centroids["all_bits"] - rows[two]["all_bits"] > 2 * index


def test_what_the_page_says_of_codes(rows):
    def less(name, rate):
        gain = 1 - rows[name.format(rate)]["kl"] / rows[f"BlockQuant {rate}"]["kl"]
        return f"{100 * gain:.0f}"

    rates = ("2/2", "3/2", "3/3", "4/3", "4/4")
    trellis = ", ".join(less("Trellis {}", rate) for rate in rates)
    searched = ", ".join(less("BlockQuant {}, 9 scales", rate) for rate in rates[1:])
    assert f'| `"trellis"` | {trellis} % |' in PAGE
    assert f"| a search over 9 scales | –, {searched} % |" in PAGE
    assert rows["Trellis 2.5/2"]["kl"] < 1.2 * rows["BlockQuant 3/2"]["kl"]
    small = rows["BlockQuant 3/2"]["kl"] - rows["BlockQuant 3/2, 9 scales"]["kl"]
    assert small < rows["BlockQuant 3/2"]["kl_error"]
    for bits in (3, 4):
        eden, mse = (
            rows[f"EDEN {rule} {bits}/{bits}, mean, 9 scales"] for rule in ("unbiased", "mse")
        )
        assert min(eden["kl"], mse["kl"]) > rows[f"BlockQuant {bits}/{bits}"]["kl"]
        assert (mse["kl"] < eden["kl"]) == (bits == 4)
    for rate in ("2/2", "4/4"):
        more, one, ours = (
            rows[name]["kl"]
            for name in (f"Trellis {rate}, 256 states", f"Trellis {rate}", f"BlockQuant {rate}")
        )
        assert one - more < ours - one
