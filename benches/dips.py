"""Whether a search ever takes longer than estimating every row: on easy and on hostile rows.

    python benches/dips.py [--rows 1000 20000] [--methods blockquant eden] [--quick]

A search looks at few rows where bounds part them, and must not cost much where they do not. Each
case sets `q.search` beside estimating all rows from the same codes and taking the ten best
(`q.inner_product` and `np.argpartition`), on one thread, in turns; times are the least of the
turns. A case above the limit is measured again, up to 20 turns, before it counts. `first` is the
first search of fresh codes, with one query.

Prints the worst ratios of each kind of rows, over bits, metrics and methods, and the worst cases,
and exits with 1 if one is above the limit of 1.3. Rows come from the embeddings (`--data`, else the
shipped sample) and from generators below, with queries of the same kind where there is one and
Gaussian ones elsewhere.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

import blockquant as bq
import common
from common import Rows

LIMIT = 1.3
DIM = 384
K = 10
MOST_TURNS = 20
BATCH = 50
QUERIES = ("first", "1", f"{BATCH}")
Generator = np.random.Generator


# ---- the rows


def drawn(rng: Generator, rows: int) -> Rows:
    return rng.standard_normal((rows, DIM), np.float32)


def alike(change: Callable[[Generator, Rows], Rows]) -> Callable[..., tuple[Rows, Rows]]:
    """Rows and queries that come out of Gaussian ones in the same way."""
    return lambda rng, rows: (change(rng, drawn(rng, rows)), change(rng, drawn(rng, BATCH)))


def massive(_: Generator, x: Rows) -> Rows:
    x[:, 7] += 1000
    return x


def heavy(rng: Generator, x: Rows) -> Rows:
    return rng.standard_t(1.5, x.shape).astype(np.float32)


def of_few(distinct: int) -> Callable[..., tuple[Rows, Rows]]:
    return lambda rng, rows: (
        drawn(rng, distinct)[rng.integers(distinct, size=rows)],
        drawn(rng, BATCH),
    )


def half_zero(rng: Generator, rows: int) -> tuple[Rows, Rows]:
    x = drawn(rng, rows)
    x[rows // 2 :] = 0
    return x, drawn(rng, BATCH)


def one_hot(rng: Generator, rows: int) -> tuple[Rows, Rows]:
    x = np.zeros((rows, DIM), np.float32)
    x[np.arange(rows), rng.integers(DIM, size=rows)] = 1 + rng.random(rows, np.float32)
    return x, drawn(rng, BATCH)


def clusters(rng: Generator, rows: int) -> tuple[Rows, Rows]:
    """A hundred rows with many copies each, a thousandth apart; queries beside them."""
    centers = drawn(rng, 100)

    def near(count: int) -> Rows:
        return centers[rng.integers(100, size=count)] + drawn(rng, count) / 1000

    return near(rows), near(BATCH)


KINDS: dict[str, Callable[[Generator, int], tuple[Rows, Rows]]] = {
    "Gaussian": alike(lambda _, x: x),
    "uniform in [0, 1)": alike(lambda rng, x: rng.random(x.shape, np.float32)),
    "Gaussian + 3": alike(lambda _, x: x + 3),
    "one coordinate + 1000": alike(massive),
    "ReLU": alike(lambda _, x: np.maximum(x, 0)),
    "equal rows": of_few(1),
    "half zeros": half_zero,
    "two distinct rows": of_few(2),
    "one-hot": one_hot,
    "heavy tails": alike(heavy),
    "near-duplicates": clusters,
}


def embeddings(found: common.Embeddings) -> Callable[[Generator, int], tuple[Rows, Rows]]:
    """The embeddings; where more are asked for, again with noise of .3 of their length."""

    def make(rng: Generator, rows: int) -> tuple[Rows, Rows]:
        x = np.resize(found.x, (rows, found.x.shape[1])).astype(np.float32)
        x[len(found.x) :] += drawn(rng, max(0, rows - len(found.x))) * (0.3 / DIM**0.5)
        return x, np.asarray(found.y[:BATCH], np.float32)

    return make


# ---- what is timed


@dataclass(frozen=True)
class Case:
    """A search, with the µs per query of it and of all estimates."""

    kind: str
    rows: int
    method: str
    bits: int
    metric: str
    queries: str
    search: float
    estimates: float

    @property
    def ratio(self) -> float:
        return self.search / self.estimates

    def __str__(self) -> str:
        return (
            f"{self.kind:<22} {self.rows:>9,} {self.method:<11} {self.bits} {self.metric:<6} "
            f"{self.queries:>5} {self.search:>10.1f} {self.estimates:>10.1f} {self.ratio:>6.2f}"
        )


HEAD = (
    f"{'rows':<22} {'number':>9} {'method':<11} b metric query {'µs search':>10} "
    f"{'µs all':>10}  ratio"
)


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def least(ours: Callable[[], object], theirs: Callable[[], object], turns: int) -> tuple:
    """The least seconds of both, in turns; more turns while ours seems to be above the limit."""
    a, b = [], []
    while len(a) < turns or (min(a) > LIMIT * min(b) and len(a) < MOST_TURNS):
        a.append(seconds(ours))
        b.append(seconds(theirs))
    return min(a), min(b)


def measure(options: argparse.Namespace) -> Iterator[list[Case]]:
    """The cases of each kind and number of rows."""
    found = common.embeddings(options.data)
    kinds = {"embeddings": embeddings(found), **KINDS}
    for rows, kind in product(options.rows, options.kinds or kinds):
        x, y = kinds[kind](np.random.default_rng(1), rows)
        cases = []
        for method, bits in product(options.methods, options.bits):
            q = bq.create(method, dim=DIM, bits=bits, store_norm=True)
            codes = q.encode(x)
            for metric in options.metrics:
                for label, per_query in timings(q, codes, y, metric, options.turns):
                    cases.append(Case(kind, rows, method, bits, metric, label, *per_query))
        yield cases


def timings(
    q: bq.Quantizer, codes: bq.Codes, y: Rows, metric: str, turns: int
) -> Iterator[tuple[str, list[float]]]:
    """µs per query of search and of all estimates: first, one by one, and in a batch."""
    k = min(K, len(codes)) - 1

    def all_estimates(y: Rows) -> None:
        np.argpartition(-q.inner_product(codes, y), k, axis=1)

    one = y[:1]
    fresh = [codes[:] for _ in range(MOST_TURNS + 1)]
    q.search(fresh.pop(), one, K, metric)
    both = least(lambda: q.search(fresh.pop(), one, K, metric), lambda: all_estimates(one), turns)
    yield "first", [each * 1e6 for each in both]
    for some in (one, y):
        for _ in range(2):  # what single queries keep is there from the second on
            q.search(codes, one, K, metric)
        both = least(
            lambda some=some: q.search(codes, some, K, metric),
            lambda some=some: all_estimates(some),
            turns,
        )
        yield f"{len(some)}", [each * 1e6 / len(some) for each in both]


def line(cases: list[Case]) -> str:
    """The worst ratio of each number of queries, for the same rows."""
    cells = []
    for queries in QUERIES:
        worst = max((case for case in cases if case.queries == queries), key=ratio)
        cells.append(f"{worst.ratio:>6.2f} ({worst.bits} {worst.metric})".ljust(18))
    return f"{cases[0].kind:<22} {cases[0].rows:>9,} {' '.join(cells)}".rstrip()


def ratio(case: Case) -> float:
    return case.ratio


def report(cases: list[Case], count: int) -> int:
    """Prints the worst cases; 1 if one is above the limit."""
    worst = sorted(cases, key=ratio, reverse=True)[:count]
    print(f"\nthe {len(worst)} worst of {len(cases)} cases\n\n{HEAD}", *worst, sep="\n")
    above = sum(case.ratio > LIMIT for case in cases)
    print(f"\n{above} of {len(cases)} cases above {LIMIT}")
    return int(above > 0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    common.add_data(parser)
    parser.add_argument("--rows", type=int, nargs="+", default=[1000, 20_000])
    parser.add_argument("--kinds", nargs="+", choices=["embeddings", *KINDS], metavar="KIND")
    parser.add_argument("--methods", nargs="+", default=["blockquant"])
    parser.add_argument("--bits", type=int, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument("--metrics", nargs="+", default=["ip", "l2", "cosine"])
    parser.add_argument("--turns", type=int, default=4, help="at least")
    parser.add_argument("--worst", type=int, default=20, help="how many cases to print")
    parser.add_argument("--quick", action="store_true", help="1,000 rows by ip and l2")
    options = parser.parse_args()
    if options.quick:
        options.rows, options.metrics, options.turns = [1000], ["ip", "l2"], 2
    bq.set_num_threads(1)
    start = time.perf_counter()
    print(common.machine())
    print(f"d = {DIM}, k = {K}, least of {options.turns} turns or more; µs per query\n", flush=True)
    heads = " ".join(f"{f'{queries} (bits metric)':<18}" for queries in QUERIES)
    print(f"worst ratios by queries\n\n{'rows':<22} {'number':>9} {heads}")
    every = []
    for cases in measure(options):
        print(line(cases), flush=True)
        every += cases
    failed = report(every, options.worst)
    print(f"{time.perf_counter() - start:.0f} s in all")
    return failed


if __name__ == "__main__":
    sys.exit(main())
