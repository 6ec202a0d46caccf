"""Attention from codes against float attention, and what storing a token takes, on one thread.

    python benches/attention.py [--tokens 1024,4096,16384] [--dims 64,128] [--rounds 15]

One new token attends with 9 query heads on 3 key-value heads to a cache of random numbers, with the
mean of the keys under a rotary embedding. The float rows are `scaled_dot_product_attention` of
torch, with the query heads of a key-value head folded into its query axis, which is the fastest way
to call it. "decode, then attend" decodes the whole cache for each step.

Each turn of a contender goes once over several caches, so that none stays in the cache of the
processor, as in a model of many layers. The turns of all contenders alternate. A ratio is the
median over the rounds of the ratio of two turns of the same round: below 1 the contender is faster
than float32 attention. The time is that of the median round. Times are those of the processor,
which on one thread are the times that pass, but for what other programs take.

"codes" are BlockQuant's, "trellis" those of a trellis of 64 states; a search over scales is not
seen in attention. "append" is the time per token to store a prompt of 4,096 tokens in one call, of
which all but the newest are coded: 3 keys and 3 values.
"""

import argparse
import time

import numpy as np
import torch

import blockquant as bq
import common

HEADS = 3
QUERY_HEADS = 9
BASE = 10_000.0
#: The floats of all caches of a turn take at least so many bytes, several times the last cache.
BYTES_PER_TURN = 96e6
MOST_CACHES = 30
BITS = ((3, 2), (2, 2), (4, 4), (8, 8))
#: Method, bits of keys and of values, scales that are searched where there are at least 3 bits.
APPENDED = (
    *(("blockquant", bits, 1) for bits in BITS[:3]),
    *(("blockquant", bits, 9) for bits in ((3, 2), (4, 4))),
    *(("eden", bits, 9) for bits in ((3, 2), (4, 4))),
    *(("trellis", bits, 1) for bits in BITS[:3]),
)
APPENDED_TOKENS = 4096
TYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def empty_cache(dim, bits, method="blockquant", scales=1):
    """A cache of this method for keys and values, at (key bits, value bits)."""
    options = {"keys": method, "key_bits": bits[0], "values": method, "value_bits": bits[1]}
    for what, count in zip(("key", "value"), bits, strict=True):
        if scales > 1 and count >= 3:
            options[f"{what}_scale_search"] = scales
    return bq.KeyValueCache(HEADS, dim, center="rotary", rotary=BASE, **options)


def cache_of(k, v, bits, method="blockquant"):
    """A cache with these tokens."""
    cache = empty_cache(k.shape[-1], bits, method)
    cache.append(k, v)
    return cache


def name_of(method, bits):
    return "{} {} / {}".format("codes" if method == "blockquant" else method, *bits)


def float_attention(q, pairs, dtype):
    """One turn of torch's attention over pairs of keys and values."""
    folded = torch.from_numpy(q).reshape(1, HEADS, QUERY_HEADS // HEADS, -1).to(dtype)
    pairs = [tuple(torch.from_numpy(x).to(dtype) for x in pair) for pair in pairs]

    def turn():
        for k, v in pairs:
            torch.nn.functional.scaled_dot_product_attention(folded, k, v)

    return turn


def decoded_attention(q, caches):
    """One turn that decodes every cache and attends to the floats."""
    folded = torch.from_numpy(q).reshape(1, HEADS, QUERY_HEADS // HEADS, -1)

    def turn():
        for cache in caches:
            k, v = (torch.from_numpy(x) for x in cache.decode())
            torch.nn.functional.scaled_dot_product_attention(folded, k, v)

    return turn


def coded_attention(q, caches):
    """One turn of attention from codes."""

    def turn():
        for cache in caches:
            cache.attend(q)

    return turn


def agreement(q, cache, k, v):
    """The largest difference of attention from codes and over decoded rows; both are checked."""
    folded = torch.from_numpy(q).reshape(1, HEADS, QUERY_HEADS // HEADS, -1)
    floats = [torch.from_numpy(x) for x in cache.decode()]
    expected = torch.nn.functional.scaled_dot_product_attention(folded, *floats).numpy()
    return float(np.abs(cache.attend(q).reshape(expected.shape) - expected).max())


def contenders(q, pairs):
    """The turns by name, and the caches of codes by name."""
    turns = {f"torch {name}": float_attention(q, pairs, dtype) for name, dtype in TYPES.items()}
    coded = {}
    trellis = [("trellis", bits) for bits in BITS if max(bits) <= 4]
    for method, bits in (*(("blockquant", bits) for bits in BITS), *trellis):
        name = name_of(method, bits)
        coded[name] = [cache_of(*pair, bits, method) for pair in pairs]
        turns[name] = coded_attention(q, coded[name])
    first = next(iter(coded))
    # Two caches are enough: it takes an order of magnitude longer than everything else.
    turns[f"decode, then attend {first[6:]}"] = decoded_attention(q, coded[first][:2])
    return turns, coded


def measure(tokens, dim, rounds):
    """Prints a table for caches of so many tokens."""
    rng = np.random.default_rng(0)
    size = 2 * 4 * HEADS * tokens * dim
    count = min(MOST_CACHES, max(2, int(-(-BYTES_PER_TURN // size))))
    shape = (2, 1, HEADS, tokens, dim)
    pairs = [tuple(rng.standard_normal(shape, dtype=np.float32)) for _ in range(count)]
    q = rng.standard_normal((1, QUERY_HEADS, 1, dim), dtype=np.float32)
    turns, coded = contenders(q, pairs)
    times = {name: [] for name in turns}
    for turn in turns.values():
        turn()
    for _ in range(rounds):
        for name, turn in turns.items():
            start = time.process_time()
            turn()
            caches = 2 if name.startswith("decode") else count
            times[name].append((time.process_time() - start) / caches / tokens * 1e9)
    base = np.array(times["torch float32"])
    print(f"\n{tokens} tokens, dim {dim}; {count} caches in turn")
    print(f"{'contender':28} ns per token   ratio to float32   bytes per token")
    for name, spent in times.items():
        row = np.array(spent)
        if name in coded:
            cache = coded[name][0]
            difference = agreement(q, cache, *pairs[0])
            assert difference < 1e-3, f"{name}: {difference}"
            stored = cache.nbytes / tokens
        elif name.startswith("torch"):
            stored = size / tokens * (1.0 if name.endswith("float32") else 0.5)
        else:
            stored = float("nan")
        text = "" if np.isnan(stored) else f"{stored:17.0f}"
        ratio = np.median(row / base)
        print(f"{name:28} {np.median(row):12.1f} {ratio:18.2f} {text}", flush=True)


def measure_append(dim, rounds):
    """Prints a table of the time to store a token."""
    rng = np.random.default_rng(0)
    k, v = rng.standard_normal((2, 1, HEADS, APPENDED_TOKENS, dim), dtype=np.float32)
    times = {kind: [] for kind in APPENDED}
    for turn in range(rounds + 1):
        for (method, bits, scales), spent in times.items():
            cache = empty_cache(dim, bits, method, scales)
            start = time.process_time()
            cache.append(k, v)
            if turn:  # the first one warms up
                spent.append((time.process_time() - start) / APPENDED_TOKENS * 1e6)
    print(f"\nappend, dim {dim}")
    print(f"{'contender':28}  µs per token   ratio to codes of as many bits")
    base = {bits: np.array(times["blockquant", bits, 1]) for bits in BITS[:3]}
    for (method, bits, scales), spent in times.items():
        name = name_of(method, bits) + (f", {scales} scales" if scales > 1 else "")
        ratio = np.median(np.array(spent) / base[bits])
        print(f"{name:28} {np.median(spent):13.1f} {ratio:16.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", default="1024,4096,16384")
    parser.add_argument("--dims", default="64,128")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    bq.set_num_threads(1)
    torch.set_num_threads(1)
    print(f"{common.machine()}, torch {torch.__version__}")
    print(f"one thread, {QUERY_HEADS} query heads on {HEADS}; {options.rounds} rounds")
    for dim in (int(text) for text in options.dims.split(",")):
        for tokens in (int(text) for text in options.tokens.split(",")):
            measure(tokens, dim, options.rounds)
        measure_append(dim, options.rounds)


if __name__ == "__main__":
    main()
