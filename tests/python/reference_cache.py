"""A NumPy reference of the key-value cache, written from the description of its state alone.

It works token by token and in float64. Of the library it uses the quantizers alone: their packed
codes, codebooks and rotations. Trellis codes are decoded by their own reference.
"""

import math

import numpy as np

import blockquant as bq
from reference_trellis import decode, designs

PAGE = 64


def as_input(x, dtype):
    """The numbers as the cache keeps them, in float32."""
    x = np.asarray(x, np.float32)
    if dtype == "bfloat16":
        bits = x.view(np.uint32)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16 << 16).astype(np.uint32).view(np.float32)
    return x.astype(dtype).astype(np.float32)


# ---- scales as logarithmic bytes


def byte_scales(scales):
    """Base and bytes of the scales of one head of a page."""
    positive = scales > 0
    exponent = np.zeros(len(scales), int)
    exponent[positive] = np.minimum(
        np.rint(12 * np.log2(scales[positive].astype(np.float64))), 12 * 128 - 1
    )
    base = exponent[positive].max() - 255 if positive.any() else 0
    return base, np.where(positive, np.maximum(exponent - base, 0), 0)


def from_bytes(base, data):
    return np.where(data == 0, 0.0, 2.0 ** ((base + data) / 12)).astype(np.float32)


# ---- the coding of rows


class Coding:
    """A quantizer with integer codewords."""

    def __init__(self, name, dim, bits, rotation, seed, is_byte, scales):
        options = {} if scales is None else {"scale_search": scales}
        self.q = bq.create(name, dim=dim, bits=bits, rotation=rotation, seed=seed, **options)
        self.dim = dim
        self.is_byte = is_byte
        self.steps = 127 if bits <= 4.5 else 2047
        self.is_integer = bits <= 8 and not name.startswith("turboquant/prod")

    def encode(self, rows):
        """The rows of one head of a page: what is stored, and what they decode to."""
        codes = self.q.encode(rows)
        stored = {"packed": codes.packed}
        scalars = {"scale": codes.scale}
        if codes.residual_norm is not None:
            scalars["gamma"] = codes.residual_norm
        for name, values in scalars.items():
            if self.is_byte:
                stored[name + "_base"], stored[name] = byte_scales(values)
                scalars[name] = from_bytes(stored[name + "_base"], stored[name])
            else:
                stored[name] = values
        return stored, self.decode(codes.packed, **scalars)

    def decode(self, packed, scale, gamma=None):
        if not self.is_integer:
            codes = bq.Codes(packed, scale, None, gamma, self.dim, repr(self.q))
            return self.q.decode(codes).astype(np.float64)
        c = self.integer_words(packed)
        rotated = self.q._core.unrotate(np.eye(self.dim, dtype=np.float32)).astype(np.float64)
        return scale[:, None].astype(np.float64) * (c @ rotated) / math.sqrt(self.dim)

    def scales(self, stored):
        """The scales of stored rows."""
        if self.is_byte:
            return from_bytes(stored["scale_base"], stored["scale"])
        return stored["scale"]

    def integer_words(self, packed):
        """The codeword vectors in the order of the rotated coordinates."""
        core, dim = self.q._core, self.dim
        if isinstance(self.q, bq.Trellis):
            design = designs()[self.q.states, self.q.bits]
            step = np.abs(design.words).max() / self.steps
            return step * np.rint(decode(design, packed, dim) / step) / 4096
        index = core.indices(packed)
        words, tail = core.codebook(), core.tail_codebook()
        most = max(np.abs(book).max() for book in (words, tail) if book is not None)
        step = float(most) / self.steps

        def rounded(book):
            return step * np.rint(book.astype(np.float64) / step)

        block = words.shape[1]
        blocks = dim // block
        c = np.zeros((len(packed), dim))
        # Coordinate j of block i is coordinate i + j * blocks.
        body = rounded(words)[index[:, :blocks]]
        c[:, : blocks * block] = body.transpose(0, 2, 1).reshape(len(packed), -1)
        if tail is not None:
            c[:, blocks * block :] = rounded(tail)[index[:, blocks]]
        return c


# ---- the center


def turned(x, angle):
    """R x, float32: x (..., dim), angle (..., dim/2) in float64."""
    cos, sin = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
    a, b = np.split(np.asarray(x, np.float32), 2, axis=-1)
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)


def turned_back(x, angle):
    """R^T x in float64, with cosines and sines in float32."""
    cos = np.cos(angle).astype(np.float32).astype(np.float64)
    sin = np.sin(angle).astype(np.float32).astype(np.float64)
    a, b = np.split(np.asarray(x, np.float64), 2, axis=-1)
    return np.concatenate([a * cos + b * sin, b * cos - a * sin], axis=-1)


def mean_in_order(points):
    total = np.zeros(points.shape[1])
    for point in points:
        total += point
    return total / len(points)


def k_means(points, count):
    used = min(count, len(points))
    vectors = np.array([points[i * len(points) // used] for i in range(used)])
    for _ in range(10):
        nearest = np.argmin(((points[:, None] - vectors) ** 2).sum(-1), axis=1)
        for i in range(used):
            if (nearest == i).any():
                vectors[i] = mean_in_order(points[nearest == i])
    return np.concatenate([vectors, np.repeat(vectors[-1:], count - used, axis=0)])


# ---- the cache


class Sequence:
    def __init__(self):
        self.pads = 0
        self.k, self.v = [], []  # each token: (heads, coordinates) float32
        self.pages = []  # dicts with first, len, k, v, stored, is_kept
        self.center = None  # (heads, vectors, dim) float32

    def __len__(self):
        return len(self.k)


class ReferenceCache:
    def __init__(
        self,
        heads,
        dim,
        *,
        value_dim=None,
        batch=1,
        keys="blockquant/unbiased",
        key_bits=3,
        values="blockquant/unbiased",
        value_bits=2,
        key_scale_search=None,
        value_scale_search=None,
        window=64,
        sinks=4,
        rollback=0,
        center="static",
        rotary=None,
        centroids=0,
        debias=False,
        byte_scales=None,
        dtype="float32",
        rotation="hadamard",
        seed=0,
    ):
        self.heads, self.dim, self.value_dim = heads, dim, value_dim or dim
        self.window, self.sinks, self.rollback = window, sinks, rollback
        self.center, self.centroids, self.dtype, self.debias = center, centroids, dtype, debias
        if rotary is not None:
            rotary = np.asarray(rotary, np.float64)
            if rotary.ndim == 0:
                rotary = float(rotary) ** (-2.0 * np.arange(dim // 2) / dim)
        self.frequencies, self.has_rotary = rotary, rotary is not None

        def coding(name, dim, bits, seed, scales):
            is_byte = bits <= 4.5 if byte_scales is None else byte_scales
            return Coding(name, dim, bits, rotation, seed, is_byte, scales)

        self.keys = coding(keys, dim, key_bits, seed, key_scale_search)
        values_seed = (seed + 1) % 2**64
        self.values = coding(values, self.value_dim, value_bits, values_seed, value_scale_search)
        self.sequences = [Sequence() for _ in range(batch)]

    def append(self, k, v, pads=None):
        k, v = as_input(k, self.dtype), as_input(v, self.dtype)
        for b, one in enumerate(self.sequences):
            first = 0 if pads is None else pads[b]
            one.pads += first
            for token in range(first, k.shape[2]):
                one.k.append(k[b, :, token])
                one.v.append(v[b, :, token])
                self.settle(one)

    def page_start(self, one):
        return self.sinks + sum(page["len"] for page in one.pages)

    def settle(self, one):
        """Codes what is due, and drops exact tokens that are no longer kept."""
        first = self.page_start(one)
        if len(one) >= first + PAGE + self.window:
            if one.center is None and isinstance(self.center, str):
                one.center = self.estimate(one)
            one.pages.append(self.code(one, first))
        for page in one.pages:
            if len(one) >= page["first"] + PAGE + self.window + self.rollback:
                page["is_kept"] = False

    def angle(self, token):
        return token * self.frequencies

    def unturned(self, one, token):
        """Keys without their embedding, (heads, dim) float64."""
        if self.has_rotary:
            return turned_back(one.k[token], self.angle(token))
        return one.k[token].astype(np.float64)

    def estimate(self, one):
        last = min(self.sinks + PAGE + self.window, self.sinks + 256)
        points = np.array([self.unturned(one, token) for token in range(self.sinks, last)])
        if self.centroids:
            each = [k_means(points[:, head], self.centroids) for head in range(self.heads)]
        else:
            each = [mean_in_order(points[:, head])[None] for head in range(self.heads)]
        return np.array(each).astype(np.float32)

    def offsets(self, one, token, index):
        """What was subtracted from the keys of a token, (heads, dim) float32."""
        if self.center is None:
            return np.zeros((self.heads, self.dim), np.float32)
        if isinstance(self.center, np.ndarray):
            return self.center.astype(np.float32)
        own = one.center[np.arange(self.heads), index]
        return turned(own, self.angle(token)) if self.has_rotary else own

    def code(self, one, first):
        tokens = range(first, first + PAGE)
        index = np.zeros((PAGE, self.heads), int)
        if self.centroids:
            for i, token in enumerate(tokens):
                x = self.unturned(one, token)[:, None]
                index[i] = np.argmin(((x - one.center.astype(np.float64)) ** 2).sum(-1), axis=1)
        offset = np.array([self.offsets(one, first + i, index[i]) for i in range(PAGE)])
        k, v = np.array(one.k[first : first + PAGE]), np.array(one.v[first : first + PAGE])
        page = {"first": first, "len": PAGE, "is_kept": self.rollback > 0, "index": index}
        page["k"], page["v"] = np.zeros(k.shape), np.zeros(v.shape)
        page["stored"] = []
        for head in range(self.heads):
            keys, r = self.keys.encode(k[:, head] - offset[:, head])
            values, page["v"][:, head] = self.values.encode(v[:, head])
            page["k"][:, head] = r + offset[:, head]
            page["stored"].append((keys, values))
        return page

    def crop(self, n):
        for one in self.sequences:
            own = max(n - one.pads, 0)
            one.pads = min(one.pads, n)
            kept = []
            for page in one.pages:
                if page["is_kept"] and own < page["first"] + PAGE + self.window:
                    continue  # uncoded: its exact tokens are still here
                if own > page["first"]:
                    page = {**page, "len": min(page["len"], own - page["first"])}
                    kept.append(page)
            one.pages = kept
            del one.k[own:], one.v[own:]
            if not one.pages:
                one.center = None

    def select(self, rows):
        def twin(one):
            other = Sequence()
            other.pads, other.center = one.pads, one.center
            other.k, other.v = list(one.k), list(one.v)
            other.pages = [dict(page) for page in one.pages]
            return other

        self.sequences = [twin(self.sequences[row]) for row in rows]

    def rows(self, one):
        """The decoded keys and values of a sequence's own tokens, float64, and which are coded."""
        k = np.array(one.k, np.float64).reshape(len(one), self.heads, self.dim)
        v = np.array(one.v, np.float64).reshape(len(one), self.heads, self.value_dim)
        is_coded = np.zeros(len(one), bool)
        for page in one.pages:
            place = slice(page["first"], page["first"] + page["len"])
            k[place], v[place] = page["k"][: page["len"]], page["v"][: page["len"]]
            is_coded[place] = True
        return k, v, is_coded

    def decode(self):
        n = max(one.pads + len(one) for one in self.sequences)
        k = np.zeros((len(self.sequences), self.heads, n, self.dim))
        v = np.zeros((len(self.sequences), self.heads, n, self.value_dim))
        for b, one in enumerate(self.sequences):
            rows = self.rows(one)
            k[b, :, one.pads :] = rows[0].transpose(1, 0, 2)
            v[b, :, one.pads :] = rows[1].transpose(1, 0, 2)
        return k, v

    def attend(self, q, scale=None, mask=None):
        q = np.asarray(q, np.float64)
        batch, query_heads, m, _ = q.shape
        n = max(one.pads + len(one) for one in self.sequences)
        scale = 1 / math.sqrt(self.dim) if scale is None else scale
        added = np.zeros((batch, query_heads, m, n))
        if mask is not None:
            mask = np.asarray(mask)
            added = added + (np.where(mask, 0, -np.inf) if mask.dtype == bool else mask)
        out = np.zeros((batch, query_heads, m, self.value_dim))
        for b, one in enumerate(self.sequences):
            k, v, is_coded = self.rows(one)
            for h in range(query_heads):
                head = h // (query_heads // self.heads)
                for i in range(m):
                    last = n - m + i + 1 - one.pads
                    if last <= 0:
                        continue
                    logit = scale * (k[:last, head] @ q[b, h, i])
                    if self.debias:
                        half = 0.5 * scale**2 * np.sum(q[b, h, i] ** 2) * self.spread(one, head)
                        logit = logit - np.where(is_coded, half, 0)[:last]
                    logit = logit + added[b, h, i, one.pads : one.pads + last]
                    if np.isneginf(logit).all():
                        continue
                    p = np.exp(logit - logit.max())
                    out[b, h, i] = p @ v[:last, head] / p.sum()
        return out

    def spread(self, one, head):
        """|r|^2 D/dim of each token, with |r| as the mean of |r|/s times the stored scale."""
        error, ratio = self.error()
        scale = np.zeros(len(one))
        for page in one.pages:
            place = slice(page["first"], page["first"] + page["len"])
            scale[place] = self.keys.scales(page["stored"][head][0])[: page["len"]]
        return (ratio * scale) ** 2 * error / self.dim

    def error(self):
        """D, the mean of tan^2 of the angle of row and code, and the mean of |r|/s.

        The rows are a sample of its own.
        """
        x = np.random.default_rng(7).standard_normal((4000, self.dim)).astype(np.float32)
        stored, back = self.keys.encode(x)
        x = x.astype(np.float64)
        square = np.sum(x * x, axis=1)
        cos2 = np.sum(x * back, axis=1) ** 2 / square / np.sum(back * back, axis=1)
        ratio = np.sqrt(square) / self.keys.scales(stored)
        return float(np.mean(1 / cos2 - 1)), float(np.mean(ratio))
