"""Codes in torch tensors, as they are kept where the keys are not in memory of the processor."""

import copy
import pickle

import pytest
import torch

from blockquant.integrations import _transformers_store
from blockquant.integrations._torch_cache import TorchKeyValueCache
from blockquant.integrations.transformers import cache, enable
from small_models import clear_start, floats, forward, generate, model, new_model, prompt

pytestmark = pytest.mark.filterwarnings('ignore:.*center="static" takes the place:UserWarning')

FINE = {"key_bits": 8, "value_bits": 8, "window": 16, "device_codes": True}
COARSE = {"key_bits": 2, "value_bits": 2, "window": 16, "device_codes": True}


@pytest.mark.parametrize("name", ["llama", "gemma3", "qwen3_next", "deepseek_v3"])
def test_greedy_decoding_gives_the_tokens_of_the_float_cache(name):
    ids, expected = clear_start(name)
    found = new_model(name)
    compressed = cache(found, **FINE)
    assert torch.equal(generate(found, ids, compressed, new=12), expected)
    store = compressed.coded_layers[0].store
    assert isinstance(store.cache, TorchKeyValueCache)
    assert min(store.coded) >= 64
    enable(found)
    assert torch.equal(generate(found, ids, cache(found, **FINE), new=12), expected)


def test_codes_of_both_places_decode_to_the_same_keys(of):
    """But for ties: a coordinate on the boundary of two codewords, up to rounding."""
    ids = prompt(300)
    here, there = cache(of, **{**COARSE, "device_codes": False}), cache(of, **COARSE)
    forward(of, ids, here)
    forward(of, ids, there)
    for layer, other in zip(here.layers[:1], there.layers[:1], strict=True):
        for name in ("keys", "values"):
            differ = (getattr(layer, name) - getattr(other, name)).abs().amax(-1) > 1e-3
            assert differ.float().mean() < 0.01


def test_beams_padding_drafts_and_crops(of):
    ids, mask = prompt(), torch.ones(2, 150, dtype=torch.long)
    mask[0, :20] = 0
    expected = generate(of, ids, floats(of), attention_mask=mask, num_beams=3)
    compressed = cache(of, **FINE)
    assert torch.equal(generate(of, ids, compressed, attention_mask=mask, num_beams=3), expected)
    assert list(compressed.layers[0].store.pads) == [20] * 3 + [0] * 3
    text = prompt(60, batch=1).repeat(1, 3)
    greedy = generate(of, text, cache(of, **FINE, rollback=8), new=40)
    drafts = cache(of, **FINE, rollback=8)
    assert torch.equal(generate(of, text, drafts, new=40, prompt_lookup_num_tokens=8), greedy)
    length = drafts.get_seq_length()
    drafts.crop(-5)
    drafts.batch_repeat_interleave(3)
    drafts.batch_select_indices(torch.tensor([2, 0]))
    assert (drafts.get_seq_length(), drafts.layers[0].store.batch) == (length - 5, 2)
    drafts.reset()
    assert torch.equal(generate(of, text, drafts, new=40), greedy)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies(of, copied):
    compressed = cache(of, **COARSE)
    forward(of, prompt(), compressed)
    other = copied(compressed)
    step = prompt(1)
    assert torch.equal(forward(of, step, other), forward(of, step, compressed))
    assert other.nbytes == compressed.nbytes > 0


def test_bfloat16():
    found = copy.deepcopy(model("llama")).to(torch.bfloat16)
    compressed = cache(found, **COARSE)
    forward(found, prompt(), compressed)
    assert compressed.layers[0].keys.dtype == torch.bfloat16


def test_the_core_refuses_keys_that_it_cannot_reach():
    compressed = cache(model("llama").config, device_codes=False)
    keys = torch.empty(1, 2, 3, 32, device="meta")
    with pytest.raises(ValueError, match="keys in memory of the processor, got keys on meta"):
        compressed.layers[0].update(keys, keys)


def test_keys_elsewhere_have_their_codes_there(monkeypatch):
    opened = []
    monkeypatch.setattr(
        _transformers_store, "TorchKeyValueCache", lambda device, **options: opened.append(device)
    )
    for device in ("meta", "cpu"):
        _transformers_store.open_store(torch.empty(0, device=device), None, heads=1, dim=8)
    assert [device.type for device in opened] == ["meta"]
