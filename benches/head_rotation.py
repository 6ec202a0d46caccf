"""Is a rotation of a few rounds as good as a Haar matrix below 128 coordinates, and what is gained?

    python benches/head_rotation.py [--seeds 40000] [--repetitions 15]

The first table has the mean error of 2-bit Lloyd-Max levels over that of a Haar matrix, which is
the distortion under the exact law of a coordinate on the sphere. The rounds are those of
`rust/rotation.rs` without its least window: signs and the Walsh-Hadamard transform on windows, and
a shuffle of runs of 8 between rounds. Each seed has its own signs and, in the families that have
any, its own random parts of the row. The rotations with 3, 4, 5 and 6 rounds have the same first
signs.

The second table has the time per row of the rotation that the library takes, on one thread. The
turns of all sizes alternate, and each time is the median over the repetitions. d = 128 is the
least size with rounds of transforms.
"""

import argparse
import time

import numpy as np

import blockquant as bq
import common

DIMS = (64, 80, 96, 100)
ROUNDS = (3, 4, 5, 6)
RUN = 8
FAMILIES = (
    "one-hot",
    "two-hot",
    "constant",
    "sparse",
    "decaying",
    "sinusoid",
    "first eighth",
    "gaussian",
)
#: Rows per timed call.
ROWS = 4096


def family(name, dim, seeds, rng):
    """A row of the family for each seed, float32 (seeds, dim)."""
    j, x = np.arange(dim), np.zeros((seeds, dim), np.float32)
    seed = np.arange(seeds)
    if name == "one-hot":
        x[seed, rng.integers(dim, size=seeds)] = 1
    elif name == "two-hot":
        first = rng.integers(dim, size=seeds)
        x[seed, first] = 1
        x[seed, (first + rng.integers(1, dim, size=seeds)) % dim] = -1
    elif name == "constant":
        x[:] = 1
    elif name == "sparse":
        for _ in range(dim // 32):
            x[seed, rng.integers(dim, size=seeds)] = rng.standard_normal(seeds)
    elif name == "decaying":
        x[:] = 1 / (j + 1)
    elif name == "sinusoid":
        frequency = rng.uniform(0.5, dim / 2, (seeds, 1))
        phase = rng.uniform(0, 2 * np.pi, (seeds, 1))
        x[:] = np.sin(2 * np.pi * frequency * (j + 0.5) / dim + phase)
    elif name == "first eighth":
        x[:, : dim // 8] = 1
    else:
        x[:] = rng.standard_normal(x.shape)
    return x


def windows(dim):
    """The coordinates per window, and the first coordinate of each."""
    size = 1 << dim.bit_length() - 1
    if -(-dim // (size // 2)) * (size // 2) < -(-dim // size) * size:
        size //= 2
    return size, [min(start, dim - size) for start in range(0, dim, size)]


def shuffle(dim):
    """Where each coordinate comes from: run i from run i·a mod r; the last dim mod 8 stay."""
    runs = dim // RUN
    stride = runs * 618 // 1000
    while np.gcd(stride, runs) != 1:
        stride += 1
    order = np.arange(dim)
    moved = np.arange(runs) * stride % runs
    order[: runs * RUN] = (moved[:, None] * RUN + np.arange(RUN)).ravel()
    return order


def levels_and_distortion(dim):
    """The four Lloyd-Max levels of √dim times a coordinate on the sphere, and their error."""
    u = np.linspace(-1, 1, 400_001)
    weight = (1 - u**2) ** ((dim - 3) / 2)
    u *= np.sqrt(dim)
    levels = np.array([-1.5, -0.5, 0.5, 1.5])
    for _ in range(500):
        cell = np.searchsorted((levels[1:] + levels[:-1]) / 2, u)
        levels = np.bincount(cell, weight * u) / np.bincount(cell, weight)
    return levels, np.average((u - levels[cell]) ** 2, weights=weight)


def errors(z, levels):
    """The squared error per coordinate of each row at length √dim."""
    u = z * (np.sqrt(z.shape[1]) / np.linalg.norm(z, axis=1, keepdims=True))
    inner, outer = levels[2:].astype(np.float32)
    magnitude = np.abs(u, out=u)
    level = np.where(magnitude > (inner + outer) / 2, outer, inner)
    return np.square(magnitude - level).mean(axis=1, dtype=np.float64)


def quality(dim, seeds):
    """Prints the ratio to Haar and its standard error for each family and number of rounds."""
    size, starts = windows(dim)
    hadamard = np.ones((1, 1), np.float32)
    while len(hadamard) < size:
        hadamard = np.block([[hadamard, hadamard], [hadamard, -hadamard]])
    hadamard = (hadamard / np.sqrt(size)).astype(np.float32)
    order = shuffle(dim)
    levels, haar = levels_and_distortion(dim)
    rng = np.random.default_rng(dim)
    print(f"\nd = {dim}: windows of {size} from {', '.join(map(str, starts))}; Haar {haar:.5f}")
    print("family        " + "".join(f"  {n} rounds ± error" for n in ROUNDS))
    worst = dict.fromkeys(ROUNDS, 0.0)
    for name in FAMILIES:
        z = family(name, dim, seeds, rng)
        cells = []
        for done in range(1, max(ROUNDS) + 1):
            if done > 1 and len(starts) > 1:
                z = z[:, order]
            for start in starts:
                signs = rng.integers(0, 2, (seeds, size), np.int8) * np.float32(2) - 1
                window = z[:, start : start + size]
                window[:] = (window * signs) @ hadamard
            if done in ROUNDS:
                error = errors(z, levels) / haar
                mean = error.mean()
                cells.append(f"  {mean:8.4f} ± {error.std() / np.sqrt(seeds):.4f}")
                worst[done] = max(worst[done], abs(mean - 1))
        print(f"{name:14}" + "".join(cells), flush=True)
    print("worst, %      " + "".join(f"  {100 * worst[n]:8.2f}         " for n in ROUNDS))


def times(repetitions):
    """Prints nanoseconds per row of `rotate` and `decode` at each size."""
    turns = {}
    for dim in (*DIMS, 128):
        x = np.random.default_rng(dim).standard_normal((ROWS, dim), np.float32)
        q = bq.Eden(dim=dim, bits=2)
        codes = q.encode(x)
        turns[dim, "rotate"] = lambda q=q, x=x: q.rotate(x)
        turns[dim, "rotate back"] = lambda q=q, x=x: q._core.unrotate(x)
        turns[dim, "decode"] = lambda q=q, codes=codes: q.decode(codes)
    spent = {key: [] for key in turns}
    for _ in range(repetitions + 1):
        for key, turn in turns.items():
            start = time.perf_counter()
            for _ in range(4):
                turn()
            spent[key].append((time.perf_counter() - start) / (4 * ROWS) * 1e9)
    print(f"\nns per row, eden with 2 bits, batches of {ROWS} rows, one thread")
    names = ("rotate", "rotate back", "decode")
    print("   d  rotation  " + "".join(f"{name:>14}" for name in names))
    for dim in (*DIMS, 128):
        form = "dense" if dim < 128 else "3 rounds"
        # The first turn fills the caches.
        medians = [np.median(spent[dim, name][1:]) for name in names]
        print(f"{dim:4}  {form:10}" + "".join(f"{median:14.0f}" for median in medians))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=40_000)
    parser.add_argument("--repetitions", type=int, default=15)
    options = parser.parse_args()
    bq.set_num_threads(1)
    print(common.machine())
    print(f"2-bit error over that of Haar, {options.seeds} seeds")
    for dim in DIMS:
        quality(dim, options.seeds)
    times(options.repetitions)


if __name__ == "__main__":
    main()
