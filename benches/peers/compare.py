"""faiss and turbovec in the table of `blockquant compare`: how anyone's quantizer joins it.

A method is registered with a factory for `dim`, `bits` and `seed`; what the factory makes has
`encode`, `decode` and, where it likes, `inner_product`. The peers below have one rotation each, so
the seed chooses a permutation and signs of the coordinates that go before it: another rotation.

* `faiss/eden`: faiss's EDEN behind its Hadamard rotation, which pads to a power of two.
* `faiss/pq`: product quantization with 4-bit indexes, trained on the first rows that it is given.
* `faiss/opq`: 8-bit indexes behind a rotation, both trained on these rows.
* `turbovec`: it has no call that decodes, but its scores are linear in the query, so that those of
  the unit vectors are the decoded rows (as exact as its scores are: queries are rounded).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

import blockquant as bq

from ..common import Rows
from .adapters import Faiss, Turbovec, Unavailable, faiss_isa, start_pools, versions

OURS = (
    *("blockquant/mse", "blockquant/unbiased", "eden/mse", "eden/unbiased", "turboquant/mse"),
    *("trellis/mse", "trellis/unbiased"),
)


class Shuffled:
    """A peer behind a seeded permutation and signs of the coordinates."""

    def __init__(self, dim: int, seed: int) -> None:
        generator = np.random.default_rng(seed)
        self.order = generator.permutation(dim)
        self.signs = generator.choice(np.float32([-1, 1]), dim)

    def there(self, x: Rows) -> Rows:
        return x[:, self.order] * self.signs

    def back(self, z: Rows) -> Rows:
        x = np.empty_like(z)
        x[:, self.order] = z * self.signs
        return x


class FaissMethod:
    """An index of faiss's factory as a codec; codes are its bytes."""

    def __init__(self, kind: str, dim: int, seed: int) -> None:
        self.kind, self.shuffle = kind, Shuffled(dim, seed)
        self.codec: Faiss | None = None

    def encode(self, x: Rows) -> Any:
        z = self.shuffle.there(x)
        if self.codec is None:
            self.codec = Faiss(self.kind, z, bq.num_threads())
        return self.codec.encode(z)

    def decode(self, codes: Any) -> Rows:
        return self.shuffle.back(self.codec.unrotated(codes))


class TurbovecCodes:
    """An index of a batch of rows."""

    def __init__(self, index: Any, rows: int, bytes_per_row: float) -> None:
        self.index, self.rows, self.nbytes = index, rows, rows * bytes_per_row


class TurbovecMethod:
    """A new index for each batch of rows."""

    SOME = 1024  # rows that tell the size of one: few do not, it pads to its own blocks

    def __init__(self, dim: int, bits: float, seed: int) -> None:
        if bits not in (2, 3, 4):
            raise ValueError(f"turbovec has 2, 3 or 4 bits, not {bits:g}")
        self.dim, self.bits, self.shuffle = dim, int(bits), Shuffled(dim, seed)
        self.size: float | None = None

    def encode(self, x: Rows) -> TurbovecCodes:
        z = np.ascontiguousarray(self.shuffle.there(x))
        codec = Turbovec(str(self.bits), z, bq.num_threads())
        if self.size is None:
            self.size = codec.bytes_per_row(np.resize(z, (self.SOME, self.dim)))
        codec.encode(z)
        return TurbovecCodes(codec.index, len(x), self.size)

    def decode(self, codes: TurbovecCodes) -> Rows:
        unit_vectors = np.eye(self.dim, dtype=np.float32)
        return self.shuffle.back(np.ascontiguousarray(self._scores(codes, unit_vectors).T))

    def inner_product(self, codes: TurbovecCodes, y: Rows) -> Rows:
        return self._scores(codes, np.ascontiguousarray(self.shuffle.there(y)))

    @staticmethod
    def _scores(codes: TurbovecCodes, y: Rows) -> Rows:
        found, place = codes.index.search(y, codes.rows)
        scores = np.empty((len(y), codes.rows), np.float32)
        np.put_along_axis(scores, np.asarray(place, np.int64), np.asarray(found), axis=1)
        return scores


def register() -> list[str]:
    """Adds the peers to the methods; their names."""

    def eden(dim: int, bits: float, seed: int) -> FaissMethod:
        if bits not in (1, 2, 3, 4):
            raise ValueError(f"faiss's EDEN has 1 to 4 bits, not {bits:g}")
        return FaissMethod(f"HR,EDEN{bits:g}", dim, seed)

    def pq(dim: int, bits: float, seed: int) -> FaissMethod:
        if bits not in (1, 2, 4) or dim % (4 // bits):
            raise ValueError(f"no blocks of whole coordinates at {bits:g} bits in {dim} dimensions")
        return FaissMethod(f"PQ{dim * bits / 4:g}x4", dim, seed)

    def opq(dim: int, bits: float, seed: int) -> FaissMethod:
        if bits not in (1, 2, 4) or dim % (8 // bits):
            raise ValueError(f"no blocks of whole coordinates at {bits:g} bits in {dim} dimensions")
        return FaissMethod(f"OPQ{dim * bits / 8:g},PQ{dim * bits / 8:g}x8np", dim, seed)

    def turbovec(dim: int, bits: float, seed: int) -> TurbovecMethod:
        return TurbovecMethod(dim, bits, seed)

    peers = {"faiss/eden": eden, "faiss/pq": pq, "faiss/opq": opq, "turbovec": turbovec}
    for name, factory in peers.items():
        bq.register(name, factory)
    return list(peers)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, help="rows, .npy (default: the shipped sample)")
    parser.add_argument("--queries", type=Path, help="queries, .npy")
    parser.add_argument("--bits", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--bytes", type=int, nargs="+", help="bytes per vector instead of bits")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="folder for the report")


def run(options: argparse.Namespace) -> None:
    """error, recall and bytes in one table, through `blockquant.compare`"""
    x = None if options.data is None else np.load(options.data, mmap_mode="r")
    y = None if options.queries is None else np.load(options.queries, mmap_mode="r")
    start_pools(bq.num_threads())
    try:
        comparison = bq.compare(
            x,
            y,
            [*OURS, *register()],
            options.bits,
            options.seeds,
            bytes_per_vector=options.bytes,
        )
    except Unavailable as reason:
        raise SystemExit(f"{reason}; pip install '.[bench]'") from reason
    about = comparison.about
    print(f"{comparison.shape[0]} rows, {comparison.shape[1]} queries, d = {comparison.shape[2]}")
    print(
        f"{versions()}; ours on {about['isa']}, faiss on {faiss_isa()}, {about['threads']} threads"
    )
    print(comparison.to_text())
    if options.out is not None:
        print("written:", *comparison.save(options.out))
