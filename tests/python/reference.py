"""A NumPy reference of every method, written from docs/specification.md alone.

It never calls the library.

u = sqrt(d) R x/|x| are the rotated coordinates, c is the codeword vector in the same units, and
rho = <u, c>/d.
"""

import functools
import math

import numpy as np
from scipy import optimize, special


@functools.cache
def haar(dim, seed):
    """A Haar orthogonal matrix: Q of a Gaussian matrix, with the signs that make diag(R) > 0."""
    q, r = np.linalg.qr(np.random.default_rng(seed).standard_normal((dim, dim)))
    return q * np.sign(np.diag(r))


# --- codebooks -------------------------------------------------------------------------------


def _cell_moments(law, dim, edges):
    """Mass and first moment between consecutive edges (docs/specification.md, section 3)."""
    if law == "gaussian":
        mass = np.diff(special.ndtr(edges))
        moment = -np.diff(np.exp(-(edges**2) / 2) / math.sqrt(2 * math.pi))
        return mass, moment
    inside = np.minimum(edges**2 / dim, 1.0)
    mass = np.diff(0.5 + 0.5 * np.sign(edges) * special.betainc(0.5, (dim - 1) / 2, inside))
    norm = math.exp(math.lgamma(dim / 2) - math.lgamma((dim - 1) / 2)) / math.sqrt(math.pi * dim)
    moment = -np.diff((1 - inside) ** ((dim - 1) / 2)) * norm * dim / (dim - 1)
    return mass, moment


def _centroids(law, dim, levels):
    limit = np.inf if law == "gaussian" else math.sqrt(dim)
    edges = np.concatenate([[-limit], (levels[1:] + levels[:-1]) / 2, [limit]])
    mass, moment = _cell_moments(law, dim, edges)
    return moment / mass


@functools.cache
def lloyd_max(law, dim, bits):
    """Ascending Lloyd-Max levels of N(0, 1) or of a coordinate of sqrt(d) S^(d-1), d >= 2."""
    if law == "sphere" and dim == 1:
        raise ValueError("one dimension has no density")
    count = 2**bits
    start = (np.arange(count // 2) + 0.5) / count
    if law == "gaussian":
        upper = math.sqrt(3) * special.ndtri(
            0.5 + start
        )  # the best density of levels at high rates: the cube root of f
    else:
        power = (dim - 3) / 6 + 0.5
        upper = math.sqrt(dim) * np.sqrt(special.betaincinv(0.5, max(power + 0.5, 0.5), 2 * start))

    def full(half):
        return np.concatenate([-half[::-1], half])

    for _ in range(200):
        upper = _centroids(law, dim, full(upper))[count // 2 :]
    found = optimize.root(
        lambda h: _centroids(law, dim, full(h))[count // 2 :] - h, upper, tol=1e-13
    )
    assert np.max(np.abs(found.fun)) < 1e-10
    return full(found.x)


def distortion(law, dim, levels):
    """E (u - nearest level)^2 under the law; the levels need not be the means of their cells."""
    limit = np.inf if law == "gaussian" else math.sqrt(dim)
    edges = np.concatenate([[-limit], (levels[1:] + levels[:-1]) / 2, [limit]])
    mass, moment = _cell_moments(law, dim, edges)
    return 1 - 2 * np.sum(levels * moment) + np.sum(levels**2 * mass)


def block_samples(dim, block, count, rng):
    """Samples of p = `block` coordinates v of u = sqrt(d) z.

    |v|^2/d ~ Beta(p/2, (d-p)/2), and the direction is uniform.
    """
    v = rng.standard_normal((count, block))
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    if block < dim:
        v *= np.sqrt(rng.beta(block / 2, (dim - block) / 2, (count, 1)))
    return v * math.sqrt(dim)


@functools.cache
def block_codebook(dim, block, width, count=40_000, rounds=25, seed=7):
    """Plain Lloyd steps on samples of the block law; empty cells restart at a random sample."""
    rng = np.random.default_rng(seed)
    samples = block_samples(dim, block, count, rng).astype(np.float32)
    # The best density of words is f^(p/(p+2)), which is wider by sqrt((p+2)/p) for a Gaussian f.
    words = samples[rng.choice(count, 2**width, replace=False)] * np.float32(
        math.sqrt(1 + 2 / block)
    )
    for _ in range(rounds):
        index = nearest(samples, words)
        size = np.bincount(index, minlength=len(words))
        sums = np.stack(
            [np.bincount(index, samples[:, j], len(words)) for j in range(block)], axis=1
        )
        words = np.where(
            size[:, None] > 0, sums / np.maximum(size, 1)[:, None], samples[: len(words)]
        ).astype(np.float32)
    return words


# --- assignment ------------------------------------------------------------------------------


def scores(points, words):
    """<u, c_k> - |c_k|^2/2, which is highest for the nearest word."""
    return points @ words.T - 0.5 * np.sum(words**2, axis=1)


def nearest(points, words, chunk=4096):
    return np.concatenate(
        [
            np.argmax(scores(points[i : i + chunk], words), axis=1)
            for i in range(0, len(points), chunk)
        ]
    )


def nearest_level(u, levels):
    return np.searchsorted((levels[1:] + levels[:-1]) / 2, u)


def to_blocks(u, block):
    """Reshape (n, d) to blocks (n, m, p) and a tail: coordinate j of block i is u[i + j m]."""
    m = u.shape[1] // block
    return u[:, : m * block].reshape(len(u), block, m).transpose(0, 2, 1), u[:, m * block :]


def from_blocks(blocks, tail):
    n, m, p = blocks.shape
    return np.concatenate([blocks.transpose(0, 2, 1).reshape(n, m * p), tail], axis=1)


def rabitq(u, bits):
    """The level indices of the grid point with the exact best cosine.

    They are found by a sweep over the sorted critical values t = k/|u_i|.
    """
    top, out = 2 ** (bits - 1), np.empty(u.shape, int)
    for row, values in enumerate(u):
        size = np.abs(values)
        critical = (np.arange(1, top)[None, :] / np.maximum(size, 1e-30)[:, None]).ravel()
        order = np.argsort(critical, kind="stable")
        coordinate = np.repeat(np.arange(len(size)), top - 1)[order]
        # At each critical value the magnitude k - 1/2 of one coordinate becomes k + 1/2, so |c|^2
        # grows by 2k.
        k = np.tile(np.arange(1, top), len(size))[order]
        dot = size.sum() / 2 + np.concatenate([[0.0], np.cumsum(size[coordinate])])
        square = len(size) / 4 + np.concatenate([[0.0], np.cumsum(2.0 * k)])
        best = int(np.argmax(dot / np.sqrt(square)))
        magnitude = np.bincount(coordinate[:best], minlength=len(size))
        out[row] = np.where(values >= 0, top + magnitude, top - 1 - magnitude)
    return out


def rabitq_levels(bits):
    return np.arange(2**bits) - (2**bits - 1) / 2


def qjl(u, c, gaussian):
    """For the residual r = u - c: the signs of G r, the norm |r| and the corrected code."""
    residual = u - c
    gamma = np.linalg.norm(residual, axis=1)
    sign = np.where(residual @ gaussian.T >= 0, 1.0, -1.0)
    return sign, gamma, c + math.sqrt(math.pi / 2) / u.shape[1] * gamma[:, None] * (sign @ gaussian)


def scales(count):
    """The scales of a search in the order in which they are tried (specification, section 4)."""
    steps = count // 2
    offsets = np.arange(1, steps + 1) * min(0.08, 0.16 / max(steps, 1))
    return np.concatenate([[1.0], np.stack([1 - offsets, 1 + offsets], axis=1).ravel()])


def scale_search(u, count, nearest):
    """The nearest codewords of the scale with the largest squared cosine, and that cosine."""
    tried = np.stack([nearest(scale * u) for scale in scales(count)])
    dot = np.sum(u * tried, axis=2)
    cosine = dot * np.abs(dot) / np.sum(tried * tried, axis=2) / np.sum(u * u, axis=1)
    return tried[cosine.argmax(axis=0), np.arange(len(u))], cosine.max(axis=0)


def scale_rule(u, c, rule):
    """The scale rule S of the specification, section 1: none 1, mse rho/|c|^2, unbiased 1/rho."""
    if rule == "none":
        return np.ones(len(u))
    dot = np.sum(u * c, axis=1)
    return dot / np.sum(c * c, axis=1) if rule == "mse" else u.shape[1] / dot


def code_vectors(method, u, bits, block=None, gaussian=None):
    """The codeword vectors c of rotated rows u, by the codebooks of this module."""
    dim = u.shape[1]
    if method == "blockquant":
        words = block_codebook(dim, block, round(bits * block))
        blocks, tail = to_blocks(u, block)
        assert tail.shape[1] == 0, "the reference codebook covers whole blocks only"
        index = nearest(blocks.reshape(-1, block), words)
        return from_blocks(words[index].reshape(blocks.shape), tail)
    if method == "rabitq":
        return rabitq_levels(bits)[rabitq(u, bits)]
    if method == "turboquant/prod":
        if bits == 1:
            c = np.zeros_like(u)
        else:
            levels = lloyd_max("sphere", dim, bits - 1)
            c = levels[nearest_level(u, levels)]
        return qjl(u, c, gaussian)[2]
    levels = lloyd_max("gaussian" if method == "eden" else "sphere", dim, bits)
    return levels[nearest_level(u, levels)]


def reconstruct(method, scale, x, bits, seed, block=None):
    """Encode and decode float64 rows with a Haar rotation."""
    dim = x.shape[1]
    rotation = haar(dim, seed)
    length = np.linalg.norm(x, axis=1)
    u = math.sqrt(dim) * (x / length[:, None]) @ rotation.T
    gaussian = (
        np.random.default_rng(seed + 10_000).standard_normal((dim, dim))
        if method.endswith("prod")
        else None
    )
    c = code_vectors(method, u, bits, block, gaussian)
    s = length * scale_rule(u, c, scale)
    return s[:, None] * (c @ rotation) / math.sqrt(dim)


def first_draw(seed, label):
    """The first draw of the seed stream that a seed and a label name (SplitMix64)."""
    whole, step = 2**64 - 1, 0x9E3779B97F4A7C15

    def mix(z):
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & whole
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & whole
        return z ^ (z >> 31)

    return mix((mix((mix(seed) + label * step) & whole) + step) & whole)
