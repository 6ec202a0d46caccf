"""What the trellis code reaches: its error, its time, its search, and its error at equal bytes.

    python benches/trellis.py [--data ../shared/data] [--kernels] [--parts error,time,search,bytes]

* error: the squared error of `trellis/mse` on Gaussian rows as a multiple of Shannon's bound, at
  every rate and number of states, beside BlockQuant and EDEN;
* time: µs per row of d = 1536 on one thread, of encoding and decoding beside BlockQuant. Methods
  take turns, and the least CPU time of the turns counts, which other work on the machine changes
  little. With `--kernels` the times of the choice of the path and of decoding to bytes are those of
  `cargo bench --bench kernels`, which is built for it;
* search: recall@10 and ns per pair of query and row beside BlockQuant of the same rate, one thread;
* bytes: this library beside product quantization that is trained on the rows (`trellis_bytes.py`).

What is to be reached stands beside each figure, as in `1.130 ≤ 1.14`. A figure that misses it is
marked `!`, and then the exit status is 1. The output is kept in benches/results/trellis.txt.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

import blockquant as bq
import common
import trellis_bytes
from common import Rows

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("error", "time", "search", "bytes")
STATES = (16, 32, 64, 128, 256)
RATES = (0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4)
#: Rows of each dimension: some thousands of coordinates more than the last digit needs.
ROWS = {1536: 2000, 64: 40_000}
#: The most of the error over Shannon's bound, by dimension, states and bits.
ERRORS = {
    **{(1536, 64, b): most for b, most in {1: 1.14, 2: 1.195, 3: 1.225, 4: 1.25}.items()},
    **{(1536, 256, b): most for b, most in {1: 1.11, 2: 1.155, 3: 1.19, 4: 1.21}.items()},
    (64, 64, 2): 1.19,
}
#: µs to choose the path of a row of 1536 coordinates, by states, with AVX2 or better.
ASSIGN = {64: 5.0, 256: 12.0}
#: Times of BlockQuant's encoding, by bits.
ENCODE = {2: 2.2, 3: 1.0}
#: Times of BlockQuant's decoding.
DECODE = 1.5
#: ns to decode a row of 384 coordinates at 2 bits to bytes.
DECODE_BYTES = 20.0
#: Times of BlockQuant's search, and the least recall@10 on the embeddings, by bits.
SEARCH = 1.3
RECALL = {1: 0.750, 2: 0.876, 3: 0.938, 4: 0.962}
#: Queries per call.
CALLS = (100, 10, 1)


@dataclass
class Limits:
    """What is to be reached, and what misses it."""

    missed: list[str] = field(default_factory=list)

    def most(self, what: str, found: float, limit: float | None, show: str = ".3f") -> str:
        """The figure with the limit that it must not be above, if it has one."""
        return self._cell(what, found, limit, show, "≤", 1)

    def least(self, what: str, found: float, limit: float | None, show: str = ".3f") -> str:
        """The figure with the limit that it must not be below, if it has one."""
        return self._cell(what, found, limit, show, "≥", -1)

    def _cell(
        self, what: str, found: float, limit: float | None, show: str, sign: str, way: int
    ) -> str:
        text = f"{found:{show}}"
        if limit is None:
            return text
        # The figure is judged as it is printed.
        missed = way * (float(text) - limit) > 0
        if missed:
            self.missed.append(f"{what}: {text}, not {sign} {limit:g}")
        return f"{text}{'!' if missed else ''} {sign} {limit:g}"


def table(title: str, heads: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """Prints aligned columns, the first to the left."""
    widths = [max(map(len, column)) for column in zip(heads, *lines, strict=True)]
    print(f"\n{title}")
    for line in (heads, *lines):
        cells = [f"{cell:>{width}}" for cell, width in zip(line[1:], widths[1:], strict=True)]
        print("  ".join([f"{line[0]:<{widths[0]}}", *cells]).rstrip(), flush=True)


# ---- error


def times_shannon(q: bq.Quantizer, x: Rows) -> float:
    """The normalised squared error over 4^(−bits)."""
    loss = 0.0
    for first in range(0, len(x), 1000):
        some = x[first : first + 1000]
        error = q.decode(q.encode(some)) - some
        loss += float((np.square(error, dtype=np.float64).sum(axis=1)).sum())
    return loss / len(x) / bq.theory.shannon(q.bits)


def error(limits: Limits) -> None:
    """The error at every rate, by states, and what theory says of 64 states."""
    for dim, rows in ROWS.items():
        x = common.unit(np.random.default_rng(dim).standard_normal((rows, dim), np.float32))
        lines = []
        for bits in RATES:
            line = [f"{bits:g}"]
            for states in STATES:
                q = bq.create("trellis/mse", dim=dim, bits=bits, states=states)
                what = f"× Shannon, d = {dim}, {bits:g} bits, {states} states"
                limit = ERRORS.get((dim, states, bits))
                line.append(limits.most(what, times_shannon(q, x), limit))
            known = bq.theory.supported("trellis/mse", bits)
            expected = bq.theory.nmse("trellis/mse", bits, dim) if known else None
            line.append("–" if expected is None else f"{expected / bq.theory.shannon(bits):.3f}")
            for name in ("blockquant/mse", "eden/mse"):
                is_whole = float(bits).is_integer()
                q = bq.create(name, dim=dim, bits=bits) if is_whole or "block" in name else None
                line.append("–" if q is None else f"{times_shannon(q, x):.3f}")
            lines.append(line)
        heads = ["bits", *(f"{states} states" for states in STATES), "theory, 64", "blockquant"]
        table(f"error × Shannon's bound, d = {dim}, {rows} rows", [*heads, "eden"], lines)
    codes = bq.create("trellis", dim=64, bits=2).encode(x[:1])
    size = codes.packed.shape[1]
    print(f"bytes of a row, d = 64, 2 bits: {limits.most('bytes', size, 16, 'd')} and its scale")


# ---- time


def turns(works: dict[str, Callable[[], object]], times: int = 15) -> dict[str, float]:
    """CPU seconds of each, the least of so many turns, which they take one after the other."""
    least = dict.fromkeys(works, np.inf)
    for _ in range(times):
        for name, work in works.items():
            start = time.process_time()
            work()
            least[name] = min(least[name], time.process_time() - start)
    return least


def one_row(works: dict[str, Callable[[], object]], rows: int) -> dict[str, float]:
    """µs per row."""
    for work in works.values():
        work()
    return {name: 1e6 * seconds / rows for name, seconds in turns(works).items()}


def durations(limits: Limits, kernels: bool) -> None:
    """Encoding and decoding of rows of 1536 coordinates on one thread."""
    dim, rows = 1536, 512
    x = common.unit(np.random.default_rng(1).standard_normal((rows, dim), np.float32))
    encode, decode = [], []
    for bits in (1, 2, 3, 4):
        quantizers = {
            **{f"{s} states": bq.create("trellis", dim=dim, bits=bits, states=s) for s in STATES},
            "blockquant": bq.create("blockquant", dim=dim, bits=bits),
            "eden": bq.create("eden", dim=dim, bits=bits),
        }
        took = one_row({name: partial(q.encode, x) for name, q in quantizers.items()}, rows)
        ratio = took["64 states"] / took["blockquant"]
        what = f"encoding at {bits} bits over BlockQuant's"
        encode.append([f"{bits}", *(f"{t:.1f}" for t in took.values())])
        encode[-1].append(limits.most(what, ratio, ENCODE.get(bits), ".2f"))
        quantizers = {n: q for n, q in quantizers.items() if n not in ("16 states", "32 states")}
        works = {name: partial(q.decode, q.encode(x)) for name, q in quantizers.items()}
        took = one_row(works, rows)
        ratio = took["64 states"] / took["blockquant"]
        what = f"decoding at {bits} bits over BlockQuant's"
        decode.append([f"{bits}", *(f"{t:.2f}" for t in took.values())])
        decode[-1].append(limits.most(what, ratio, DECODE, ".2f"))
    names = [f"{states} states" for states in STATES]
    others = ["blockquant", "eden", "64 states / blockquant"]
    table(f"encode, µs per row, d = {dim}, 1 thread", ["bits", *names, *others], encode)
    table(f"decode, µs per row, d = {dim}, 1 thread", ["bits", *names[2:], *others], decode)
    if kernels:
        judge_kernels(limits)


def judge_kernels(limits: Limits) -> None:
    """The lines of the kernels' bench about trellis codes; the first column of times is judged."""
    command = ["cargo", "bench", "--quiet", "--bench", "kernels", "--", "trellis"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    # The names of what is being measured are left out.
    lines = [line for line in done.stdout.splitlines() if not re.search(r", d = \d+$", line)]
    print(f"\n{' '.join(command)}", *lines, sep="\n")
    for states, most in ASSIGN.items():
        found = kernel_ns(done.stdout, f"trellis assign, 4 rows, {states} states, .*", 1536) / 4000
        cell = limits.most(f"the path of {states} states, µs", found, most, ".1f")
        print(f"the path of a row of 1536 coordinates, {states} states, at most: {cell} µs")
    found = kernel_ns(done.stdout, "trellis bytes, 64 rows, 2 bits", 384) / 64
    cell = limits.most("decoding to bytes, ns", found, DECODE_BYTES, ".1f")
    print(f"decoding a row of 384 coordinates at 2 bits to bytes: {cell} ns")


def kernel_ns(text: str, kernel: str, dim: int) -> float:
    """The most time of these kernels on the best instruction set."""
    found = re.findall(rf"^{kernel} +{dim} +([\d.]+)", text, re.MULTILINE)
    if not found:
        raise SystemExit(f"the kernels' bench has no line of {kernel!r} at d = {dim}")
    return max(map(float, found))


# ---- search


def search(limits: Limits, found: common.Embeddings) -> None:
    """Recall and time of searches for the ten best of the embeddings, on one thread."""
    x, y = np.asarray(found.x, np.float32), np.asarray(found.y, np.float32)
    truth = np.argsort(-(y @ x.T), axis=1, kind="stable")[:, :10]
    lines = []
    for bits in (1, 2, 3, 4):
        names = {"trellis": {}, "trellis 256": {"states": 256}, "blockquant": {}}
        recalls, ready = {}, {}
        for name, options in names.items():
            q = bq.create(name.split()[0], dim=x.shape[1], bits=bits, **options)
            codes = q.encode(x)
            parts = [q.search(codes, y[at : at + 100], 10)[1] for at in range(0, len(y), 100)]
            hits = zip(truth, np.concatenate(parts), strict=True)
            recalls[name] = float(np.mean([len(np.intersect1d(a, b)) / 10 for a, b in hits]))
            ready[name] = q, codes
        line = [f"{bits}"]
        for name, recall in recalls.items():
            limit = RECALL[bits] if name == "trellis" and not found.is_sample else None
            line.append(limits.least(f"recall@10 at {bits} bits", recall, limit))
        for size in CALLS:
            works = {n: partial(ask, *ready[n], y[:size]) for n in ("trellis", "blockquant")}
            for work in works.values():
                for _ in range(3):
                    work()
            took = turns(works, 15 if size > 1 else 45)
            ns = {name: 1e9 * seconds / (size * len(x)) for name, seconds in took.items()}
            what = f"search at {bits} bits, {size} queries per call, over BlockQuant's"
            cell = limits.most(what, ns["trellis"] / ns["blockquant"], SEARCH, ".2f")
            line.append(f"{ns['trellis']:.2f} / {ns['blockquant']:.2f}: {cell}")
        lines.append(line)
    heads = ["bits", "recall@10 trellis", "256 states", "blockquant"]
    title = f"search, {found.name}, {len(x)} rows, {len(y)} queries, d = {x.shape[1]}, 1 thread;"
    title += "\nns per pair, trellis / blockquant and their ratio, by queries per call"
    table(title, [*heads, *map(str, CALLS)], lines)


def ask(q: bq.Quantizer, codes: bq.Codes, y: Rows) -> None:
    """One call. Batches keep nothing besides the codes, single queries keep the signs."""
    q.search(codes if len(y) == 1 else codes[:], y, 10)


def main() -> int:
    """Runs the parts; the status is 1 if a figure misses what is to be reached."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    common.add_data(parser)
    parser.add_argument("--kernels", action="store_true", help="also times single kernels")
    parser.add_argument("--parts", default=",".join(PARTS), help="some of them, with commas")
    parser.add_argument("--rows", type=int, help="at most so many of each kind at equal bytes")
    parser.add_argument(
        "--peers", type=Path, help="file that keeps what faiss gives, for the next run to read"
    )
    options = parser.parse_args()
    parts = options.parts.split(",")
    if unknown := [part for part in parts if part not in PARTS]:
        parser.error(f"--parts {unknown[0]}, expected some of {', '.join(PARTS)}")
    limits, start = Limits(), time.perf_counter()
    print(common.machine())
    found = common.embeddings(options.data) if {"search", "bytes"} & {*parts} else None
    if "error" in parts:
        error(limits)
    bq.set_num_threads(1)
    if "time" in parts:
        durations(limits, options.kernels)
    if "search" in parts:
        search(limits, found)
    if "bytes" in parts:
        beside = trellis_bytes.tables(found, options.data, options.rows, options.peers)
        for heads, title, lines in beside:
            table(title, heads, lines)
    print(f"\n{time.perf_counter() - start:.0f} s; what is missed: {len(limits.missed)} figures")
    print(*limits.missed, sep="\n")
    return int(bool(limits.missed))


if __name__ == "__main__":
    sys.exit(main())
