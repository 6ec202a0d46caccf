"""The attention function of transformers that reads codes, and the hooks that a cache needs."""

from __future__ import annotations

import inspect
import weakref
from typing import Any

from transformers import PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from blockquant.integrations._transformers_announced import ATTENTION, Announced
from blockquant.integrations._transformers_unread import Unread

# What changes the logits or the softmax in a way that `KeyValueCache.attend` does not know.
_CHANGES = ("softcap", "s_aux", "sinks", "position_bias", "indices", "block_indices", "head_mask")

_watched: weakref.WeakSet[Any] = weakref.WeakSet()
_enabled: weakref.WeakKeyDictionary[Any, list[tuple[Any, Any]]] = weakref.WeakKeyDictionary()


def attention(
    module: Any,
    query: Any,
    key: Any,
    value: Any,
    attention_mask: Any,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **kwargs: Any,
) -> tuple[Any, None]:
    """Attention of a layer; the face is that of transformers' attention functions."""

    def exact(keys: Any, values: Any) -> Any:
        return sdpa_attention_forward(
            module,
            query,
            keys,
            values,
            attention_mask,
            dropout=dropout,
            scaling=scaling,
            is_causal=is_causal,
            **kwargs,
        )[0]

    if not isinstance(key, Unread):
        return exact(key, value), None
    if not isinstance(value, Unread) or key.call is not value.call:
        raise RuntimeError("the keys are those of a compressed cache, the values are not")
    where = f"layer {key.call.layer.index}"
    for name in _CHANGES:
        if kwargs.get(name) is not None:
            raise NotImplementedError(
                f"{where}: attention from codes cannot apply {name}; call disable(model)"
            )
    if kwargs.get("output_attentions"):
        raise NotImplementedError(
            f"{where}: attention from codes gives no attention weights; call disable(model)"
        )
    if dropout:
        raise NotImplementedError(
            f"{where}: attention from codes has no dropout; call model.eval()"
        )
    if is_causal is False and attention_mask is None and query.shape[2] > 1:
        raise NotImplementedError(f"{where}: attention from codes is causal; call disable(model)")
    found = key.call.attention(query.detach(), attention_mask, scaling, exact)
    return found.contiguous(), None


def watch(model: Any) -> None:
    """Let every forward pass of a model tell a compressed cache its mask and its config."""
    for part in model.modules():
        if isinstance(part, PreTrainedModel) and part not in _watched:
            part.register_forward_pre_hook(_announce, with_kwargs=True)
            _watched.add(part)


def _announce(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    for value in (*kwargs.values(), *args):
        announced = getattr(value, "announced", None)
        if isinstance(announced, Announced):
            mask = kwargs.get("attention_mask")
            if mask is None and len(args) > 1:
                names = inspect.signature(module.forward).bind_partial(*args).arguments
                mask = names.get("attention_mask")
            announced.forward(module.config, mask)


def enable(model: Any) -> None:
    """See `blockquant.integrations.transformers.enable`."""
    if not isinstance(model, PreTrainedModel):
        raise TypeError(f"model is {type(model).__name__}, expected a model of transformers")
    text = model.config.get_text_config(decoder=True)
    if getattr(text, "attn_logit_softcapping", None) is not None:
        raise ValueError(
            f"{type(model).__name__} caps its logits (attn_logit_softcapping = "
            f"{text.attn_logit_softcapping}), which attention from codes cannot do; use the cache "
            "without enable"
        )
    if not model._supports_sdpa:
        raise ValueError(
            f"{type(model).__name__} does not work with torch's scaled dot product attention, "
            "which prompts and uncoded layers need; use the cache without enable"
        )
    ALL_ATTENTION_FUNCTIONS.register(ATTENTION, attention)
    ALL_MASK_ATTENTION_FUNCTIONS.register(ATTENTION, sdpa_mask)
    watch(model)
    if text._attn_implementation == ATTENTION:
        return
    before = [(config, config._attn_implementation) for config in _configs(model)]
    model.set_attn_implementation(ATTENTION)
    if text._attn_implementation != ATTENTION:
        raise ValueError(
            f"{type(model).__name__} does not let its attention be replaced; use the cache without "
            "enable"
        )
    _enabled[model] = before


def _configs(model: Any) -> list[Any]:
    """The configs of a model and of its parts, each once, outer ones first."""
    found: dict[int, Any] = {}
    for part in model.modules():
        if isinstance(part, PreTrainedModel):
            for config in (part.config, part.config.get_text_config(decoder=True)):
                found.setdefault(id(config), config)
    return list(found.values())


def disable(model: Any) -> None:
    """See `blockquant.integrations.transformers.disable`."""
    if not isinstance(model, PreTrainedModel):
        raise TypeError(f"model is {type(model).__name__}, expected a model of transformers")
    before = _enabled.pop(model, None)
    if before is None:  # a copy of a model that was enabled, or one that never was
        before = [
            (config, "sdpa")
            for config in _configs(model)
            if config._attn_implementation == ATTENTION
        ]
    for config, implementation in before:
        config._attn_implementation = implementation
