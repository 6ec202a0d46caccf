"""Coders of rows: the library's methods, and what other key-value caches do.

A coder turns (heads, rows, dim) into the same rows as decoded, and knows how many bits it stores
per row of `dim` values, scales included. The rows begin at a page and fill whole pages of 64.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

import blockquant as bq

from .model import Float

PAGE = 64
#: Steps of a byte scale per octave.
OCTAVE = 12


def half(x: Float) -> Float:
    """Rounded to float16."""
    return x.astype(np.float16).astype(np.float32)


@cache
def quantizer(method: str, dim: int, bits: float, seed: int, **options: int) -> bq.Quantizer:
    return bq.create(method, dim=dim, bits=bits, seed=seed, **options)


def byte_scales(scale: Float) -> Float:
    """Scales (heads, pages, 64) as a base per page and one logarithmic byte per row give them."""
    with np.errstate(divide="ignore"):
        step = np.rint(OCTAVE * np.log2(scale.astype(np.float64)))
    base = step.max(axis=-1, keepdims=True) - 255
    kept = (scale > 0) & (step > base)
    return np.where(kept, np.exp2(np.where(kept, step, 0) / OCTAVE), 0).astype(np.float32)


@dataclass(frozen=True)
class Library:
    """A method of the library, with a byte or a float16 as each row's scale.

    `search` is how many scales are searched, and `states` those of a trellis that has not the
    default number of them.
    """

    method: str
    bits: float
    scale: str = "float16"
    seed: int = 0
    search: int | None = None
    states: int | None = None

    def _codes(self, rows: Float) -> tuple[bq.Quantizer, bq.Codes]:
        given = {"scale_search": self.search, "states": self.states}
        options = {name: count for name, count in given.items() if count is not None}
        q = quantizer(self.method, rows.shape[-1], self.bits, self.seed, **options)
        return q, q.encode(np.ascontiguousarray(rows).reshape(-1, rows.shape[-1]))

    def _stored(self, scalars: Float, shape: tuple[int, ...]) -> Float:
        if self.scale == "byte":
            return byte_scales(scalars.reshape(shape[0], -1, PAGE)).reshape(-1)
        return half(scalars)

    def __call__(self, rows: Float) -> Float:
        q, codes = self._codes(rows)
        residual = codes.residual_norm
        if residual is not None:
            residual = self._stored(residual, rows.shape)
        scale = self._stored(codes.scale, rows.shape)
        stored = bq.Codes(codes.packed, scale, None, residual, codes.dim, codes.made_by)
        return q.decode(stored).reshape(rows.shape)

    def scales(self, rows: Float) -> Float:
        """The scale of each row as stored, (heads, rows)."""
        return self._stored(self._codes(rows)[1].scale, rows.shape).reshape(rows.shape[:-1])

    def bits_per_row(self, dim: int) -> float:
        codes = self._codes(np.ones((1, 1, dim), np.float32))[1]
        scalars = 1 if codes.residual_norm is None else 2
        per_scalar = 8 + 16 / PAGE if self.scale == "byte" else 16
        return 8 * codes.packed.shape[1] + scalars * per_scalar

    def spread(self, dim: int) -> tuple[float, float]:
        """E[tan²θ] between a row and its codeword, and the mean of norm/scale."""
        rows = np.random.default_rng(0).standard_normal((4096, dim)).astype(np.float32)
        q, codes = self._codes(rows[None])
        decoded = q.decode(codes)
        norms = np.linalg.norm(rows, axis=1)
        cosine = np.einsum("ij,ij->i", rows, decoded) / (norms * np.linalg.norm(decoded, axis=1))
        return float(np.mean(1 / cosine**2 - 1)), float(np.mean(norms / codes.scale))


def between(x: Float, bits: int, axis: int) -> Float:
    """Rounded to 2^bits levels between the least and the greatest value along an axis.

    Least value and step are float16, and the codes are those of the float16 numbers.
    """
    low = half(x.min(axis=axis, keepdims=True))
    step = half((x.max(axis=axis, keepdims=True) - low) / (2**bits - 1))
    step = np.maximum(step, np.float32(1e-7))
    return np.clip(np.rint((x - low) / step), 0, 2**bits - 1) * step + low


@dataclass(frozen=True)
class Channels:
    """KIVI's keys: groups of tokens, channel by channel."""

    bits: int
    group: int

    def __call__(self, rows: Float) -> Float:
        heads, count, dim = rows.shape
        grouped = rows.reshape(heads, count // self.group, self.group, dim)
        return between(grouped, self.bits, 2).reshape(rows.shape)

    def bits_per_row(self, dim: int) -> float:
        return dim * (self.bits + 32 / self.group)


@dataclass(frozen=True)
class Tokens:
    """KIVI's values: groups of the coordinates of one token."""

    bits: int
    group: int

    def __call__(self, rows: Float) -> Float:
        grouped = rows.reshape(*rows.shape[:2], -1, self.group)
        return between(grouped, self.bits, 3).reshape(rows.shape)

    def bits_per_row(self, dim: int) -> float:
        return dim * (self.bits + 32 / self.group)


def hadamard(dim: int) -> Float:
    """The orthogonal Hadamard matrix of a power of two."""
    h = np.ones((1, 1), np.float32)
    while len(h) < dim:
        h = np.block([[h, h], [h, -h]])
    return h / np.float32(np.sqrt(dim))


@dataclass(frozen=True)
class Ggml:
    """llama.cpp's q8_0 and q4_0: blocks of 32 with one float16 scale, rotated first if asked."""

    bits: int
    rotated: bool = False

    def __call__(self, rows: Float) -> Float:
        turn = hadamard(rows.shape[-1]) if self.rotated else None
        x = (rows if turn is None else rows @ turn).reshape(*rows.shape[:2], -1, 32)
        place = np.abs(x).argmax(axis=-1)[..., None]
        extreme = np.take_along_axis(x, place, axis=-1)
        top = 2 ** (self.bits - 1)
        # q4_0 gives the extreme the level −8, which has no positive partner; q8_0 is symmetric.
        step = np.abs(extreme) / (top - 1) if self.bits == 8 else extreme / -top
        scale = half(step)
        inverse = np.divide(1, step, out=np.zeros_like(step), where=step != 0)
        x = np.clip(np.rint(x * inverse), -top, top - 1) * scale
        x = x.reshape(rows.shape)
        return x if turn is None else x @ turn.T

    def bits_per_row(self, dim: int) -> float:
        return dim * (self.bits + 16 / 32)


@dataclass(frozen=True)
class Float8:
    """float8 e4m3, with one float16 scale per head and page that uses its whole range."""

    def __call__(self, rows: Float) -> Float:
        heads, _, dim = rows.shape
        x = rows.reshape(heads, -1, PAGE, dim)
        scale = np.maximum(half(np.abs(x).max(axis=(2, 3), keepdims=True) / 448), np.float32(1e-7))
        return (e4m3(x / scale) * scale).reshape(rows.shape)

    def bits_per_row(self, dim: int) -> float:
        return 8 * dim + 16 / PAGE


def e4m3(x: Float) -> Float:
    """The nearest number of 4 exponent and 3 mantissa bits, at most 448 in magnitude."""
    exponent = np.maximum(np.frexp(x)[1] - 1, -6)
    step = np.ldexp(np.float32(1), exponent - 3)
    return np.clip(np.rint(x / step) * step, -448, 448)


@dataclass(frozen=True)
class Half:
    """float16."""

    def __call__(self, rows: Float) -> Float:
        return half(rows)

    def bits_per_row(self, dim: int) -> float:
        return 16 * dim


Coder = Library | Channels | Tokens | Ggml | Float8 | Half
