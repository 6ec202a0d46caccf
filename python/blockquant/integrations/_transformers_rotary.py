"""What a config says about the rotary embedding of a model's keys."""

from __future__ import annotations

import importlib
from typing import Any

import torch


def head_dim(config: Any) -> int:
    """Width of a key of full attention."""
    width = getattr(config, "head_dim", None)
    return int(width or config.hidden_size // config.num_attention_heads)


def rotary_base(config: Any) -> tuple[float | None, str]:
    """The base of a rotary embedding of whole heads, by halves, without scaling.

    Parameters
    ----------
    config : PreTrainedConfig
        Of the text decoder.

    Returns
    -------
    base : float or None
        None if the keys of full attention are embedded in another way.
    reason : str
        In which way, for a warning; empty with a base.
    """
    rope = getattr(config, "rope_parameters", None)
    if isinstance(rope, dict) and "full_attention" in rope:
        rope = rope["full_attention"]
    if getattr(config, "kv_lora_rank", None) is not None:
        return None, "its keys are the latent ones of multi-head latent attention"
    if not rope or rope.get("rope_theta") is None:
        return None, "its config names no rotary embedding"
    kind = rope.get("rope_type", "default")
    if kind != "default":
        return None, f'its rotary embedding is the scaled variant "{kind}"'
    if "mrope_section" in rope:
        return None, "its rotary embedding has several positions per token"
    part = rope.get("partial_rotary_factor", getattr(config, "partial_rotary_factor", None))
    width = head_dim(config)
    if part not in (None, 1) or getattr(config, "rotary_dim", width) not in (None, width):
        return None, "its rotary embedding is partial: it leaves a part of each key as it is"
    if width % 2:
        return None, f"its keys have an odd width ({width})"
    reason = _convention(config)
    return (None, reason) if reason else (float(rope["rope_theta"]), "")


def _convention(config: Any) -> str:
    """Why the model's own code does not rotate by halves; empty if it does."""
    unknown = "the code of the model does not show how it pairs coordinates"
    place = type(config).__module__
    try:
        code = importlib.import_module(place.replace("configuration_", "modeling_"))
        rotate, apply = code.rotate_half, code.apply_rotary_pos_emb
    except (ImportError, AttributeError):
        return unknown
    # 4 coordinates at 3 positions, with a different angle for every pair.
    keys = torch.arange(1.0, 13.0).reshape(1, 1, 3, 4)
    angles = torch.arange(3.0).reshape(1, 3, 1) * torch.tensor([0.7, 0.2, 0.7, 0.2])
    cos, sin = angles.cos(), angles.sin()
    swapped = torch.cat([-keys[..., 2:], keys[..., :2]], -1)
    try:
        by_halves = torch.equal(rotate(keys), swapped)
        if by_halves:
            expected = keys * cos.unsqueeze(1) + swapped * sin.unsqueeze(1)
            by_halves = torch.allclose(_rotated(apply, keys, cos, sin), expected)
    except (TypeError, ValueError, RuntimeError, IndexError):
        return unknown
    return "" if by_halves else "its rotary embedding pairs neighbouring coordinates (interleaved)"


def _rotated(apply: Any, keys: Any, cos: Any, sin: Any) -> Any:
    """Keys after a model's function, which takes queries and keys, or one of them."""
    try:
        return apply(keys, keys, cos, sin)[1]
    except TypeError:
        return apply(keys, cos, sin)
