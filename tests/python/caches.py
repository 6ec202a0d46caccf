"""Helpers of the tests of the key-value cache."""

import numpy as np
from safetensors.numpy import load

import blockquant as bq


def tokens(rng, batch, heads, count, dim, value_dim=None, mean=2.0):
    """Keys with a mean, and values."""
    k = rng.standard_normal((batch, heads, count, dim)).astype(np.float32)
    v = rng.standard_normal((batch, heads, count, value_dim or dim)).astype(np.float32)
    return k + np.float32(mean) * rng.standard_normal((1, heads, 1, dim)).astype(np.float32), v


def filled(k, v, pads=None, steps=(), **options):
    """A cache of these tokens, which come in pieces of so many tokens and then the rest."""
    batch, heads, _, dim = k.shape
    cache = bq.KeyValueCache(heads, dim, value_dim=v.shape[3], batch=batch, **options)
    extend(cache, k, v, pads, steps)
    return cache


def extend(cache, k, v, pads=None, steps=()):
    count, first = k.shape[2], 0
    left = np.array(pads if pads is not None else [0] * len(k))
    for step in [*steps, count]:
        last = min(first + step, count)
        now = np.minimum(left, last - first)
        cache.append(k[:, :, first:last], v[:, :, first:last], pads=now)
        left, first = left - now, last
    assert len(cache) >= count


def state(cache):
    """The tensors of the saved cache."""
    return load(cache._core.to_bytes())


def same(a, b, q):
    """Whether two caches decode and attend with the same bits."""
    pairs = [*zip(a.decode(), b.decode(), strict=True), (a.attend(q), b.attend(q))]
    return a.coded == b.coded and all(np.array_equal(x, y) for x, y in pairs)
