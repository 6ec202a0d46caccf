"""Methods and centers on the real keys and values of `tests/data/kv_rows.npz`."""

from pathlib import Path

import numpy as np
import pytest

import blockquant as bq
from blockquant._methods import PARTS

DATA = Path(__file__).parents[1] / "data" / "kv_rows.npz"
THETA = 100_000.0
SEEDS = 6


@pytest.fixture(scope="module")
def rows():
    with np.load(DATA) as data:
        return {name: data[name] for name in data.files}


def turned(x, positions):
    """x (…, tokens, 64) with the rotary embedding of its positions."""
    half = x.shape[-1] // 2
    angle = positions[:, None] * THETA ** (-np.arange(half) / half)
    cos, sin = np.cos(angle), np.sin(angle)
    a, b = x[..., :half].astype(np.float64), x[..., half:].astype(np.float64)
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1).astype(np.float32)


@pytest.fixture(scope="module")
def keys(rows):
    """Keys as attention sees them, (layers, tokens, 64)."""
    return turned(rows["keys"], rows["positions"])


@pytest.fixture(scope="module")
def centered(rows, keys):
    """Keys without their rotary mean."""
    mean = rows["keys"].astype(np.float64).mean(axis=1, keepdims=True)
    return keys - turned(np.broadcast_to(mean, keys.shape), rows["positions"])


@pytest.fixture(scope="module")
def values(rows):
    return rows["values"].astype(np.float32)


def error(method, bits, *batches):
    """Mean over seeds and batches of the squared error over the rows' squares."""
    found = []
    for seed in range(SEEDS):
        q = bq.create(method, dim=64, bits=bits, seed=seed)
        for batch in batches:
            x = batch.reshape(-1, 64)
            found.append(np.square(q.decode(q.encode(x)) - x).sum() / np.square(x).sum())
    return np.mean(found)


def test_the_sample_is_small_and_sound(rows):
    assert DATA.stat().st_size < 200_000
    assert rows["positions"].tolist() == list(range(4, 164))
    for name in ("keys", "values", "queries"):
        assert rows[name].shape == (3, 160, 64)
        assert rows[name].dtype == np.float16
        assert np.isfinite(rows[name]).all()
        assert len(np.unique(rows[name].reshape(-1, 64), axis=0)) == 480


def test_the_mean_holds_most_of_the_keys_and_little_of_the_values(rows):
    for layer in range(3):
        for name, low, high in (("keys", 0.75, 0.9), ("values", 0.03, 0.2)):
            x = rows[name][layer].astype(np.float64)
            share = np.square(x.mean(axis=0)).sum() / np.square(x).sum(axis=1).mean()
            assert low < share < high, (name, layer)


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_the_order_of_the_methods(bits, centered, values):
    """At equal bits, by squared error: blockquant, then rabitq, eden and turboquant, then prod."""
    found = {name: error(name, bits, centered, values) for name in PARTS}
    others = ("rabitq/mse", "eden/mse", "turboquant/mse")
    for name in others:
        assert found["blockquant/mse"] < 0.9 * found[name], name
        assert found[name] < found["turboquant/prod"] / 2, name
    assert found["blockquant/unbiased"] < 0.9 * found["eden/unbiased"]
    assert found["blockquant/unbiased"] < 0.9 * found["rabitq/unbiased"]
    for method in ("blockquant", "eden", "rabitq"):
        assert found[f"{method}/mse"] < found[f"{method}/unbiased"]


@pytest.mark.parametrize("method", ["blockquant/mse", "eden/mse"])
def test_the_error_is_that_of_theory(method, centered, values):
    """The theory holds for real rows: a random rotation makes all rows alike."""
    theory = bq.theory.nmse(method, 2, 64)
    assert error(method, 2, centered, values) == pytest.approx(theory, rel=0.03)


@pytest.mark.parametrize("bits", [2, 3])
def test_the_gain_of_the_mean(bits, keys, centered):
    """The rotary mean takes 5/6 of the error away, a static mean of turned keys less."""
    scale = np.square(centered).sum() / np.square(keys).sum()
    rotary = error("blockquant/unbiased", bits, centered) * scale
    static = keys - keys.mean(axis=1, keepdims=True)
    scale = np.square(static).sum() / np.square(keys).sum()
    static = error("blockquant/unbiased", bits, static) * scale
    none = error("blockquant/unbiased", bits, keys)
    assert rotary < 0.2 * none
    assert 1.5 * rotary < static < 0.4 * none


def test_logits_from_unbiased_codes_are_unbiased(centered, rows):
    """Over many rotations the mean logit is the exact one; `mse` shrinks it by its error."""
    x, y = centered.reshape(-1, 64)[::16], rows["queries"].astype(np.float32).reshape(-1, 64)[::40]
    true = y.astype(np.float64) @ x.T.astype(np.float64)

    def slopes(method):
        for seed in range(60):
            q = bq.create(method, dim=64, bits=2, seed=seed)
            estimate = q.inner_product(q.encode(x), y)
            yield (estimate * true).sum() / np.square(true).sum()

    unbiased = np.array(list(slopes("blockquant/unbiased")))
    assert abs(unbiased.mean() - 1) < 4 * unbiased.std(ddof=1) / np.sqrt(len(unbiased))
    shrunk = np.array(list(slopes("blockquant/mse")))
    assert shrunk.mean() == pytest.approx(1 - bq.theory.nmse("blockquant/mse", 2, 64), abs=0.01)


@pytest.mark.parametrize(("key_bits", "value_bits", "bits"), [(2, 2, 2.129), (3, 2, 2.629)])
def test_the_cache_of_these_rows(rows, keys, values, key_bits, value_bits, bits):
    """Bits as announced, and attention nearer to the exact one with the rotary mean than without.

    The layers are taken for heads of one cache.
    """
    queries = rows["queries"].astype(np.float32)[None]
    # The cache counts its own positions from 0: begin with the sinks that the sample leaves out.
    k, v = (np.concatenate([x[:, :4], x], axis=1)[None] for x in (keys, values))
    logits = queries @ k.swapaxes(2, 3) / 8
    weights = np.where(np.tri(160, 164, 4, dtype=bool), logits, -np.inf)
    weights = np.exp(weights - weights.max(axis=-1, keepdims=True))
    exact = weights / weights.sum(axis=-1, keepdims=True) @ v
    off = {}
    for center in ("rotary", None):
        cache = bq.KeyValueCache(
            3,
            64,
            key_bits=key_bits,
            value_bits=value_bits,
            window=32,
            center=center,
            rotary=THETA if center else None,
        )
        cache.append(k, v)
        assert cache.coded == [128]
        assert cache.bits_per_coded_value == pytest.approx(bits, abs=5e-4)
        out = cache.attend(queries)
        off[center] = np.square(out - exact)[:, :, 64:].sum() / np.square(exact)[:, :, 64:].sum()
    assert off["rotary"] < 0.75 * off[None]
    assert off["rotary"] < 0.15
