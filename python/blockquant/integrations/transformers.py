"""A compressed key-value cache for models of Hugging Face transformers.

Needs the extra ``blockquant[transformers]``. The page "Generation with transformers" of the
documentation shows its use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blockquant._methods import DEFAULT

if TYPE_CHECKING:
    from blockquant.integrations._transformers_cache import CompressedCache

__all__ = ["cache", "disable", "enable"]


def cache(
    model: Any,
    *,
    key_bits: float = 3,
    value_bits: float = 2,
    keys: str = DEFAULT,
    values: str = DEFAULT,
    key_scale_search: int | None = None,
    value_scale_search: int | None = None,
    window: int = 64,
    sinks: int = 4,
    rollback: int = 0,
    center: str | None = "rotary",
    rotary: Any = None,
    centroids: int = 0,
    debias: bool = False,
    byte_scales: bool | None = None,
    rotation: str = "hadamard",
    seed: int = 0,
    prefill: str = "exact",
    attention_mask: Any = None,
    device_codes: bool | None = None,
    offloading: bool = False,
) -> CompressedCache:
    """A cache for ``model.generate(past_key_values=…)`` whose full-attention layers are coded.

    Every layer that the library would give a plain growing cache becomes a
    `blockquant.KeyValueCache`. Sliding, chunked, linear, convolutional, hybrid and shared layers
    stay the library's own: their memory does not grow with the text, or they hold none.

    Parameters
    ----------
    model : PreTrainedModel or PreTrainedConfig
        The model that fills the cache, or its config. With a model, its forward pass from now on
        tells such a cache the attention mask, which says where the padding is. With a config only,
        give `attention_mask` if there is padding, or call `enable`.
    key_bits, value_bits : float
        Bits per coordinate of keys and of values.
    keys, values : str
        Methods of the library, by name.
    key_scale_search, value_scale_search : int, optional
        How many scales of each row are searched for the best codewords, from 3 bits on.
    window, sinks : int
        Tokens that stay exact: at least `window` of the newest, and the first `sinks`.
    rollback : int
        Tokens that a crop takes back without a trace: at least the length of a draft of prompt
        look-up or assisted decoding. A call with at most ``rollback + 1`` tokens counts as a draft:
        its tokens see what they see when they come one by one.
    center : {"rotary", "static", None}
        The mean that is taken from the keys. "rotary" takes it before the rotary embedding, and is
        for models that rotate the whole head, by halves, without a scaled variant. For all others a
        warning names the reason, and the mean is "static".
    rotary : float or array_like, (head_dim / 2,), optional
        Base of the rotary embedding or its inverse frequencies, instead of those that the config
        gives. No check of the config is made then.
    centroids, debias, byte_scales, rotation, seed
        As in `blockquant.KeyValueCache`.
    prefill : {"exact", "quantized"}
        What the tokens of a prompt see of one another: exact keys and values, or what the cache
        would hold had they come one by one. Tokens of earlier calls are seen as the cache holds
        them in both cases. Without `enable`, "quantized" shows every token of a call what the cache
        holds after the call.
    attention_mask : tensor, (batch, tokens), optional
        Zeros at the padding to the left of a sequence. Padding enters neither the sinks nor the
        mean of the keys. A mask that a forward pass brings takes its place.
    device_codes : bool, optional
        True keeps codes in torch tensors on the device of the keys, False in the core. By default
        the core takes keys in memory of the processor, and torch all others.
    offloading : bool
        Refused: codes stay where they are.

    Returns
    -------
    CompressedCache
        A ``transformers.Cache`` with `nbytes`, `bits_per_value`, `bits_per_coded_value` and
        `summary`.

    Raises
    ------
    ImportError
        If torch or a fitting version of transformers is not installed.
    TypeError
        If `model` is neither a model nor a config.
    ValueError
        If an option is out of its range, or no layer of the model can be coded.

    Examples
    --------
    >>> from transformers import Gemma3TextConfig
    >>> config = Gemma3TextConfig(num_hidden_layers=12)
    >>> compressed = cache(config, key_bits=3, value_bits=2)
    >>> compressed
    CompressedCache(2 of 12 layers coded, 0 tokens, 0.00 bits per value)
    >>> print(compressed.summary())
    layers 0 to 4, 6 to 10: DynamicSlidingWindowLayer of transformers
    layers 5, 11: coded
    0 bytes, 0.00 bits per value of coded layers (0.00 per coded value)
    """
    from blockquant.integrations import _transformers_cache

    return _transformers_cache.build(
        model,
        {
            "keys": keys,
            "key_bits": key_bits,
            "values": values,
            "value_bits": value_bits,
            "key_scale_search": key_scale_search,
            "value_scale_search": value_scale_search,
            "window": window,
            "sinks": sinks,
            "rollback": rollback,
            "center": center,
            "rotary": rotary,
            "centroids": centroids,
            "debias": debias,
            "byte_scales": byte_scales,
            "rotation": rotation,
            "seed": seed,
        },
        prefill=prefill,
        attention_mask=attention_mask,
        device_codes=device_codes,
        offloading=offloading,
    )


def enable(model: Any) -> None:
    """Let a model compute attention straight from the codes of a `cache`.

    Registers an attention function in transformers and sets it in the model. Layers and calls
    without codes go to torch's attention as before. A model that uses the keys of a coded layer in
    any other way gets an error.

    Parameters
    ----------
    model : PreTrainedModel
        Changed in place; `disable` undoes it.

    Raises
    ------
    TypeError
        If `model` is not a model of transformers.
    ValueError
        If the model does not let its attention be replaced, or changes its logits in a way that
        attention from codes does not know.

    Examples
    --------
    >>> from transformers import LlamaConfig, LlamaForCausalLM
    >>> sizes = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2}
    >>> model = LlamaForCausalLM(LlamaConfig(num_hidden_layers=1, vocab_size=9, **sizes))
    >>> enable(model)
    >>> model.config._attn_implementation
    'blockquant'
    >>> disable(model)
    """
    from blockquant.integrations import _transformers_attention

    _transformers_attention.enable(model)


def disable(model: Any) -> None:
    """Undo `enable`: the model gets back the attention that it had.

    Parameters
    ----------
    model : PreTrainedModel
        A model; one that was never enabled stays as it is.
    """
    from blockquant.integrations import _transformers_attention

    _transformers_attention.disable(model)
