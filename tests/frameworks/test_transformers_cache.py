"""What a compressed cache is made of, what it reports, and what it refuses."""

import copy
import pickle
import re

import numpy as np
import pytest
import torch
import transformers
from transformers.cache_utils import Cache, DynamicLayer

import blockquant as bq
from blockquant.integrations.transformers import cache, disable, enable
from small_models import MODELS, config, floats, forward, generate, model, new_model, prompt

COARSE = {"key_bits": 3, "value_bits": 2, "window": 16}
WHY = {
    "llama 3 scaling": (
        "llama",
        {
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 10000.0,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 128,
            }
        },
        'scaled variant "llama3"',
    ),
    "part of a head": ("qwen3_next", {}, "partial"),
    "no embedding": ("jamba", {}, "no rotary embedding"),
    "latent": ("deepseek_v3", {}, "latent"),
    "learned positions": ("gpt2", {}, "no rotary embedding"),
}


# ---- the center


@pytest.mark.parametrize("name", ["llama", "llama 80", "gemma3", "lfm2", "smollm3", "gemma2"])
def test_the_rotary_base_is_that_of_the_config(name):
    found = cache(config(name))
    rope = config(name).rope_parameters
    base = rope.get("full_attention", rope)["rope_theta"]
    rotated = getattr(config(name), "no_rope_layers", None) or [1] * 10
    for layer in found.coded_layers:
        expected = ("rotary", base) if rotated[layer.index] else ("static", None)
        assert (layer.options["center"], layer.options["rotary"]) == expected


@pytest.mark.parametrize("why", WHY)
def test_other_embeddings_fall_back_and_say_why(why):
    name, changes, reason = WHY[why]
    with pytest.warns(UserWarning, match=reason) as caught:
        found = cache(config(name, **changes))
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert all(layer.options["center"] == "static" for layer in found.coded_layers)
    cache(config(name, **changes), center="static")  # who asks for it gets no warning


def test_interleaved_embeddings_fall_back_and_say_why():
    sizes = {
        "hidden_size": 64,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 50,
    }
    with pytest.warns(UserWarning, match="interleaved"):
        cache(transformers.CohereConfig(num_hidden_layers=1, pad_token_id=0, **sizes))


def test_frequencies_can_be_given():
    name, changes, _ = WHY["llama 3 scaling"]
    of = new_model(name, **changes)
    given = of.model.rotary_emb.inv_freq
    compressed = cache(of, **COARSE, rotary=given)
    forward(of, prompt(), compressed)
    plain = cache(of, **COARSE, center="static")
    forward(of, prompt(), plain)
    assert not torch.equal(compressed.layers[0].keys, plain.layers[0].keys)


def test_a_rotary_center_has_smaller_errors_where_keys_have_a_mean():
    of = new_model("llama", attention_bias=True)
    with torch.no_grad():
        for layer in of.model.layers:
            layer.self_attn.k_proj.bias.normal_(0, 6)
    ids, errors = prompt(400, batch=1), {}
    exact = floats(of)
    forward(of, ids, exact)
    for center in ("rotary", "static", None):
        compressed = cache(of, **COARSE, center=center)
        forward(of, ids, compressed)
        errors[center] = float((compressed.layers[0].keys - exact.layers[0].keys).norm())
    assert errors["rotary"] < 0.7 * errors["static"]
    assert errors["rotary"] < 0.7 * errors[None]


# ---- layers


@pytest.mark.filterwarnings("ignore:.*takes the place:UserWarning")
@pytest.mark.parametrize("name", MODELS)
def test_only_layers_of_full_attention_are_coded(name):
    compressed = cache(config(name))
    expected = floats(new_model(name))
    assert isinstance(compressed, Cache)
    assert len(compressed.layers) == len(expected.layers)
    for layer, other in zip(compressed.layers, expected.layers, strict=True):
        assert (type(layer) is not type(other)) == (type(other) is DynamicLayer)


@pytest.mark.filterwarnings("ignore:.*takes the place:UserWarning")
def test_latent_layers_code_both_parts_as_keys():
    of = new_model("deepseek_v3")
    compressed = cache(of, **COARSE)
    exact = floats(of)
    forward(of, prompt(), compressed)
    forward(of, prompt(), exact)
    wide = exact.layers[0].values.shape[-1] == 16  # versions that cache keys and values of heads
    layer = compressed.layers[0]
    assert layer.is_latent != wide
    if not wide:
        error = layer.values - exact.layers[0].values
        assert error.norm() < 0.02 * exact.layers[0].values.norm(), "8 bits, whatever value_bits"


def test_a_model_without_full_attention_is_refused():
    sizes = {"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2}
    with pytest.raises(ValueError, match="MistralConfig has no layer of full attention to code"):
        cache(transformers.MistralConfig(num_hidden_layers=2, sliding_window=16, **sizes))


def test_encoders_with_decoders_are_refused():
    with pytest.raises(ValueError, match="only decoders"):
        cache(transformers.T5Config(num_layers=1, d_model=16, d_ff=16, num_heads=2))


@pytest.mark.parametrize("wrong", ["llama", None, 3])
def test_what_is_not_a_model_is_refused(wrong):
    with pytest.raises(TypeError, match="expected a model of transformers or its config"):
        cache(wrong)
    for change in (enable, disable):
        with pytest.raises(TypeError, match="expected a model of transformers"):
            change(wrong)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prefill": "all"}, 'prefill is \'all\', expected "exact" or "quantized"'),
        ({"center": "mean"}, "center is 'mean'"),
        ({"key_bits": 0}, "bits"),
        ({"window": -1}, "window"),
        ({"keys": "nothing/here"}, "nothing"),
        ({"offloading": True}, "cannot be offloaded"),
        ({"device_codes": True, "centroids": 4}, "centroids"),
        ({"value_scale_search": 9}, "values: scale_search=9 at bits=2, expected at least 3 bits"),
    ],
)
def test_a_wrong_option_is_refused_at_once(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        cache(config("llama"), **options)


@pytest.mark.filterwarnings("ignore:.*takes the place:UserWarning")
@pytest.mark.parametrize("kind", ["llama", "deepseek_v3"])
def test_layers_search_over_scales(kind):
    of = new_model(kind)
    compressed = cache(of, key_scale_search=9)
    forward(of, prompt(), compressed)
    for layer in compressed.coded_layers:
        assert "keys blockquant/unbiased at 3 bits, 9 scales, values" in repr(layer)
        assert repr(layer).count("9 scales") == (2 if layer.is_latent else 1)


@pytest.mark.filterwarnings("ignore:.*takes the place:UserWarning")
@pytest.mark.parametrize("kind", ["llama", "deepseek_v3"])
def test_layers_of_trellis_codes(kind):
    """The rotated part of latent keys has 8 bits, which a trellis has not."""
    of = new_model(kind)
    compressed = cache(of, keys="trellis", values="trellis")
    forward(of, prompt(), compressed)
    for layer in compressed.coded_layers:
        values = "blockquant/unbiased at 8" if layer.is_latent else "trellis/unbiased at 2"
        assert f"keys trellis/unbiased at 3 bits, values {values} bits" in repr(layer)


def test_offloading_is_refused_by_the_layers_too():
    compressed = cache(config("llama"))
    for layer in compressed.coded_layers:
        with pytest.raises(NotImplementedError, match=f"layer {layer.index}: .* offloaded"):
            layer.offload()
        with pytest.raises(NotImplementedError, match="offloaded"):
            layer.prefetch()


def test_a_crop_takes_minus_the_number_of_tokens():
    of = model("llama")
    compressed = cache(of)
    compressed.crop(-1)  # nothing to remove
    forward(of, prompt(30), compressed)
    with pytest.raises(ValueError, match="minus the number of tokens to remove, got 5"):
        compressed.crop(5)
    compressed.crop(0)
    assert compressed.get_seq_length() == 30
    compressed.crop(torch.tensor(-10))
    assert compressed.get_seq_length() == 20
    compressed.crop(-30)
    assert compressed.get_seq_length() == 0


# ---- errors of numbers


def test_an_error_about_nan_names_the_layer():
    of = new_model("llama")
    with torch.no_grad():
        of.model.layers[2].self_attn.k_proj.weight.fill_(float("nan"))
    with pytest.raises(ValueError, match=r"layer 2: keys: sequence 0, head 0, token 0"):
        forward(of, prompt(), cache(of))
    enable(of)
    compressed = cache(of)
    with pytest.raises(ValueError, match=r"layer 2: keys: sequence 0, head 0, token 0"):
        forward(of, prompt(), compressed)
    compressed.reset()
    assert compressed.get_seq_length() == 0


# ---- figures


def test_figures_count_what_the_layers_hold():
    of = model("gemma3")
    compressed = cache(of, **COARSE)
    assert (compressed.nbytes, compressed.bits_per_value) == (0, 0.0)
    assert compressed.bits_per_coded_value == 0.0
    forward(of, prompt(300), compressed)
    sliding = compressed.layers[0]
    own = sliding.keys.nbytes + sliding.values.nbytes
    stores = [layer.store for layer in compressed.coded_layers]
    assert compressed.nbytes == sum(store.nbytes for store in stores) + own
    values = 2 * 2 * 300 * 2 * 16 * 2  # layers, sequences, tokens, heads, coordinates, both
    assert compressed.bits_per_value == pytest.approx(
        8 * sum(store.nbytes for store in stores) / values
    )
    assert compressed.bits_per_coded_value == pytest.approx(stores[0].bits_per_coded_value)
    assert 2.5 < compressed.bits_per_coded_value < 3.6


def test_a_long_text_takes_a_fifth_of_float16():
    of = new_model("llama", head_dim=64)
    compressed = cache(of, key_bits=3, value_bits=2)
    generator = torch.Generator().manual_seed(0)
    for layer in compressed.layers:
        keys, values = (torch.randn(1, 2, 4096, 64, generator=generator).half() for _ in range(2))
        layer.update(keys, values)
    assert compressed.nbytes < 3 * 2 * 2 * 4096 * 64 * 2 / 4.8


def test_the_summary_names_layers_and_bytes():
    of = model("qwen3_next")
    with pytest.warns(UserWarning, match="partial"):
        compressed = cache(of, **COARSE)
    forward(of, prompt(200), compressed)
    text = compressed.summary()
    assert text.splitlines()[0] == "layers 0, 2: LinearAttentionLayer of transformers"
    assert text.splitlines()[1] == "layers 1, 3: coded"
    assert f"{compressed.nbytes} bytes" in text
    assert repr(compressed) == (
        "CompressedCache(2 of 4 layers coded, 200 tokens, "
        f"{compressed.bits_per_value:.2f} bits per value)"
    )
    assert "KeyValueCache" in repr(compressed.layers[1])


# ---- copies


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["deepcopy", "pickle"]
)
@pytest.mark.parametrize("used", [False, True])
def test_a_copy_goes_on_by_itself(copied, used):
    of = model("gemma3")
    ids = prompt()
    compressed = cache(of, **COARSE)
    if used:
        generate(of, ids, compressed, new=2)
        ids = torch.cat([ids, ids[:, :7]], 1)
    other = copied(compressed)
    found = generate(of, ids, other)
    length = compressed.get_seq_length()
    assert length == (151 if used else 0)
    assert torch.equal(generate(of, ids, compressed), found)


def test_a_padded_cache_is_pickled_with_its_padding():
    of = model("llama")
    ids, mask = prompt(), torch.ones(2, 150, dtype=torch.long)
    mask[0, :30] = 0
    compressed = cache(of, **COARSE)
    forward(of, ids, compressed, attention_mask=mask)
    other = pickle.loads(pickle.dumps(compressed))
    assert list(other.layers[0].store.pads) == [30, 0]
    assert torch.equal(other.layers[0].keys, compressed.layers[0].keys)


def test_early_initialization():
    of = model("llama")
    expected = generate(of, prompt(), cache(of, **COARSE))
    compressed = cache(of, **COARSE)
    compressed.early_initialization(2, 2, 32, torch.float32, torch.device("cpu"))
    assert compressed.is_initialized
    assert compressed.get_seq_length() == 0
    assert torch.equal(generate(of, prompt(), compressed), expected)
    compressed.reset()
    compressed.early_initialization(5, 2, 32, torch.float32, torch.device("cpu"))
    assert torch.equal(generate(of, prompt(), compressed), expected), "another batch size"


def test_pairs_of_keys_and_values_are_those_that_attention_sees():
    of = model("llama")
    compressed = cache(of, **COARSE)
    forward(of, prompt(), compressed)
    for layer in compressed.layers:
        keys, values = layer.store.cache.decode()
        np.testing.assert_array_equal(layer.keys.numpy(), keys)
        np.testing.assert_array_equal(layer.values.numpy(), values)
    assert isinstance(compressed.layers[0].store.cache, bq.KeyValueCache)
