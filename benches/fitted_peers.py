"""Peers that are trained on the rows of `fitted.py`, at the bytes that fitted codes take.

faiss's PQ and OPQ split a row into parts of one size, which gives them few sizes of codes. So that
they get the bytes of ours, a product quantizer here may have two sizes of parts, each trained as
one of faiss's; `OPQ` is the same behind the rotation that faiss trains. PQ fast scan has parts of
4 bits. RaBitQ and scalar quantization are faiss's, and take more bytes than were asked for where
the table says so. turbovec is calibrated on the same rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from common import Rows

#: Rows that PQ and OPQ are trained on, and rounds of OPQ.
TRAINED, ROUNDS = 10_000, 10


@dataclass
class Peer:
    """One that is trained: what it decodes, or what it finds."""

    label: str
    size: float
    train: float
    encode: Callable[[Rows], Any]
    #: Decoded rows of codes; None for one that only searches.
    decode: Callable[[Any], Rows] | None = None
    #: The ten nearest rows of queries; None where decoded rows are ranked.
    search: Callable[[Rows], Rows] | None = None


def parts(dim: int, size: int) -> list[tuple[int, int]]:
    """Number and width of the parts that make `size` bytes of `dim` coordinates, widest first.

    >>> parts(384, 56), parts(128, 16)
    ([(40, 8), (16, 4)], [(16, 8)])
    """
    for width in (1, 2, 4, 8, 16, 32):
        # a parts of 2·width and b of width: a + b = size, 2·width·a + width·b = dim
        wide = dim // width - size
        if dim % width == 0 and 0 <= wide <= size:
            both = [(wide, 2 * width), (size - wide, width)]
            return [(count, w) for count, w in both if count]
    raise ValueError(f"no parts make {size} bytes of {dim} coordinates")


class Product:
    """Product quantizers of parts of one or two sizes."""

    def __init__(self, sample: Rows, size: int) -> None:
        import faiss

        self.quantizers, self.columns, at = [], [], 0
        for count, width in parts(sample.shape[1], size):
            quantizer = faiss.ProductQuantizer(count * width, count, 8)
            here = slice(at, at + count * width)
            quantizer.train(np.ascontiguousarray(sample[:, here]))
            self.quantizers.append(quantizer)
            self.columns.append(here)
            at = here.stop

    def encode(self, x: Rows) -> list[Any]:
        pairs = zip(self.quantizers, self.columns, strict=True)
        return [q.compute_codes(np.ascontiguousarray(x[:, here])) for q, here in pairs]

    def decode(self, codes: list[Any]) -> Rows:
        found = [q.decode(c) for q, c in zip(self.quantizers, codes, strict=True)]
        return np.concatenate(found, axis=1)


def peers(sample: Rows, stored: Rows, bits: int, metric: str) -> Iterator[tuple[str, Any]]:
    """The label of each peer with what makes it."""
    dim = sample.shape[1]
    size = dim * bits // 8 + 8
    some = np.ascontiguousarray(sample[:: max(1, len(sample) // TRAINED)][:TRAINED])

    def product() -> Peer:
        start = time.process_time()
        q = Product(some, size)
        return Peer("", size, time.process_time() - start, q.encode, q.decode)

    def optimized() -> Peer:
        import faiss

        start = time.process_time()
        turn = faiss.OPQMatrix(dim, dim * bits // 8)
        turn.niter = ROUNDS
        turn.train(some)
        q = Product(turn.apply(some), size)
        encode = lambda x: q.encode(turn.apply(x))  # noqa: E731
        decode = lambda codes: turn.reverse_transform(q.decode(codes))  # noqa: E731
        return Peer("", size, time.process_time() - start, encode, decode)

    def codec(kind: str) -> Callable[[], Peer]:
        def make() -> Peer:
            import faiss

            which = faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT
            index = faiss.index_factory(dim, kind, which)
            start = time.process_time()
            index.train(some)
            train = time.process_time() - start

            def encode(x: Rows) -> Any:
                index.reset()
                index.add(x)
                return index

            def search(y: Rows) -> Any:
                return index.search(y, 10)[1]

            encode(stored)
            width = getattr(index, "code_size", 0)
            return Peer("", width, train, encode, None, search)

        return make

    def calibrated() -> Peer:
        import turbovec

        index = turbovec.TurboQuantIndex(dim=dim, bit_width=bits)
        start = time.process_time()
        index.calibrate(some)
        train = time.process_time() - start
        fresh = index.to_bytes()

        def encode(x: Rows) -> Any:
            index = turbovec.TurboQuantIndex.from_bytes(fresh)
            index.add(x)
            return index

        filled = encode(stored)
        filled.prepare()
        return Peer("", dim * bits / 8 + 4, train, encode, None, lambda y: filled.search(y, 10)[1])

    yield f"faiss PQ, {size} bytes", product
    yield f"faiss OPQ, {size} bytes", optimized
    # Two parts of 4 bits per byte, and whole blocks of two.
    count = max(c for c in range(1, 2 * size + 1) if dim % c == 0)
    yield f"faiss PQ{count}x4fs", codec(f"PQ{count}x4fs")
    yield f"faiss RaBitQ{bits}", codec("RaBitQ" if bits == 1 else f"RaBitQ{bits}")
    if bits == 4:
        yield "faiss SQ4", codec("SQ4")
    if bits in (2, 4):
        yield f"turbovec {bits}, calibrated", calibrated
