"""Taking turns: two codecs timed so that whatever slows the machine slows both.

A turn makes the side ready, warms it up by a call, and then times calls for about TURN seconds,
each with the allocation of its results. The sides alternate: ours, theirs, ours, …
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from ..common import Rows
from .adapters import Codec

TURN = 0.1
"""Seconds."""
FEWEST_ROWS = 64
"""Of a batch, however slow the codec."""


@dataclass(frozen=True)
class Side:
    """One side of a comparison: what is timed, and what makes ready for it."""

    run: Callable[[], object]
    ready: Callable[[], object]
    rows: float
    """That a call works through; a thousand (query, vector) pairs of a search count as one row."""

    def turn(self, calls: int) -> float:
        """µs per row, which is ns per pair of a search."""
        self.ready()
        self.run()
        start = time.perf_counter()
        for _ in range(calls):
            self.run()
        return (time.perf_counter() - start) / (calls * self.rows) * 1e6

    def calls(self, seconds: float = TURN) -> int:
        """How many fill a turn."""
        return max(1, round(seconds / (self.turn(1) * self.rows * 1e-6)))


@dataclass(frozen=True)
class Speed:
    """µs per row of both sides, turn by turn."""

    ours: Sequence[float]
    theirs: Sequence[float]

    @property
    def ratio(self) -> float:
        return median(self.theirs) / median(self.ours)

    def cells(self, digits: int = 1) -> list[str]:
        each = [theirs / ours for ours, theirs in zip(self.ours, self.theirs, strict=True)]
        times = [f"{median(turns):.{digits}f}" for turns in (self.ours, self.theirs)]
        return [*times, f"{self.ratio:.2f}", f"{min(each):.2f}–{max(each):.2f}"]


def take_turns(
    sides: Sequence[Side], repetitions: int, seconds: float = TURN
) -> list[tuple[float, ...]]:
    """The turns of each side: each takes its first, then each its second, and so on."""
    counts = [side.calls(seconds) for side in sides]
    rounds = [
        [side.turn(calls) for side, calls in zip(sides, counts, strict=True)]
        for _ in range(repetitions)
    ]
    return list(zip(*rounds, strict=True))


def interleave(ours: Side, theirs: Side, repetitions: int, seconds: float = TURN) -> Speed:
    return Speed(*take_turns((ours, theirs), repetitions, seconds))


def side(codec: Codec, x: Rows, decode: bool) -> Side:
    if not decode:
        return Side(lambda: codec.encode(x), codec.renew, len(x))
    codes = codec.encode(x)
    return Side(lambda: codec.decode(codes), codec.renew, len(x))


def affordable(codecs: Sequence[Codec], x: Rows, decode: bool) -> Rows:
    """As many of the rows as the slowest codec finishes in half a turn."""
    slowest = max(side(codec, x[:FEWEST_ROWS], decode).turn(1) for codec in codecs)
    return x[: max(FEWEST_ROWS, int(TURN / 2 / (slowest * 1e-6)))]
