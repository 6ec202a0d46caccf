"""One face over this library and the libraries that `benches.peers` sets beside it.

A codec is named by a label, `LIBRARY KIND`: `faiss HR,EDEN2` (the kind is faiss's factory string),
`turbovec 2`, `rabitqlib 2` (bits), or a method of ours, `eden 2`, with block or states where they
are not the default, `blockquant 2 p=2` and `trellis 2 s=256`. `create(label, rows, threads)` trains
where the library demands it. That, and `renew`, is never timed; `encode` and `decode` are, with the
allocation of their results: they are what a user would call.

What the libraries do about threads:

* blockquant and faiss are told, by `set_num_threads` and `omp_set_num_threads`.
* rabitqlib is told at each call and shares the work out by cluster, so each thread gets a cluster.
* turbovec has one pool a process, as large as RAYON_NUM_THREADS says when it is first used, and
  cannot be told later. `start_pools` makes the pool at full size; `confined` then keeps the whole
  process, whichever library runs, to as many CPUs as there are to be threads.
"""

from __future__ import annotations

import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

import blockquant as bq

from ..common import Rows, unit

POOL_SIZE = "RAYON_NUM_THREADS"
TASKS = Path("/proc/self/task")
PACKAGES = ("blockquant", "faiss-cpu", "turbovec", "rabitqlib", "numpy")


class Unavailable(Exception):
    """A library is not installed, or has no call for what is asked; the message says which."""


class Codec(ABC):
    """Rows to codes, and back where the library can."""

    @abstractmethod
    def encode(self, x: Rows) -> Any:
        """The codes of the rows, or None where the library keeps them to itself."""

    def decode(self, codes: Any) -> Rows:
        """The rows again."""
        raise Unavailable(f"{type(self).__name__.lower()} has no call that decodes")

    def reconstruct(self, x: Rows) -> Rows:
        """Rows as their codes hold them, for the error; never timed."""
        return self.decode(self.encode(x))

    @abstractmethod
    def bytes_per_row(self, x: Rows) -> float:
        """All bytes that a further row adds."""

    def renew(self) -> None:  # noqa: B027  (most have nothing to renew)
        """Makes ready for a repetition; never timed."""


class BlockQuant(Codec):
    """This library, at its default scale rules: `unbiased`, and `none` for TurboQuant."""

    OPTIONS = {"p": "block", "s": "states"}  # noqa: RUF012  (nobody changes it)

    def __init__(self, kind: str, x: Rows, threads: int) -> None:
        method, bits, *given = kind.split()
        pairs = (one.split("=") for one in given)
        options = {self.OPTIONS[letter]: int(value) for letter, value in pairs}
        bq.set_num_threads(threads)
        self.quantizer = bq.create(method, dim=x.shape[1], bits=int(bits), **options)

    def encode(self, x: Rows) -> bq.Codes:
        return self.quantizer.encode(x)

    def decode(self, codes: bq.Codes) -> Rows:
        return self.quantizer.decode(codes)

    def bytes_per_row(self, x: Rows) -> float:
        return self.encode(x).nbytes / len(x)


class Faiss(Codec):
    """A faiss index used as a codec: `sa_encode`, `sa_decode`."""

    def __init__(self, kind: str, x: Rows, threads: int, metric: str = "METRIC_L2") -> None:
        self.faiss = require("faiss", "faiss-cpu")
        self.faiss.omp_set_num_threads(threads)
        try:
            self.index = self.faiss.index_factory(x.shape[1], kind, getattr(self.faiss, metric))
        except RuntimeError as error:
            reason = str(error).rpartition(": ")[2]
            raise Unavailable(f"this faiss makes no {kind!r}: {reason}") from error
        self.index.train(x)

    def encode(self, x: Rows) -> NDArray[np.uint8]:
        return self.index.sa_encode(x)

    def decode(self, codes: NDArray[np.uint8]) -> Rows:
        return self.index.sa_decode(codes)

    def reconstruct(self, x: Rows) -> Rows:
        return self.unrotated(self.encode(x))

    def unrotated(self, codes: NDArray[np.uint8]) -> Rows:
        """By the transpose of the rotation, if there is one: faiss inverts none that pads."""
        if not hasattr(self.index, "chain"):
            return self.decode(codes)
        inner = self.faiss.downcast_index(self.index.index)
        if isinstance(inner, self.faiss.IndexRaBitQ) and inner.rabitq.nb_bits > 1:
            raise Unavailable("sa_decode of faiss RaBitQ reads the sign bits only")
        rotation = self.index.chain.at(0).apply(np.eye(self.index.d, dtype=np.float32))
        return inner.sa_decode(codes) @ rotation.T

    def bytes_per_row(self, x: Rows) -> float:
        return self.index.sa_code_size()


class Turbovec(Codec):
    """A turbovec index that grows; a repetition starts a new one."""

    def __init__(self, kind: str, x: Rows, threads: int) -> None:
        module = require("turbovec", "turbovec")
        if str(threads) != os.environ[POOL_SIZE] and not can_confine():
            raise Unavailable("turbovec: the number of threads cannot be set on this platform")
        self.new = lambda: module.TurboQuantIndex(x.shape[1], int(kind))
        try:
            self.index = self.new()
        except ValueError as error:
            raise Unavailable(f"turbovec: {error}") from error

    def encode(self, x: Rows) -> None:
        self.index.add(x, chunk_size=0)

    def renew(self) -> None:
        self.index = self.new()

    def bytes_per_row(self, x: Rows) -> float:
        def size(times: int) -> int:
            index = self.new()
            for _ in range(times):
                index.add(x, chunk_size=0)
            return len(index.to_bytes())

        return (size(2) - size(1)) / len(x)


class RaBitQLib(Codec):
    """`IvfIndex.build` around centroids at the origin: quantization and nothing else."""

    def __init__(self, kind: str, x: Rows, threads: int) -> None:
        self.module = require("rabitqlib", "rabitqlib")
        self.dim, self.bits, self.threads = x.shape[1], int(kind), threads
        self.origin = np.zeros((threads, self.dim), np.float32)

    def encode(self, x: Rows) -> Any:
        clusters = np.arange(len(x), dtype=np.uint32) % self.threads
        index = self.module.IvfIndex(self.dim, len(x), self.threads, self.bits, "ip", "flat")
        index.build(x, self.origin, clusters, num_threads=self.threads)
        return index

    def bytes_per_row(self, x: Rows) -> float:
        def size(rows: Rows) -> int:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, "index")
                self.encode(rows).save(str(path))
                return path.stat().st_size

        return (size(np.concatenate([x, x])) - size(x)) / len(x)


PEERS: dict[str, Callable[[str, Rows, int], Codec]] = {
    "faiss": Faiss,
    "turbovec": Turbovec,
    "rabitqlib": RaBitQLib,
}


def create(label: str, x: Rows, threads: int) -> Codec:
    """The codec of that label for rows like these, trained on them if it needs training."""
    library, kind = label.split(" ", 1)
    if library in PEERS:
        return PEERS[library](kind, x, threads)
    return BlockQuant(label, x, threads)


def gaussian(rows: int, dim: int, seed: int = 0) -> Rows:
    """Rows of length 1 in every direction alike."""
    return unit(np.random.default_rng(seed).standard_normal((rows, dim), np.float32))


def require(module: str, package: str) -> ModuleType:
    """The module, or the plain word that its package is not installed."""
    try:
        return import_module(module)
    except ImportError as error:
        raise Unavailable(f"{package} is not installed") from error


def versions() -> str:
    """Each package with its version."""

    def describe(package: str) -> str:
        try:
            return f"{package} {version(package)}"
        except PackageNotFoundError:
            return f"{package} not installed"

    return ", ".join(describe(package) for package in PACKAGES)


def faiss_isa() -> str:
    """The instruction set that faiss picked."""
    try:
        return require("faiss", "faiss-cpu").SIMDConfig.get_level_name().lower()
    except (Unavailable, AttributeError):
        return "an unknown instruction set"


def can_confine() -> bool:
    """Whether the CPUs of every thread of the process can be chosen: on Linux."""
    return hasattr(os, "sched_setaffinity") and TASKS.is_dir()


def start_pools(threads: int) -> None:
    """Has turbovec make its pool while the process may still use every CPU."""
    os.environ[POOL_SIZE] = str(threads)
    rows = np.eye(8, dtype=np.float32)
    with suppress(Unavailable):
        create("turbovec 2", rows, threads).encode(rows)


@contextmanager
def confined(threads: int) -> Iterator[None]:
    """Keeps every thread of the process to so many CPUs, where the platform can."""
    if not can_confine():
        yield
        return
    every = os.sched_getaffinity(0)
    _allow(set(sorted(every)[:threads]))
    try:
        yield
    finally:
        _allow(every)


def _allow(cpus: set[int]) -> None:
    for task in TASKS.iterdir():
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(task.name), cpus)
