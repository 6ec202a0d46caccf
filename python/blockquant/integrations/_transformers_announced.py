"""What a forward pass tells the layers of a compressed cache: the padding and the attention."""

from __future__ import annotations

import weakref
from typing import Any

import torch

#: The name of the attention function of `enable`.
ATTENTION = "blockquant"


class Announced:
    """What the forward pass tells the layers of a cache; one object for all of them.

    Parameters
    ----------
    given : tensor, (batch, tokens), optional
        The mask that holds where a forward pass brings none.
    """

    def __init__(self, given: Any) -> None:
        self.given = given
        self._mask: Any = None
        self._config: Any = None
        self._pads: tuple[Any, ...] = (None, None)

    def forward(self, config: Any, attention_mask: Any) -> None:
        """Note the config of the running model, and its mask.

        A model hands its mask on to the models inside; some hand on what they made of it, which
        shows no padding, and then the mask of the outer one holds.
        """
        self._config = weakref.ref(config)
        if attention_mask is None or getattr(attention_mask, "ndim", 0) == 2:
            self._mask = attention_mask
            self._pads = (None, None)

    @property
    def mask(self) -> Any:
        """The mask that shows the padding, (batch, tokens), or None."""
        return self.given if self._mask is None else self._mask

    def computes_from_codes(self) -> bool:
        """Whether the running model asks for attention with the function of `enable`."""
        config = self._config and self._config()
        return config is not None and config._attn_implementation == ATTENTION

    def pads(self, batch: int, start: int, tokens: int) -> list[int] | None:
        """Leading padding of each sequence within the tokens from `start` on."""
        mask = self.mask
        if mask is None:
            return None
        place = (batch, start, tokens)
        if self._pads[0] != place:
            self._pads = (place, _leading(mask[:, start : start + tokens], batch))
        found: list[int] | None = self._pads[1]
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_config": None}


def _leading(mask: Any, batch: int) -> list[int] | None:
    """The zeros that each row begins with, None without any zero."""
    own = mask.to(torch.bool)
    if bool(own.all()):
        return None
    if batch % len(own):
        raise ValueError(
            f"attention_mask has {len(own)} rows, but the cache gets {batch} sequences"
        )
    leading = (own.cumsum(1) == 0).sum(1).repeat_interleave(batch // len(own))
    return [int(pads) for pads in leading]
