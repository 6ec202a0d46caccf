"""The last tables of `trellis.py`: this library beside product quantization, at equal bytes.

faiss's PQ has a subspace of 8, 4 or 2 coordinates per byte at 1, 2 and 4 bits per coordinate, and
one of 2 coordinates per 6 bits at 3. It is trained on 10,000 of the rows, alone or, at 1 and 2
bits, behind a rotation that is trained on them in 10 rounds, too (OPQ, whose training takes minutes
at the other rates, where it gains the least). This library trains nothing, and its rows take the
four bytes of the scale besides; `centered` takes off the mean of the rows, for four bytes more. 256
states and `scale_search` take longer to encode.

nmse is the error of reconstruction, of ours with the scale `mse`. d·E[e²] is the error of inner
products and R@10 the recall of all estimates, of ours with the scale `unbiased`. Rows and queries
are unit vectors. Times are CPU time with one thread, which hardly depends on other work.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import blockquant as bq
import common
from common import Rows

BITS = (1, 2, 3, 4)
QUERIES = 500
#: Of one batch of the estimates.
BATCH = 5000
#: Rows whose encoding is timed.
TIMED = 2000
#: Rows that faiss trains on, and rounds of OPQ.
TRAINED, ROUNDS = 10_000, 10
#: The highest rate at which OPQ is trained.
MOST_OPQ_BITS = 2
#: File name without its end, and title.
OTHERS = (
    ("docs-mpnet768", "paragraph embeddings (all-mpnet-base-v2)"),
    ("photos-sift128", "SIFT descriptors of photographs"),
    ("smollm2-windows576", "hidden states of SmolLM2-135M"),
)
HEADS = ["", "bytes", "nmse", "d·E[e²]", "R@10", "encode µs", "train s"]

#: For reconstruction, and for inner products.
RULES = ("mse", "unbiased")

Lines = list[list[str]]


@dataclass
class Result:
    """One line of the table."""

    label: str
    size: float
    nmse: float
    error: float
    recall: float
    encode: float
    train: float | None

    def cells(self) -> list[str]:
        return [
            self.label,
            f"{self.size:.0f}",
            f"{self.nmse:.4f}" if self.nmse > 0.02 else f"{self.nmse:.5f}",
            f"{self.error:.4f}" if self.error > 0.02 else f"{self.error:.5f}",
            f"{self.recall:.3f}",
            f"{self.encode:.1f}",
            "–" if self.train is None else f"{self.train:.1f}",
        ]


class Data:
    """Rows, queries and what is true of them."""

    def __init__(self, x: Any, y: Any) -> None:
        self.x, self.y = common.unit(x), common.unit(y[:QUERIES])
        products = self.y @ self.x.T
        self.truth = np.argpartition(-products, 9, axis=1)[:, :10]

    def nmse(self, decode: Callable[[slice], Rows]) -> float:
        """Of rows that are decoded in batches."""
        loss = 0.0
        for part in self.parts():
            loss += float(np.square(decode(part) - self.x[part], dtype=np.float64).sum())
        return loss / len(self.x)

    def scores(self, estimate: Callable[[slice], Rows]) -> tuple[float, float]:
        """d·E[e²] and recall@10 of estimates that come in batches."""
        square, found = 0.0, []
        for part in self.parts():
            some = estimate(part)
            square += float(np.square(some - self.y @ self.x[part].T, dtype=np.float64).sum())
            found.append(some)
        scores = np.concatenate(found, axis=1)
        best = np.argpartition(-scores, 9, axis=1)[:, :10]
        hits = [len(np.intersect1d(a, b)) for a, b in zip(best, self.truth, strict=True)]
        return self.x.shape[1] * square / scores.size, float(np.mean(hits)) / 10

    def parts(self) -> Iterator[slice]:
        return (slice(at, at + BATCH) for at in range(0, len(self.x), BATCH))


def microseconds(encode: Callable[[Rows], object], x: Rows) -> float:
    """CPU time per row, the least of five."""
    some = x[:TIMED]
    encode(some)
    took = []
    for _ in range(5):
        start = time.process_time()
        encode(some)
        took.append(time.process_time() - start)
    return 1e6 * min(took) / len(some)


def of_ours(label: str, name: str, bits: int, data: Data, **options: Any) -> Result:
    """The scale `mse` for reconstruction, `unbiased` for inner products."""
    made = [bq.create(f"{name}/{s}", dim=data.x.shape[1], bits=bits, **options) for s in RULES]
    (q, codes), (unbiased, others) = ((q, q.encode(data.x)) for q in made)
    error, recall = data.scores(lambda part: unbiased.inner_product(others[part], data.y))
    return Result(
        label,
        others.nbytes / len(others),
        data.nmse(lambda part: q.decode(codes[part])),
        error,
        recall,
        microseconds(unbiased.encode, data.x),
        None,
    )


def of_faiss(kind: str, data: Data) -> Result:
    """An index of faiss's factory as a codec."""
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.index_factory(data.x.shape[1], kind, faiss.METRIC_L2)
    if kind.startswith("OPQ"):
        faiss.downcast_VectorTransform(index.chain.at(0)).niter = ROUNDS
    start = time.process_time()
    index.train(np.ascontiguousarray(data.x[:: max(1, len(data.x) // TRAINED)][:TRAINED]))
    train = time.process_time() - start
    codes = index.sa_encode(data.x)
    error, recall = data.scores(lambda part: data.y @ index.sa_decode(codes[part]).T)
    nmse = data.nmse(lambda part: index.sa_decode(codes[part]))
    encode = microseconds(index.sa_encode, data.x)
    label = f"faiss {kind.partition(',')[0].removesuffix('np')}"
    return Result(label, index.sa_code_size(), nmse, error, recall, encode, train)


def peers(data: Data, bits: int, title: str, kept: Path | None) -> Iterator[Result]:
    """PQ and OPQ, which need most of the time of a run: `kept` has them from an earlier one."""
    dim = data.x.shape[1]
    parts, width = (dim // 2, 6) if bits == 3 else (dim * bits // 8, 8)
    # np: without the training of an order of the words, which search by Hamming distance needs.
    kinds = [f"PQ{parts}x{width}np"]
    if bits <= MOST_OPQ_BITS:
        kinds.append(f"OPQ{parts},PQ{parts}x{width}np")
    for kind in kinds:
        known = json.loads(kept.read_text("utf-8")) if kept and kept.is_file() else {}
        name = f"{title}, {len(data.x)} rows: {kind}"
        if name not in known:
            try:
                known[name] = asdict(of_faiss(kind, data))
            except ImportError:
                print(f"\n{title}: faiss is not installed, {kind} left out")
                return
            if kept is not None:
                kept.write_text(json.dumps(known, indent=1), "utf-8")
        yield Result(**known[name])


def ours(data: Data, bits: int) -> Iterator[Result]:
    """The lines of this library at one rate."""
    mean = data.x.mean(axis=0, dtype=np.float64)
    yield of_ours("trellis", "trellis", bits, data)
    yield of_ours("trellis, 256 states", "trellis", bits, data, states=256)
    yield of_ours("trellis, centered", "trellis", bits, data, center=mean)
    for name in ("blockquant", "eden"):
        yield of_ours(name, name, bits, data)
        if bits >= 3:
            yield of_ours(f"{name}, scale_search=9", name, bits, data, scale_search=9)


def kinds(found: common.Embeddings, folder: Path | None) -> Iterator[tuple[str, Any, Any]]:
    """Title, rows and queries of each kind that is there."""
    yield found.name, found.x, found.y
    for stem, title in OTHERS:
        paths = [(folder or common.DATA) / f"{stem}-{part}.npy" for part in ("base", "query")]
        if all(path.is_file() for path in paths):
            yield title, *(np.load(path, mmap_mode="r") for path in paths)
        else:
            print(f"\n{title}: {paths[0]} not found, left out")


def tables(
    found: common.Embeddings, folder: Path | None, rows: int | None, kept: Path | None
) -> Iterator[tuple[list[str], str, Lines]]:
    """Heads, title and lines of the table of each kind of rows and rate."""
    print(f"\n{__doc__.partition(chr(10) * 2)[2].rstrip()}")
    for title, x, y in kinds(found, folder):
        data = Data(x[:rows], y)
        about = f"{title}, d = {data.x.shape[1]}, {len(data.x)} rows, {len(data.y)} queries"
        for bits in BITS:
            results = [*ours(data, bits), *peers(data, bits, title, kept)]
            yield HEADS, f"{about}, {bits} bits", [result.cells() for result in results]
