"""Where the codes of a layer live: in the core, or in torch tensors on the device of the keys."""

from __future__ import annotations

import copy
from typing import Any

import torch

from blockquant.cache import KeyValueCache
from blockquant.integrations._torch_cache import TorchKeyValueCache


class Store:
    """A key-value cache that takes and gives torch tensors of the type of a model.

    Parameters
    ----------
    cache : KeyValueCache or TorchKeyValueCache
        What keeps the codes. Its other methods and attributes are those of this class too.
    """

    def __init__(self, cache: Any) -> None:
        self.cache = cache

    def __len__(self) -> int:
        return len(self.cache)

    def __repr__(self) -> str:
        return repr(self.cache)

    def __copy__(self) -> Store:
        return Store(copy.copy(self.cache))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "cache":  # those of copy and pickle are this object's
            raise AttributeError(name)
        return getattr(self.cache, name)

    def attend(self, query: Any, scale: float | None, mask: Any) -> Any:
        """Attention of the newest tokens, (batch, query heads, tokens, value dim)."""
        found = self.cache.attend(query, scale=scale, mask=mask)
        return torch.as_tensor(found).to(query.dtype)

    def decode(self, dtype: Any) -> Any:
        """Keys and values of all tokens."""
        keys, values = self.cache.decode()
        return torch.as_tensor(keys).to(dtype), torch.as_tensor(values).to(dtype)


def open_store(like: Any, device_codes: bool | None, /, **options: Any) -> Store:
    """A store for keys like these: in the core if they are in memory of the processor.

    Parameters
    ----------
    like : tensor
        Keys.
    device_codes : bool, optional
        True for torch tensors in any case, False for the core.
    **options
        Parameters of `blockquant.KeyValueCache`.

    Raises
    ------
    ValueError
        If the core is asked for and the keys are elsewhere, or an option is out of range.
    """
    if device_codes is None:
        device_codes = like.device.type != "cpu"
    if device_codes:
        return Store(TorchKeyValueCache(device=like.device, **options))
    if like.device.type != "cpu":
        raise ValueError(
            f"device_codes=False needs keys in memory of the processor, got keys on {like.device}; "
            "leave it out to keep the codes there"
        )
    return Store(KeyValueCache(**options))
