"""The tokens of one sequence of a cache on a torch device, and the rules by which pages are coded.

The contract is that of the core's cache: which tokens are coded depends on their number alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from blockquant.integrations._torch_pages import PAGE_TOKENS, Side, joined

Pair = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Rules:
    """The counts of tokens that decide what is exact."""

    sinks: int
    window: int
    rollback: int

    def coded_at(self, first: int) -> int:
        """The number of tokens with which the page of this first token is coded."""
        return first + PAGE_TOKENS + self.window


@dataclass(frozen=True)
class Sequence:
    """The tokens of one sequence. No tensor in it is ever written to again."""

    #: Keys and values (heads, tokens, dim) of the first tokens and of the newest.
    sinks: Pair
    recent: Pair
    pads: int = 0
    #: The tokens of each coded page, and their codes.
    lengths: tuple[int, ...] = ()
    keys: Side | None = None
    values: Side | None = None
    #: The exact tokens of the last coded pages, of as many as can be uncoded.
    kept: tuple[Pair, ...] = ()
    #: The estimated means of the keys, (heads, dim).
    mean: torch.Tensor | None = None

    @property
    def coded(self) -> int:
        return sum(self.lengths)

    @property
    def tokens(self) -> int:
        return int(self.sinks[0].shape[1]) + self.coded + int(self.recent[0].shape[1])

    def sides(self) -> list[Side]:
        return [side for side in (self.keys, self.values) if side is not None]

    def tensors(self) -> list[torch.Tensor]:
        exact = [tensor for pair in (self.sinks, self.recent, *self.kept) for tensor in pair]
        codes = [tensor for side in self.sides() for tensor in side.tensors()]
        return [*exact, *codes, *([] if self.mean is None else [self.mean])]

    def grown(self, rules: Rules, new: Pair, pads: int) -> Sequence:
        """With new tokens after `pads` pads. All of them are exact as yet."""
        sinks = self.sinks
        room = rules.sinks - sinks[0].shape[1]
        if room > 0:
            sinks = _joined(sinks, _part(new, slice(0, room)))
            new = _part(new, slice(room, None))
        recent = _joined(self.recent, new)
        return replace(self, sinks=sinks, recent=recent, pads=self.pads + pads)

    def due(self, rules: Rules) -> int:
        """The number of pages that are to be coded."""
        return max(0, int(self.recent[0].shape[1]) - rules.window) // PAGE_TOKENS

    def with_pages(self, keys: Side, values: Side, pages: int) -> Sequence:
        """With the codes of the next pages, whose exact tokens are kept."""
        starts = range(0, pages * PAGE_TOKENS, PAGE_TOKENS)
        exact = [_part(self.recent, slice(start, start + PAGE_TOKENS)) for start in starts]
        return replace(
            self,
            lengths=(*self.lengths, *[PAGE_TOKENS] * pages),
            keys=keys if self.keys is None else joined([self.keys, keys]),
            values=values if self.values is None else joined([self.values, values]),
            kept=(*self.kept, *exact),
            recent=_part(self.recent, slice(pages * PAGE_TOKENS, None)),
        )

    def settled(self, rules: Rules) -> Sequence:
        """Without the exact tokens of pages that cannot be uncoded any more."""
        end, first, wanted = self.tokens, rules.sinks + self.coded, 0
        for length in self.lengths[::-1][: len(self.kept)]:
            first -= length
            if end >= rules.coded_at(first) + rules.rollback:
                break
            wanted += 1
        kept = self.kept[len(self.kept) - wanted :]
        return replace(self, kept=tuple(map(_owned, kept)), recent=_owned(self.recent))

    def cropped(self, rules: Rules, n: int) -> Sequence:
        """The first n tokens, pads included. Pages with exact tokens are uncoded."""
        own = max(0, n - self.pads)
        lengths, kept, recent = list(self.lengths), list(self.kept), self.recent
        last = rules.sinks + self.coded
        while lengths:
            first = last - lengths[-1]
            if kept and own < rules.coded_at(first):
                recent = _joined(kept.pop(), recent)
            elif own >= last:
                break
            elif own > first:
                lengths[-1] = own - first
                break
            last = first
            lengths.pop()
        sinks, coded = _part(self.sinks, slice(0, own)), sum(lengths)
        keys, values = self.keys, self.values
        if coded < self.coded:
            sides = [side.part(slice(0, coded), slice(0, len(lengths))) for side in self.sides()]
            keys, values = sides if lengths else (None, None)
        rest = max(0, own - sinks[0].shape[1] - coded)
        return replace(
            self,
            pads=min(self.pads, n),
            sinks=_owned(sinks),
            lengths=tuple(lengths),
            keys=keys,
            values=values,
            kept=tuple(kept),
            recent=_owned(_part(recent, slice(0, rest))),
            mean=self.mean if lengths else None,
        )


def _part(pair: Pair, tokens: slice) -> Pair:
    return pair[0][:, tokens], pair[1][:, tokens]


def _joined(first: Pair, second: Pair) -> Pair:
    """New tensors of the tokens of both, of the second's type."""
    joined = [torch.cat([a.to(b.dtype), b], 1) for a, b in zip(first, second, strict=True)]
    return joined[0], joined[1]


def _owned(pair: Pair) -> Pair:
    """The tensors, in memory that they do not share with larger ones."""
    k, v = (x.clone() if x.untyped_storage().nbytes() > x.nbytes else x for x in pair)
    return k, v
