"""Search in codes beside faiss and turbovec: speed, bytes and recall.

Two sets of rows: the 50,000 embeddings in `../shared/data` (`--data` names another folder; without
them the shipped sample, and the run says so) and 30,000 Gaussian rows. One table per set has, for
each library and method:

* bytes per vector: of the codes, and of the layout that a search derives from them and keeps;
* recall@k: the share of the true k nearest by inner product among the k found, over all queries,
  of a search for k (what is sketched or filtered first depends on k);
* ns per (query, vector) pair at 1, 10 and 100 queries per call for the 10 nearest: medians over
  the turns, in which each method searches once after the other (`turns.py`).

A second table sets each of our methods beside the peer whose speed it is to reach, turn by turn.
Where 100 queries take a method longer than half a second, fewer are timed, and a line says so.
What is not installed, or fails, is named below the table.

turbovec picks kernels of AVX-512 VNNI where it can; TURBOVEC_NO_VNNI=1 makes it run without them.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from statistics import median

import numpy as np

from .. import common
from ..common import Rows
from .adapters import Unavailable, confined, gaussian, start_pools
from .searchers import Found, Searcher, create, set_threads
from .tables import Table, machine, plural
from .turns import Side, interleave, take_turns

EMBEDDINGS = "embeddings"
GAUSSIAN = (30_000, 1536)
GAUSSIAN_QUERIES = 200

BATCH = 100
SIZES = (1, 10, BATCH)
"""Queries per call."""
DEPTHS = (1, 10, 100)
"""The k of recall@k."""
K = 10
"""Of the searches that are timed."""
SPEED_HEADS = ("ns|ours", "|peer", "|speed", "|min–max")
LONGEST = 0.5
"""Seconds a timed call may take."""


@dataclass(frozen=True)
class Rate:
    """Our methods of a rate, and the peers beside them in batches and for single queries."""

    bits: int
    ours: Sequence[str]
    batch: str
    single: str


def rates(dim: int) -> tuple[Rate, ...]:
    scan, turbovec = "faiss HR,RaBitQfs", "turbovec {}".format
    return (
        Rate(1, ("blockquant 1 p=8", "eden 1"), scan, scan),
        Rate(2, ("blockquant 2 p=4", "blockquant 2 p=2", "eden 2"), turbovec(2), pq(2, dim)),
        Rate(3, ("blockquant 3 p=4",), turbovec(3), turbovec(3)),
        Rate(4, ("blockquant 4 p=2", "eden 4"), turbovec(4), turbovec(4)),
    )


def peers(dim: int) -> list[str]:
    return [
        "faiss HR,RaBitQ",
        "faiss HR,RaBitQ4",
        "faiss HR,RaBitQfs",
        *(pq(bits, dim) for bits in (1, 2, 3, 4)),
        *(f"faiss HR,EDEN{bits}" for bits in (1, 2, 4)),
        *(f"turbovec {bits}" for bits in (2, 3, 4)),
        "faiss Flat",
    ]


def pq(bits: int, dim: int) -> str:
    """faiss's product quantizer with 16 codewords per block, at this many bits per coordinate."""
    return f"faiss PQ{dim * bits // 4}x4fs"


LEGEND = """\
ns per (query, vector) pair at 1, 10 and 100 queries per call, the 10 nearest by inner product;
bytes per vector, `scan` what a search keeps besides; R@k recall against exact search. Blockquant
and eden with the scale `unbiased`, the number is bits per coordinate, p the block. HR is faiss's
Hadamard rotation, which pads to a power of two (longer codes, better recall); RaBitQ centers on the
mean of the rows; PQ is trained on the rows; turbovec is uncalibrated, its bytes those that it
writes."""


# ---- what is measured


@dataclass(frozen=True)
class Set:
    """Rows, queries, and the true nearest rows of each query."""

    name: str
    x: Rows
    y: Rows
    truth: Found

    def __str__(self) -> str:
        return f"{self.name}, d = {self.x.shape[1]}, {len(self.x)} vectors"


@dataclass(frozen=True)
class Ready:
    """A searcher that answered every query once."""

    searcher: Searcher
    recall: tuple[float, ...]
    seconds: float
    """A query."""

    def side(self, data: Set, queries: int) -> Side:
        """Calls of so many queries at most, each call the next ones."""
        queries = min(self.affordable(queries), len(data.y))
        last = len(data.y) - queries
        batches = cycle([data.y[at : at + queries] for at in range(0, last + 1, queries)])
        return Side(
            run=lambda: self.searcher.search(next(batches), K),
            ready=lambda: None,
            rows=queries * len(data.x) / 1000,
        )

    def affordable(self, queries: int) -> int:
        return max(1, min(queries, int(LONGEST / self.seconds)))


def prepare(label: str, data: Set, threads: int) -> Ready:
    """Has all queries answered in batches, for the recall and a first idea of the time."""
    searcher = create(label, data.x, threads)
    passes = DEPTHS[-1:] if searcher.plain else DEPTHS
    found, start = {}, time.perf_counter()
    for k in passes:
        found[k] = np.concatenate([searcher.search(some, k) for some in in_batches(data.y)])
    seconds = (time.perf_counter() - start) / (len(passes) * len(data.y))
    shares = tuple(recall(found.get(k, found[DEPTHS[-1]]), data.truth, k) for k in DEPTHS)
    return Ready(searcher, shares, seconds)


def in_batches(y: Rows) -> Iterator[Rows]:
    return (y[at : at + BATCH] for at in range(0, len(y), BATCH))


def recall(found: Found, truth: Found, k: int) -> float:
    hits = [
        len(np.intersect1d(some, true))
        for some, true in zip(found[:, :k], truth[:, :k], strict=True)
    ]
    return float(np.mean(hits)) / k


def nearest(x: Rows, y: Rows, k: int) -> Found:
    """By float32 inner products, greatest first, ties by the lower index."""
    return np.concatenate(
        [np.argsort(-(some @ x.T), axis=1, kind="stable")[:, :k] for some in in_batches(y)]
    )


def overview(
    ready: dict[str, Ready], left_out: dict[str, str], data: Set, threads: int, turns: int
) -> Table:
    """Bytes, recall and times of all."""
    table = Table(
        f"{data}, {len(data.y)} queries, {plural(threads)}",
        ["|", "bytes|codes", "|scan"]
        + [f"{'recall' if k == DEPTHS[0] else ''}|@{k}" for k in DEPTHS]
        + [f"{'ns' if size == SIZES[0] else ''}|{size}" for size in SIZES],
        left=1,
    )
    times = [
        take_turns([each.side(data, size) for each in ready.values()], turns) for size in SIZES
    ]
    for (label, each), *all_turns in zip(ready.items(), *times, strict=True):
        codes, scan = each.searcher.bytes_per_vector()
        table.lines.append(
            [
                label,
                f"{codes:.0f}",
                f"{scan:.0f}",
                *(f"{share:.3f}" for share in each.recall),
                *(f"{median(turns):.1f}" for turns in all_turns),
            ]
        )
        if each.affordable(BATCH) < BATCH:
            table.note(f"timed on {each.affordable(BATCH)} queries a call, not {BATCH}", label)
    for label, reason in left_out.items():
        table.note(f"left out, {reason}", label)
    return table


def side_by_side(ready: dict[str, Ready], data: Set, threads: int, turns: int) -> Table:
    """Each of our methods turn by turn with the peers of its rate."""
    table = Table(
        f"{data}, {plural(threads)}, beside the peer of the rate",
        ["|bits", "|ours", "|peer", "queries|a call", "|R@10", *SPEED_HEADS],
        left=3,
    )
    for rate in rates(data.x.shape[1]):
        for size, peer in ((BATCH, rate.batch), (1, rate.single)):
            for label in rate.ours:
                if label not in ready:
                    continue
                if peer not in ready:
                    table.note(f"left out, no {peer}", label)
                    continue
                sides = [ready[each].side(data, size) for each in (label, peer)]
                took = interleave(*sides, turns)
                line = [f"{rate.bits}", label, peer, f"{size}", at_10(ready[label])]
                table.lines.append([*line, *took.cells()])
    return table


def best_recall(ready: dict[str, Ready], data: Set) -> Table:
    """The best of our methods at each rate."""
    table = Table(
        f"{data}: our best method at each rate",
        ["|bits", "|ours", "bytes|codes", "recall@10|ours"],
        left=2,
    )
    for rate in rates(data.x.shape[1]):
        ours = {
            label: ready[label].recall[DEPTHS.index(10)] for label in rate.ours if label in ready
        }
        if ours:
            label = max(ours, key=ours.__getitem__)
            codes, _ = ready[label].searcher.bytes_per_vector()
            table.lines.append([f"{rate.bits}", label, f"{codes:.0f}", at_10(ready[label])])
    return table


def at_10(each: Ready) -> str:
    return f"{each.recall[DEPTHS.index(10)]:.3f}"


# ---- the command


def add_options(parser: argparse.ArgumentParser) -> None:
    common.add_data(parser)
    parser.add_argument("--rows", type=int, help="only the first of each set")
    parser.add_argument("--queries", type=int, help="only the first of each set")
    parser.add_argument("--repetitions", type=int, default=5, help="turns of each side")
    parser.add_argument("--threads", type=int, default=1, help="besides one")


def run(options: argparse.Namespace) -> None:
    """Search in codes beside the peers, over embeddings and Gaussian rows."""
    start = time.perf_counter()
    start_pools(options.threads)
    switches = [f"{name}={value}" for name, value in os.environ.items() if "TURBOVEC_" in name]
    what = ", ".join([f"{options.repetitions} turns per side", *switches])
    print(machine(what), "", LEGEND, sep="\n")
    for data in (embeddings(options), gaussians(options)):
        compare(data, options)
    print(f"\n{time.perf_counter() - start:.0f} s in all")


def compare(data: Set, options: argparse.Namespace) -> None:
    """The tables of one set; recall and the pairs are in the ones for a single thread."""
    ready, left_out = {}, {}
    dim = data.x.shape[1]
    with confined(1):
        for label in [*(ours for rate in rates(dim) for ours in rate.ours), *peers(dim)]:
            try:
                ready[label] = prepare(label, data, threads=1)
            except Unavailable as reason:
                left_out[label] = str(reason)
            except Exception as error:  # whatever it is: the others are still measured
                left_out[label] = f"{type(error).__name__}: {error}"
    for threads in dict.fromkeys((1, options.threads)):
        set_threads(threads)
        with confined(threads):
            overview(ready, left_out, data, threads, options.repetitions).print()
            if threads == 1:
                side_by_side(ready, data, threads, options.repetitions).print()
    if data.name == EMBEDDINGS:
        best_recall(ready, data).print()


def embeddings(options: argparse.Namespace) -> Set:
    print()
    found = common.embeddings(options.data)
    name = "sample of the embeddings" if found.is_sample else EMBEDDINGS
    return make_set(name, found.x, found.y, options)


def gaussians(options: argparse.Namespace) -> Set:
    rows, dim = GAUSSIAN
    return make_set(
        "Gaussian rows", gaussian(rows, dim), gaussian(GAUSSIAN_QUERIES, dim, 1), options
    )


def make_set(name: str, x: Rows, y: Rows, options: argparse.Namespace) -> Set:
    x = np.asarray(x[: options.rows], np.float32)
    y = np.asarray(y[: options.queries], np.float32)
    return Set(name, x, y, nearest(x, y, DEPTHS[-1]))
