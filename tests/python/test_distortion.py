"""What is measured, against plain NumPy and SciPy over the whole data at once; chunks, budgets,
paired differences."""

import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

import blockquant as bq
from blockquant.measurement import CRITERIA, Errors, _truth
from blockquant.measurement._budget import within
from blockquant.measurement._student import half_interval
from blockquant.registry import full_name

FINITE = st.floats(-4, 4, width=32)


@pytest.fixture
def small_chunks(monkeypatch):
    """Chunks of some tens of rows, none kept."""
    monkeypatch.setattr(_truth, "_CHUNK", 37 * 384)
    monkeypatch.setattr(_truth, "_KEPT", 0)


@given(hnp.arrays(np.float32, st.integers(1, 300), elements=FINITE), st.floats(0.01, 0.9999))
def test_quantiles_of_errors(values, level):
    """Within a bin of the smallest error that at least `level` of them do not exceed."""
    found = Errors.of(values).quantile(level)
    exact = np.sort(np.abs(values))[max(0, int(np.ceil(level * len(values))) - 1)]
    assert abs(found - exact) <= exact * 2.0**-9 + 1e-38


def test_tails_and_density_of_errors(rng):
    values = rng.standard_normal(50_000).astype(np.float32)
    errors = Errors.sum([Errors.of(values[:1000]), Errors.of(values[1000:])])
    assert errors.total == len(values)
    size = np.array([0.1, 1.0, 2.5])
    share = [(np.abs(values) > s).mean() for s in size]
    np.testing.assert_allclose(errors.beyond(size), share, atol=1e-3)
    edges = np.linspace(-3, 3, 13)
    want, _ = np.histogram(values, edges)
    np.testing.assert_allclose(errors.density(edges), want / len(values) / 0.5, atol=2e-3)


@pytest.mark.parametrize("name", ["blockquant/unbiased", "eden/mse", "turboquant/prod"])
def test_rows_that_are_equal(sample, small_chunks, name):
    """Each row 120 times, in any order: of the ten best all are equal, and all are found."""
    rng = np.random.default_rng(5)
    x = np.repeat(sample[0][:6], 120, axis=0)[rng.permutation(720)]
    y = x[:40] + 0.1 * sample[1][:40]  # so rounding does not decide which row is the best
    found = bq.measure(bq.create(name, dim=384, bits=4), x, y)
    assert (found.recall1, found.recall10, found.recall100) == (1, 1, 1)
    # Spearman's of products whose equal rows are equal.
    x, y = (a.astype(np.float64) for a in (x, y))
    true = (y / np.linalg.norm(y, axis=1, keepdims=True)) @ np.unique(x, axis=0).T
    kinds = np.unique(x, axis=0, return_inverse=True)[1].ravel()
    q = bq.create(name, dim=384, bits=4)
    unit_y = (y / np.linalg.norm(y, axis=1, keepdims=True)).astype(np.float32)
    estimate = q.inner_product(q.encode(x.astype(np.float32)), unit_y)
    want = np.mean(
        [
            stats.spearmanr(a, np.round(b, 6)).statistic
            for a, b in zip(true[:, kinds], estimate, strict=True)
        ]
    )
    assert found.rank_correlation == pytest.approx(want, abs=1e-3)


@pytest.mark.parametrize("name", ["blockquant/unbiased", "eden/mse", "turboquant/prod"])
def test_measure_is_what_it_says(sample, name):
    """Every figure from its definition."""
    x, y = sample[0][:500].astype(np.float64), sample[1][:40].astype(np.float64)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    y /= np.linalg.norm(y, axis=1, keepdims=True)
    q = bq.create(name, dim=384, bits=2, seed=3)
    found = bq.measure(q, x, y, confidence=0.9)
    codes = q.encode(x.astype(np.float32))
    back = q.decode(codes).astype(np.float64)
    true, estimate = y @ x.T, q.inner_product(codes, y.astype(np.float32)).astype(np.float64)
    error = estimate - true
    slope = (error * true).sum() / (true**2).sum()
    want = {
        "nmse": np.mean(np.sum((x - back) ** 2, axis=1)),
        "cosine": np.mean(np.sum(x * back, axis=1) / np.linalg.norm(back, axis=1)),
        "bias": slope,
        "ip_error": 384 * np.mean(error**2),
        "variance": 384 * (np.mean(error**2) - slope**2 * np.mean(true**2)),
        "q50": np.quantile(np.abs(error), 0.5),
        "q99": np.quantile(np.abs(error), 0.99),
        "rank_correlation": np.mean(
            [stats.spearmanr(a, b).statistic for a, b in zip(true, estimate, strict=True)]
        ),
        "bytes_per_vector": codes.nbytes / 500,
        "bits_per_dimension": codes.bits_per_dimension,
    }
    for field, value in want.items():
        assert getattr(found, field) == pytest.approx(value, rel=2e-3, abs=1e-6), field
    for k in (1, 10, 100):
        top = [np.argsort(-a)[:k] for a in true], [np.argsort(-a)[:k] for a in estimate]
        share = np.mean([len(set(a) & set(b)) / k for a, b in zip(*top, strict=True)])
        assert getattr(found, f"recall{k}") == pytest.approx(share, abs=1e-3)
    if name.startswith("turboquant"):
        assert found.coverage is found.half_width is None
    else:
        twin = bq.create(name, dim=384, bits=2, seed=3, store_norm=True)
        low, high = twin.interval(twin.encode(x), y, 0.9)
        inside = (low <= true) & (true <= high)
        assert found.coverage == pytest.approx(inside.mean(), abs=1e-3)
        assert found.half_width == pytest.approx(np.mean(high - low) / 2, rel=1e-3)
    assert "normalised MSE" in str(found)


def figures(found):
    return {name: getattr(found, name) for name in NAMES}


NAMES = [
    name for name in bq.Distortion.__dataclass_fields__ if not name.endswith(("_us", "errors"))
]


def test_chunks_change_nothing(sample, small_chunks):
    x, y = sample[0][:400], sample[1][:30]
    q = bq.BlockQuant(384, 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_truth, "_CHUNK", 1 << 22)
        whole = figures(bq.measure(q, x, y))
    pieces = figures(bq.measure(q, x, y))
    for name in NAMES:
        assert pieces[name] == pytest.approx(whole[name], rel=1e-5, abs=1e-7), name
    assert figures(bq.measure(q, x, y)) == pieces, "not the same twice"


class Lazy:
    """Rows of a file too large for memory: gives pieces, and says how large the largest was."""

    def __init__(self, rows):
        self._rows, self.shape, self.most = rows, rows.shape, 0

    def __len__(self):
        return len(self._rows)

    def __getitem__(self, rows):
        piece = self._rows[rows]
        self.most = max(self.most, len(piece))
        return piece


def test_rows_are_read_in_pieces(sample, small_chunks):
    rows = Lazy(sample[0][:600])
    found = bq.measure(bq.Eden(384, 2), rows, sample[1][:20])
    assert 0 < rows.most <= 37
    assert found.nmse == pytest.approx(bq.measure(bq.Eden(384, 2), rows[:], sample[1][:20]).nmse)
    held = Lazy(sample[0][:600])
    bq.measure(bq.Eden(384, 2), held)
    assert held.most <= 60


def test_memory_does_not_grow_with_the_rows(rng, monkeypatch):
    """Rows of 16 MiB as float32, 4 MiB of them in chunks."""
    monkeypatch.setattr(_truth, "_CHUNK", 1 << 18)
    monkeypatch.setattr(_truth, "_KEPT", 0)
    x = rng.standard_normal((1 << 15, 128), dtype=np.float32).astype(np.float16)
    y = x[:8].copy()
    bq.measure(bq.Eden(128, 1), x[:4096], y)
    tracemalloc.start()
    bq.measure(bq.Eden(128, 1), x, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 << 20  # the counter of errors alone has 8


def test_errors_name_the_row_of_the_data(sample, small_chunks):
    x = sample[0][:200].astype(np.float32)
    x[123, 4] = np.nan
    with pytest.raises(ValueError, match=r"^x: row 123, column 4 is NaN"):
        bq.measure(bq.Eden(384, 2), x, sample[1])
    with pytest.raises(ValueError, match=r"^confidence=1"):
        bq.measure(bq.Eden(384, 2), sample[0], sample[1], confidence=1)


@pytest.mark.parametrize("given", [np.asarray, lambda rows: Lazy(rows)])
def test_zero_rows_and_queries_are_left_out(sample, small_chunks, given):
    """The figures are those of the others, whose number is told."""
    x, y = sample[0][:200].copy(), sample[1][:20].copy()
    rows, queries = x.copy(), y.copy()
    rows[[0, 7, 123, 124, 199]] = 0
    rows[37:74] = 0  # a whole chunk
    queries[3] = 0
    live = rows.any(axis=1)
    found = bq.measure(bq.Eden(384, 2), given(rows), queries)
    assert (found.zero_rows, found.zero_queries) == (42, 1)
    want = figures(bq.measure(bq.Eden(384, 2), x[live], np.delete(y, 3, axis=0)))
    for name, value in figures(found).items():
        if not name.startswith("zero_"):
            assert value == pytest.approx(want[name], rel=1e-5, abs=1e-7), name
    assert "zero rows, left out" in str(found)
    assert "zero" not in str(bq.measure(bq.Eden(384, 2), x, y))
    # Queries that are held out are the last rows that are not zero.
    rows[150:] = 0
    held = bq.measure(bq.Eden(384, 2), given(rows))
    want = bq.measure(bq.Eden(384, 2), rows[rows.any(axis=1)])
    assert held.zero_rows == (~rows.any(axis=1)).sum()
    assert (held.nmse, held.recall10) == (pytest.approx(want.nmse), want.recall10)


def test_all_rows_or_queries_zero(sample):
    q, x, y = bq.Eden(384, 2), sample[0][:50], sample[1][:5]
    with pytest.raises(ValueError, match=r"^x: all of its rows \(50\) are zero"):
        bq.measure(q, np.zeros_like(x), y)
    with pytest.raises(ValueError, match=r"^y: all of its rows \(5\) are zero"):
        bq.measure(q, x, np.zeros_like(y))
    alone = np.zeros_like(x)
    alone[4] = x[4]
    with pytest.raises(ValueError, match=r"^x: 1 row that can be measured, expected at least 2"):
        bq.measure(q, alone)
    assert bq.measure(q, alone, y).recall100 == 1


def test_a_bfloat16_array(sample):
    import ml_dtypes

    x = sample[0][:100].astype(ml_dtypes.bfloat16)
    wide = bq.measure(bq.Eden(384, 2), x.astype(np.float32), sample[1][:10])
    assert bq.measure(bq.Eden(384, 2), x, sample[1][:10]).nmse == wide.nmse


def test_budgets(sample):
    x, y = sample[0][:80], sample[1][:10]
    methods = ["blockquant/mse", "eden/mse", "turboquant/prod", "rabitq/unbiased", "trellis/mse"]
    c = bq.compare(x, y, methods, seeds=1, bytes_per_vector=[40, 60, 130])
    for (budget, name), runs in c.runs.items():
        assert runs[0].bytes_per_vector <= budget
        bits, block = c.rates[budget, name]
        assert bq.theory.bytes_per_vector(name, bits, 384, block) == runs[0].bytes_per_vector
        more = bits + (0.5 if name == "trellis/mse" else 1)
        if block is None:
            assert bq.theory.bytes_per_vector(name, more, 384) > budget
    assert (40, "eden/mse") not in c.runs
    assert c.unmet[40, "eden/mse"] == "needs at least 52 bytes"
    assert c.unmet[40, "turboquant/prod"] == "needs at least 56 bytes"
    # Blocks have rates between whole bits.
    assert c.runs[130, "blockquant/mse"][0].bytes_per_vector == 124
    assert c.runs[40, "blockquant/mse"][0].bytes_per_vector <= 40
    assert "left out, needs at least 52 bytes" in c.to_text()
    assert "at most 60 bytes" in c.to_text()
    with pytest.raises(
        ValueError, match="no method has 5 bytes: eden/mse: needs at least 52 bytes"
    ):
        bq.compare(x, y, ["eden/mse"], seeds=1, bytes_per_vector=[5])


@pytest.mark.parametrize(
    ("dim", "budget", "block", "width"),
    [
        (100, 30, 4, 8),  # a tail makes p = 3 with 64 words one byte longer
        (10, 7, 3, 7),  # p = 4 with 256 words has as many bytes but fewer bits
        (384, 100, 4, 8),
        (384, 148, 4, 12),
    ],
)
def test_the_block_of_a_budget(dim, budget, block, width):
    class Shape:
        shape = (1, 1, dim)

    rate = within("blockquant/mse", budget, Shape, {})
    assert (rate.block, round(rate.bits * rate.block)) == (block, width)


@pytest.mark.parametrize(
    ("name", "budget", "bits"),
    [("trellis/mse", 77, 1.5), ("trellis", 99, 1.5), ("trellis", 100, 2), ("eden", 99, 1)],
)
def test_the_rate_of_a_budget(name, budget, bits):
    class Shape:
        shape = (1, 1, 384)

    rate = within(full_name(name), budget, Shape, {})
    assert (rate.bits, rate.block, type(rate.bits)) == (bits, None, type(bits))


@pytest.mark.parametrize("dim", [1, 7, 50, 384])
@pytest.mark.parametrize("name", [n for n in bq.available() if "/" in n and n[0] in "betr"])
def test_theory_of_bytes(rng, name, dim):
    x = rng.standard_normal((3, dim)).astype(np.float32)
    for bits, norm in ((1, False), (2, True), (3, False)):
        codes = bq.create(name, dim=dim, bits=bits, store_norm=norm).encode(x)
        assert bq.theory.bytes_per_vector(name, bits, dim, store_norm=norm) * 3 == codes.nbytes
        told = bq.theory.bits_per_dimension(name, bits, dim, store_norm=norm)
        assert told == pytest.approx(codes.bits_per_dimension)


def test_differences_are_paired(sample):
    c = bq.compare(sample[0][:200], sample[1][:20], ["eden/mse", "blockquant/mse"], [2], seeds=4)
    own, other = (c.values(2, name, "nmse") for name in ("blockquant/mse", "eden/mse"))
    found = c.difference("blockquant/mse", "eden/mse")
    # By Fieller: the ratios that the paired differences own − ratio·other do not rule out.
    ratios = np.linspace(0.7, 0.95, 20001)
    apart = own[:, None] - ratios * other[:, None]
    inside = ratios[np.abs(apart.mean(axis=0)) <= stats.t.ppf(0.975, 3) * stats.sem(apart)]
    want = 100 * (1 - inside.max()), 100 * (1 - inside.min())
    assert (found.low, found.high) == pytest.approx(want, rel=2e-3)
    assert found.significant
    assert (
        not bq.compare(sample[0][:50], sample[1][:5], ["eden/mse", "eden/unbiased"], [2], seeds=1)
        .differences()[0]
        .significant
    )


@pytest.mark.parametrize("n", [2, 3, 8, 14, 15, 20, 31, 100])
def test_student(rng, n):
    values = rng.standard_normal(n)
    want = stats.t.ppf(0.975, n - 1) * stats.sem(values)
    assert half_interval(values) == pytest.approx(want, rel=2e-3)


def test_rates_of_numpy_and_methods_that_are_no_list(sample):
    x, y = sample[0][:50], sample[1][:5]
    found = bq.compare(x, y, ["eden/mse"], np.arange(1, 3), seeds=1)
    assert [row["bits"] for row in json.loads(json.dumps(found.to_dict()))["rows"]] == [1, 2]
    with pytest.raises(TypeError, match="methods is str 'eden', expected a list of names"):
        bq.compare(x, y, "eden")


def test_json_and_rows(sample):
    c = bq.compare(sample[0][:60], sample[1][:5], ["turboquant/mse", "eden/mse"], [1, 2], seeds=2)
    found = json.loads(json.dumps(c.to_dict(), allow_nan=False))
    keys = {"about", "shape", "rows", "verdicts", "differences", "unmet", "predicted"}
    assert set(found) == keys
    assert found["shape"] == {"rows": 60, "queries": 5, "dim": 384}
    assert len(found["rows"]) == 4
    assert {v["field"] for v in found["verdicts"]} == {f for _, f in CRITERIA}
    assert found["rows"][0]["coverage"] is None
    assert "errors" not in found["rows"][0]


def test_difference_from_what_has_no_loss(sample, monkeypatch):
    class Same:
        def __init__(self, **options): ...

        def encode(self, x):
            return x

        def decode(self, codes):
            return codes

    monkeypatch.setitem(bq.registry._FACTORIES, "same", Same)
    c = bq.compare(sample[0][:20], sample[1][:3], ["same", "eden/mse"], [2], seeds=2)
    assert c.difference("eden/mse", "same").percent == -np.inf
    assert c.difference("same", "same").percent == 0
    assert c.difference("same", "eden/mse").percent == 100


def test_an_interval_of_a_wrong_shape(sample, monkeypatch):
    class Wrong:
        def encode(self, x):
            return x

        def decode(self, codes):
            return codes

        def interval(self, codes, y, confidence):
            return np.full((len(y), len(codes)), np.nan), None

    with pytest.raises(ValueError, match=r"^Wrong: interval: row 0, column 0 is NaN"):
        bq.measure(Wrong(), sample[0][:20], sample[1][:3])
