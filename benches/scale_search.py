"""What the search over scales takes from the error, and what it takes in time.

    python benches/scale_search.py [--data ../shared/data] [--seeds 3] [--repetitions 200]

The first table has the normalised squared error of one scale with the scale rule `mse`, and how
much less it is with more scales, in percent. Each seed has its own rotation and, where they are
random, its own rows. Codes have the same size in all columns, and are decoded and searched alike.
Keys and values are those of `tests/data`, keys without their mean. With the shared data, image
descriptors and sentence embeddings follow.

The second table has the time of `encode` per Gaussian row on one thread, and how many times as long
it is with more scales. The turns alternate, and each time is the least of the repetitions.
"""

import argparse
import time
from pathlib import Path

import numpy as np

import blockquant as bq
import common

DIMS = (64, 384, 1536)
COUNTS = (3, 5, 9, 33)
TIMED_COUNTS = (3, 5, 9)
#: Method, bits per coordinate and options.
CODERS = (
    ("eden", 3, {}),
    ("eden", 4, {}),
    ("blockquant", 3, {"block": 2}),
    ("blockquant", 3, {}),
    ("blockquant", 4, {}),
)
#: Numbers of a batch of random rows, and of one whose encoding is timed: so few that most calls end
#: before the system interrupts them.
NUMBERS = 1 << 20
TIMED = 1 << 15
KEYS_AND_VALUES = Path(__file__).resolve().parents[1] / "tests" / "data" / "kv_rows.npz"


def quantizer(method, dim, bits, options, count, seed=0):
    name = f"{method}/mse"
    return bq.create(name, dim=dim, bits=bits, seed=seed, scale_search=count, **options)


def error(q, x):
    """The mean over rows of |x − x̂|²/|x|²."""
    loss = np.square(q.decode(q.encode(x)) - x, dtype=np.float64).sum(axis=1)
    return np.mean(loss / np.square(x, dtype=np.float64).sum(axis=1))


def gaussian(dim, seed):
    return np.random.default_rng([dim, seed]).standard_normal((NUMBERS // dim, dim), np.float32)


def real_rows(data):
    """Rows by name: keys and values, and what the shared data have."""
    with np.load(KEYS_AND_VALUES) as held:
        keys, values = held["keys"].astype(np.float32), held["values"].astype(np.float32)
    yield "keys without their mean", (keys - keys.mean(axis=1, keepdims=True)).reshape(-1, 64)
    yield "values", values.reshape(-1, 64)
    descriptors = (common.DATA if data is None else data) / "photos-sift128-base.npy"
    if descriptors.is_file():
        yield "image descriptors", np.load(descriptors)[:8000].astype(np.float32)
    embeddings = common.embeddings(data)
    yield embeddings.name.partition(" (")[0], np.asarray(embeddings.x[:4000], np.float32)


def turns(dim, method, bits, options, repetitions):
    """Microseconds per row of `encode` by number of scales."""
    x = np.random.default_rng(dim).standard_normal((TIMED // dim, dim), np.float32)
    counts = (None, *TIMED_COUNTS)
    made = {count: quantizer(method, dim, bits, options, count) for count in counts}
    least = dict.fromkeys(made, np.inf)
    for turn in range(repetitions + 1):
        for count, q in made.items():
            start = time.perf_counter()
            q.encode(x)
            spent = time.perf_counter() - start
            if turn:  # the first fills the caches
                least[count] = min(least[count], spent)
    return {count: spent / len(x) * 1e6 for count, spent in least.items()}


def header(counts):
    return "".join(f"{count:>7}" for count in counts)


def line(first, method, bits, options, dim, cells):
    block = quantizer(method, dim, bits, options, None).block
    shape = f"{bits:4}  {'' if block is None else f'p={block}':4}"
    print(f"{first}{method:11}{shape}{cells}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    common.add_data(parser)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--repetitions", type=int, default=200)
    options = parser.parse_args()
    bq.set_num_threads(1)
    print(common.machine())
    sets = [(f"Gaussian, d = {dim}", None, dim) for dim in DIMS]
    sets += [(f"{name}, d = {x.shape[1]}", x, x.shape[1]) for name, x in real_rows(options.data)]
    width = 2 + max(len(name) for name, *_ in sets)
    print(f"\nmean of {options.seeds} seeds; % less error with so many scales")
    print(f"{'rows':{width}}method     bits  block   1 scale{header(COUNTS)}")
    for name, x, dim in sets:
        for method, bits, more in CODERS:
            found = {count: [] for count in (None, *COUNTS)}
            for seed in range(options.seeds):
                rows = gaussian(dim, seed) if x is None else x
                for count, errors in found.items():
                    errors.append(error(quantizer(method, dim, bits, more, count, seed), rows))
            one, *others = (np.mean(errors) for errors in found.values())
            cells = "".join(f"{100 * (1 - other / one):7.1f}" for other in others)
            line(f"{name:{width}}", method, bits, more, dim, f"{one:10.6f}{cells}")
    print("\nencode: µs per row with 1 scale, and times as long with so many")
    print(f"   d  method     bits  block   1 scale{header(TIMED_COUNTS)}")
    for dim in DIMS:
        for method, bits, more in CODERS:
            one, *others = turns(dim, method, bits, more, options.repetitions).values()
            cells = "".join(f"{other / one:7.2f}" for other in others)
            line(f"{dim:4}  ", method, bits, more, dim, f"{one:10.2f}{cells}")


if __name__ == "__main__":
    main()
