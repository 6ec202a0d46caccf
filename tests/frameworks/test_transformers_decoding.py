"""Models generate with a compressed cache as they do with the library's own."""

import copy

import pytest
import torch

from blockquant.integrations.transformers import cache, disable, enable
from small_models import (
    FROM_CODES,
    MODELS,
    NOT_FROM_CODES,
    argument,
    clear_prompt,
    clear_start,
    floats,
    forward,
    generate,
    model,
    new_model,
    prompt,
)

pytestmark = pytest.mark.filterwarnings('ignore:.*center="static" takes the place:UserWarning')

FINE = {"key_bits": 8, "value_bits": 8, "window": 16}
COARSE = {"key_bits": 2, "value_bits": 2, "window": 16}
WAYS = [(name, "decoded") for name in MODELS] + [(name, "codes") for name in FROM_CODES]
WHERE = ("decoded", "codes")
NOTHING = torch.empty(2, 0, dtype=torch.long)


@pytest.fixture
def running():
    """A model by name, set up to decode keys or to compute from codes; undone afterwards."""
    used = []

    def start(name, where):
        used.append(model(name))
        if where == "codes":
            enable(used[-1])
        return used[-1]

    yield start
    for each in used:
        disable(each)


@pytest.mark.parametrize("prefill", ["exact", "quantized"])
@pytest.mark.parametrize(("name", "where"), WAYS)
def test_greedy_decoding_at_8_bits_gives_the_tokens_of_the_float_cache(
    running, name, where, prefill
):
    ids, expected = clear_start(name)
    of = running(name, where)
    compressed = cache(of, **FINE, prefill=prefill)
    assert torch.equal(generate(of, ids, compressed, new=12), expected)
    layers = compressed.coded_layers
    assert [layer.index for layer in layers] == MODELS[name][2]
    assert all(min(layer.store.coded) >= 64 for layer in layers), "nothing was coded"


@pytest.mark.parametrize("name", NOT_FROM_CODES)
def test_a_model_that_changes_its_logits_is_refused_by_enable(name):
    with pytest.raises(ValueError, match="without enable"):
        enable(model(name))
    assert model(name).config._attn_implementation != "blockquant"


@pytest.mark.parametrize("where", WHERE)
def test_beams_choose_what_they_choose_with_floats(running, where):
    of = running("llama", where)
    ids = prompt()
    for options in ({"num_beams": 3}, {"num_beams": 4, "num_return_sequences": 2}):
        expected = generate(of, ids, floats(of), **options)
        assert torch.equal(generate(of, ids, cache(of, **FINE), **options), expected)


@pytest.mark.parametrize("where", WHERE)
def test_beams_share_pages(running, where):
    of = running("llama", where)
    ids = prompt(300, batch=1)
    compressed = cache(of, **COARSE)
    forward(of, ids, compressed)
    one = compressed.nbytes
    compressed.batch_repeat_interleave(8)
    compressed.reorder_cache(torch.tensor([7, 6, 5, 4, 3, 2, 1, 0]))
    assert compressed.nbytes < 1.01 * one
    forward(of, ids[:, :1].repeat(8, 1), compressed)
    assert compressed.nbytes < 6.5 * one, "the pages of codes are still shared"


@pytest.mark.parametrize("where", WHERE)
def test_sampling_draws_what_it_draws_with_floats(running, where):
    of = running("llama", where)
    ids = prompt()
    options = {"do_sample": True, "num_return_sequences": 3, "temperature": 0.7}
    torch.manual_seed(5)
    expected = generate(of, ids, floats(of), **options)
    torch.manual_seed(5)
    found = generate(of, ids, cache(of, **FINE), **options)
    assert found.shape == (6, 16)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("prefill", ["exact", "quantized"])
@pytest.mark.parametrize(("where", "bits"), [("decoded", FINE), ("codes", FINE), ("codes", COARSE)])
@pytest.mark.parametrize("name", ["llama", "gemma3"])
def test_prompt_look_up_equals_greedy_decoding(running, name, where, bits, prefill):
    """Decoded keys are those of all tokens of a draft, so at few bits only codes give equality."""
    of = running(name, where)
    ids = prompt(60, batch=1).repeat(1, 3)  # repetition, so that drafts are made
    options = dict(**bits, rollback=8, prefill=prefill)
    greedy = cache(of, **options)
    expected = generate(of, ids, greedy, new=40)
    looked_up = cache(of, **options)
    found = generate(of, ids, looked_up, new=40, prompt_lookup_num_tokens=8)
    assert torch.equal(found, expected)
    for layer, other in zip(looked_up.coded_layers, greedy.coded_layers, strict=True):
        assert list(layer.store.coded) == list(other.store.coded)


def test_the_tokens_of_a_draft_see_the_codes_of_greedy_decoding(running):
    """A page is coded in the middle of a draft, and the tokens before that see floats."""
    of = running("llama", "codes")
    ids = prompt(300, batch=1)
    for start in range(140, 150):  # 4 + 16 + 64 i tokens code a page: 148
        steps = cache(of, **COARSE, rollback=9)
        forward(of, ids[:, :start], steps)
        expected = [forward(of, ids[:, i : i + 1], steps) for i in range(start, start + 10)]
        draft = cache(of, **COARSE, rollback=9)
        forward(of, ids[:, :start], draft)
        found = forward(of, ids[:, start : start + 10], draft)
        torch.testing.assert_close(found, torch.cat(expected, 1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("where", WHERE)
def test_a_crop_within_rollback_leaves_no_trace(running, where):
    of = running("llama", where)
    ids = prompt(300, batch=1)
    for start in (140, 147, 148):
        kept = cache(of, **COARSE, rollback=9)
        forward(of, ids[:, :start], kept)
        cropped = copy.deepcopy(kept)
        forward(of, ids[:, start : start + 9], cropped)
        cropped.crop(-9)
        assert cropped.get_seq_length() == start
        for layer, other in zip(cropped.coded_layers, kept.coded_layers, strict=True):
            assert torch.equal(layer.keys, other.keys)
            assert torch.equal(layer.values, other.values)


@pytest.mark.parametrize("where", WHERE)
def test_assisted_decoding_gives_the_tokens_of_the_float_cache(running, where):
    of = running("llama", where)
    assistant = copy.deepcopy(model("llama"))
    disable(assistant)
    with torch.no_grad():
        assistant.lm_head.weight[::3] *= 0.5  # a draft that is wrong at times
    ids = prompt(100, batch=1)
    expected = generate(of, ids, floats(of), new=40)
    compressed = cache(of, **FINE, rollback=20)
    assert compressed.is_croppable
    found = generate(of, ids, compressed, new=40, assistant_model=assistant)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("where", WHERE)
def test_half_precision(running, where, dtype):
    of = copy.deepcopy(running("llama", where)).to(dtype)
    if where == "codes":
        enable(of)
    ids = prompt()
    compressed = cache(of, **FINE)
    exact = floats(of)
    found, expected = forward(of, ids, compressed), forward(of, ids, exact)
    assert torch.equal(found, expected), "a prompt is seen exactly"
    step = forward(of, ids[:, :1], compressed)
    assert step.dtype == dtype
    wanted = forward(of, ids[:, :1], exact).float()
    assert (step.float() - wanted).abs().max() < 0.05 * wanted.abs().max()
    layer = compressed.coded_layers[0]
    assert layer.keys.dtype == dtype
    assert torch.equal(layer.keys[:, :, :4], exact.layers[0].keys[:, :, :4]), "sinks are exact"
    assert torch.equal(layer.keys[:, :, -16:], exact.layers[0].keys[:, :, -16:])


@pytest.mark.parametrize("prefill", ["exact", "quantized"])
@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("name", ["llama", "gemma3", "qwen3_next"])
def test_chunked_prefill_makes_the_first_choice_of_a_prompt_in_one_piece(
    running, name, where, prefill
):
    of = running(name, where)
    ids = prompt(200)
    whole, parts = (cache(of, **FINE, prefill=prefill) for _ in range(2))
    expected = forward(of, ids, whole)[:, -1].argmax(-1)
    for start in range(0, 200, 48):
        found = forward(of, ids[:, start : start + 48], parts)
    assert torch.equal(found[:, -1].argmax(-1), expected)
    found = generate(of, ids, cache(of, **FINE, prefill=prefill), prefill_chunk_size=48)
    assert torch.equal(found, generate(of, ids, floats(of)))


@pytest.mark.parametrize("where", WHERE)
def test_chunks_of_equal_keys_have_equal_codes(running, where):
    of = running("llama", where)
    generator = torch.Generator().manual_seed(3)
    keys, values = (torch.randn(2, 2, 300, 32, generator=generator) for _ in range(2))
    whole, parts = cache(of, **COARSE), cache(of, **COARSE)
    whole.layers[0].update(keys, values)
    for start, end in ((0, 1), (1, 100), (100, 101), (101, 260), (260, 300)):
        parts.layers[0].update(keys[:, :, start:end], values[:, :, start:end])
    assert torch.equal(whole.layers[0].keys, parts.layers[0].keys)
    assert torch.equal(whole.layers[0].values, parts.layers[0].values)
    assert not torch.equal(whole.layers[0].keys, keys)


@pytest.mark.parametrize("name", ["llama", "gemma3", "gemma3n"])
def test_tokens_of_a_quantized_prompt_see_what_they_see_one_by_one(running, name):
    of = running(name, "codes")
    ids = prompt(200)
    steps = cache(of, **COARSE, prefill="quantized")
    expected = torch.cat([forward(of, ids[:, i : i + 1], steps) for i in range(200)], 1)
    found = forward(of, ids, cache(of, **COARSE, prefill="quantized"))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("name", ["llama", "gemma3", "qwen3_next", "deepseek_v3"])
def test_a_conversation_goes_on(running, name, where):
    of = running(name, where)
    ids, compressed, exact = NOTHING, cache(of, **FINE), floats(of)
    for tokens in (100, 30, 30):
        disable(of)
        ids, expected, exact = clear_prompt(of, ids, exact, tokens, new=8)
        running(name, where)
        assert torch.equal(generate(of, ids, compressed, new=8), expected)
        ids = torch.cat([ids, expected], 1)


@pytest.mark.parametrize("where", WHERE)
def test_a_copy_of_the_cache_starts_many_answers(running, where):
    of = running("llama", where)
    ids = prompt(150)
    compressed = cache(of, **COARSE)
    forward(of, ids[:, :-1], compressed)
    length, size = compressed.get_seq_length(), compressed.nbytes
    answers = [generate(of, ids, copy.deepcopy(compressed)) for _ in range(2)]
    assert torch.equal(*answers)
    assert (compressed.get_seq_length(), compressed.nbytes) == (length, size)


@pytest.mark.parametrize("where", WHERE)
def test_a_reset_cache_is_as_new(running, where):
    of = running("gemma3", where)
    ids = prompt()
    compressed = cache(of, **COARSE)
    first = generate(of, ids, compressed)
    compressed.reset()
    assert compressed.get_seq_length() == 0
    assert torch.equal(generate(of, ids, compressed), first)
    compressed.reset()
    assert torch.equal(generate(of, ids[:1], compressed), first[:1]), "another batch size"


@pytest.mark.parametrize("where", WHERE)
def test_sequences_are_repeated_and_selected(running, where):
    of = running("llama", where)
    ids = prompt(150, batch=3)
    compressed = cache(of, **COARSE)
    forward(of, ids, compressed)
    compressed.batch_repeat_interleave(2)
    compressed.batch_select_indices(torch.tensor([5, 0, 3]))
    found = forward(of, ids[[2, 0, 1], :1], compressed)
    alone = cache(of, **COARSE)
    forward(of, ids[[2, 0, 1]], alone)
    torch.testing.assert_close(found, forward(of, ids[[2, 0, 1], :1], alone))
    compressed.batch_select_indices(torch.tensor([True, False, True]))
    assert forward(of, ids[[2, 1], :1], compressed).shape[0] == 2


def test_a_compiled_model_generates_and_a_full_graph_is_refused():
    of = new_model("llama", num_hidden_layers=1)
    ids = prompt(20, batch=1)
    expected = forward(of, ids, cache(of, **COARSE))
    torch._dynamo.reset()
    run = torch.compile(of, backend="eager")
    compressed = cache(of, **COARSE)
    with torch.no_grad():
        found = run(ids, **{argument(of): compressed}).logits
    torch.testing.assert_close(found, expected)
    assert not compressed.is_compileable
    torch._dynamo.reset()
    run = torch.compile(of, backend="eager", fullgraph=True)
    with pytest.raises(torch._dynamo.exc.Unsupported), torch.no_grad():
        run(ids, **{argument(of): cache(of, **COARSE)})


def test_a_static_cache_is_refused(running):
    of = running("llama", "decoded")
    with pytest.raises(ValueError, match="cache_implementation"):
        generate(of, prompt(20), cache(of), cache_implementation="static")
