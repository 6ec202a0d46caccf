"""The key-value cache against an independent reference: state, decoded rows and attention."""

import ml_dtypes
import numpy as np
import pytest

import blockquant as bq
from caches import filled, state, tokens
from reference_cache import ReferenceCache
from support import BUILT_IN

#: Queries are rounded to 16 bits, and sums are float32.
CLOSE = 1e-4

CASES = {
    "default": {},
    "no center": {"center": None},
    "rotary": {"center": "rotary", "rotary": 1e4},
    "frequencies": {"center": "rotary", "rotary": np.linspace(0, 1.5, 32)},
    "given": {"center": np.full((2, 64), 1.5, np.float32)},
    "centroids": {"centroids": 16},
    "centroids, rotary": {"centroids": 5, "center": "rotary", "rotary": 1e4},
    "more centroids than tokens": {"centroids": 100, "window": 3},
    "fractions": {"key_bits": 2.5, "value_bits": 1.5},
    "searches over scales": {"key_scale_search": 9, "values": "eden", "value_bits": 4},
    "searches of both": {"key_scale_search": 3, "value_bits": 3, "value_scale_search": 5},
    "mse": {"keys": "blockquant/mse", "values": "blockquant/none", "key_bits": 2},
    "eden": {"keys": "eden", "values": "eden/mse", "key_bits": 4, "value_bits": 4},
    "rabitq, 16-bit words": {"keys": "rabitq", "values": "rabitq/mse", "key_bits": 6},
    "turboquant": {"keys": "turboquant/mse", "values": "turboquant/prod"},
    "prod": {"keys": "turboquant/prod", "values": "eden", "key_bits": 3},
    "float words": {"keys": "blockquant", "key_bits": 9, "value_bits": 2},
    "trellis": {"keys": "trellis", "values": "trellis/mse"},
    "trellis, few and many bits": {
        "keys": "trellis",
        "values": "trellis",
        "key_bits": 4,
        "value_bits": 1,
    },
    "float scales": {"byte_scales": False, "key_bits": 2},
    "byte scales at 8 bits": {"byte_scales": True, "keys": "eden", "key_bits": 8},
    "haar": {"rotation": "haar", "seed": 2**64 - 1, "key_bits": 2},
    "no sinks, no window": {"sinks": 0, "window": 0},
    "sinks of two pages": {"sinks": 70, "window": 10},
    "a long window": {"window": 400},
}


def both(k, v, pads=None, **options):
    cache = filled(k, v, pads, **options)
    reference = ReferenceCache(
        k.shape[1], k.shape[3], value_dim=v.shape[3], batch=len(k), **options
    )
    reference.append(k, v, pads)
    return cache, reference


def close(found, expected, size=1.0):
    np.testing.assert_allclose(found, expected, rtol=0, atol=CLOSE * size)


@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
def test_state_and_attention_equal_the_reference(rng, options):
    k, v = tokens(rng, 2, 2, 310, 64, 48)
    q = rng.standard_normal((2, 6, 3, 64)).astype(np.float32)
    cache, reference = both(k, v, [0, 9], **options)
    pages = [page for one in reference.sequences for page in one.pages]
    assert cache.coded == [64 * len(one.pages) for one in reference.sequences]
    found = state(cache)
    for place, side in enumerate(("key", "value")):
        stored = [page["stored"][head][place] for page in pages for head in range(2)]
        for name in stored[0] if stored else ():
            expected = np.concatenate([np.atleast_1d(one[name]) for one in stored])
            np.testing.assert_array_equal(
                found[f"{side}_{name}"].reshape(expected.shape), expected, err_msg=name
            )
    for found, expected in zip(cache.decode(), reference.decode(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)
    close(cache.attend(q), reference.attend(q))


@pytest.mark.parametrize("dim", [1, 3, 64, 80, 96, 128, 192, 256, 576])
@pytest.mark.parametrize("center", ["static", "rotary"])
def test_every_head_size(rng, dim, center):
    if center == "rotary" and dim % 2:
        pytest.skip("an odd size has no rotary embedding")
    options = {"rotary": 1e4} if center == "rotary" else {}
    value_dim = max(dim // 2, 1)
    k, v = tokens(rng, 1, 2, 200, dim, value_dim)
    q = rng.standard_normal((1, 2, 1, dim)).astype(np.float32)
    cache, reference = both(
        *(k, v), center=center, keys="eden", key_bits=3, values="blockquant", **options
    )
    for found, expected in zip(cache.decode(), reference.decode(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)
    close(cache.attend(q), reference.attend(q))
    assert cache.decode()[1].shape == (1, 2, 200, value_dim)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_every_type_of_numbers(rng, dtype):
    k, v = tokens(rng, 2, 1, 150, 64)
    wide = np.dtype(getattr(ml_dtypes, dtype, dtype))
    narrow = k.astype(wide), v.astype(wide)
    cache = filled(*narrow)
    assert cache.dtype == dtype
    reference = ReferenceCache(1, 64, batch=2, dtype=dtype)
    reference.append(k, v)
    q = rng.standard_normal((2, 2, 1, 64)).astype(wide)
    for found, expected in zip(cache.decode(), reference.decode(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)
    close(cache.attend(q), reference.attend(q.astype(np.float32)))
    k_hat, v_hat = cache.decode()
    for found, given in ((k_hat, narrow[0]), (v_hat, narrow[1])):
        np.testing.assert_array_equal(found[:, :, 68:], given[:, :, 68:].astype(np.float32))


def test_strides_change_nothing(rng):
    k, v = tokens(rng, 2, 3, 200, 64)
    q = rng.standard_normal((2, 3, 1, 64)).astype(np.float32)
    expected = filled(k, v).attend(q)
    turned = np.ascontiguousarray(k.transpose(0, 2, 1, 3)).transpose(0, 2, 1, 3)
    backwards = np.ascontiguousarray(v[..., ::-1])[..., ::-1]
    assert not turned.flags.c_contiguous
    np.testing.assert_array_equal(filled(turned, backwards).attend(q[::1]), expected)
    last = np.asfortranarray(k)
    np.testing.assert_array_equal(filled(last, v[:, ::-1][:, ::-1]).attend(q), expected)


@pytest.mark.parametrize("m", [1, 5, 40, 200])
@pytest.mark.parametrize("query_heads", [2, 6])
def test_several_new_tokens_and_grouped_heads(rng, m, query_heads):
    k, v = tokens(rng, 2, 2, 200, 32)
    cache, reference = both(k, v, [3, 190], keys="eden")
    q = rng.standard_normal((2, query_heads, m, 32)).astype(np.float32)
    found = cache.attend(q)
    close(found, reference.attend(q))
    if m == 200:
        assert not found[1, :, :190].any(), "queries of pads see nothing"
        assert found[1, :, 190:].any()
    # The result of a query does not depend on the others.
    alone = cache.attend(np.ascontiguousarray(q[:, :, -1:]))
    np.testing.assert_array_equal(alone, found[:, :, -1:])


@pytest.mark.parametrize("scale", [None, 0.0, 0.3, -1.0])
def test_scale(rng, scale):
    k, v = tokens(rng, 1, 1, 150, 16)
    cache, reference = both(k, v, keys="eden", values="eden")
    q = rng.standard_normal((1, 1, 1, 16)).astype(np.float32)
    close(cache.attend(q, scale=scale), reference.attend(q, scale))


def test_masks(rng):
    k, v = tokens(rng, 2, 2, 220, 32)
    cache, reference = both(k, v, [0, 5], keys="eden", values="eden")
    q = rng.standard_normal((2, 4, 3, 32)).astype(np.float32)
    keep = rng.random((2, 4, 3, 220)) < 0.5
    bias = rng.standard_normal((2, 4, 3, 220)).astype(np.float32)
    bias[0, 0, 0, :100] = -np.inf
    for mask in (
        keep,
        keep[:, :1, :1],
        keep[0, 0, 0],
        keep[:, :, :, :1],
        bias,
        bias[:1, 1:2],
        bias.astype(np.float16),
        np.where(keep, 0, -np.inf),
        np.bool_(True),
    ):
        close(cache.attend(q, mask=mask), reference.attend(q, mask=mask))
    np.testing.assert_array_equal(
        cache.attend(q, mask=keep), cache.attend(q, mask=np.where(keep, 0, -np.inf))
    )
    np.testing.assert_array_equal(cache.attend(q, mask=True), cache.attend(q))
    hidden = keep.copy()
    hidden[0, 2, 1] = False
    found = cache.attend(q, mask=hidden)
    assert not found[0, 2, 1].any()
    assert found[0, 2, 0].any()
    # A boolean array can hold other values than 0 and 1.
    odd = (keep.astype(np.uint8) * 7).view(bool)
    np.testing.assert_array_equal(cache.attend(q, mask=odd), cache.attend(q, mask=keep))


def test_debias(rng):
    k, v = tokens(rng, 1, 1, 400, 64)
    options = {"key_bits": 2, "values": "eden", "value_bits": 8}
    q = 2 * rng.standard_normal((1, 4, 1, 64)).astype(np.float32)
    cache, reference = both(k, v, debias=True, **options)
    found, plain = cache.attend(q), filled(k, v, **options).attend(q)
    off = np.abs(found - reference.attend(q)).max()
    assert off < 0.05 * np.abs(found - plain).max()
    # Sums of exponents with noise are too large where the codes are, by half the variance.
    true = filled(k, v, window=400).attend(q)
    assert np.abs(found - true).mean() < np.abs(plain - true).mean()


def test_the_mean_halves_the_error(rng):
    """A mean with most of the energy costs nothing, as far as the center knows it."""
    theta = 1e4
    k, v = tokens(rng, 1, 1, 500, 64, mean=3.0)
    frequency = theta ** (-2.0 * np.arange(32) / 64)
    angle = np.arange(500)[:, None] * frequency
    cos, sin = np.cos(angle), np.sin(angle)
    a, b = k[0, 0, :, :32], k[0, 0, :, 32:]
    turned = np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=1)
    turned = turned[None, None].astype(np.float32)

    def error(keys, **options):
        found, _ = filled(keys, v, **options).decode()
        return np.mean((found - keys)[:, :, 4:-128] ** 2)

    assert error(k) < 0.3 * error(k, center=None)
    assert error(turned, center="rotary", rotary=theta) < 0.3 * error(turned, center=None)
    assert error(turned, center="rotary", rotary=theta) < 0.5 * error(turned)


def test_names_of_methods_are_those_of_create():
    for name in BUILT_IN:
        bits = 2
        cache = bq.KeyValueCache(1, 16, keys=name, values=name, key_bits=bits, value_bits=bits)
        assert repr(cache).count(f"{name} at 2 bits") == 2
    assert "turboquant/mse at 3 bits" in repr(bq.KeyValueCache(1, 16, keys="turboquant"))
