"""Random models of a few thousand parameters, and how to run them with a cache."""

import copy
import functools
import inspect

import torch
import transformers
from transformers import AutoModelForCausalLM, DynamicCache

transformers.logging.set_verbosity_error()

VOCABULARY = 200
SIZES = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 1024,
    "eos_token_id": 1,
    "pad_token_id": 0,
    "bos_token_id": 2,
    "tie_word_embeddings": False,
}
SLIDING, FULL, LINEAR = "sliding_attention", "full_attention", "linear_attention"
#: Name: class of the config, what it has besides SIZES, the layers to code, whether they can be
#: computed from codes.
MODELS = {
    "llama": ("LlamaConfig", {"head_dim": 32, "num_hidden_layers": 3}, [0, 1, 2], True),
    "llama 80": ("LlamaConfig", {"head_dim": 80}, [0, 1], True),
    "gemma3": (
        "Gemma3TextConfig",
        {
            "head_dim": 16,
            "sliding_window": 16,
            "num_hidden_layers": 3,
            "layer_types": [SLIDING, FULL, FULL],
        },
        [1, 2],
        True,
    ),
    "qwen3_next": (
        "Qwen3NextConfig",
        {
            "head_dim": 16,
            "num_hidden_layers": 4,
            "layer_types": [LINEAR, FULL] * 2,
            "linear_num_value_heads": 4,
            "linear_num_key_heads": 2,
            "linear_key_head_dim": 16,
            "linear_value_head_dim": 16,
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 32,
            "shared_expert_intermediate_size": 32,
        },
        [1, 3],
        True,
    ),
    "lfm2": (
        "Lfm2Config",
        {"layer_types": ["conv", FULL], "block_auto_adjust_ff_dim": False},
        [1],
        True,
    ),
    "jamba": (
        "JambaConfig",
        {
            "num_hidden_layers": 4,
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "num_experts": 2,
            "num_experts_per_tok": 1,
            "use_mamba_kernels": False,
            "mamba_dt_rank": 4,
        },
        [1, 3],
        True,
    ),
    "gemma3n": (
        "Gemma3nTextConfig",
        {
            "head_dim": 16,
            "num_hidden_layers": 4,
            "num_kv_shared_layers": 2,
            "layer_types": [SLIDING, FULL] * 2,
            "sliding_window": 16,
            "vocab_size_per_layer_input": VOCABULARY,
            "hidden_size_per_layer_input": 8,
            "laurel_rank": 8,
            "activation_sparsity_pattern": [0.0] * 4,
            "intermediate_size": [96] * 4,
        },
        [1],
        True,
    ),
    "deepseek_v3": (
        "DeepseekV3Config",
        {
            "num_key_value_heads": 4,
            "kv_lora_rank": 32,
            "q_lora_rank": 32,
            "qk_nope_head_dim": 16,
            "qk_rope_head_dim": 8,
            "v_head_dim": 16,
            "n_routed_experts": 4,
            "num_experts_per_tok": 2,
            "n_group": 1,
            "topk_group": 1,
            "first_k_dense_replace": 1,
            "moe_intermediate_size": 32,
        },
        [0, 1],
        True,
    ),
    "smollm3": ("SmolLM3Config", {"num_hidden_layers": 4}, [0, 1, 2, 3], True),
    "gemma2": (
        "Gemma2Config",
        {"head_dim": 16, "sliding_window": 16, "layer_types": [SLIDING, FULL]},
        [1],
        False,
    ),
    "gpt_oss": (
        "GptOssConfig",
        {
            "head_dim": 16,
            "sliding_window": 16,
            "layer_types": [SLIDING, FULL],
            "num_local_experts": 2,
            "num_experts_per_tok": 1,
        },
        [1],
        False,
    ),
    "gpt_neox": ("GPTNeoXConfig", {}, [0, 1], True),
    "gpt2": ("GPT2Config", {"n_embd": 64, "n_layer": 2, "n_head": 4}, [0, 1], True),
}
FROM_CODES = [name for name, (_, _, _, can) in MODELS.items() if can]
NOT_FROM_CODES = [name for name in MODELS if name not in FROM_CODES]


def config(name, **changes):
    kind, sizes, _, _ = MODELS[name]
    return getattr(transformers, kind)(**{**SIZES, **sizes, **changes})


def new_model(name, seed=0, **changes):
    """A random model whose attention is far from a plain mean."""
    torch.manual_seed(seed)
    found = AutoModelForCausalLM.from_config(config(name, **changes)).eval()
    with torch.no_grad():
        for parameter in found.parameters():
            if parameter.ndim > 1:
                parameter.mul_(3.0)
    return found


@functools.cache
def model(name):
    """The model of this name, the same one for all tests; a test leaves it as it was."""
    return new_model(name)


def argument(of):
    """The name under which a model takes a cache: `cache` in newer versions of transformers."""
    return "cache" if "cache" in inspect.signature(of.forward).parameters else "past_key_values"


def prompt(tokens=150, batch=2, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(3, VOCABULARY, (batch, tokens), generator=generator)


def generate(of, ids, cache, new=16, **options):
    """The tokens that greedy decoding adds, unless options say otherwise."""
    options = {"do_sample": False, "attention_mask": torch.ones_like(ids), **options}
    found = of.generate(ids, max_new_tokens=new, **{argument(of): cache}, **options)
    return found[:, ids.shape[1] :]


def clear_prompt(of, before, cache, tokens, batch=2, new=16):
    """A prompt after which greedy decoding with floats has no choice between near equals.

    Returns it with what comes before it, the tokens that the float cache gives, and that cache.
    """
    for seed in range(60):
        ids = torch.cat([before, prompt(tokens, batch, seed)], 1)
        used = copy.deepcopy(cache)
        found = of.generate(
            ids,
            max_new_tokens=new,
            do_sample=False,
            attention_mask=torch.ones_like(ids),
            output_logits=True,
            return_dict_in_generate=True,
            **{argument(of): used},
        )
        logits = torch.stack(found.logits)
        first, second = logits.topk(2).values.unbind(-1)
        if ((first - second) > 0.02 * logits.std(-1)).all():
            return ids, found.sequences[:, ids.shape[1] :], used
    raise AssertionError("no prompt gives clear choices")


@functools.cache
def clear_start(name):
    """A clear prompt of 150 tokens, and the 12 tokens that the float cache gives after it."""
    of = model(name)
    assert of.config._attn_implementation != "blockquant"
    ids, expected, _ = clear_prompt(
        of, torch.empty(2, 0, dtype=torch.long), floats(of), 150, new=12
    )
    return ids, expected


def forward(of, ids, cache, **options):
    with torch.no_grad():
        return of(ids, **{argument(of): cache}, **options).logits


def floats(of):
    """The library's own cache."""
    return DynamicCache(config=of.config.get_text_config(decoder=True))
