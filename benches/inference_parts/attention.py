"""Attention of a whole window as a cache gives it token by token.

The token at position i attends when the cache holds n = i + 1 tokens, and sees row j as the cache
has it at that length: the first `sinks` rows exact, the next floor((n − sinks − window)/64) pages
of 64 rows as coded, the rest exact. So every query reads the codes of its past from the first page
on: the prefill is quantized.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .caches import Coded, Spec, pages
from .coders import PAGE
from .model import Float, Heads


def blocks(tokens: int, sinks: int, window: int) -> Iterator[tuple[int, int, int]]:
    """Runs of queries [first, end) that see the same number of coded pages."""
    first = 0
    while first < tokens:
        coded = pages(first + 1, sinks, window)
        end = min(tokens, sinks + window + PAGE * (coded + 1) - 1)
        yield first, end, coded
        first = end


def softmax(logits: Float) -> Float:
    """In place, over the last axis."""
    logits -= logits.max(axis=-1, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=-1, keepdims=True)
    return logits


def attend(heads: Heads, coded: Coded | None, sinks: int, window: int) -> Float:
    """One layer; without codes every row is exact."""
    keys, values = heads.k.copy(), heads.v.copy()
    kv_heads, group, tokens, dim = heads.q.shape
    scale = np.float32(1 / np.sqrt(dim))
    out = np.empty_like(heads.q)
    seen = 0
    for first, end, count in blocks(tokens, sinks, window):
        if coded is not None and count > seen:
            new = slice(sinks + PAGE * seen, sinks + PAGE * count)
            rows = slice(PAGE * seen, PAGE * count)
            keys[:, new] = coded.keys[:, rows]
            values[:, new] = coded.values[:, rows]
            seen = count
        q = heads.q[:, :, first:end].reshape(kv_heads, -1, dim) * scale
        logits = (q @ keys[:, :end].swapaxes(1, 2)).reshape(kv_heads, group, end - first, end)
        if coded is not None and coded.noise is not None and seen:
            square = np.square(q).sum(axis=-1).reshape(kv_heads, group, end - first, 1)
            noise = coded.noise[:, None, None, : PAGE * seen]
            logits[..., sinks : sinks + PAGE * seen] -= square / 2 * noise
        new = logits[..., first:]
        new[..., ~np.tri(end - first, dtype=bool)] = -np.inf
        mixed = softmax(logits).reshape(kv_heads, -1, end) @ values[:, :end]
        out[:, :, first:end] = mixed.reshape(kv_heads, group, end - first, dim)
    return out


class Exact:
    """Float32 rows: the reference."""

    def __call__(self, heads: Heads) -> Float:
        return attend(heads, None, 0, PAGE)


class Simulated:
    """The rows that a cache of this kind gives back."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec

    def __call__(self, heads: Heads) -> Float:
        coded = self.spec.code(heads)
        return attend(heads, coded, self.spec.sinks, self.spec.window)


class Cached:
    """A real `blockquant.KeyValueCache` per layer, one token at a time."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.caches = {}

    def __call__(self, heads: Heads) -> Float:
        kv_heads, group, tokens, dim = heads.q.shape
        cache = self.caches[heads.layer] = self.spec.cache(kv_heads, dim)
        q = heads.q.reshape(1, kv_heads * group, tokens, dim)
        out = np.empty_like(q)
        for i in range(tokens):
            one = slice(i, i + 1)
            cache.append(heads.k[None, :, one], heads.v[None, :, one])
            out[:, :, one] = cache.attend(q[:, :, one])
        return out.reshape(heads.q.shape)
