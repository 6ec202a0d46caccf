"""Fitted axes beside plain codes and trained peers, at equal bytes, on four kinds of real rows.

    python benches/fitted.py [--data ../shared/data] [--rows N] [--kept FILE.json]

A random half of the rows of each kind is the sample: axes are fitted and peers are trained on it,
and the other half is stored. A row may take ⌊d·b/8⌋ + 8 bytes; `*` marks what takes more. What is
held once for all rows (axes, words, rotations) is not counted.

R@10 is the share of the ten truly nearest rows among the ten that a search finds. faiss's PQ, OPQ,
fast scan and scalar quantization search by inner product or by distance, whichever finds more.
`error` is d·E[e²] of inner products divided by the mean squared norms of rows and queries, and nmse
is the squared error of decoded rows over their squared norms, of ours with the scale rule `mse`.
Encoding, training and searches are CPU time on one thread: µs per row, seconds, and ns per pair of
query and row in searches for the ten best of 100 queries per call.

What is to be reached stands beside a figure, as in `.8134 ≥ .785`, and `!` marks what misses it.
Encoding 384 coordinates is to take at most three times that without axes, search no longer. A peer
that finds more than `trellis, axes, recall` has `+` beside its recall. The status is 1 if something
is missed. The output is kept in benches/results/fitted.txt.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import blockquant as bq
import common
from common import Rows
from fitted_peers import OPQ_BITS, peers

BITS = (1, 2, 4)
QUERIES = 500
#: File name without its end, title and metric.
KINDS = (
    ("wordnet-minilm", "sentence embeddings (WordNet glosses, all-MiniLM-L6-v2)", "ip"),
    ("docs-mpnet768", "paragraph embeddings (all-mpnet-base-v2)", "ip"),
    ("smollm2-windows576", "hidden states of SmolLM2-135M", "cosine"),
    ("photos-sift128", "SIFT descriptors of photographs", "l2"),
)
#: The least recall@10 by kind and bits.
RECALL = {
    "wordnet-minilm": {1: 0.785, 2: 0.900, 4: 0.970},
    "docs-mpnet768": {1: 0.926, 2: 0.965, 4: 0.990},
    "smollm2-windows576": {1: 0.86, 2: 0.93, 4: 0.975},
    "photos-sift128": {1: 0.64, 2: 0.835, 4: 0.94},
}
#: Where a peer may be ahead.
CONCEDED = ("photos-sift128", 1)
#: The most times of encoding without axes, by kind.
ENCODE = {"wordnet-minilm": 3.0}
#: Rows whose encoding is timed, and queries per call.
TIMED, CALL = 2000, 100
CRITERIA = ("recall", "reconstruction", "inner_product")
HEADS = ["", "bytes", "R@10", "error", "nmse", "encode µs", "search ns", "fit s"]
#: The line that is judged.
JUDGED = "trellis, axes, recall"


@dataclass
class Line:
    """What was measured of one method."""

    label: str
    size: float
    recall: float
    error: float
    nmse: float | None
    encode: float
    search: float
    fit: float | None


class Data:
    """The halves of the rows of a kind, queries, and what is true of them."""

    def __init__(self, folder: Path, stem: str, metric: str, rows: int | None) -> None:
        x, y = (np.load(folder / f"{stem}-{part}.npy", mmap_mode="r") for part in ("base", "query"))
        x, y = np.asarray(x[:rows], np.float32), np.asarray(y[:QUERIES], np.float32)
        # The cosine of rows is the product of unit rows, which peers can rank by as well.
        self.metric = "ip" if metric == "cosine" else metric
        if metric == "cosine":
            x, y = common.unit(x), common.unit(y)
        order = np.random.default_rng(5).permutation(len(x))
        self.sample = np.ascontiguousarray(x[order[: len(x) // 2]])
        self.x, self.y = np.ascontiguousarray(x[order[len(x) // 2 :]]), y
        self.products = y.astype(np.float64) @ self.x.T.astype(np.float64)
        self.squares = np.square(self.x, dtype=np.float64).sum(axis=1)
        self.size = self.squares.mean() * np.square(y, dtype=np.float64).sum(axis=1).mean()
        is_product = self.metric == "ip"
        self.truth = best(self.products if is_product else 2 * self.products - self.squares)

    def recall(self, found: Any) -> float:
        hits = [len(np.intersect1d(a, b)) for a, b in zip(found, self.truth, strict=True)]
        return float(np.mean(hits)) / 10

    def error(self, products: Any) -> float:
        return float(self.x.shape[1] * np.square(products - self.products).mean() / self.size)

    def nmse(self, decoded: Rows) -> float:
        loss = np.square(decoded - self.x, dtype=np.float64).sum(axis=1).mean()
        return float(loss / self.squares.mean())


def best(scores: Any) -> Any:
    """The rows of the ten greatest scores of each query."""
    return np.argpartition(-scores, 9, axis=1)[:, :10]


def cpu(work: Callable[[], object], times: int = 9) -> float:
    """CPU seconds, the least of so many."""
    work()
    took = []
    for _ in range(times):
        start = time.process_time()
        work()
        took.append(time.process_time() - start)
    return min(took)


def pair(search: Callable[[Rows], object], data: Data) -> float:
    """ns per pair of query and row of a search."""
    y = data.y[:CALL]
    return 1e9 * cpu(lambda: search(y)) / (len(y) * len(data.x))


def of_ours(
    label: str, name: str, bits: float, data: Data, fit: float | None, **options: Any
) -> Line:
    """The line of a quantizer of this library."""
    dim = data.x.shape[1]
    q, mse = (bq.create(n, dim=dim, bits=bits, **options) for n in (name, f"{name}/mse"))
    codes, some = q.encode(data.x), data.x[:TIMED]
    return Line(
        label,
        codes.nbytes / len(codes),
        data.recall(q.search(codes, data.y, 10, data.metric)[1]),
        data.error(q.inner_product(codes, data.y)),
        data.nmse(mse.decode(mse.encode(data.x))),
        1e6 * cpu(lambda: q.encode(some)) / len(some),
        # A copy of the codes keeps nothing of an earlier search.
        pair(lambda y: q.search(codes[:], y, 10, data.metric), data),
        fit,
    )


def of_peer(label: str, make: Callable[[], Any], data: Data) -> Line:
    """The line of a peer."""
    peer, some = make(), data.x[:TIMED]
    decoded = peer.decoded
    if peer.products is None:
        products = data.y.astype(np.float64) @ decoded.T.astype(np.float64)
    else:
        products = peer.products(data.y)
    if peer.ranks_decoded:
        squares = np.square(decoded, dtype=np.float64).sum(axis=1)
        answers = [best(products), best(2 * products - squares)]
    else:
        answers = [search(data.y) for search in peer.searches]
    return Line(
        label,
        peer.size,
        max(map(data.recall, answers)),
        data.error(products),
        None if decoded is None else data.nmse(decoded),
        1e6 * cpu(lambda: peer.encode(some), 3) / len(some),
        min(pair(search, data) for search in peer.searches),
        peer.train,
    )


def ours(data: Data, bits: int) -> Iterator[Line]:
    """The lines of this library: without axes, and with them by each criterion."""
    start = time.process_time()
    axes = bq.fit(data.sample)
    fit = time.process_time() - start
    plain: dict[str, Any] = {"store_norm": data.metric == "l2"}
    mean = data.sample.mean(axis=0, dtype=np.float64)
    for name in ("trellis", "blockquant", "eden"):
        yield of_ours(name, name, bits, data, None, **plain)
    yield of_ours("trellis, centered", "trellis", bits, data, None, center=mean, **plain)
    for criterion in CRITERIA:
        label = f"trellis, axes, {criterion}"
        yield of_ours(label, "trellis", bits, data, fit, axes=axes, criterion=criterion)
    for name in ("blockquant", "eden"):
        yield of_ours(f"{name}, axes, recall", name, bits, data, fit, axes=axes)


def known(title: str, data: Data, bits: int, kept: Path | None) -> Iterator[Line]:
    """Peers, which take most of the time of a run: `kept` has them from an earlier one."""
    import faiss

    faiss.omp_set_num_threads(1)
    for label, make in peers(data.sample, data.x, bits, data.metric):
        found = json.loads(kept.read_text("utf-8")) if kept and kept.is_file() else {}
        key = f"{title}, {len(data.x)} rows, {bits} bits: {label}"
        if key not in found:
            found[key] = asdict(of_peer(label, make, data))
            if kept is not None:
                kept.write_text(json.dumps(found, indent=1), "utf-8")
        yield Line(**found[key])


class Judge:
    """The cells of lines, beside what they are to reach, and what is missed."""

    def __init__(self) -> None:
        self.missed: list[str] = []

    def reached(self, what: str, value: float, limit: float, digits: int, least: bool) -> str:
        """`value ≥ limit` if it is the least, `value ≤ limit` if the most."""
        value, sign = round(value, digits), "≥" if least else "≤"
        good = value >= limit if least else value <= round(limit, digits)
        if not good:
            self.missed.append(f"{what}: {value:.{digits}f}, not {sign} {limit:.{digits}f}")
        bound = f"{limit:g}" if least else f"{limit:.{digits}f}"
        return f"{value:.{digits}f}{'' if good else '!'} {sign} {bound}"

    def cells(self, stem: str, bits: int, line: Line, mine: list[Line], allowed: int) -> list[str]:
        """One line of the table."""
        plain, judged = mine[0], next(one for one in mine if one.label == JUDGED)
        small = lambda value: "–" if value is None else f"{value:.3g}"  # noqa: E731
        recall, encode, search = f"{line.recall:.4f}", f"{line.encode:.1f}", f"{line.search:.2f}"
        what = f"{stem}, {number(bits)}, {line.label}"
        if line is judged:
            recall = self.reached(f"{what}: recall", line.recall, RECALL[stem][bits], 4, True)
            if stem in ENCODE:
                most = ENCODE[stem] * plain.encode
                encode = self.reached(f"{what}: encode, µs", line.encode, most, 1, False)
            search = self.reached(f"{what}: search, ns", line.search, plain.search, 2, False)
        elif line not in mine and line.recall > judged.recall:
            recall += "+"
            if (stem, bits) != CONCEDED:
                self.missed.append(f"{what}: finds {line.recall:.4f}, fitted {judged.recall:.4f}")
        return [
            line.label,
            f"{line.size:.0f}" + ("*" if line.size > allowed else ""),
            recall,
            small(line.error),
            small(line.nmse),
            encode,
            search,
            "–" if line.fit is None else f"{line.fit:.1f}",
        ]


def number(bits: int) -> str:
    return f"{bits} bit" if bits == 1 else f"{bits} bits"


def table(title: str, lines: list[list[str]]) -> None:
    """Prints aligned columns, the first to the left."""
    widths = [max(map(len, column)) for column in zip(HEADS, *lines, strict=True)]
    print(f"\n{title}")
    for line in (HEADS, *lines):
        right = [f"{cell:>{width}}" for cell, width in zip(line[1:], widths[1:], strict=True)]
        print("  ".join([f"{line[0]:<{widths[0]}}", *right]).rstrip(), flush=True)


def main() -> int:
    """Prints the tables; the status is 1 if something is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=common.DATA, help="folder of the rows")
    parser.add_argument("--rows", type=int, help="at most so many rows of each kind")
    parser.add_argument("--kept", type=Path, help="file that keeps the peers' lines")
    parser.add_argument("--no-peers", action="store_true", help="only this library")
    options = parser.parse_args()
    # turbovec reads this when it is imported.
    os.environ["RAYON_NUM_THREADS"] = "1"
    bq.set_num_threads(1)
    print(common.machine())
    if not options.no_peers:
        print(", ".join(f"{name} {version(name)}" for name in ("faiss-cpu", "turbovec")))
        if options.kept and options.kept.is_file():
            print(f"Lines of peers are those of {options.kept}, where it has them.")
    print(f"\n{__doc__.split(chr(10) * 2, 2)[2].rstrip()}")
    judge, start = Judge(), time.process_time()
    for stem, title, metric in KINDS:
        if not (options.data / f"{stem}-base.npy").is_file():
            print(f"\n{title}: not found in {options.data}, left out")
            continue
        data = Data(options.data, stem, metric, options.rows)
        dim = data.x.shape[1]
        about = f"{title}, d = {dim}, {metric}: {len(data.sample)} rows fitted"
        for bits in BITS:
            mine = list(ours(data, bits))
            others = [] if options.no_peers else list(known(title, data, bits, options.kept))
            allowed = dim * bits // 8 + 8
            lines = [judge.cells(stem, bits, one, mine, allowed) for one in (*mine, *others)]
            heading = f"{about}, {len(data.x)} stored, {len(data.y)} queries, {number(bits)}"
            table(heading, lines)
            if others and bits > OPQ_BITS:
                print("faiss OPQ: not run, training so many parts takes minutes")
    print(f"\n{time.process_time() - start:.0f} s of CPU; figures that are missed:")
    print(*(judge.missed or ["none"]), sep="\n")
    return int(bool(judge.missed))


if __name__ == "__main__":
    sys.exit(main())
