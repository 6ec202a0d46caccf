"""Encoding and decoding beside faiss, turbovec and rabitqlib.

The two sides of a pair take turns (`turns.py`). Times are medians over the turns; the speed
is the ratio of these medians, with the least and greatest ratio of neighbouring turns. Everything
runs with one thread and with all.

nmse is E‖x − x̂‖²/‖x‖² of what each library itself decodes. A peer that is not installed, or has no
call for what is asked, is named below the table, and the rest is measured.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

import blockquant as bq

from ..common import Rows, cpus, unit
from .adapters import (
    BlockQuant,
    Codec,
    Unavailable,
    confined,
    create,
    gaussian,
    start_pools,
)
from .tables import Table, machine, plural
from .turns import affordable, interleave, side

ERROR_ROWS = 256
"""That the error is measured on."""


@dataclass(frozen=True)
class Pair:
    """A codec of ours, a peer's, and whether a note below the table compares their errors.

    The labels are those of `adapters.create`.
    """

    ours: str
    peer: str
    compare_errors: bool = False


ENCODE = (
    Pair("eden 1", "faiss HR,EDEN1"),
    Pair("eden 2", "faiss HR,EDEN2"),
    Pair("eden 3", "faiss HR,EDEN3"),
    Pair("eden 4", "faiss HR,EDEN4"),
    Pair("turboquant 2", "turbovec 2"),
    Pair("turboquant 4", "turbovec 4"),
    Pair("turboquant 2", "faiss HR,SQtqmse2"),
    Pair("turboquant 4", "faiss HR,SQtqmse4"),
    Pair("blockquant 1", "faiss HR,EDEN1"),
    Pair("blockquant 2", "faiss HR,EDEN2", compare_errors=True),
    Pair("blockquant 2", "faiss RR,EDEN2", compare_errors=True),
    Pair("blockquant 3", "faiss HR,EDEN3"),
    Pair("blockquant 4", "faiss HR,EDEN4"),
    Pair("trellis 1", "faiss HR,EDEN1"),
    Pair("trellis 2", "faiss HR,EDEN2", compare_errors=True),
    Pair("trellis 2", "faiss RR,EDEN2", compare_errors=True),
    Pair("trellis 2 s=256", "faiss RR,EDEN2", compare_errors=True),
    Pair("trellis 3", "faiss HR,EDEN3"),
    Pair("trellis 4", "faiss HR,EDEN4"),
    Pair("rabitq 1", "faiss HR,RaBitQ1"),
    Pair("rabitq 2", "faiss HR,RaBitQ2"),
    Pair("rabitq 4", "faiss HR,RaBitQ4"),
    Pair("rabitq 1", "rabitqlib 1"),
    Pair("rabitq 2", "rabitqlib 2"),
    Pair("rabitq 4", "rabitqlib 4"),
)
NEAREST_KIND = {
    "eden 1": "EDEN1",
    "eden 2": "EDEN2",
    "eden 4": "EDEN4",
    "turboquant 2": "SQtqmse2",
    "turboquant 4": "SQtqmse4",
    "blockquant 1": "EDEN1",
    "blockquant 2": "EDEN2",
    "blockquant 3": "EDEN3",
    "blockquant 4": "EDEN4",
    "trellis 1": "EDEN1",
    "trellis 2": "EDEN2",
    "trellis 3": "EDEN3",
    "trellis 4": "EDEN4",
    "rabitq 1": "RaBitQ1",
}
ENCODED = tuple(dict.fromkeys(pair.ours for pair in ENCODE))

SPEED_HEADS = ("µs|ours", "|peer", "|speed", "|min–max")
DETAIL_HEADS = ("bytes|ours", "|peer", "nmse|ours", "|peer")
LEGEND = """\
Unit rows; µs and bytes per row; blockquant, eden, trellis and rabitq with the scale `unbiased`,
turboquant `mse`; the number is bits per coordinate, s the states of a trellis that has not 64. HR
is faiss's Hadamard rotation, RR its dense random one."""
PADDING_LEGEND = """\
HR pads {dim} coordinates to {padded}: longer codes, which hold less error. faiss does not decode
them: their nmse is by the transpose of its rotation, and decoding is compared with RR at
d = {dim} and with HR at d = {padded}."""


# ---- what is measured


def details(pair: Pair, codecs: Sequence[Codec], x: Rows, table: Table) -> list[str]:
    """Bytes and errors of both, and below the table what holds for the errors."""
    sizes = [codec.bytes_per_row(x) for codec in codecs]
    errors: list[float | None] = []
    for codec in codecs:
        try:
            errors.append(nmse(codec, x))
        except Unavailable as reason:
            table.note(f"no error of the peer, {reason}", pair.ours)
            errors.append(None)
    ours, theirs = errors
    if pair.compare_errors and ours is not None and theirs is not None:
        less = 1 - ours / theirs
        table.note(
            f"{abs(less):.1%} {'less' if less >= 0 else 'more'} error than {pair.peer}, "
            f"{sizes[0]:.0f} against {sizes[1]:.0f} bytes",
            pair.ours,
        )
    return [f"{size:.0f}" for size in sizes] + [error_cell(error) for error in errors]


def nmse(codec: Codec, x: Rows) -> float:
    return float(np.mean(np.sum(np.square(codec.reconstruct(x) - x, dtype=np.float64), axis=1)))


def error_cell(error: float | None) -> str:
    return "–" if error is None else f"{error:.4f}" if error > 0.02 else f"{error:.5f}"


def compare(
    pairs: Sequence[Pair], x: Rows, threads: int, repetitions: int, decode: bool = False
) -> None:
    """A table of pairs; bytes and errors are in the one for a single thread."""
    full = threads == 1
    table = Table(
        f"{'decode' if decode else 'encode'}, d = {x.shape[1]}, {plural(threads)}",
        ["|ours", "|peer", *DETAIL_HEADS, *SPEED_HEADS]
        if full
        else ["|ours", "|peer", *SPEED_HEADS],
        left=2,
    )
    for pair in pairs:
        try:
            codecs = [create(label, x, threads) for label in (pair.ours, pair.peer)]
            some = affordable(codecs, x, decode)
            ours, theirs = (side(codec, some, decode) for codec in codecs)
        except Unavailable as reason:
            table.note(f"left out, {reason}", pair.ours)
            continue
        line = [pair.ours, pair.peer]
        line += details(pair, codecs, x[:ERROR_ROWS], table) if full else []
        speed = interleave(ours, theirs, repetitions)
        line += speed.cells()
        table.lines.append(line)
    table.print()


def spread_over_threads(labels: Sequence[str], x: Rows, threads: int, repetitions: int) -> None:
    """Our encoding with so many threads against one."""
    table = Table(
        f"encode, d = {x.shape[1]}, {plural(threads)} against one",
        ["|ours", f"µs|{plural(threads)}", "|1 thread", *SPEED_HEADS[2:]],
        left=1,
    )
    for label in labels:
        codec = BlockQuant(label, x, 1)
        some = affordable([codec], x, decode=False)
        encode = side(codec, some, decode=False)
        many, one = (
            replace(encode, ready=partial(bq.set_num_threads, count)) for count in (threads, 1)
        )
        speed = interleave(many, one, repetitions)
        table.lines.append([label, *speed.cells()])
    table.print()


# ---- the command


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dim", type=int, default=1536, help="of Gaussian rows")
    parser.add_argument("--rows", type=int, default=4096, help="at most, in a batch")
    parser.add_argument("--repetitions", type=int, default=7, help="turns of each side")
    parser.add_argument("--threads", type=int, default=cpus(), help="besides one")
    parser.add_argument("--data", type=Path, help="a .npy file of rows instead of Gaussian ones")


def run(options: argparse.Namespace) -> None:
    """Encoding and decoding beside the peers, and our encoding over threads."""
    start_pools(options.threads)
    x = load(options)
    print(header(x, options))
    for threads in dict.fromkeys((1, options.threads)):
        with confined(threads):
            compare(ENCODE, x, threads, options.repetitions)
            for rows in decoded_rows(x):
                rotation = "HR" if is_power_of_two(rows.shape[1]) else "RR"
                pairs = [
                    Pair(ours, f"faiss {rotation},{kind}") for ours, kind in NEAREST_KIND.items()
                ]
                compare(pairs, rows, threads, options.repetitions, decode=True)
    if options.threads > 1:
        spread_over_threads(ENCODED, x, options.threads, options.repetitions)


def load(options: argparse.Namespace) -> Rows:
    """The rows, of length 1."""
    if options.data is None:
        return gaussian(options.rows, options.dim)
    return unit(np.load(options.data, mmap_mode="r")[: options.rows])


def decoded_rows(x: Rows) -> Iterator[Rows]:
    """The rows, and rows of the next dimension for which faiss decodes behind HR."""
    yield x
    if not is_power_of_two(x.shape[1]):
        yield gaussian(len(x), power_of_two(x.shape[1]))


def power_of_two(dim: int) -> int:
    """The least that is not below dim."""
    return 1 << (dim - 1).bit_length()


def is_power_of_two(dim: int) -> bool:
    return dim == power_of_two(dim)


def header(x: Rows, options: argparse.Namespace) -> str:
    dim = x.shape[1]
    what = "Gaussian" if options.data is None else options.data.name
    lines = [
        machine(f"at most {len(x)} {what} rows per batch, {options.repetitions} turns per side"),
        "",
        LEGEND,
    ]
    if not is_power_of_two(dim):
        lines += [PADDING_LEGEND.format(dim=dim, padded=power_of_two(dim))]
    return "\n".join(lines)
