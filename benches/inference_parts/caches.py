"""What a cache keeps of a window: which rows are coded, around which center, at how many bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import blockquant as bq

from .coders import PAGE, Coder, Library
from .model import Float, Heads, angles, rotate

#: Most tokens from which a center is estimated.
SAMPLE = 256
ROUNDS = 10


def pages(tokens: int, sinks: int, window: int) -> int:
    """Pages that are coded when the cache holds so many tokens."""
    return max(0, (tokens - sinks - window) // PAGE)


@dataclass(frozen=True)
class Coded:
    """All rows of a window that are coded sooner or later, (kv_heads, 64·pages, dim) each.

    `noise` (kv_heads, 64·pages) is the variance that coding a key adds to a logit, divided by the
    square of the scaled query; without debias it is None.
    """

    keys: Float
    values: Float
    noise: Float | None


@dataclass(frozen=True)
class Spec:
    """A kind of cache."""

    name: str
    keys: Coder
    values: Coder
    center: str | None = None
    centroids: int = 0
    debias: bool = False
    sinks: int = 4
    window: int = 32
    theta: float = 100_000.0

    def pages(self, tokens: int) -> int:
        return pages(tokens, self.sinks, self.window)

    def code(self, heads: Heads) -> Coded | None:
        """The coded rows of one layer; None if the window is too short for a page."""
        _, tokens, dim = heads.k.shape
        count = PAGE * self.pages(tokens)
        if not count:
            return None
        rows = slice(self.sinks, self.sinks + count)
        near = self._near(heads)
        keys, values = heads.k[:, rows], heads.v[:, rows]
        rest = keys if near is None else keys - near[:, rows]
        coded = self.keys(rest)
        noise = None
        if self.debias:
            tangent, ratio = self.keys.spread(dim)
            noise = np.square(ratio * self.keys.scales(rest)) * np.float32(tangent / dim)
        return Coded(coded if near is None else coded + near[:, rows], self.values(values), noise)

    def _near(self, heads: Heads) -> Float | None:
        """What is subtracted from each key: its center or its centroid, at its position."""
        if self.center is None:
            return None
        first = slice(self.sinks, min(self.sinks + PAGE + self.window, self.sinks + SAMPLE))
        keys = heads.unrotated if self.center == "rotary" else heads.k
        if self.centroids:
            near = np.stack([nearest(of[first], of, self.centroids) for of in keys])
        else:
            mean = keys[:, first].mean(axis=1, keepdims=True, dtype=np.float64)
            near = np.broadcast_to(mean.astype(np.float32), keys.shape)
        if self.center == "static":
            return near
        frequencies = self.theta ** (-np.arange(0, keys.shape[-1], 2) / keys.shape[-1])
        return rotate(near, *angles(frequencies, np.arange(keys.shape[1])))

    def coded_bits(self, dim: int) -> float:
        """Bits per coded value: codes, scales, centroid indexes."""
        index = int(np.ceil(np.log2(self.centroids))) if self.centroids else 0
        return (self.keys.bits_per_row(dim) + index + self.values.bits_per_row(dim)) / (2 * dim)

    def all_bits(self, tokens: int, dim: int) -> float:
        """Bits per value of everything that the cache stores, exact rows in float16."""
        coded = PAGE * self.pages(tokens)
        kept = 0 if self.center is None else 32 * dim * max(self.centroids, 1)
        stored = coded * self.coded_bits(dim) + (tokens - coded) * 16 + kept / (2 * dim)
        return stored / tokens

    def cache(self, heads: int, dim: int, **options: Any) -> bq.KeyValueCache:
        """The library's cache of this kind; only its own methods with byte scales have one, and a
        trellis with the default number of states."""
        for coder in (self.keys, self.values):
            if not isinstance(coder, Library) or coder.scale != "byte" or coder.states:
                raise ValueError(f"{self.name}: the library has no such cache")
        return bq.KeyValueCache(
            heads,
            dim,
            keys=self.keys.method,
            key_bits=self.keys.bits,
            values=self.values.method,
            value_bits=self.values.bits,
            key_scale_search=self.keys.search,
            value_scale_search=self.values.search,
            window=self.window,
            sinks=self.sinks,
            center=self.center,
            rotary=self.theta if self.center == "rotary" else None,
            centroids=self.centroids,
            debias=self.debias,
            byte_scales=True,
            seed=self.keys.seed,
            **options,
        )


def nearest(sample: Float, rows: Float, count: int) -> Float:
    """For each row the nearest of the centroids of the sample, by k-means in float64.

    It starts from tokens at equal strides and takes 10 rounds; ties go to the lowest centroid, and
    an empty one keeps its place.
    """
    x = sample.astype(np.float64)
    count = min(count, len(x))
    centroids = x[np.arange(count) * len(x) // count]
    for _ in range(ROUNDS):
        of = closest(x, centroids)
        for c in range(count):
            if (of == c).any():
                centroids[c] = x[of == c].mean(axis=0)
    centroids = centroids.astype(np.float32)
    return centroids[closest(rows.astype(np.float64), centroids.astype(np.float64))]


def closest(x: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """The index of the nearest centroid of each row."""
    return (np.square(centroids).sum(axis=1) - 2 * x @ centroids.T).argmin(axis=1)
