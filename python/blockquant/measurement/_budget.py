"""The best rate of a method within a budget of bytes per vector."""

from __future__ import annotations

from typing import Any, NamedTuple

from blockquant import registry, theory
from blockquant._methods import PARTS
from blockquant.measurement._truth import Truth

#: Of methods that are registered; the first that fits is taken.
_WHOLE = range(8, 0, -1)
#: Blocks that are tried, and bits of an index: codebooks that are built in no time.
_BLOCKS = range(1, 17)
_WIDTHS = range(1, 9)
#: Besides: the default at 3 bits, and pairs above 4.
_LARGE = ((4, 12), (2, 9), (2, 10), (2, 11), (2, 12))


class Rate(NamedTuple):
    """Bits per coordinate, and the block where the default is not taken."""

    bits: float
    block: int | None = None


class Unmet(Exception):
    """No rate of the method fits; the message says why."""


def within(name: str, budget: int, truth: Truth, options: dict[str, Any]) -> Rate:
    """The rate of the least error whose bytes are no more than `budget`.

    Raises
    ------
    Unmet
        If there is none, or the method does not say how many bytes its codes have.
    """
    if not registry.is_built_in(name):
        return _tried(name, budget, truth, options)
    dim = truth.shape[2]
    method, _ = PARTS[name]
    is_blocked = method.has_blocks
    if not is_blocked:
        steps = range(round(method.most_bits / method.bit_step), 0, -1)
        rates = [Rate(_whole_or_not(method.bit_step * step)) for step in steps]
    else:
        shapes = [(p, w) for p in _BLOCKS for w in _WIDTHS if p <= dim and w <= 8 * p]
        shapes += [(p, w) for p, w in _LARGE if p <= dim]
        rates = [Rate(w / p, p) for p, w in shapes]
    sizes = {rate: theory.bytes_per_vector(name, rate.bits, dim, rate.block) for rate in rates}
    fitting = [rate for rate in rates if sizes[rate] <= budget]
    if not fitting:
        raise Unmet(f"needs at least {min(sizes.values())} bytes")
    if not is_blocked:
        return max(fitting)
    return min(_leading(fitting), key=lambda rate: theory.nmse(name, rate.bits, dim, rate.block))


def _whole_or_not(bits: float) -> float:
    """A whole number as such, which prints without a fraction."""
    return int(bits) if bits.is_integer() else bits


def _leading(rates: list[Rate]) -> list[Rate]:
    """What may have the least error, of which theory decides: its codebooks have to be built.

    More bits are better, and so are larger codebooks. The largest gains on a single coordinate less
    than a factor of 2 in error, half a bit; tails, which round up, are the reason for comparing
    bits and not bytes.
    """
    width = {rate: round(rate.bits * (rate.block or 1)) for rate in rates}
    most = max(rate.bits for rate in rates)
    return [
        rate
        for rate in rates
        if rate.bits >= most - 0.5
        and not any(
            other != rate and other.bits >= rate.bits and width[other] >= width[rate]
            for other in rates
        )
    ]


def _tried(name: str, budget: int, truth: Truth, options: dict[str, Any]) -> Rate:
    """By encoding the first rows at one rate after the other."""
    rows = next(truth.chunks()).x
    least: float | None = None
    reason = "has no rate from 1 to 8 bits"
    for bits in _WHOLE:
        try:
            q = registry.create(name, dim=truth.shape[2], bits=bits, seed=0, **options)
        except ValueError as error:
            reason = str(error)
            continue
        nbytes = getattr(q.encode(rows), "nbytes", None)
        if nbytes is None:
            raise Unmet("does not say how many bytes its codes have")
        least = nbytes / len(rows)
        if least <= budget:
            return Rate(bits)
    raise Unmet(reason if least is None else f"needs at least {least:.4g} bytes")
