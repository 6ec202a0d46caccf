"""The limits of `benches/trellis.py`, and the tables that the docs draw from its kept run."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

import blockquant as bq

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bench():
    sys.path.insert(0, str(ROOT / "benches"))
    import trellis as module

    yield module
    sys.path.remove(str(ROOT / "benches"))


def test_a_figure_stands_beside_its_limit(bench):
    limits = bench.Limits()
    assert limits.most("error", 1.1304, 1.13) == "1.130 ≤ 1.13"
    assert limits.least("recall", 0.75, 0.75) == "0.750 ≥ 0.75"
    assert limits.most("error", 3.0, None) == "3.000"
    assert limits.missed == []
    assert limits.most("error", 1.1306, 1.13) == "1.131! ≤ 1.13"
    assert limits.least("recall", 0.7494, 0.75) == "0.749! ≥ 0.75"
    assert limits.missed == ["error: 1.131, not ≤ 1.13", "recall: 0.749, not ≥ 0.75"]


def test_the_slowest_of_the_kernels_is_judged(bench):
    text = (
        "kernel                                          d      avx2 ns × scalar\n"
        "trellis assign, 4 rows, 64 states, 1 bits    1536      14000.0     80.0\n"
        "trellis assign, 4 rows, 64 states, 2.5 bits  1536      16000.0     70.0\n"
        "trellis assign, 4 rows, 64 states, 2.5 bits   384       4000.0     70.0\n"
    )
    assert bench.kernel_ns(text, "trellis assign, 4 rows, 64 states, .*", 1536) == 16000
    with pytest.raises(SystemExit, match="no line of 'trellis bytes, 64 rows' at d = 384"):
        bench.kernel_ns(text, "trellis bytes, 64 rows", 384)


def test_the_error_over_the_bound(bench):
    x = np.random.default_rng(0).standard_normal((300, 64), np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    q = bq.create("eden/mse", dim=64, bits=2)
    expected = bq.theory.nmse("eden/mse", 2, 64) / bq.theory.shannon(2)
    assert bench.times_shannon(q, x) == pytest.approx(expected, rel=0.02)


def test_the_peers_are_measured_once(bench, tmp_path):
    pytest.importorskip("faiss")
    import trellis_bytes

    x, y = bq.sample()
    data = trellis_bytes.Data(x[:300], y[:20])
    kept = tmp_path / "peers.json"
    # At 3 bits the codebooks have 64 words, which 300 rows can train.
    first = next(trellis_bytes.peers(data, 3, "rows", kept))
    assert (first.label, first.size) == ("faiss PQ192x6", 144)
    assert 0 < first.nmse < 0.1
    assert next(trellis_bytes.peers(data, 3, "rows", kept)) == first


def test_our_line_is_what_measure_says(bench):
    import trellis_bytes

    x, y = bq.sample()
    found = trellis_bytes.of_ours("eden", "eden", 2, trellis_bytes.Data(x[:500], y[:50]))
    mse, unbiased = (bq.measure(bq.Eden(384, 2, s), x[:500], y[:50]) for s in ("mse", "unbiased"))
    assert found.nmse == pytest.approx(mse.nmse)
    assert found.error == pytest.approx(unbiased.ip_error)
    assert found.recall == pytest.approx(unbiased.recall10)
    assert found.size == unbiased.bytes_per_vector


def test_the_figure_of_time_has_every_point():
    pytest.importorskip("matplotlib")
    spec = importlib.util.spec_from_file_location("figures", ROOT / "docs" / "_ext" / "figures.py")
    figures = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(figures)
    found = figures.trade()
    assert set(found) == {(n, b) for n in ("trellis", "blockquant", "eden") for b in (1, 2, 3, 4)}
    for (name, bits), points in found.items():
        times, errors = zip(*points, strict=True)
        assert len(points) == (5 if name == "trellis" else 1)
        assert list(errors) == sorted(errors, reverse=True), bits
        assert all(time > 0 for time in times)
        assert all(1 < error < 3 for error in errors)
