"""One face over the libraries that search: rows go in once, then queries find rows.

A searcher is named by a label as in `adapters.py`; `faiss Flat` holds float32 itself. All look
for the greatest inner products and are untrained, but for faiss's PQ, which is trained on the rows,
and its RaBitQ, which subtracts their mean. turbovec stays uncalibrated, as it is by default.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

import blockquant as bq

from ..common import Rows
from .adapters import BlockQuant, Faiss, Turbovec, Unavailable, require

Found = NDArray[np.int64]


class Searcher(ABC):
    """Rows as one library holds them."""

    plain = False
    """Whether the answer for k surely begins the one for more: nothing is filtered or re-ranked."""

    @abstractmethod
    def search(self, y: Rows, k: int) -> Found:
        """The rows of the k greatest inner products, greatest first, for each query."""

    def forget(self) -> None:  # noqa: B027  (most keep nothing)
        """Drops what searches derived from the rows and kept; never timed."""

    @abstractmethod
    def bytes_per_vector(self) -> tuple[float, float]:
        """Of the codes, and of a layout for scanning held besides, once there was a search."""


class Ours(Searcher):
    """This library, its codes in the order of the rows."""

    LAYOUTS = ("search_nbytes",)
    """What the codes call the bytes that searches keep with them."""

    def __init__(self, label: str, x: Rows, threads: int) -> None:
        self.quantizer = BlockQuant(label, x, threads).quantizer
        if not hasattr(self.quantizer, "search"):
            raise Unavailable("this blockquant has no search")
        self.codes = self.quantizer.encode(x)

    def search(self, y: Rows, k: int, exact: bool = False) -> Found:
        return self.quantizer.search(self.codes, y, k, exact=exact)[1]

    def forget(self) -> None:
        self.codes = self.codes[:]

    def bytes_per_vector(self) -> tuple[float, float]:
        held = [getattr(self.codes, name, 0) for name in self.LAYOUTS]
        return self.codes.nbytes / len(self.codes), max(held) / len(self.codes)


class FaissIndex(Searcher):
    """An index of faiss's factory."""

    def __init__(self, kind: str, x: Rows, threads: int) -> None:
        self.index = Faiss(kind, x, threads, "METRIC_INNER_PRODUCT").index
        self.index.add(x)
        self.plain = "RaBitQ" not in kind

    def search(self, y: Rows, k: int) -> Found:
        return self.index.search(y, k)[1]

    def bytes_per_vector(self) -> tuple[float, float]:
        return self.index.sa_code_size(), 0


class TurbovecIndex(Searcher):
    """turbovec tells the size of what it writes; what it holds besides to scan it does not say."""

    SOME = 1024
    """Rows that tell the size: few do not, it pads to its own blocks."""

    def __init__(self, kind: str, x: Rows, threads: int) -> None:
        codec = Turbovec(kind, x, threads)
        self.size = codec.bytes_per_row(np.resize(x, (self.SOME, x.shape[1])))
        codec.encode(x)
        self.index = codec.index
        self.index.prepare()

    def search(self, y: Rows, k: int) -> Found:
        return self.index.search(y, k)[1]

    def bytes_per_vector(self) -> tuple[float, float]:
        return self.size, 0


PEERS: dict[str, Callable[[str, Rows, int], Searcher]] = {
    "faiss": FaissIndex,
    "turbovec": TurbovecIndex,
}


def create(label: str, x: Rows, threads: int) -> Searcher:
    """The searcher of that label over the rows, for so many threads; never timed."""
    library, kind = label.split(" ", 1)
    return PEERS[library](kind, x, threads) if library in PEERS else Ours(label, x, threads)


def set_threads(threads: int) -> None:
    """For the libraries that can be told; `adapters.confined` holds back turbovec."""
    bq.set_num_threads(threads)
    with suppress(Unavailable):
        require("faiss", "faiss-cpu").omp_set_num_threads(threads)
