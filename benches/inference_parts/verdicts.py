"""What the cache has to reach, each with what was found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

import blockquant as bq

from . import kinds
from .caches import Spec
from .quality import Figures, ratio

#: Tokens, and the most that the cache may take of float16's bytes.
MEMORY = ((2_048, 1 / 4.5), (16_384, 1 / 5.5))
#: Kind, and the least share of look-ups at 500 tokens.
NEEDLE = ((kinds.THREE_TWO, 0.75), (kinds.TWO, 0.45))
#: Kind, most bits per coded value, other kind, most ratio of the divergences.
DIVERGENCES = (
    (kinds.TWO, 2.2, kinds.KIVI_TWO, 0.35),
    (kinds.THREE_TWO, 2.65, kinds.TURBO_THREE, 0.65),
    (kinds.FOUR, 4.15, kinds.HADAMARD, 1.0),
    (kinds.TWO_CENTROIDS, 2.2, kinds.TWO, 0.7),
    (kinds.TRELLIS_THREE_TWO, 2.65, kinds.THREE_TWO_SEARCHED, 0.85),
)
#: Most that the divergence of a cache may be off that of its simulation, in general and of a kind.
OFF = 0.05
#: A path turns as a whole where its row changes by a rounding, so the later layers of cache and
#: simulation draw codes of their own. Other seeds change the divergence by ± 8 %.
OFF_OF = {kinds.TRELLIS_THREE_TWO: 0.25}


@dataclass(frozen=True)
class Verdict:
    """What was to reach, what was found, and whether it is reached."""

    wanted: str
    found: str
    holds: bool

    def line(self) -> str:
        return f"{'holds' if self.holds else 'FAILS'}  {self.wanted}: {self.found}"


def of_divergence(
    specs: dict[str, Spec],
    found: dict[str, list[Figures]],
    dim: int,
    slack: float = 1.0,
    earlier: Mapping[str, Verdict] = MappingProxyType({}),
) -> Iterator[Verdict]:
    """The bounds of ratios are `slack` times as high.

    A verdict on what was not found is that of an earlier run, by what was wanted.
    """
    for name, most_bits, other, bound in DIVERGENCES:
        most = slack * bound
        wanted = f"{name} at <= {most_bits} bits: KL <= {most:g} x {other}"
        if name not in found or other not in found:
            yield earlier[wanted]
            continue
        bits = specs[name].coded_bits(dim)
        mean, error = ratio(found[name], found[other])
        yield Verdict(
            wanted,
            f"{mean:.3f} ± {error:.3f} at {bits:.3f} bits",
            bits <= most_bits and mean <= most,
        )


def of_needle(shares: dict[str, tuple[float, float]]):
    for name, least in NEEDLE:
        if name in shares:
            share, error = shares[name]
            wanted = f"{name}: look-ups in 500 tokens >= {least}"
            yield Verdict(wanted, f"{share:.3f} ± {error:.3f}", share >= least)


def of_memory(heads: int, dim: int, theta: float):
    """`nbytes` of a real cache of float16 rows, keys 3, values 2, window 64; any rows do."""
    for tokens, most in MEMORY:
        cache = bq.KeyValueCache(heads, dim, center="rotary", rotary=theta, window=64)
        rng = np.random.default_rng(0)
        step = 1024
        for _ in range(0, tokens, step):
            rows = rng.standard_normal((2, 1, heads, step, dim), np.float32).astype(np.float16)
            cache.append(*rows)
        exact = 2 * 2 * heads * tokens * dim
        yield Verdict(
            f"nbytes, keys 3, values 2, window 64, {tokens} tokens <= 1/{1 / most:g} of float16",
            f"{cache.nbytes} of {exact} bytes, 1/{exact / cache.nbytes:.2f}; "
            f"{cache.bits_per_value:.3f} bits per value",
            cache.nbytes <= most * exact,
        )


def of_real(rows: list[dict]):
    """The simulation is of the library's cache: same bits, and nearly the same divergence.

    The codewords of the cache are rounded to integers, and its first choices may differ.
    """
    for row in rows:
        bits = row["coded_bits"] - row["simulated_coded_bits"]
        off = row["kl"] / row["simulated_kl"] - 1
        most = OFF_OF.get(row["name"], OFF)
        yield Verdict(
            f"{row['name']}: bq.KeyValueCache has the bits and within {100 * most:.0f} % the KL of "
            "its simulation",
            f"{off:+.1%}, {bits:+.4f} bits",
            abs(bits) < 1e-6 and abs(off) <= most,
        )
