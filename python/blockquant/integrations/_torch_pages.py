"""The coded tokens of a sequence on a torch device: codes and scales.

Nothing here changes once it is made, so that copies of a cache and beams share it.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import torch

from blockquant import create
from blockquant.integrations._torch_codes import TorchQuantizer

#: The tokens of a page; as in the core, FROZEN.
PAGE_TOKENS = 64

_STEPS_PER_OCTAVE = 12
#: The exponents of the largest and the smallest float32.
_MOST, _LEAST = 128 * _STEPS_PER_OCTAVE - 1, -149 * _STEPS_PER_OCTAVE
#: The byte of the largest scale of a page and head.
_TOP = 255


@functools.lru_cache(maxsize=64)
def coder(
    side: tuple[str, str | None, float, int | None],
    dim: int,
    rotation: str,
    seed: int,
    device: torch.device,
) -> TorchQuantizer:
    """A quantizer with integer codewords, one for all layers that ask for the same.

    A side is method, scale rule, bits and number of scales, as the core of a cache gives them.
    """
    method, scale, bits, scales = side
    name = method if scale is None else f"{method}/{scale}"
    # Methods without a search over scales do not know the option.
    options = {} if scales is None else {"scale_search": scales}
    quantizer = create(name, dim=dim, bits=bits, rotation=rotation, seed=seed % 2**64, **options)
    return TorchQuantizer(quantizer, device, integers=True)


@functools.lru_cache(maxsize=8)
def _scale_table(device: torch.device) -> torch.Tensor:
    """2^(e/12) of the exponents from _LEAST on, as the core rounds it."""
    octave, step = np.divmod(np.arange(_LEAST, _MOST + 1), _STEPS_PER_OCTAVE)
    scales = np.ldexp(np.exp2(step / _STEPS_PER_OCTAVE), octave).astype(np.float32)
    return torch.from_numpy(scales).to(device)


class Scales(NamedTuple):
    """The scales of some pages: float32, or a base per page and head and a byte per row."""

    #: float32 or uint8, (heads, tokens).
    rows: torch.Tensor
    #: int16, (heads, pages), for bytes.
    bases: torch.Tensor | None

    @staticmethod
    def of(scales: torch.Tensor, as_bytes: bool) -> Scales:
        """The scales (heads, tokens) of whole pages.

        The exponent of a scale s is 12·log2(s), rounded half to even. The base is the largest
        exponent of the page and head minus 255, and e is the exponent minus the base; e = 0 stands
        for 0.
        """
        if not as_bytes:
            return Scales(scales, None)
        pages = scales.unflatten(1, (-1, PAGE_TOKENS))
        # The octave is exact, so that the logarithm keeps the digits of its fraction.
        fraction, octave = torch.frexp(pages)
        steps = (_STEPS_PER_OCTAVE * torch.log2(fraction)).round()
        exponent = (_STEPS_PER_OCTAVE * octave + steps.nan_to_num(neginf=0)).clamp(max=_MOST)
        exponent = exponent.masked_fill(pages == 0, -torch.inf)
        base = exponent.amax(2) - _TOP
        base = base.masked_fill(base.isinf(), 0)
        rows = (exponent - base.unsqueeze(2)).clamp(0, _TOP)
        return Scales(rows.to(torch.uint8).flatten(1), base.to(torch.int16))

    def read(self, lengths: list[int]) -> torch.Tensor:
        """The scales as float32 (heads, tokens), of pages with so many tokens each."""
        if self.bases is None:
            return self.rows
        counts = torch.tensor(lengths, device=self.rows.device)
        bases = self.bases.to(torch.int64).repeat_interleave(
            counts, dim=1, output_size=self.rows.shape[1]
        )
        place = (bases + self.rows.to(torch.int64) - _LEAST).clamp(min=0)
        return _scale_table(self.rows.device)[place].masked_fill(self.rows == 0, 0.0)


class Side(NamedTuple):
    """The codes of the keys, or of the values, of some pages of a sequence."""

    #: uint8, (heads, tokens, bytes).
    packed: torch.Tensor
    scale: Scales
    #: γ, where the method has one.
    gamma: Scales | None

    @staticmethod
    def encode(quantizer: TorchQuantizer, rows: torch.Tensor, as_bytes: bool) -> Side:
        """Codes rows (heads, tokens, dim) of whole pages."""
        packed, scale, gamma = quantizer.encode(rows)
        scales = Scales.of(scale, as_bytes)
        return Side(packed, scales, None if gamma is None else Scales.of(gamma, as_bytes))

    def decode(self, quantizer: TorchQuantizer, lengths: list[int]) -> torch.Tensor:
        """The rows, float32 (heads, tokens, dim)."""
        gamma = None if self.gamma is None else self.gamma.read(lengths)
        return quantizer.decode(self.packed, self.scale.read(lengths), gamma)

    def tensors(self) -> list[torch.Tensor]:
        """All that is stored."""
        scales = [self.scale, *([] if self.gamma is None else [self.gamma])]
        bases = [one.bases for one in scales if one.bases is not None]
        return [self.packed, *(one.rows for one in scales), *bases]

    def part(self, tokens: slice, pages: slice) -> Side:
        """Some of the tokens, which are those of these pages, in memory of their own."""

        def cut(scales: Scales) -> Scales:
            bases = None if scales.bases is None else scales.bases[:, pages].clone()
            return Scales(scales.rows[:, tokens].clone(), bases)

        gamma = None if self.gamma is None else cut(self.gamma)
        return Side(self.packed[:, tokens].clone(), cut(self.scale), gamma)


def joined(sides: list[Side]) -> Side:
    """The pages of several parts, one after the other."""
    if len(sides) == 1:
        return sides[0]

    def join(parts: list[Scales]) -> Scales:
        bases = [part.bases for part in parts if part.bases is not None]
        rows = torch.cat([part.rows for part in parts], 1)
        return Scales(rows, torch.cat(bases, 1) if bases else None)

    gammas = [side.gamma for side in sides if side.gamma is not None]
    return Side(
        torch.cat([side.packed for side in sides], 1),
        join([side.scale for side in sides]),
        join(gammas) if gammas else None,
    )
