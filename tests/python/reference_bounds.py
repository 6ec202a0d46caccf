"""A NumPy reference of the bounds of a search, in float64, from `rust/scan/bounds.rs`.

c is the codeword vector of a row and y the rotated query of length sqrt(d), both with block after
block, and the product of interest is <c, y>. The library is asked for its codebooks and for the
rotation of the query alone.
"""

import math

import numpy as np

from support import rotate

DEVIATIONS = 3
INTEGER_DEVIATIONS = 4
#: Of the squared norm of a row: the largest error of its signs for which the law holds.
MAX_ERROR = 0.75
MAX_KURTOSIS = 9
#: The least sqrt(1 - cos^2) of a row and a query that level 0 assumes.
LEAST_ACROSS = 0.5


def fields(q, dim):
    """Words (K, p) and count of the indexes, and those of the tail."""
    words = q.codebook().astype(np.float64)
    found = [(words, dim // words.shape[1])]
    tail = q.tail_codebook()
    if tail is not None:
        found.append((tail.astype(np.float64), 1))
    return found


def codewords(q, packed, dim):
    """c of each row: the words of its indexes, one after the other."""
    bits = np.unpackbits(packed, axis=1, bitorder="little").astype(np.int64)
    parts, at = [], 0
    for words, count in fields(q, dim):
        width = int(math.log2(len(words)))
        some = bits[:, at : at + count * width].reshape(len(packed), count, width)
        index = (some << np.arange(width)).sum(axis=2)
        parts.append(words[index].reshape(len(packed), -1))
        at += count * width
    return np.concatenate(parts, axis=1)


def prepared(q, y, dim):
    """The queries in the order of c, of length sqrt(d): coordinate j of block i was i + j m."""
    z = rotate(q, y).astype(np.float64)
    z *= math.sqrt(dim) / np.linalg.norm(z, axis=1, keepdims=True)
    block = q.codebook().shape[1]
    body = dim // block * block
    blocks = z[:, :body].reshape(len(z), block, -1).transpose(0, 2, 1).reshape(len(z), body)
    return np.concatenate([blocks, z[:, body:]], axis=1)


def weights(y):
    """Whole numbers q with |y| near q unit/2, at most 15 in any four neighbors; and the unit."""
    fours = np.zeros(-(-len(y) // 4) * 4)
    fours[: len(y)] = np.abs(y)
    unit = (2 * fours.reshape(-1, 4)).sum(axis=1).max() / 15
    while True:
        whole = np.floor(fours * (2 / unit) + 0.5)
        if whole.reshape(-1, 4).sum(axis=1).max() <= 15:
            return np.where(y >= 0, 1, -1) * whole[: len(y)], unit
        unit *= 1.02


def by_signs(c, y):
    """The upper bound of level 0 for each row; infinite where its law does not hold."""
    dim, norm = len(y), np.linalg.norm(y)
    if dim * (y**4).sum() / (y**2).sum() ** 2 > MAX_KURTOSIS:
        return np.full(len(c), np.inf)
    whole, unit = weights(y)
    error = np.linalg.norm(y - unit / 2 * whole) / norm
    square, magnitude = (c**2).sum(axis=1), np.abs(c).sum(axis=1)
    factor = square / magnitude
    signs = factor**2 * dim
    spread = np.sqrt(np.maximum(signs - square, 0))
    size = np.sqrt(square) * norm
    near = factor * (np.where(c >= 0, 1, -1) @ (unit / 2 * whole)) / size
    far = DEVIATIONS * norm / math.sqrt(max(1, dim - 1)) * spread / size
    rounding = DEVIATIONS * factor * error / np.sqrt(square)
    both = far**2 * (1 + far**2 - near**2) + rounding**2 * (1 + far**2)
    upper = (near + np.sqrt(np.maximum(0, both))) / (1 + far**2)
    upper = np.maximum(upper, near + np.sqrt(LEAST_ACROSS**2 * far**2 + rounding**2))
    return np.where(signs - square > MAX_ERROR * square, np.inf, upper * size)


def by_integers(q, c, y):
    """The upper bound of level 1 for each row."""
    words = [words for words, _ in fields(q, len(y))]
    word_unit = max(np.abs(some).max() for some in words) / 63
    errors = [some - word_unit * np.rint(some / word_unit) for some in words]
    word_error = max(np.sqrt((error**2).mean(axis=1)).max() for error in errors)
    longest = max(np.sqrt((some**2).mean(axis=1)).max() for some in words)
    unit = np.abs(y).max() / 127
    whole = np.rint(y / unit)
    error = np.linalg.norm(y - unit * whole)
    margin = math.hypot(error * longest, np.linalg.norm(y) * word_error)
    product = np.rint(c / word_unit) @ whole
    return unit * word_unit * product + INTEGER_DEVIATIONS * margin


def least(q, packed, y, dim):
    """<c, y> and the least of it and its bounds, (queries, rows)."""
    c, queries = codewords(q, packed, dim), prepared(q, y, dim)
    products = queries @ c.T
    bounds = [np.minimum(by_signs(c, y), by_integers(q, c, y)) for y in queries]
    return products, np.minimum(products, bounds)
