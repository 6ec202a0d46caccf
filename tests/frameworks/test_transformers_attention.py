"""`enable` computes from codes, refuses what codes cannot do, and is undone by `disable`."""

import copy

import pytest
import torch
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.llama import modeling_llama

from blockquant.integrations import _transformers_attention as module
from blockquant.integrations._transformers_unread import Unread
from blockquant.integrations.transformers import cache, disable, enable
from small_models import argument, config, floats, forward, generate, model, new_model, prompt

COARSE = {"key_bits": 2, "value_bits": 2, "window": 16}
ONE = (torch.zeros(2, 2, 1, 32), torch.zeros(2, 2, 1, 32))  # keys and values of one token


@pytest.fixture
def enabled():
    of = new_model("llama")
    enable(of)
    return of


@pytest.mark.filterwarnings("ignore:.*takes the place:UserWarning")
@pytest.mark.parametrize("name", ["llama", "llama 80", "gemma3", "qwen3_next", "gemma3n"])
def test_codes_and_decoded_keys_give_the_same_attention(name):
    of = new_model(name)
    ids = prompt(200)
    decoded, coded = cache(of, **COARSE), cache(of, **COARSE)
    expected = [forward(of, ids, decoded)] + [
        forward(of, ids[:, i : i + 1], decoded) for i in (3, 5)
    ]
    enable(of)
    found = [forward(of, ids, coded)] + [forward(of, ids[:, i : i + 1], coded) for i in (3, 5)]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=2e-3, atol=2e-3)
    exact = floats(of)
    for piece in (ids, ids[:, 3:4], ids[:, 5:6]):
        plain = forward(of, piece, exact)
    assert (plain - expected[-1]).abs().max() > 0.05, "2 bits are seen"


def test_decoding_never_decodes(enabled, monkeypatch):
    compressed = cache(enabled, **COARSE)
    forward(enabled, prompt(), compressed)

    def refuse(self, dtype):
        raise AssertionError("decoded")

    monkeypatch.setattr(type(compressed.layers[0].store), "decode", refuse)
    forward(enabled, prompt()[:, :1], compressed)
    forward(enabled, prompt(), cache(enabled, **COARSE, prefill="quantized"))


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_disable_gives_back_the_attention_that_was_there(implementation):
    of = new_model("llama")
    of.set_attn_implementation(implementation)
    ids = prompt()
    compressed = cache(of, **COARSE)
    enable(of)
    enable(of)  # twice is once
    assert of.config._attn_implementation == "blockquant"
    forward(of, ids, compressed)
    disable(of)
    disable(of)
    assert of.config._attn_implementation == implementation
    assert not isinstance(compressed.layers[0].update(*ONE)[0], Unread)


def test_an_enabled_model_takes_other_caches_and_none(enabled):
    ids = prompt(40)
    plain = copy.deepcopy(enabled)
    disable(plain)
    assert plain.config._attn_implementation == "sdpa"
    torch.testing.assert_close(
        forward(enabled, ids, floats(enabled)), forward(plain, ids, floats(plain))
    )
    with torch.no_grad():
        torch.testing.assert_close(
            enabled(ids, use_cache=False).logits, plain(ids, use_cache=False).logits
        )
    assert torch.equal(generate(enabled, ids, floats(enabled)), generate(plain, ids, floats(plain)))


def test_one_cache_serves_a_model_before_and_after_disable(enabled):
    ids = prompt()
    compressed = cache(enabled, **COARSE)
    forward(enabled, ids, compressed)
    other = copy.deepcopy(compressed)
    found = forward(enabled, ids[:, :1], compressed)
    disable(enabled)
    torch.testing.assert_close(forward(enabled, ids[:, :1], other), found, rtol=1e-3, atol=1e-3)


def test_the_inner_model_is_served_too(enabled):
    ids = prompt()
    compressed = cache(enabled.config, **COARSE)
    with torch.no_grad():
        enabled.model(ids, **{argument(enabled): compressed})
    assert compressed.get_seq_length() == 150


# ---- never garbage


def own_attention(self, query, key, value, *args, **kwargs):
    weights = torch.matmul(query, key.transpose(2, 3)).softmax(-1)
    return torch.matmul(weights, value).transpose(1, 2), None


def test_a_model_that_computes_attention_itself_gets_an_error(enabled, monkeypatch):
    compressed = cache(enabled, **COARSE)
    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS._global_mapping, "blockquant", own_attention)
    with pytest.raises(RuntimeError, match=r"\.transpose on keys or values of a compressed cache"):
        forward(enabled, prompt(), compressed)


def test_a_model_that_drops_the_keys_gets_an_error(enabled, monkeypatch):
    compressed = cache(enabled, **COARSE)

    def drop(self, query, key, value, *args, **kwargs):
        return query.transpose(1, 2), None

    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS._global_mapping, "blockquant", drop)
    forward(enabled, prompt(), compressed)
    for use in (
        lambda: forward(enabled, prompt(), compressed),
        lambda: compressed.crop(-1),
        lambda: compressed.layers[0].keys,
        lambda: compressed.reorder_cache(torch.tensor([0, 0])),
    ):
        with pytest.raises(RuntimeError, match="layer 0: the model took keys"):
            use()
    compressed.reset()
    monkeypatch.undo()
    forward(enabled, prompt(), compressed)


@pytest.mark.parametrize(
    "use",
    [
        lambda x: x + 1,
        lambda x: 2 * x,
        lambda x: x @ torch.ones(32, 1),
        lambda x: torch.ones(1, 4) @ x,
        lambda x: torch.ones(1) + x,
        lambda x: torch.matmul(torch.ones(4), x),
        lambda x: torch.cat([x, x]),
        lambda x: x[..., :1],
        lambda x: x.float(),
        lambda x: x.to(torch.float16),
        lambda x: x.repeat_interleave(2, 1),
        lambda x: x.data,
        lambda x: torch.nn.functional.scaled_dot_product_attention(x, x, x),
        lambda x: list(x),
        lambda x: bool(x),
        lambda x: len(x),
        lambda x: -x,
    ],
)
def test_unread_keys_have_a_shape_and_nothing_else(enabled, use, monkeypatch):
    compressed = cache(enabled, **COARSE)
    seen = []

    def look(self, query, key, value, *args, **kwargs):
        seen.append(key)
        return query.transpose(1, 2), None

    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS._global_mapping, "blockquant", look)
    forward(enabled, prompt(20), compressed)
    key = seen[0]
    assert key.shape == (2, 2, 20, 32)
    assert (key.size(2), key.dim(), key.ndim) == (20, 4, 4)
    assert (key.dtype, key.device.type) == (torch.float32, "cpu")
    assert key.to(torch.device("cpu")) is key
    assert key.to(torch.float32) is key
    assert "Unread" in repr(key)
    with pytest.raises(RuntimeError, match="of a compressed cache"):
        use(key)


@pytest.mark.parametrize(
    "given",
    [
        {"softcap": 30.0},
        {"s_aux": torch.zeros(4)},
        {"position_bias": torch.zeros(1)},
        {"output_attentions": True},
        {"dropout": 0.1},
        {"is_causal": False},
    ],
    ids=lambda given: next(iter(given)),
)
def test_what_codes_cannot_do_is_refused(enabled, given, monkeypatch):
    compressed = cache(enabled, **COARSE)
    original = module.attention

    def changed(*args, **kwargs):
        return original(*args, **{**kwargs, **given})

    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS._global_mapping, "blockquant", changed)
    with pytest.raises(NotImplementedError, match="layer 0: attention from codes"):
        forward(enabled, prompt(), compressed)


@pytest.mark.parametrize("dtype", [torch.bool, torch.float32])
@pytest.mark.parametrize("start", [0, 100])
def test_a_mask_of_four_axes(enabled, dtype, start):
    ids = prompt(150)
    seen = torch.ones(1, 1, 150, 150, dtype=torch.bool).tril()
    seen[..., 30:40] = False
    seen |= torch.eye(150, dtype=torch.bool)
    seen[..., 110:120, 110:120] = True  # these see one another, as those of an image do
    future = seen if dtype == torch.bool else torch.where(seen, 0.0, torch.finfo(dtype).min)
    causal = seen.tril()
    causal = causal if dtype == torch.bool else torch.where(causal, 0.0, torch.finfo(dtype).min)
    fine = {"key_bits": 8, "value_bits": 8, "window": 16}
    for prefill, mask in (("exact", future), ("exact", causal), ("quantized", causal)):
        found, exact = cache(enabled, **fine, prefill=prefill), floats(enabled)
        for first, last in ((0, start), (start, 150)) if start else ((0, 150),):
            part = mask[:, :, first:last, :last]
            one = forward(enabled, ids[:, first:last], found, attention_mask=part)
            two = forward(enabled, ids[:, first:last], exact, attention_mask=part)
        assert (one - two).norm() < 0.1 * two.norm()
    with pytest.raises(NotImplementedError, match="layer 0: the mask shows tokens to earlier"):
        forward(enabled, ids, cache(enabled, prefill="quantized"), attention_mask=future)


def test_keys_of_another_cache_do_not_mix(enabled, monkeypatch):
    compressed = cache(enabled, **COARSE)
    original = module.attention

    def mixed(self, query, key, value, *args, **kwargs):
        return original(self, query, key, torch.zeros(2, 2, 150, 32), *args, **kwargs)

    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS._global_mapping, "blockquant", mixed)
    with pytest.raises(RuntimeError, match="the values are not"):
        forward(enabled, prompt(), compressed)


def test_a_model_without_attention_functions_is_refused(monkeypatch):
    of = new_model("llama")
    monkeypatch.setattr(type(of), "_can_set_attn_implementation", classmethod(lambda cls: False))
    with pytest.raises(ValueError, match="does not let its attention be replaced"):
        enable(of)
    assert of.config._attn_implementation == "sdpa"


def test_gradients_stop_at_the_cache(enabled):
    compressed = cache(enabled, **COARSE)
    logits = enabled(prompt(), **{argument(enabled): compressed}).logits
    assert torch.equal(logits.detach(), forward(enabled, prompt(), cache(enabled, **COARSE)))
    assert not compressed.layers[0].keys.requires_grad


def test_the_names_of_models_and_their_attention_are_those_of_the_library():
    """The two private names that this relies on exist in the installed version."""
    assert hasattr(model("llama"), "_supports_sdpa")
    assert hasattr(config("llama"), "_attn_implementation")
    assert "blockquant" not in modeling_llama.__dict__
