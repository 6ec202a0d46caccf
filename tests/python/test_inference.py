"""`benches/inference.py` without its model: simulated caches, coders and verdicts."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHES = Path(__file__).parents[2] / "benches"


@pytest.fixture(scope="module", autouse=True)
def benches():
    sys.path.insert(0, str(BENCHES))
    yield
    sys.path.remove(str(BENCHES))


@pytest.fixture
def heads(rng):
    """300 tokens of two key-value heads of three query heads each; keys share a mean."""
    from inference_parts.model import Heads, angles, rotate

    unrotated = rng.standard_normal((2, 300, 64)) + 2 * rng.standard_normal((2, 1, 64))
    unrotated = unrotated.astype(np.float32)
    turn = angles(100_000.0 ** (-np.arange(32) / 32), np.arange(300))
    q = rng.standard_normal((2, 3, 300, 64)).astype(np.float32) * 2
    v = rng.standard_normal((2, 300, 64)).astype(np.float32)
    return Heads(0, rotate(q, *turn), rotate(unrotated, *turn), unrotated, v)


OPTIONS = (
    {},
    {"center": "static", "window": 64},
    {"center": None, "sinks": 0},
    {"centroids": 16},
    {"debias": True, "sinks": 1},
    {"centroids": 5, "center": "static", "debias": True},
    {"method": "trellis/unbiased"},
)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_simulation_is_the_cache_token_by_token(heads, options):
    """Up to the rounding of codewords to integers, of which the simulation has none."""
    from inference_parts import kinds
    from inference_parts.attention import Cached, Exact, Simulated

    spec = kinds.ours("cache", 2, 2, **options)
    cached = Cached(spec)
    found, expected, exact = cached(heads), Simulated(spec)(heads), Exact()(heads)
    off = np.abs(expected - exact).max()
    assert off > 0.05
    assert np.abs(found - expected).max() < 0.05 * off
    first = spec.sinks + spec.window + 64 - 1  # queries before this one see no code
    assert np.abs(found - exact)[:, :, :first].max() < 1e-5
    assert np.abs(expected - exact)[:, :, first].max() > 1e-3
    cache = cached.caches[0]
    assert cache.coded == [64 * spec.pages(300)]
    assert cache.bits_per_coded_value == pytest.approx(spec.coded_bits(64), abs=1e-9)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_all_bits_are_those_of_a_cache_of_float16(heads, options):
    from inference_parts import kinds

    spec = kinds.ours("cache", 3, 2, **options)
    cache = spec.cache(2, 64)
    k, v = (x[None].astype(np.float16) for x in (heads.k, heads.v))
    cache.append(k, v)
    assert cache.bits_per_value == pytest.approx(spec.all_bits(300, 64), rel=1e-3)


def test_searched_caches_are_those_of_the_library(heads):
    """The codes are those of a search, and the bits do not change."""
    from inference_parts import kinds
    from inference_parts.attention import Cached, Simulated

    one = kinds.ours("cache", 4, 2)
    spec = kinds.searched(one)
    assert (spec.name, spec.keys.search, spec.values.search) == ("cache, 9 scales", 9, None)
    cached = Cached(spec)
    found = cached(heads)
    near, far = (np.abs(found - Simulated(each)(heads)).mean() for each in (spec, one))
    assert near < 0.2 * far
    assert cached.caches[0].bits_per_coded_value == pytest.approx(one.coded_bits(64), abs=1e-9)


def test_other_states_are_other_codes_of_as_many_bits(heads):
    from inference_parts import kinds

    one = kinds.ours("cache", 2, 2, method=kinds.TRELLIS)
    more = kinds.of_states(one, 256)
    assert more.coded_bits(64) == one.coded_bits(64)
    off = [np.square(spec.keys(heads.k[:, :256]) - heads.k[:, :256]).mean() for spec in (one, more)]
    assert off[1] < off[0]
    with pytest.raises(ValueError, match="cache, 256 states: the library has no such cache"):
        more.cache(1, 64)


def test_only_caches_of_the_library_are_real():
    from inference_parts import kinds

    with pytest.raises(ValueError, match="KIVI 2, groups of 32: the library has no such cache"):
        next(spec for spec in kinds.quick() if spec.name == kinds.KIVI_TWO).cache(1, 64)


def test_every_query_sees_the_pages_of_its_length():
    from inference_parts.attention import blocks
    from inference_parts.caches import pages

    for tokens, sinks, window in ((50, 4, 32), (99, 4, 32), (100, 4, 32), (700, 0, 64), (9, 4, 0)):
        seen = list(blocks(tokens, sinks, window))
        assert [first for first, *_ in seen] == [0, *(end for _, end, _ in seen[:-1])]
        assert seen[-1][1] == tokens
        for first, end, coded in seen:
            for i in range(first, end):
                assert coded == pages(i + 1, sinks, window)


def test_byte_scales_are_those_of_the_cache():
    from inference_parts.coders import byte_scales

    scale = np.ones((1, 2, 64), np.float32)
    scale[0, 0, :4] = [0, 2**-21.4, 2**-21.0, 1.02]
    scale[0, 1] = 3
    found = byte_scales(scale)
    assert found[0, 0, :4].tolist() == pytest.approx([0, 0, 2**-21, 1])
    assert found[0, 1] == pytest.approx(2 ** (19 / 12))
    rows = np.exp(np.random.default_rng(0).uniform(-5, 5, (1, 4, 64))).astype(np.float32)
    assert np.abs(np.log2(byte_scales(rows) / rows)).max() <= 0.5 / 12 + 1e-6


def test_the_other_coders(rng):
    """Each is as far off as its bits allow, and exact where its grid is."""
    from inference_parts.coders import Channels, Float8, Ggml, Half, Tokens, e4m3

    rows = rng.standard_normal((2, 128, 64)).astype(np.float32)
    bits = {}
    for coder, low, high in (
        (Channels(2, 32), 0.05, 0.2),
        (Channels(4, 64), 0.002, 0.01),
        (Tokens(2, 32), 0.05, 0.2),
        (Ggml(4), 0.004, 0.012),
        (Ggml(4, rotated=True), 0.004, 0.012),
        (Ggml(8), 1e-6, 1e-4),
        (Float8(), 1e-4, 2e-3),
        (Half(), 1e-9, 1e-6),
    ):
        error = np.square(coder(rows) - rows).mean() / np.square(rows).mean()
        assert low < error < high, coder
        bits[coder] = coder.bits_per_row(64) / 64
    assert list(bits.values()) == pytest.approx([3, 4.5, 3, 4.5, 4.5, 8.5, 8 + 1 / 256, 16])
    grid = np.tile(np.arange(-8, 8, dtype=np.float32), (1, 64, 4))
    assert (Ggml(4)(grid) == grid).all()
    assert (Channels(4, 64)(grid.swapaxes(1, 2)) == grid.swapaxes(1, 2)).all()
    assert (Tokens(4, 32)(grid) == grid).all()
    numbers = np.array([0, 1, 1.0625, 1.07, -448, 500, 2**-9, 2**-10, 240.1], np.float32)
    assert e4m3(numbers).tolist() == [0, 1, 1, 1.125, -448, 448, 2**-9, 0, 240]


def test_groups_of_keys_do_not_leave_their_page(rng):
    from inference_parts.coders import Channels

    rows = rng.standard_normal((1, 128, 8)).astype(np.float32)
    changed = rows.copy()
    changed[0, 64:] *= 100
    assert (Channels(2, 64)(rows)[0, :64] == Channels(2, 64)(changed)[0, :64]).all()


def test_ratios_and_errors():
    from inference_parts.quality import Figures, ratio, summary

    some = [Figures(kl, 0.1, 0.9) for kl in (0.1, 0.2, 0.3)]
    double = [Figures(2 * one.kl, 0.3, 0.5) for one in some]
    assert ratio(double, some) == pytest.approx((2, 0))
    told = summary(some)
    assert told["kl"] == pytest.approx(0.2)
    assert told["kl_error"] == pytest.approx(0.1 / np.sqrt(3))
    assert told["perplexity_ratio"] == pytest.approx(np.exp(0.1))


def test_the_verdicts():
    from inference_parts import kinds, verdicts
    from inference_parts.quality import Figures

    specs = {spec.name: spec for spec in kinds.everything()}
    found = {name: [Figures(1.0, 0, 1)] * 2 for name in specs}
    found[kinds.TWO] = [Figures(0.34, 0, 1)] * 2
    told = {verdict.wanted: verdict.holds for verdict in verdicts.of_divergence(specs, found, 64)}
    assert list(told.values()) == [True, False, True, False, False]
    shares = {kinds.THREE_TWO: (0.76, 0.1), kinds.TWO: (0.44, 0.1)}
    assert [verdict.holds for verdict in verdicts.of_needle(shares)] == [True, False]
    row = {"name": "x", "kl": 1.0, "coded_bits": 2.5, "simulated_coded_bits": 2.5}
    near, far = ({**row, "simulated_kl": kl} for kl in (1.01, 1.2))
    path = {**far, "name": kinds.TRELLIS_THREE_TWO}
    assert [one.holds for one in verdicts.of_real([near, far, path])] == [True, False, True]


def test_a_verdict_that_is_not_measured_is_that_of_an_earlier_run():
    from inference_parts import kinds, verdicts
    from inference_parts.quality import Figures

    specs = {spec.name: spec for spec in kinds.everything()}
    found = {name: [Figures(1.0, 0, 1)] * 2 for name in specs}
    earlier = {one.wanted: one for one in verdicts.of_divergence(specs, found, 64)}
    del found[kinds.HADAMARD]
    again = list(verdicts.of_divergence(specs, found, 64, earlier=earlier))
    assert again == list(earlier.values())
    with pytest.raises(KeyError, match=kinds.HADAMARD.replace("+", r"\+")):
        list(verdicts.of_divergence(specs, found, 64))


def test_kept_lines_of_another_run_are_refused():
    import inference

    about = json.loads((BENCHES / "results" / "inference.json").read_text("utf-8"))["about"]
    assert set(inference.Kept(about).quality)
    with pytest.raises(SystemExit, match="the kept results are of another run"):
        inference.Kept([about[0], about[1].replace("2048", "1024"), *about[2:]])


def test_the_memory_of_a_cache_of_float16():
    from inference_parts import verdicts

    told = list(verdicts.of_memory(3, 64, 100_000.0))
    assert all(verdict.holds for verdict in told), [verdict.line() for verdict in told]


def test_names_are_unique_and_the_picture_finds_its_curves():
    from inference_parts import kinds, report

    specs = kinds.everything()
    assert len({spec.name for spec in specs}) == len(specs)
    table = [{"name": spec.name, "coded_bits": spec.coded_bits(64), "kl": 1} for spec in specs]
    sizes = {title: len(list(report.curve(table, prefix))) for title, prefix, *_ in report.FAMILIES}
    assert sizes == {
        "Trellis, rotary mean": 6,
        "BlockQuant, rotary mean": 6,
        "EDEN": 3,
        "RaBitQ": 2,
        "TurboQuant mse": 3,
        "KIVI": 3,
        "Hadamard + q4_0": 1,
    }


def test_the_text_of_a_page():
    from inference_parts.setup import plain

    page = (
        "<head><title>x</title></head><body><p>One&nbsp;two\nthree</p><script>y</script><p>4 &lt; 5"
    )
    assert plain(page + "</body>") == "One two three\n\n4 < 5"


def test_the_model_is_named_where_it_is_missing(monkeypatch, tmp_path):
    from inference_parts import setup

    monkeypatch.setattr(setup.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match=r"gguf is not installed: run .*--install"):
        setup.model_file()
    with pytest.raises(SystemExit, match="has no text of debian-handbook, anarchism: run"):
        setup.texts(tmp_path)


def test_a_stopped_run_goes_on(tmp_path):
    import inference

    path = tmp_path / "kept"
    run = inference.Run(None, path)
    assert run.measured("a", lambda: {"kl": 1}) == {"kl": 1}
    again = inference.Run(None, path)
    assert again.measured("a", lambda: pytest.fail("measured twice")) == {"kl": 1}
