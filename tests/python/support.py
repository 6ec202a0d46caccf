"""Helpers of the tests: the sample, the layout rules and access to the core of a quantizer."""

import math
from pathlib import Path

import numpy as np

import blockquant as bq
from blockquant._methods import PARTS
from blockquant.registry import is_built_in

#: The full names of the library's own methods.
BUILT_IN = [name for name in bq.available() if is_built_in(name)]


def most_bits(name):
    """The most bits per coordinate of one of the library's methods, by its full name."""
    return PARTS[name][0].most_bits


def load_sample():
    folder = Path(bq.__file__).parent / "data"
    arrays = {}
    for path in folder.iterdir():
        if path.suffix == ".npy":
            arrays[path.stem] = np.load(path)
        elif path.suffix == ".npz":
            arrays.update(np.load(path))
    base = next(a for name, a in arrays.items() if len(a) >= 1000)
    query = next(a for name, a in arrays.items() if len(a) < 1000)
    return unit(base), unit(query)


def unit(x):
    x = np.asarray(x, np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def rotate(q, x):
    """R x for float32 rows, which are not normalised first."""
    x = np.ascontiguousarray(x, np.float32)
    return np.asarray(q.rotate(x) if hasattr(q, "rotate") else q._core.rotate(x))


def cosines(x, x_hat):
    """The cosine of the angle between each row and its reconstruction, in float64."""
    x, x_hat = np.asarray(x, np.float64), np.asarray(x_hat, np.float64)
    return np.sum(x * x_hat, axis=1) / np.linalg.norm(x, axis=1) / np.linalg.norm(x_hat, axis=1)


def default_block(dim, bits):
    """The default p and w of the specification."""
    if bits == 3 and dim >= 4:
        return 4, 12
    best = None
    for p in range(1, min(dim, 16) + 1):
        w = math.floor(bits * p + 0.5)
        if 1 <= w <= 8 and (best is None or abs(w / p - bits) <= abs(best[1] / best[0] - bits)):
            best = p, w
    return best


def tail_width(tail, block, width):
    return min(16, math.ceil(tail * width / block + 0.25)) if tail else 0


def row_bits(dim, block, width):
    m = dim // block
    return m * width + tail_width(dim - m * block, block, width)


def pack_bits(index, width):
    """Packing by its definition: bit k of index i is bit i*width + k of the row, lowest first."""
    index = np.asarray(index)
    bits = (index[:, :, None] >> np.arange(width)) & 1
    bits = bits.reshape(len(index), index.shape[1] * width).astype(np.uint8)
    return np.packbits(bits, axis=1, bitorder="little")


def kept(codes):
    """The bytes that searches keep with the codes."""
    return codes.search_nbytes


def supports(name, bits, dim=64, **options):
    try:
        return bq.create(name, dim=dim, bits=bits, **options)
    except ValueError:
        return None


#: The names of the rows of `families`.
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


def families(dim, rng):
    """One row of each family of the specification, section 2, with fresh random parts."""
    j = np.arange(dim)
    one_hot, two_hot, sparse = np.zeros((3, dim))
    one_hot[rng.integers(dim)] = 1
    two_hot[rng.choice(dim, 2, replace=False)] = 1, -1
    count = max(1, dim // 32)
    sparse[rng.choice(dim, count, replace=False)] = rng.standard_normal(count)
    frequency, phase = rng.uniform(0.5, dim / 2), rng.uniform(0, 2 * math.pi)
    return np.stack(
        [
            one_hot,
            two_hot,
            np.ones(dim),
            sparse,
            1 / (j + 1),
            np.sin(2 * math.pi * frequency * (j + 0.5) / dim + phase),
            (j < max(1, dim // 8)).astype(float),
            rng.standard_normal(dim),
        ]
    ).astype(np.float32)
