"""One layer of a transformers cache whose keys and values are codes."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any

import torch
from transformers.cache_utils import DynamicLayer

from blockquant._methods import DEFAULT, PARTS, has_rate
from blockquant.integrations._transformers_announced import Announced
from blockquant.integrations._transformers_store import open_store
from blockquant.integrations._transformers_unread import Unread
from blockquant.registry import full_name


class CodedLayer(DynamicLayer):
    """A layer of full attention in a `blockquant.KeyValueCache`.

    Parameters
    ----------
    index : int
        Number of the layer, for errors.
    options : dict
        Arguments of the store without the shapes.
    prefill : str
        "exact" or "quantized".
    latent : tuple of int, optional
        The widths of the two latent parts of multi-head latent attention. Both parts make keys.
    announced : Announced
        Shared by all layers of the cache.
    device_codes : bool, optional
        Whether codes are torch tensors.
    shared : bool
        Whether other layers read the keys of this one.
    """

    is_compileable = False
    is_croppable = True
    is_sliding = False

    def __init__(
        self,
        index: int,
        options: dict[str, Any],
        *,
        prefill: str,
        latent: tuple[int, int] | None,
        announced: Announced,
        device_codes: bool | None,
        shared: bool,
    ) -> None:
        self.index = index
        self.options = options
        self.prefill = prefill
        self.latent = latent
        self.announced = announced
        self.device_codes = device_codes
        self.shared = shared
        self.reset()

    def __repr__(self) -> str:
        return f"CodedLayer({self.store!r})" if self.is_initialized else "CodedLayer(empty)"

    # ---- the life of the layer

    def reset(self) -> None:
        """Forget all tokens and shapes."""
        self.store: Any = None
        self.is_latent = False
        self.waiting: Waiting | None = None
        self.is_initialized = False

    def lazy_initialization(self, key_states: Any, value_states: Any) -> None:
        """Open the store for the shapes, the type and the device of the first keys and values."""
        batch, heads, _, dim = key_states.shape
        self.dtype, self.device = key_states.dtype, key_states.device
        self.is_latent = (dim, value_states.shape[-1]) == self.latent
        options = dict(self.options)
        if self.is_latent:
            # Both parts make keys; the second is rotated, and too narrow for a coarse code.
            options["values"] = options["keys"]
            options["value_scale_search"] = options["key_scale_search"]
            bits = options["value_bits"] = max(options["key_bits"], 8)
            if not has_rate(PARTS[full_name(options["keys"])][0], bits):
                options["values"] = DEFAULT
        self.store = open_store(
            key_states,
            self.device_codes,
            heads=heads,
            dim=dim,
            value_dim=value_states.shape[-1],
            batch=batch,
            layer=self.index,
            **options,
        )
        self.width = heads * (dim + value_states.shape[-1])  # values of one token
        self.is_initialized = True

    def _settled(self) -> Any:
        """The store, or an error if the last keys never reached the attention from codes."""
        if self.waiting is not None:
            raise RuntimeError(
                f"layer {self.index}: the model took keys from the compressed cache and did not "
                "compute attention with them through transformers' attention functions; call "
                "disable(model) and reset() the cache"
            )
        return self.store

    # ---- tokens

    def update(self, key_states: Any, value_states: Any, *args: Any, **kwargs: Any) -> Any:
        """Take keys and values of new tokens, and return those of all tokens.

        Parameters
        ----------
        key_states, value_states : tensor, (batch, heads, tokens, dim)
            Of the new tokens.
        *args, **kwargs
            Not used.

        Returns
        -------
        keys, values : tensor, (batch, heads, all tokens, dim)
            Decoded, or placeholders that only the attention function of `enable` can read.
        """
        self._settled()
        length = self.get_seq_length()
        if not self.is_initialized or (length == 0 and len(key_states) != self.store.batch):
            self.lazy_initialization(key_states, value_states)
        key_states, value_states = key_states.detach(), value_states.detach()
        call = Waiting(self, key_states, value_states, length)
        if self.announced.computes_from_codes() and not self.is_latent:
            self.waiting = call
            return Unread(call, key_states), Unread(call, value_states)
        return call.decoded()

    def one_by_one(self, tokens: int) -> bool:
        """Whether the tokens of a call see what they would see had they come one by one."""
        return self.prefill == "quantized" or tokens <= self.options["rollback"] + 1

    @property
    def keys(self) -> Any:
        """Decoded keys of all tokens, or None."""
        return self._settled().decode(self.dtype)[0] if self.is_initialized else None

    @property
    def values(self) -> Any:
        """Decoded values of all tokens, or None."""
        return self._settled().decode(self.dtype)[1] if self.is_initialized else None

    def get_seq_length(self) -> int:
        """Number of tokens, padding included."""
        stored = len(self.store) if self.is_initialized else 0
        return stored + (self.waiting.tokens if self.waiting is not None else 0)

    def crop(self, tokens_to_remove: int) -> None:
        """Remove the newest tokens; at most `rollback` of them leave no trace.

        Parameters
        ----------
        tokens_to_remove : int
            Minus the number of tokens to remove.

        Raises
        ------
        ValueError
            If the number is positive.
        """
        store = self._settled()
        removed = -int(tokens_to_remove)
        if removed < 0:
            raise ValueError(
                f"crop takes minus the number of tokens to remove, got {tokens_to_remove}"
            )
        if self.is_initialized and removed > 0:
            store.crop(max(len(store) - removed, 0))

    # ---- sequences

    def reorder_cache(self, beam_idx: Any) -> None:
        """Give place i the sequence ``beam_idx[i]``."""
        if self.is_initialized:
            self._settled().reorder(beam_idx.tolist())

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat each sequence."""
        if self.is_initialized:
            self._settled().repeat(repeats)

    def batch_select_indices(self, indices: Any) -> None:
        """Keep the sequences with these indices, or where a mask is true."""
        if self.is_initialized:
            rows = torch.arange(self.store.batch)[torch.as_tensor(indices, device="cpu")]
            self._settled().select(rows.tolist())

    # ---- what cannot be

    def offload(self) -> None:
        """Refused: codes stay where they are."""
        raise NotImplementedError(
            f"layer {self.index}: a compressed layer cannot be offloaded; use the cache without "
            "offloading"
        )

    def prefetch(self) -> None:
        """Refused, as `offload` is."""
        self.offload()


class Waiting:
    """The new tokens of one call, from the update until they are stored.

    Parameters
    ----------
    layer : CodedLayer
        The layer that they belong to.
    keys, values : tensor, (batch, heads, tokens, dim)
        Of the new tokens.
    start : int
        Number of tokens before them.
    """

    def __init__(self, layer: CodedLayer, keys: Any, values: Any, start: int) -> None:
        self.layer = layer
        self.keys, self.values = keys, values
        self.start, self.tokens = start, keys.shape[2]
        self.end = start + self.tokens
        # Layers that share these keys read them again, as they were before the call.
        again = layer.shared and self.tokens > 1
        self.before = copy.copy(layer.store) if again else None

    def _append(self, store: Any, first: int, last: int) -> None:
        """Store the tokens first to last."""
        pads = self._pads(store, first, last)
        whole = last - first == self.tokens
        keys = self.keys if whole else self.keys[:, :, first:last]
        values = self.values if whole else self.values[:, :, first:last]
        store.append(keys, values, pads=pads)

    def _pads(self, store: Any, first: int, last: int) -> list[int] | None:
        """Leading padding within these tokens, of sequences that have no other token yet."""
        pads = self.layer.announced.pads(store.batch, self.start + first, last - first)
        if pads is None:
            return None
        length = len(store)
        return [pads[row] if before == length else 0 for row, before in enumerate(store.pads)]

    def _exact(self, store: Any) -> Any:
        """Earlier tokens as the store holds them, and the new tokens exact."""
        if self.start == 0:
            return self.keys, self.values
        keys, values = store.decode(self.keys.dtype)
        return torch.cat([keys, self.keys], 2), torch.cat([values, self.values], 2)

    def decoded(self) -> Any:
        """Store the tokens; return all keys and values as the tokens of this call see them."""
        layer, store = self.layer, self.layer.store
        draft = self.tokens <= layer.options["rollback"] + 1
        if self.tokens > 1 and not draft and layer.prefill == "exact":
            keys, values = self._exact(store)
            self._append(store, 0, self.tokens)
            return keys, values
        # One by one, the first token of a draft sees the codes that its own coming makes.
        seen = 1 if draft else self.tokens
        self._append(store, 0, seen)
        keys, values = store.decode(self.keys.dtype)
        if seen < self.tokens:
            keys = torch.cat([keys, self.keys[:, :, seen:]], 2)
            values = torch.cat([values, self.values[:, :, seen:]], 2)
            self._append(store, seen, self.tokens)
        return keys, values

    def _pieces(self, store: Any) -> list[int]:
        """Starts and end of runs of tokens; codes come into being only when a run starts."""
        if self.tokens == 1:
            return [0, 1]
        starts = {0, self.tokens}
        options, length = self.layer.options, len(store)
        pads = self._pads(store, 0, self.tokens)
        for row, before in enumerate(store.pads):
            own = length - before
            skip = pads[row] if pads is not None else 0
            # A page of 64 tokens is coded when `window` more have come.
            to_next = (options["sinks"] + options["window"] - own - 1) % 64
            starts.update(range(skip + to_next, self.tokens, 64))
        return sorted(starts)

    def attention(self, query: Any, mask: Any, scale: float | None, exact: Any) -> Any:
        """Attention of the new tokens, straight from codes; stores them when first asked.

        Parameters
        ----------
        query : tensor, (batch, query heads, tokens, dim)
            Of the new tokens.
        mask : tensor or None
            As `blockquant.KeyValueCache.attend` takes it.
        scale : float or None
            Of the logits.
        exact : callable
            Takes keys and values and gives attention to them, for a prompt that is seen exactly.

        Returns
        -------
        tensor, (batch, tokens, query heads, value dim)
        """
        layer = self.layer
        if query.shape[2] != self.tokens:
            raise ValueError(
                f"layer {layer.index}: {query.shape[2]} queries for {self.tokens} new tokens; "
                "attention from codes needs one query per new token"
            )
        if layer.waiting is self:
            layer.waiting = None
            return self._read(layer.store, query, mask, scale, exact)
        if len(layer.store) != self.end:
            raise RuntimeError(
                f"layer {layer.index}: these keys were read before and the cache has changed since"
            )
        if self.tokens == 1:
            return layer.store.attend(query, scale, mask).transpose(1, 2)
        if self.before is None:
            raise RuntimeError(
                f"layer {layer.index}: these keys were read before, and the config of the model "
                "names no layers that share keys"
            )
        return self._read(copy.copy(self.before), query, mask, scale, exact)

    def _read(self, store: Any, query: Any, mask: Any, scale: float | None, exact: Any) -> Any:
        if not self.layer.one_by_one(self.tokens):
            result = exact(*self._exact(store))
            self._append(store, 0, self.tokens)
            return result
        if mask is not None and self.tokens > 1:
            self._check_order(mask)
        pieces = self._pieces(store)
        parts = []
        for first, last in pairwise(pieces):
            self._append(store, first, last)
            part = mask
            if mask is not None:
                rows = mask[:, :, first:last] if mask.shape[2] == self.tokens else mask
                part = rows[..., : self.start + last]
            parts.append(store.attend(query[:, :, first:last], scale, part))
        found = parts[0] if len(parts) == 1 else torch.cat(parts, 2)
        return found.transpose(1, 2)

    def _check_order(self, mask: Any) -> None:
        """Refuse a mask that shows a token later ones: one by one, those are not there yet."""
        new = mask[..., self.start :]
        if new.dtype != torch.bool:
            new = new > torch.finfo(new.dtype).min / 2
        if bool(new.triu(1).any()):
            raise NotImplementedError(
                f"layer {self.layer.index}: the mask shows tokens to earlier ones of the same call "
                '(an image, for example), which is possible with prefill="exact" only, in calls of '
                "more than rollback + 1 tokens"
            )
