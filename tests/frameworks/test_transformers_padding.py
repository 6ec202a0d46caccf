"""Padding to the left enters neither the sinks nor the mean: each sequence is as it is alone."""

import pytest
import torch

from blockquant.integrations.transformers import cache, enable
from small_models import forward, generate, model, new_model, prompt

COARSE = {"key_bits": 2, "value_bits": 2, "window": 16}
PADS = (0, 7, 70, 149)


def padded(tokens=220):
    ids = prompt(tokens, batch=len(PADS))
    mask = torch.ones_like(ids)
    for row, pads in enumerate(PADS):
        mask[row, :pads] = 0
    return ids * mask, mask


def own_tokens(compressed):
    store = compressed.layers[0].store
    return [len(store) - pads for pads in store.pads]


def positions(mask):
    return (mask.cumsum(1) - 1).clamp(min=0)


def test_equal_keys_have_equal_codes_with_and_without_padding():
    generator = torch.Generator().manual_seed(4)
    keys, values = (torch.randn(len(PADS), 2, 220, 32, generator=generator) for _ in range(2))
    _, mask = padded()
    options = dict(**COARSE, center="static")
    together = cache(model("llama").config, **options, attention_mask=mask).layers[0]
    together.update(keys[:, :, :60], values[:, :, :60])
    together.update(keys[:, :, 60:], values[:, :, 60:])
    for row, pads in enumerate(PADS):
        alone = cache(model("llama").config, **options).layers[0]
        alone.update(keys[row : row + 1, :, pads:], values[row : row + 1, :, pads:])
        assert torch.equal(together.keys[row, :, pads:], alone.keys[0])
        assert torch.equal(together.values[row, :, pads:], alone.values[0])
        assert not together.keys[row, :, :pads].any()


def same_as_alone(compressed, of, ids, **options):
    for row, pads in enumerate(PADS):
        alone = cache(of, **options)
        forward(of, ids[row : row + 1, pads:], alone)
        for layer, other in zip(compressed.coded_layers, alone.coded_layers, strict=True):
            assert layer.store.coded[row] == other.store.coded[0]
            for name in ("keys", "values"):
                found = getattr(layer, name)[row, :, pads:]
                torch.testing.assert_close(found, getattr(other, name)[0], rtol=0.0, atol=0.02)


@pytest.mark.parametrize("prefill", ["exact", "quantized"])
def test_a_batch_with_padding_gives_each_sequence_what_it_gets_alone(of, prefill):
    ids, mask = padded()
    # At 8 bits the codes of keys that differ by rounding are close.
    options = {"key_bits": 8, "value_bits": 8, "window": 16, "prefill": prefill}
    compressed = cache(of, **options)
    forward(of, ids, compressed, attention_mask=mask, position_ids=positions(mask))
    same_as_alone(compressed, of, ids, **options)


@pytest.mark.parametrize("name", ["llama", "gemma3"])
def test_generated_tokens_are_those_of_the_sequence_alone(name):
    of = new_model(name)
    ids, mask = padded(180)
    for change in (lambda model: None, enable):
        change(of)
        found = generate(of, ids, cache(of, **COARSE), attention_mask=mask)
        for row, pads in enumerate(PADS):
            alone = generate(of, ids[row : row + 1, pads:], cache(of, **COARSE))
            assert torch.equal(found[row : row + 1], alone), (row, change)


def test_padding_is_known_in_chunks_and_for_beams(of):
    ids, mask = padded()
    compressed = cache(of, **COARSE)
    for start in range(0, 220, 50):
        end = min(start + 50, 220)
        forward(
            of,
            ids[:, start:end],
            compressed,
            attention_mask=mask[:, :end],
            position_ids=positions(mask)[:, start:end],
        )
    assert own_tokens(compressed) == [220 - pads for pads in PADS]
    beams = cache(of, **COARSE)
    generate(of, ids, beams, new=4, attention_mask=mask, num_beams=2, num_return_sequences=2)
    assert own_tokens(beams) == [223 - pads for pads in PADS for _ in range(2)]


def test_a_config_needs_the_mask_as_an_argument():
    of = new_model("llama")  # no cache was made from it, so it tells nothing
    ids, mask = padded()
    told = cache(of.config, **COARSE, attention_mask=mask)
    forward(of, ids, told, attention_mask=mask, position_ids=positions(mask))
    assert own_tokens(told) == [220 - pads for pads in PADS]
    untold = cache(of.config, **COARSE)
    forward(of, ids, untold, attention_mask=mask, position_ids=positions(mask))
    assert own_tokens(untold) == [220] * 4


def test_a_mask_is_not_that_of_a_later_prompt(of):
    ids, mask = padded()
    compressed = cache(of, **COARSE)
    forward(of, ids, compressed, attention_mask=mask)
    compressed.reset()
    forward(of, ids, compressed)
    assert own_tokens(compressed) == [220] * 4


def test_a_mask_with_another_number_of_rows_is_refused(of):
    _, mask = padded()
    compressed = cache(of.config, attention_mask=mask[:3])
    with pytest.raises(ValueError, match="3 rows, but the cache gets 4 sequences"):
        compressed.layers[0].update(*(torch.zeros(4, 2, 10, 32) for _ in range(2)))
    with pytest.raises(ValueError, match=r"shape \(batch, tokens\)"):
        cache(of, attention_mask=mask[None])


def test_masked_tokens_elsewhere_stay_unseen(of):
    """A hole in the mask is not padding: the token is stored, and no query sees it."""
    ids = prompt(150, batch=1)
    mask = torch.ones_like(ids)
    mask[:, 20:25] = 0
    other = ids.clone()
    other[:, 20:25] = 3
    logits = []
    for each in (ids, other):
        compressed = cache(of, key_bits=8, value_bits=8, window=16, center=None)
        forward(of, each, compressed, attention_mask=mask)
        longer = torch.cat([mask, mask[:, :1]], 1)
        logits.append(forward(of, each[:, :1], compressed, attention_mask=longer))
    torch.testing.assert_close(*logits)
