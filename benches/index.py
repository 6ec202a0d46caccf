"""What an index costs besides the encoding and the search of its codes.

    python benches/index.py [--rows 1000000] [--turns 5]

Gaussian rows of 64 dimensions at 1 bit, encoded before, so that a line is about ids and rows alone.
One thread, least time of some turns, each with a new index. What is measured, with ids by default,
with random numbers and with strings of 16 characters:

* all rows added, then the first removal, which sorts the ids;
* per row: adding and removing one row by its own call, 1,000 calls;
* removing a quarter of the rows and one more, which copies the others together;
* a search under a filter of 1,000 ids, and of a third of the ids; and without a filter.

Then what one search costs in Python: the time of searches of 10 rows by the index, by the quantizer
and by the core alone.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np

import blockquant as bq
import common
from blockquant._filled import in_order

DIM = 64
#: Rows that are added and removed by a call each.
SINGLES = 1000


def least(turns: int, work: Callable[[], object]) -> float:
    found = []
    for _ in range(turns):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return min(found)


def turn(q, codes, ids, y) -> dict[str, float]:
    """Seconds of each step with a new index."""
    found = {}

    def timed(name: str, work: Callable[[], object]) -> None:
        found[name] = least(1, work)

    index = bq.Index.of(q)
    timed("add all", lambda: index.add(codes, ids=ids))
    all_ids = index.ids
    timed("first removal", lambda: index.remove(all_ids[0]))
    one = codes[:1]
    new = [f"new {i}" if index.kind == "str" else 2**61 + i for i in range(SINGLES)]
    timed("add one", lambda: [index.add(one, ids=id) for id in new])
    timed("remove one", lambda: [index.remove(id) for id in new])
    for _ in range(3):
        index.search(y)
    timed("search", lambda: index.search(y))
    timed("1,000 allowed", lambda: index.search(y, allow=all_ids[1:1001]))
    timed("a third allowed", lambda: index.search(y, allow=all_ids[1::3]))
    many = all_ids[1 : 2 + len(codes) // 4]
    timed("remove a quarter", lambda: index.remove(many))
    assert index._now.removed == 0
    return found


def figures(q, codes, ids, y, turns: int) -> dict[str, float]:
    """Seconds of each step, the least of all turns."""
    found = [turn(q, codes, ids, y) for _ in range(turns)]
    return {name: min(times[name] for times in found) for name in found[0]}


def overhead(turns: int) -> list[str]:
    """Microseconds of a search of 10 rows."""
    q = bq.Eden(DIM, 1)
    rng = np.random.default_rng(2)
    codes = q.encode(rng.standard_normal((10, DIM)).astype(np.float32))
    index = bq.Index.of(q)
    index.add(codes)
    y = rng.standard_normal((1, DIM)).astype(np.float32)
    arrays = in_order(codes._filled)
    calls = {
        "Index.search": lambda: index.search(y),
        "Quantizer.search": lambda: q.search(codes, y),
        "the core": lambda: q._core.search(arrays, None, y, 10, "ip"),
    }
    times = {name: 1e6 * least(200 * turns, call) for name, call in calls.items()}
    return [f"{name:<18}{value:6.1f} µs" for name, value in times.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--turns", type=int, default=5)
    given = parser.parse_args()
    bq.set_num_threads(1)
    rng = np.random.default_rng(1)
    q = bq.Eden(DIM, 1)
    codes = q.encode(rng.standard_normal((given.rows, DIM)).astype(np.float32))
    y = rng.standard_normal((1, DIM)).astype(np.float32)
    numbers = rng.permutation(10 * given.rows)[: given.rows]
    kinds = {
        "by default": None,
        "random int64": numbers,
        "strings": [f"document {number:07d}" for number in numbers.tolist()],
    }
    print(common.machine())
    print(f"{given.rows:,} rows")
    columns = {name: figures(q, codes, ids, y, given.turns) for name, ids in kinds.items()}
    print(f"{'ms':<18}" + "".join(f"{name:>14}" for name in columns))
    for name in next(iter(columns.values())):
        each = SINGLES if name.endswith(" one") else 1
        line = "".join(f"{1e3 * times[name] / each:14.2f}" for times in columns.values())
        print(f"{name:<18}{line}")
    print("one search of 10 rows")
    print("\n".join(overhead(given.turns)))


if __name__ == "__main__":
    main()
