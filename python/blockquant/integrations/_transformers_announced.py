"""What a forward pass tells the layers of a compressed cache: the padding and the attention."""

from __future__ import annotations

import weakref
from typing import Any

import torch

#: The name of the attention function of `enable`.
ATTENTION = "blockquant"


class Announced:
    """What the forward pass tells the layers of a cache; one object for all of them."""

    def __init__(self, attention_mask: Any) -> None:
        self.mask = attention_mask
        self._config: Any = None
        self._pads: tuple[Any, ...] = (None, None)

    def forward(self, config: Any, attention_mask: Any) -> None:
        """Note the config of the running model, and its mask if that shows the padding."""
        self._config = weakref.ref(config)
        if isinstance(attention_mask, torch.Tensor) and attention_mask.ndim == 2:
            self.mask = attention_mask
            self._pads = (None, None)

    def computes_from_codes(self) -> bool:
        """Whether the running model asks for attention with the function of `enable`."""
        config = self._config and self._config()
        return config is not None and config._attn_implementation == ATTENTION

    def pads(self, batch: int, start: int, tokens: int) -> list[int] | None:
        """Leading padding of each sequence within the tokens from `start` on."""
        if self.mask is None:
            return None
        place = (batch, start, tokens)
        if self._pads[0] != place:
            self._pads = (place, self._leading(batch, start, tokens))
        found: list[int] | None = self._pads[1]
        return found

    def _leading(self, batch: int, start: int, tokens: int) -> list[int] | None:
        own = self.mask[:, start : start + tokens].to(torch.bool)
        if bool(own.all()):
            return None
        if batch % len(own):
            raise ValueError(
                f"attention_mask has {len(own)} rows, but the cache gets {batch} sequences"
            )
        leading = (own.cumsum(1) == 0).sum(1).repeat_interleave(batch // len(own))
        return [int(pads) for pads in leading]

    def __getstate__(self) -> dict[str, Any]:
        return {"mask": self.mask, "_config": None, "_pads": (None, None)}
