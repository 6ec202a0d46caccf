"""Where the codes of a layer live: in the core, or in torch tensors on the device of the keys."""

from __future__ import annotations

import copy
from typing import Any

import torch

import blockquant as bq


class CoreStore:
    """A `blockquant.KeyValueCache` that takes and gives torch tensors."""

    def __init__(self, **options: Any) -> None:
        self.cache = bq.KeyValueCache(**options)

    def __len__(self) -> int:
        return len(self.cache)

    def __repr__(self) -> str:
        return repr(self.cache)

    def __copy__(self) -> CoreStore:
        other = CoreStore.__new__(CoreStore)
        other.cache = copy.copy(self.cache)
        return other

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "cache":  # those of copy and pickle are this object's
            raise AttributeError(name)
        return getattr(self.cache, name)

    def append(self, keys: Any, values: Any, pads: list[int] | None) -> None:
        """Take new tokens."""
        self.cache.append(keys, values, pads=pads)

    def attend(self, query: Any, scale: float | None, mask: Any) -> Any:
        """Attention of the newest tokens, (batch, query heads, tokens, value dim)."""
        found = self.cache.attend(query.detach(), scale=scale, mask=mask)
        return torch.from_numpy(found).to(query.dtype)

    def decode(self, dtype: Any) -> Any:
        """Keys and values of all tokens."""
        keys, values = self.cache.decode()
        return torch.from_numpy(keys).to(dtype), torch.from_numpy(values).to(dtype)


def open_store(like: Any, device_codes: bool | None, /, **options: Any) -> Any:
    """A store for keys like these."""
    if like.device.type != "cpu" or device_codes:
        raise NotImplementedError("device")
    return CoreStore(**options)
