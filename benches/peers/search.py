"""Search in codes beside faiss and turbovec: speed, bytes and recall.

Rows: embeddings with 384 dimensions, 20,000 and 50,000 of them, and 400,000 that are these repeated
with noise; embeddings lifted to 1536 dimensions and Gaussian rows of 1536, 20,000 and 50,000 each
(`sets.py`). One thread for everyone: RAYON_NUM_THREADS=1 is set before a peer is imported. The
first table of a set has, for each library and method:

* bytes per vector: of the codes, and what single queries keep besides them (`scan`); what batches
  keep is said below the table, if it is anything;
* recall@k: the share of the true k nearest by inner product among the k found, over all queries,
  of a search for k (what is filtered first depends on k). `exact` is recall@10 of a search that
  estimates every row, which ours is to have within .002;
* ns per (query, vector) pair at 1, 10 and 100 queries per call, for the 10 and the 100 nearest:
  medians over the turns, in which each method searches once after the other (`turns.py`).

The second table sets our method of a rate beside turbovec's, turn by turn; the last one of the run
has the speeds that are to be reached (`targets.py`). On a machine with AVX-512 the run is repeated,
with fewer peers, in a process with BLOCKQUANT_ISA=avx2 (`--isa`).

Calls take a tenth of a second at most: where 100 queries take longer, fewer are timed, and a line
says so. What is not installed, or fails, is named below the table. `--quick` runs on small sets
within a minute, for whether it works: its times mean nothing.

turbovec picks kernels of AVX-512 VNNI where it can; TURBOVEC_NO_VNNI=1 makes it run without them.
From 32,768 rows on it keeps a shortlist instead of scanning all rows in full.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from statistics import median

import numpy as np

import blockquant as bq

from .. import common
from . import sets, targets
from .adapters import Unavailable
from .searchers import Ours, Searcher, create, set_threads
from .sets import Set, in_batches, recall
from .tables import Table, machine
from .turns import Side, interleave, take_turns

BATCH = 100
SIZES = (BATCH, 10, 1)
"""Queries per call, in the order of timing: what single queries keep is not there for batches."""
DEPTHS = (1, 10, 100)
"""The k of recall@k."""
TIMED = (10, 100)
"""The k of the searches that are timed."""
LONGEST = 0.1
"""Seconds a timed call may take."""
TURN = 0.05
"""Seconds of a turn of the first table; those of the second are twice as long."""
THREADS = ("RAYON_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")

LEGEND = """\
ns per (query, vector) pair at 1, 10 and 100 queries per call, the 10 and the 100 nearest by inner
product; bytes per vector, `scan` what single queries keep besides; @k recall against exact search,
`exact` that of all estimates. All on one thread. Blockquant, eden, trellis and rabitq with the
scale `unbiased`, the number is bits per coordinate, p the block, s the states (64). HR is faiss's
Hadamard rotation, which pads to a power of two (longer codes, better recall); RaBitQ centers on the
mean of the rows; PQ is trained on the rows; turbovec is uncalibrated, its bytes those
that it writes. `repeated with noise`: the embeddings again and again, each time with other noise of
.3 of their length; `lifted`: the embeddings by a random linear map, with noise of .1 of their
length."""


# ---- what is measured

OURS = (
    *("blockquant 1 p=8", "blockquant 2 p=4", "blockquant 3 p=4", "blockquant 4 p=2"),
    *(f"{method} {bits}" for method in ("trellis", "eden") for bits in (1, 2, 3, 4)),
)
OURS_TOO = (
    "blockquant 2 p=2",
    "trellis 2 s=256",
    *(f"{method} {bits}" for method in ("turboquant", "rabitq") for bits in (1, 2, 3, 4)),
)
SLOW = ("faiss HR,RaBitQ", "faiss HR,RaBitQ4", *(f"faiss HR,EDEN{bits}" for bits in (1, 2, 4)))
TURBOVEC = tuple(f"turbovec {bits}" for bits in (2, 3, 4))


def labels(data: Set, is_main: bool, fewer: bool) -> list[str]:
    """Every method on the main set; elsewhere without variants, and without the slow peers."""
    if fewer:
        return [*OURS, *TURBOVEC]
    dim = data.x.shape[1]
    fast = ["faiss HR,RaBitQfs", *(f"faiss PQ{dim * bits // 4}x4fs" for bits in (1, 2, 4))]
    if is_main:
        return [*OURS, *OURS_TOO, *fast, *SLOW, *TURBOVEC, "faiss Flat"]
    return [*OURS, *fast, *TURBOVEC]


@dataclass(frozen=True)
class Ready:
    """A searcher that answered every query once."""

    searcher: Searcher
    recall: tuple[float, ...]
    exact: float | None
    """Recall@10 of all estimates."""
    seconds: float
    """A query."""
    batch_bytes: float
    """Per vector, kept by searches in batches."""

    def side(self, data: Set, queries: int, k: int) -> Side:
        """Calls of so many queries at most, each call the next ones."""
        queries = min(self.affordable(queries), len(data.y))
        last = len(data.y) - queries
        batches = cycle([data.y[at : at + queries] for at in range(0, last + 1, queries)])
        return Side(
            run=lambda: self.searcher.search(next(batches), k),
            ready=self.searcher.forget if queries > 1 else lambda: None,
            rows=queries * len(data.x) / 1000,
        )

    def affordable(self, queries: int) -> int:
        return max(1, min(queries, int(LONGEST / self.seconds)))

    @property
    def at_10(self) -> float:
        return self.recall[DEPTHS.index(10)]


def prepare(label: str, data: Set) -> Ready:
    """Has all queries answered in batches, for the recall and a first idea of the time."""
    searcher = create(label, data.x, threads=1)
    passes = DEPTHS[-1:] if searcher.plain else DEPTHS
    found, start = {}, time.perf_counter()
    for k in passes:
        found[k] = np.concatenate([searcher.search(some, k) for some in in_batches(data.y, BATCH)])
    seconds = (time.perf_counter() - start) / (len(passes) * len(data.y))
    shares = tuple(recall(found.get(k, found[DEPTHS[-1]]), data.truth, k) for k in DEPTHS)
    kept = searcher.bytes_per_vector()[1]
    exact = None
    if isinstance(searcher, Ours):
        parts = [searcher.search(some, 10, exact=True) for some in in_batches(data.y, BATCH)]
        exact = recall(np.concatenate(parts), data.truth, 10)
    return Ready(searcher, shares, exact, seconds, kept)


def overview(
    ready: dict[str, Ready], left_out: dict[str, str], data: Set, repetitions: int, turn: float
) -> Table:
    """Bytes, recall and times of all."""
    columns = [(k, size) for k in TIMED for size in sorted(SIZES)]
    table = Table(
        f"{data}, {len(data.y)} queries, 1 thread",
        ["||", "bytes||codes", "||scan"]
        + [f"{'recall' if k == DEPTHS[0] else ''}||@{k}" for k in DEPTHS[:2]]
        + ["||exact", f"||@{DEPTHS[2]}"]
        + [
            f"{'ns' if place == 0 else ''}|{f'k={k}' if size == 1 else ''}|{size}"
            for place, (k, size) in enumerate(columns)
        ],
        left=1,
    )
    times = {
        (k, size): take_turns(
            [each.side(data, size, k) for each in ready.values()], repetitions, turn
        )
        for size in SIZES
        for k in TIMED
    }
    for place, (label, each) in enumerate(ready.items()):
        codes, scan = each.searcher.bytes_per_vector()
        at_1, at_10, at_100 = (f"{share:.4f}" for share in each.recall)
        exact = "–" if each.exact is None else f"{each.exact:.4f}"
        table.lines.append(
            [
                label,
                f"{codes:.0f}",
                f"{scan:.0f}",
                *(at_1, at_10, exact, at_100),
                *(f"{median(times[column][place]):.2f}" for column in columns),
            ]
        )
        if each.affordable(BATCH) < BATCH:
            table.note(f"timed on {each.affordable(BATCH)} queries a call, not {BATCH}", label)
        if round(each.batch_bytes):
            table.note(f"batches keep {each.batch_bytes:.0f} bytes per vector", label)
        if each.exact is not None and abs(each.exact - each.at_10) > targets.RECALL:
            table.note(f"recall@10 is not within {targets.RECALL} of all estimates", label)
    for label, reason in left_out.items():
        table.note(f"left out, {reason}", label)
    return table


def beside(
    ready: dict[str, Ready], data: Set, summary: Table, repetitions: int, turn: float
) -> Table:
    """Our method of a rate turn by turn with turbovec's; adds what has a goal to the summary."""
    table = Table(
        f"{data}, 1 thread, ours on {bq.isa()}, beside the peer of the rate",
        [
            *("|ours", "|peer", "queries|a call", "|k"),
            *("ns|ours", "|peer", "|speed", "|min–max", "recall|ours", "@10|peer"),
        ],
        left=2,
    )
    for bits, label in targets.OURS.items():
        peer = f"turbovec {bits}"
        if label not in ready or peer not in ready:
            table.note(f"left out, no {peer if label in ready else label}", label)
            continue
        for size in SIZES:
            for k in TIMED:
                sides = [ready[each].side(data, size, k) for each in (label, peer)]
                took = interleave(*sides, repetitions, turn)
                ours, theirs = ready[label], ready[peer]
                at_10 = [f"{share:.4f}" for share in (ours.at_10, theirs.at_10)]
                table.lines.append([label, peer, f"{size}", f"{k}", *took.cells(2), *at_10])
                goal = targets.find(data.kind, len(data.x), size, bits, k)
                if goal is not None:
                    line = [data.kind, f"{data.x.shape[1]}", f"{len(data.x):,}", f"{size}"]
                    line += [f"{bits}", *took.cells(2)[:3], *goal.cells(took.ratio)]
                    summary.lines.append([*line, at_10[0], f"{ours.exact:.4f}", at_10[1]])
    return table


def goals() -> Table:
    """The table of all speeds that have a goal, empty."""
    return Table(
        f"What to reach: ours on {bq.isa()} beside turbovec, 1 thread, k = 10",
        [
            *("|rows", "|d", "|number", "|queries", "|bits", "ns|ours", "|peer", "|speed"),
            *("|goal", "|then", "|reached", "recall|ours", "@10|exact", "|peer"),
        ],
        left=1,
    )


# ---- the command


def add_options(parser: argparse.ArgumentParser) -> None:
    common.add_data(parser)
    parser.add_argument("--quick", action="store_true", help="small sets, to see that it works")
    parser.add_argument("--kinds", nargs="+", help="of real, repeated, lifted, Gaussian (all)")
    parser.add_argument("--rows", type=int, help="at most so many of each set")
    parser.add_argument("--queries", type=int, help="at most so many of each set")
    parser.add_argument("--repetitions", type=int, help="turns of each side (5, quick 1)")
    parser.add_argument("--fewer", action="store_true", help="only ours and turbovec")
    parser.add_argument(
        "--isa",
        nargs="*",
        help="run again with --fewer on these instruction sets (avx2 where avx512 is in use)",
    )


def run(options: argparse.Namespace) -> None:
    """Search in codes beside the peers, over embeddings and Gaussian rows."""
    start = time.perf_counter()
    os.environ.update(dict.fromkeys(THREADS, "1"))
    set_threads(1)
    repetitions = options.repetitions or (1 if options.quick else 5)
    switches = [f"{name}={value}" for name, value in os.environ.items() if "TURBOVEC_" in name]
    what = ", ".join([f"{repetitions} turns per side", f"{THREADS[0]}=1", *switches])
    print(machine(what), "", LEGEND, "", sep="\n")
    found, summary = common.embeddings(options.data), goals()
    for place, plan in enumerate(plans(options)):
        compare(sets.make(plan, found), options, place == 0, summary, repetitions)
    summary.note(f"{targets.judged()}", "goals")
    summary.print()
    print(f"\n{time.perf_counter() - start:.0f} s in all", flush=True)
    others = options.isa
    if others is None:
        others = ["avx2"] if bq.isa() == "avx512" else []
    for isa in others:
        again(isa, [argument for argument in sys.argv[1:] if argument not in ("search", "--fewer")])


def plans(options: argparse.Namespace) -> list[sets.Plan]:
    most = options.rows or sys.maxsize
    chosen = {}
    for plan in sets.QUICK if options.quick else sets.FULL:
        if options.kinds is None or plan.kind in options.kinds:
            queries = min(plan.queries, options.queries or sys.maxsize)
            plan = sets.Plan(plan.kind, min(plan.rows, most), queries)
            chosen.setdefault((plan.kind, plan.rows), plan)
    return list(chosen.values())


def compare(
    data: Set, options: argparse.Namespace, is_main: bool, summary: Table, repetitions: int
) -> None:
    """The tables of one set."""
    ready, left_out = {}, {}
    for label in labels(data, is_main, options.fewer):
        try:
            ready[label] = prepare(label, data)
        except Unavailable as reason:
            left_out[label] = str(reason)
        except Exception as error:  # whatever it is: the others are still measured
            left_out[label] = f"{type(error).__name__}: {error}"
    turn = 0.002 if options.quick else TURN
    overview(ready, left_out, data, repetitions, turn).print()
    beside(ready, data, summary, repetitions, 2 * turn).print()


def again(isa: str, arguments: Sequence[str]) -> None:
    """The run in a process with that instruction set; ours alone and turbovec."""
    print(f"\n\n==== BLOCKQUANT_ISA={isa}\n", flush=True)
    command = [sys.executable, "-m", "benches.peers", "search", "--fewer"]
    command += [*without_isa(arguments), "--isa"]
    root = Path(__file__).resolve().parents[2]
    subprocess.run(command, env=os.environ | {"BLOCKQUANT_ISA": isa}, cwd=root, check=True)


def without_isa(arguments: Sequence[str]) -> list[str]:
    """The arguments but for `--isa` and its values."""
    kept, skips = [], False
    for argument in arguments:
        skips = argument == "--isa" or (skips and not argument.startswith("-"))
        if not skips:
            kept.append(argument)
    return kept
