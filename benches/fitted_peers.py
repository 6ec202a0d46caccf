"""Peers that are trained on the rows of `fitted.py`, at the bytes that fitted codes take.

The parts of faiss's PQ all have one width, which gives it few sizes of codes. So that it gets the
bytes of ours, a product quantizer here may have parts of two widths, each trained and searched as
one of faiss's; `OPQ` is the same behind the rotation that faiss trains, in 10 rounds. Where these
have more than 72 bytes, they are trained on at most 10,000 rows of the sample, and OPQ is not run
at 4 bits, because its training takes minutes. PQ fast scan has parts of 4 bits. RaBitQ is behind a
random rotation and takes off the mean of the sample; its codes of 2 and 4 bits have 20 bytes
besides. Scalar quantization has 8 bits for each of the first principal axes of the sample, or 4
bits for twice as many. turbovec is calibrated on the sample, and has no codes of 1 bit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from common import Rows

#: The most bits per coordinate at which OPQ is run.
OPQ_BITS = 2
#: Rows that product quantizers of more bytes than `SMALL` are trained on, and rounds of OPQ.
TRAINED, SMALL, ROUNDS = 10_000, 72, 10


@dataclass
class Peer:
    """One that is trained and holds the stored rows."""

    size: float
    train: float
    encode: Callable[[Rows], Any]
    #: Ways to find the ten nearest rows of queries, of which the best one counts.
    searches: list[Callable[[Rows], Rows]]
    #: The stored rows as their codes hold them; None where it decodes none.
    decoded: Rows | None = None
    #: Whether a search ranks exactly by `decoded`, by inner product or by distance.
    ranks_decoded: bool = False
    #: Its estimates of all inner products of queries; None where they are those of `decoded`.
    products: Callable[[Rows], Rows] | None = None


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
    """Indexes of product quantizers, one for each width of parts, side by side."""

    def __init__(self, sample: Rows, size: int) -> None:
        import faiss

        self.indexes, self.columns, at = [], [], 0
        for count, width in parts(sample.shape[1], size):
            index = faiss.IndexPQ(count * width, count, 8)
            # The order of the words, which searches by Hamming distance need, is not trained.
            index.do_polysemous_training = False
            here = slice(at, at + count * width)
            index.train(np.ascontiguousarray(sample[:, here]))
            self.indexes.append(index)
            self.columns.append(here)
            at = here.stop

    def pairs(self, x: Rows) -> Iterator[tuple[Any, Rows]]:
        for index, here in zip(self.indexes, self.columns, strict=True):
            yield index, np.ascontiguousarray(x[:, here])

    def encode(self, x: Rows) -> list[Any]:
        return [index.sa_encode(some) for index, some in self.pairs(x)]

    def decode(self, codes: list[Any]) -> Rows:
        found = [q.sa_decode(c) for q, c in zip(self.indexes, codes, strict=True)]
        return np.concatenate(found, axis=1)

    def add(self, x: Rows) -> None:
        for index, some in self.pairs(x):
            index.add(some)

    def search(self, y: Rows) -> Any:
        """Scans the codes of each width: the time of a search, not its answer."""
        return [index.search(some, 10)[1] for index, some in self.pairs(y)]


def product(sample: Rows, stored: Rows, size: int, rounds: int) -> Peer:
    """PQ, behind a rotation that is trained in so many rounds."""
    import faiss

    dim = sample.shape[1]
    some = sample if size <= SMALL else np.ascontiguousarray(sample[:TRAINED])
    start = time.process_time()
    turned, back = (lambda x: x), (lambda x: x)
    if rounds:
        turn = faiss.OPQMatrix(dim, size - 8)
        turn.niter = rounds
        turn.train(some)
        turned, back = turn.apply, turn.reverse_transform
    q = Product(turned(some), size)
    train = time.process_time() - start
    q.add(turned(stored))
    return Peer(
        size,
        train,
        lambda x: q.encode(turned(x)),
        [lambda y: q.search(turned(y))],
        back(q.decode(q.encode(turned(stored)))),
        ranks_decoded=True,
    )


def from_factory(sample: Rows, stored: Rows, kind: str, metric: str) -> Peer:
    """An index that faiss's factory makes."""
    import faiss

    ways = [faiss.METRIC_L2, *([faiss.METRIC_INNER_PRODUCT] if metric == "ip" else [])]
    index = faiss.index_factory(sample.shape[1], kind, ways[-1])
    start = time.process_time()
    index.train(sample)
    train = time.process_time() - start
    full = faiss.clone_index(index)
    full.add(stored)

    def encode(x: Rows) -> None:
        index.reset()
        index.add(x)

    def search(y: Rows) -> Any:
        return full.search(y, 10)[1]

    def search_by(way: int) -> Callable[[Rows], Any]:
        def search(y: Rows) -> Any:
            full.metric_type = way
            return full.search(y, 10)[1]

        return search

    def products(y: Rows) -> Rows:
        found = in_order(*full.search(y, len(stored)))
        if metric == "ip":
            return found
        squares = [np.square(x, dtype=np.float64).sum(axis=1) for x in (stored, y)]
        return (squares[0] + squares[1][:, None] - found) / 2

    size = index.sa_code_size()
    if "PQ" in kind:
        decoded = index.sa_decode(index.sa_encode(stored))
        return Peer(size, train, encode, [search_by(way) for way in ways], decoded)
    if "SQ" in kind:
        return Peer(size, train, encode, [search], unturned(index, stored), ranks_decoded=True)
    size = faiss.downcast_index(index.index).code_size
    return Peer(size, train, encode, [search], products=products)


def unturned(index: Any, x: Rows) -> Rows:
    """Decoded rows; behind principal axes with the whole mean, of which faiss decodes a part."""
    import faiss

    codes = index.sa_encode(x)
    if not hasattr(index, "chain"):
        return index.sa_decode(codes)
    turn = faiss.downcast_VectorTransform(index.chain.at(0))
    axes = faiss.vector_to_array(turn.A).reshape(turn.d_out, turn.d_in)
    inner = faiss.downcast_index(index.index)
    return inner.sa_decode(codes) @ axes + faiss.vector_to_array(turn.mean)


def in_order(scores: Any, rows: Any) -> Rows:
    """The scores of a search for all rows, in the order of the rows."""
    found = np.empty(scores.shape)
    np.put_along_axis(found, rows.astype(np.int64), scores.astype(np.float64), axis=1)
    return found


def calibrated(sample: Rows, stored: Rows, bits: int) -> Peer:
    """turbovec, whose size is what a further row adds to what it writes."""
    import turbovec

    index = turbovec.TurboQuantIndex(dim=sample.shape[1], bit_width=bits)
    start = time.process_time()
    index.calibrate(sample)
    train = time.process_time() - start
    fresh = index.to_bytes()

    def encode(x: Rows) -> Any:
        index = turbovec.TurboQuantIndex.from_bytes(fresh)
        index.add(x)
        return index

    # It pads the rows to blocks, which these numbers are whole ones of.
    rows = np.resize(stored, (2048, stored.shape[1]))
    size = (len(encode(rows).to_bytes()) - len(encode(rows[:1024]).to_bytes())) / 1024
    full = encode(stored)
    full.prepare()

    return Peer(
        size,
        train,
        encode,
        [lambda y: full.search(y, 10)[1]],
        products=lambda y: in_order(*full.search(y, len(stored))),
    )


def peers(
    sample: Rows, stored: Rows, bits: int, metric: str
) -> Iterator[tuple[str, Callable[[], Peer]]]:
    """The label of each peer with what makes it."""
    dim = sample.shape[1]
    size = dim * bits // 8 + 8
    yield "faiss PQ", lambda: product(sample, stored, size, 0)
    if bits <= OPQ_BITS:
        yield "faiss OPQ", lambda: product(sample, stored, size, ROUNDS)
    # Two parts of 4 bits per byte.
    count = max(c for c in range(1, 2 * size + 1) if dim % c == 0)
    kinds = [f"PQ{count}x4fs", f"RR{dim},RaBitQ{bits if bits > 1 else ''}", f"PCA{size},SQ8"]
    kinds.append(f"PCA{2 * size},SQ4" if 2 * size < dim else "SQ4")
    for kind in kinds:
        label = "faiss " + kind.replace(f"RR{dim}", "RR")
        yield label, lambda kind=kind: from_factory(sample, stored, kind, metric)  # type: ignore[misc]
    if bits > 1:
        yield f"turbovec {bits}, calibrated", lambda: calibrated(sample, stored, bits)
