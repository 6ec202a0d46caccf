"""The cache of a whole model: coded layers among the library's own."""

from __future__ import annotations

import warnings
from typing import Any

try:
    import torch
    from transformers import DynamicCache, PreTrainedConfig, PreTrainedModel
    from transformers.cache_utils import DynamicLayer
except ImportError as error:  # pragma: no cover - needs an environment without them
    raise ImportError(
        "blockquant.integrations.transformers needs torch and transformers >= 5.18: "
        'pip install "blockquant[transformers]"'
    ) from error

from blockquant.integrations._transformers_announced import Announced
from blockquant.integrations._transformers_attention import watch
from blockquant.integrations._transformers_layer import CodedLayer
from blockquant.integrations._transformers_rotary import head_dim, rotary_base
from blockquant.integrations._transformers_store import open_store


class CompressedCache(DynamicCache):
    """A cache of transformers whose layers of full attention are coded.

    Made by `blockquant.integrations.transformers.cache`.

    Attributes
    ----------
    layers : list
        One per layer of the model, as in every cache of transformers.
    """

    def __init__(self, config: Any, announced: Announced) -> None:
        super().__init__(config=config)
        self.announced = announced

    @property
    def coded_layers(self) -> list[CodedLayer]:
        """The layers that are coded, in order."""
        return [layer for layer in self.layers if isinstance(layer, CodedLayer)]

    def _stores(self) -> list[Any]:
        return [layer.store for layer in self.coded_layers if layer.is_initialized]

    @property
    def nbytes(self) -> int:
        """Bytes of all layers: codes, exact tokens, and the tensors of the library's own layers."""
        own: int = sum(
            tensor.numel() * tensor.element_size()
            for layer in self.layers
            if not isinstance(layer, CodedLayer)
            for name, value in vars(layer).items()
            if not name.startswith("_")  # a constant, such as the width of a window
            for tensor in _tensors(value)
        )
        coded: int = sum(store.nbytes for store in self._stores())
        return own + coded

    @property
    def bits_per_value(self) -> float:
        """Bits per value of the keys and values in coded layers, exact tokens included.

        0 in an empty cache.
        """
        used = [(8 * store.nbytes, store.bits_per_value) for store in self._stores()]
        values = sum(bits / each for bits, each in used if each)
        return sum(bits for bits, _ in used) / values if values else 0.0

    @property
    def bits_per_coded_value(self) -> float:
        """Bits per value of the tokens that are coded, scales included; 0 if none is."""
        bits = values = 0.0
        for layer in self.coded_layers:
            if layer.is_initialized:
                coded = sum(int(tokens) for tokens in layer.store.coded) * layer.width
                values += coded
                bits += coded * layer.store.bits_per_coded_value if coded else 0.0
        return bits / values if values else 0.0

    def summary(self) -> str:
        """Say which layers are coded, which are the library's own, and what they take.

        Returns
        -------
        str
            Several lines of text.
        """
        kinds: dict[str, list[int]] = {}
        for index, layer in enumerate(self.layers):
            name = "coded" if isinstance(layer, CodedLayer) else type(layer).__name__
            kinds.setdefault(name, []).append(index)
        lines = [
            f"layers {_ranges(indexes)}: "
            + ("coded" if name == "coded" else f"{name} of transformers")
            for name, indexes in kinds.items()
        ]
        lines.append(
            f"{self.nbytes} bytes, {self.bits_per_value:.2f} bits per value of coded layers "
            f"({self.bits_per_coded_value:.2f} per coded value)"
        )
        return "\n".join(lines)

    def __repr__(self) -> str:
        coded = len(self.coded_layers)
        tokens = self.coded_layers[0].get_seq_length()
        return (
            f"CompressedCache({coded} of {len(self.layers)} layers coded, {tokens} tokens, "
            f"{self.bits_per_value:.2f} bits per value)"
        )


def _tensors(value: Any) -> list[Any]:
    """The tensors in the attributes of a layer, with those in its dicts and lists."""
    if isinstance(value, torch.Tensor):
        return [value]
    inside = value.values() if isinstance(value, dict) else value
    if not isinstance(value, (dict, list, tuple)):
        return []
    return [tensor for part in inside for tensor in _tensors(part)]


def _ranges(indexes: list[int]) -> str:
    """1, 2, 3, 7 as "1 to 3, 7"."""
    parts: list[list[int]] = []
    for index in indexes:
        if parts and index == parts[-1][-1] + 1:
            parts[-1].append(index)
        else:
            parts.append([index])
    return ", ".join(f"{p[0]} to {p[-1]}" if len(p) > 1 else str(p[0]) for p in parts)


def build(
    model: Any,
    options: dict[str, Any],
    *,
    prefill: str,
    attention_mask: Any,
    device_codes: bool | None,
    offloading: bool,
) -> CompressedCache:
    """See `blockquant.integrations.transformers.cache`."""
    if not isinstance(model, (PreTrainedModel, PreTrainedConfig)):
        raise TypeError(
            f"model is {type(model).__name__}, expected a model of transformers or its config"
        )
    config = model.config if isinstance(model, PreTrainedModel) else model
    if config.is_encoder_decoder:
        raise ValueError(
            f"{type(config).__name__} is of an encoder with a decoder, whose caches are pairs; "
            "only decoders have a compressed cache"
        )
    if offloading:
        raise ValueError(
            "a compressed cache cannot be offloaded: its codes stay where they are and are read at "
            "every step; leave offloading out"
        )
    if prefill not in ("exact", "quantized"):
        raise ValueError(f'prefill is {prefill!r}, expected "exact" or "quantized"')
    if attention_mask is not None and getattr(attention_mask, "ndim", 0) != 2:
        raise ValueError("attention_mask must be a tensor of shape (batch, tokens)")
    text = config.get_text_config(decoder=True)
    _centered(text, options)
    on_device = isinstance(model, PreTrainedModel) and model.device.type != "meta"
    open_store(  # an option that is out of range fails here, not in the first forward pass
        torch.empty(0, device=model.device if on_device else "cpu"),
        device_codes,
        heads=1,
        dim=head_dim(text),
        **options,
    )
    if isinstance(model, PreTrainedModel):
        watch(model)
    announced = Announced(attention_mask)
    cache = CompressedCache(text, announced)
    latent = getattr(text, "kv_lora_rank", None)
    # Layers that read the keys of others have no keys; older versions leave their places out.
    shared = len(cache.layers) < text.num_hidden_layers or any(
        type(layer).__name__ == "DummyLayer" for layer in cache.layers
    )
    for index, layer in enumerate(cache.layers):
        if type(layer) is DynamicLayer:
            cache.layers[index] = CodedLayer(
                index,
                _without_position(text, index, options),
                prefill=prefill,
                latent=None if latent is None else (latent, text.qk_rope_head_dim),
                announced=announced,
                device_codes=device_codes,
                shared=shared,
            )
    if not cache.coded_layers:
        kinds = sorted({type(layer).__name__ for layer in cache.layers})
        raise ValueError(
            f"{type(config).__name__} has no layer of full attention to code, only "
            f"{', '.join(kinds) or 'layers without a cache of transformers'}"
        )
    return cache


def _centered(config: Any, options: dict[str, Any]) -> None:
    """Fill in the base of the rotary embedding, or fall back to the static center and say why."""
    if options["center"] not in ("rotary", "static", None):
        raise ValueError(f'center is {options["center"]!r}, expected "rotary", "static" or None')
    if options["center"] != "rotary" or options["rotary"] is not None:
        return
    base, reason = rotary_base(config)
    options["rotary"] = base
    if base is None:
        options["center"] = "static"
        warnings.warn(
            f'{type(config).__name__}: center="static" takes the place of "rotary": {reason}',
            stacklevel=4,
        )


def _without_position(config: Any, index: int, options: dict[str, Any]) -> dict[str, Any]:
    """The options of one layer: some models rotate the keys of some layers only."""
    rotated = getattr(config, "no_rope_layers", None)
    if options["center"] == "rotary" and rotated and not rotated[index]:
        return {**options, "center": "static", "rotary": None}
    return dict(options)
