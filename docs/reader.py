"""Reads a file of `save` or `Index.save` and decodes it, by the documented rules alone.

NumPy and the standard library; `tests/python/test_docs_reader.py` compares it with the library. It
is written to be read, not to be fast, and it refuses less than the library does.
"""

import json
import math
import struct
from itertools import pairwise

import numpy as np

# --- the file --------------------------------------------------------------------------------


def read(path):
    """The metadata, and the tensors by name."""
    with open(path, "rb") as file:
        data = file.read()
    (length,) = struct.unpack("<Q", data[:8])
    start = 8 + length
    header = json.loads(data[8:start])
    metadata = header.pop("__metadata__")
    assert metadata["format"] == "blockquant"
    assert metadata["version"] == ("2" if "ids" in metadata else "1")  # 3 has fitted axes
    zeroed = data[:start].replace(metadata["header_checksum"].encode(), b"0" * 16, 1)
    assert crc64(zeroed) == int(metadata["header_checksum"], 16)
    tensors = {}
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        part = data[start + first : start + last]
        assert crc64(part) == int(metadata[f"{name}_checksum"], 16)
        kind = {"F32": "<f4", "I64": "<i8", "U8": "u1"}[entry["dtype"]]
        tensors[name] = np.frombuffer(part, kind).reshape(entry["shape"])
    return metadata, tensors


def ids(metadata, tensors):
    """The ids of the rows of an index, numbers or strings."""
    if metadata["ids"] == "int64":
        return tensors["ids"].tolist()
    text, ends = tensors["id_bytes"].tobytes(), tensors["id_offsets"].tolist()
    return [text[a:b].decode() for a, b in pairwise(ends)]


def crc64(data):
    """CRC-64/XZ: polynomial 0x42F0E1EBA9EA3693, reflected, all ones before and after."""
    value = 2**64 - 1
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0xC96C5795D7870F42 if value & 1 else 0)
    return value ^ 2**64 - 1


# --- the packed codes ------------------------------------------------------------------------


def fields(metadata):
    """(count, width) of the fields of a row, in order; fields of no bits are left out."""
    method, dim, bits = metadata["method"], int(metadata["dim"]), float(metadata["bits"])
    if method == "blockquant":
        block = int(metadata["block"])
        width = math.floor(bits * block + 0.5)
        tail = dim % block
        parts = [(dim // block, width)]
        if tail:
            parts.append((1, min(16, math.ceil(tail * width / block + 0.25))))
    elif method == "turboquant/prod":
        parts = [(dim, int(bits) - 1), (dim, 1)]
    else:  # eden, rabitq, turboquant/mse
        parts = [(dim, int(bits))]
    return [(count, width) for count, width in parts if count and width]


def unpack(packed, parts):
    """The indexes of each field, (n, count): bit k of a row is bit k mod 8 of byte k div 8."""
    bits = np.unpackbits(packed, axis=1, bitorder="little").astype(np.int64)
    found, at = [], 0
    for count, width in parts:
        field = bits[:, at : at + count * width].reshape(len(packed), count, width)
        found.append(field @ (1 << np.arange(width)))
        at += count * width
    assert not bits[:, at:].any()  # zero bits to the byte's end
    return found


def path_words(metadata, packed, generators):
    """The place in the codebook of each coordinate's word, (n, d), of a trellis code."""
    dim, bits, states = int(metadata["dim"]), float(metadata["bits"]), int(metadata["states"])
    memory, phases = states.bit_length() - 1, len(generators)
    string = np.unpackbits(packed, axis=1, bitorder="little").astype(np.int64)
    steps = math.ceil(dim / phases)
    path, planes = string[:, :steps], string[:, steps:]
    # The bits before the first are the last ones, or zeros where there are too few.
    before = path[:, steps - memory :] if steps >= memory else np.zeros((len(path), memory), int)
    history = np.concatenate([before, path], axis=1)
    windows = sum(history[:, memory - age :][:, :steps] << age for age in range(memory + 1))
    places = np.empty((len(packed), dim), np.int64)
    for phase, seen in enumerate([windows, windows % states][:phases]):
        own = places[:, phase::phases]
        label = sum(parity(seen & g) << i for i, g in enumerate(generators[phase]))
        own[:] = label[:, : own.shape[1]]
    for plane in range(math.ceil(bits) - 1):
        places += planes[:, plane * dim :][:, :dim] << plane + 4
    return places


def parity(numbers):
    """Whether the number of set bits is odd, of numbers below 2^16."""
    for shift in (8, 4, 2, 1):
        numbers = numbers ^ numbers >> shift
    return numbers & 1


def codeword_vectors(metadata, tensors, codebook=None, tail_codebook=None, generators=None):
    """c for each row, in units of √d·z.

    RaBitQ's levels are a formula; the codebooks of the other methods come from the caller:
    `codebook()` and `tail_codebook()` of the quantizer, and for Trellis the generators of its
    design, four numbers for each phase (`rust/codebook/trellis/tables.rs`).
    """
    method, dim, bits = metadata["method"], int(metadata["dim"]), float(metadata["bits"])
    if method == "trellis":
        return codebook[path_words(metadata, tensors["packed"], generators), 0]
    found = unpack(tensors["packed"], fields(metadata))
    if method == "rabitq":
        return found[0] - (2**bits - 1) / 2
    if method == "blockquant":
        blocks = dim // codebook.shape[1]
        # Coordinate j of block i is u[i + j·blocks].
        parts = [codebook[found[0]].transpose(0, 2, 1).reshape(len(found[0]), -1)]
        if dim % codebook.shape[1]:
            parts.append(tail_codebook[found[1][:, 0]])
        assert parts[0].shape[1] == blocks * codebook.shape[1]
        return np.concatenate(parts, axis=1)
    if method != "turboquant/prod":
        return codebook[found[0], 0]
    levels = codebook[found[0], 0] if float(bits) > 1 else np.zeros((len(found[0]), dim))
    signs = 2 * found[-1] - 1
    projection = gaussians(int(metadata["seed"]), 3, dim * dim).reshape(dim, dim)
    gamma = tensors["residual_norm"].astype(np.float64)[:, None]
    return levels + math.sqrt(math.pi / 2) / dim * gamma * (signs @ projection)


# --- the seed stream and the rotation --------------------------------------------------------

_MASK = 2**64 - 1
_STEP = 0x9E3779B97F4A7C15


def _mix(z):
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & _MASK
    return z ^ z >> 31


def stream(seed, label):
    """SplitMix64, started where the seed and the label say."""
    state = _mix(_mix(seed) + label * _STEP & _MASK)
    while True:
        state = state + _STEP & _MASK
        yield _mix(state)


def signs(seed, label, count):
    """One bit a sign, lowest bit first; a set bit is −1."""
    draws = stream(seed, label)
    words = [next(draws) for _ in range(-(-count // 64))]
    return np.array([-1.0 if words[i // 64] >> i % 64 & 1 else 1.0 for i in range(count)])


def gaussians(seed, label, count):
    """Box and Muller, cosine first, of uniform numbers of 53 bits."""
    draws, out = stream(seed, label), []
    while len(out) < count:
        first, second = ((next(draws) >> 11) * 2.0**-53 for _ in range(2))
        radius = math.sqrt(-2 * math.log(1 - first))
        out += [radius * math.cos(math.tau * second), radius * math.sin(math.tau * second)]
    return np.array(out[:count])


def windows(dim):
    """The size of a window and where each starts."""
    size = 1 << dim.bit_length() - 1
    if size > 1 and -(-dim // (size // 2)) * (size // 2) < -(-dim // size) * size:
        size //= 2
    return size, [min(w * size, dim - size) for w in range(-(-dim // size))]


def haar(dim, seed):
    """R, dense: reflections of Gaussian vectors of lengths d, d − 1, …, 2, and a random sign."""
    draws = iter(gaussians(seed, 1, dim * (dim + 1) // 2))
    matrix = np.eye(dim)
    for length in range(dim, 1, -1):
        v = np.array([next(draws) for _ in range(length)])
        sign = -1.0 if v[0] < 0 else 1.0
        v[0] += sign * np.linalg.norm(v)
        tail = matrix[:, dim - length :]
        tail -= np.outer(tail @ v, v) * (2 / (v @ v))
        tail[:, 0] *= -sign
    matrix[:, -1] *= -1.0 if next(draws) < 0 else 1.0
    return matrix


def rotate_back(z, kind, seed):
    """Rᵀ z for each row."""
    dim = z.shape[1]
    size, starts = windows(dim)
    if kind == "haar" or size < 128:
        return z @ haar(dim, seed)
    x = z.astype(np.float64)
    runs = dim // 8
    stride = max(1, runs * 618 // 1000)
    while math.gcd(stride, runs) != 1:
        stride += 1
    order = np.arange(runs) * stride % runs
    flips = signs(seed, 2, 3 * len(starts) * size).reshape(3, len(starts), size)
    for turn in (2, 1, 0):
        for window in reversed(range(len(starts))):
            part = x[:, starts[window] : starts[window] + size]
            part[:] = hadamard(part) * flips[turn, window] / math.sqrt(size)
        if turn and len(starts) > 1:
            # Forwards, run i became run order[i].
            whole = x[:, : 8 * runs].reshape(len(x), runs, 8)
            back = np.empty_like(whole)
            back[:, order] = whole
            x[:, : 8 * runs] = back.reshape(len(x), -1)
    return x


def hadamard(x):
    """H x for each row, H the ±1 Sylvester matrix."""
    x, step = x.copy(), 1
    while step < x.shape[1]:
        pairs = x.reshape(len(x), -1, 2, step)
        a, b = pairs[:, :, 0].copy(), pairs[:, :, 1].copy()
        pairs[:, :, 0], pairs[:, :, 1] = a + b, a - b
        step *= 2
    return x


# --- rows ------------------------------------------------------------------------------------


def decode(metadata, tensors, codebook=None, tail_codebook=None, generators=None):
    """The reconstructed rows: x̂ = s·Rᵀc/√d, and the center added to them."""
    c = codeword_vectors(metadata, tensors, codebook, tail_codebook, generators)
    back = rotate_back(c, metadata["rotation"], int(metadata["seed"]))
    rows = tensors["scale"].astype(np.float64)[:, None] * back / math.sqrt(c.shape[1])
    return rows + tensors["center"] if "center" in tensors else rows
