"""What is subtracted from keys on a torch device, and the rotary embedding that turns it."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch

from blockquant.integrations._torch_pages import PAGE_TOKENS
from blockquant.integrations._torch_sequence import Rules

#: The most tokens that a mean is estimated from.
_MOST_TOKENS = 256


class Rotary:
    """The rotary embedding R_j, which turns coordinates f and f + dim/2 by the angle j·ω_f.

    Parameters
    ----------
    frequencies : tuple of float
        ω, radians per token.
    device : torch.device
        Where the keys are.
    """

    def __init__(self, frequencies: tuple[float, ...], device: torch.device) -> None:
        self._frequencies = np.array(frequencies)
        self._device = device
        self._cos = self._sin = torch.empty((0, len(frequencies)), device=device)

    def _angles(self, first: int, tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
        end = first + tokens
        if len(self._cos) < end:
            # Rounded up, so that few calls make a new table. Angles are float64.
            angles = np.arange(-(-end // 4096) * 4096)[:, None] * self._frequencies
            self._cos, self._sin = (
                torch.from_numpy(table.astype(np.float32)).to(self._device)
                for table in (np.cos(angles), np.sin(angles))
            )
        return self._cos[first:end], self._sin[first:end]

    def turn(self, x: torch.Tensor, first: int, tokens: int) -> torch.Tensor:
        """R_j x for vectors x (heads, 1, dim), or one for each token; j from `first` on."""
        cos, sin = self._angles(first, tokens)
        a, b = x.chunk(2, -1)
        return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)

    def turn_back(self, x: torch.Tensor, first: int) -> torch.Tensor:
        """R_jᵀ x_j for the vectors x (heads, tokens, dim) of successive tokens."""
        cos, sin = self._angles(first, x.shape[1])
        a, b = x.chunk(2, -1)
        return torch.cat([a * cos + b * sin, b * cos - a * sin], -1)


@functools.lru_cache(maxsize=8)
def _shared(frequencies: tuple[float, ...], device: torch.device) -> Rotary:
    """The embedding, one for all layers that ask for the same."""
    return Rotary(frequencies, device)


class Center:
    """The centers of the keys of a cache.

    Parameters
    ----------
    dim : int
        Coordinates of a key.
    device : torch.device
        Where the keys are.
    center, rotary
        As :class:`blockquant.KeyValueCache` takes and checks them.
    """

    def __init__(
        self, dim: int, device: torch.device, center: Any = "static", rotary: Any = None
    ) -> None:
        #: Whether each sequence estimates its own means.
        self.estimates = isinstance(center, str)
        #: The same vectors for all sequences, (heads, dim).
        self.given: torch.Tensor | None = None
        self._rotary: Rotary | None = None
        if rotary is not None:
            if np.ndim(rotary) == 0:
                rotary = float(rotary) ** (-2 * np.arange(dim // 2) / dim)
            self._rotary = _shared(tuple(float(one) for one in rotary), device)
        if not self.estimates and center is not None:
            self.given = torch.as_tensor(center, dtype=torch.float32, device=device).clone()

    def mean(self, keys: torch.Tensor, rules: Rules) -> torch.Tensor:
        """The mean of the first keys (heads, tokens, dim) after the sinks, without embedding."""
        count = min(PAGE_TOKENS + rules.window, _MOST_TOKENS)
        rows = keys[:, :count].to(torch.float32)
        if self._rotary is not None:
            rows = self._rotary.turn_back(rows, rules.sinks)
        return rows.mean(1)

    def offset(self, mean: torch.Tensor | None, first: int, tokens: int) -> torch.Tensor | None:
        """What is subtracted from the keys of so many tokens from `first` on, if anything."""
        center = self.given if mean is None else mean
        if center is None or self._rotary is None:
            return None if center is None else center.unsqueeze(1)
        return self._rotary.turn(center.unsqueeze(1), first, tokens)
