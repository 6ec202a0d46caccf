"""Eight threads use one quantizer and one index, and get what one thread gets, to the byte.

With CPython's lock they are switched as often as it can; without it they run at the same time.
"""

import copy
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import blockquant as bq
from indexes import DIM, X, Y, make

THREADS = 8
#: Rows of a call of `add`.
BLOCK = 5


@pytest.fixture(autouse=True)
def frequent_switches():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def together(*works):
    """Runs all works at once; each is given a function that says whether to go on."""
    start, stop = threading.Barrier(len(works)), threading.Event()

    def run(work):
        start.wait(60)
        try:
            return work(lambda: not stop.is_set())
        finally:
            stop.set()

    with ThreadPoolExecutor(len(works)) as pool:
        return [one.result(120) for one in [pool.submit(run, work) for work in works]]


def turns(count, step):
    """A work of so many steps, which ends early if another work has ended."""

    def work(goes_on):
        done = 0
        while done < count and goes_on():
            step(done)
            done += 1
        return done

    return work


@pytest.mark.parametrize("name", ["blockquant", "eden/mse", "turboquant/prod", "rabitq"])
def test_one_quantizer(name):
    q = bq.create(name, dim=DIM, bits=2, store_norm=True)
    codes = q.encode(X)

    def everything(part):
        rows = slice(part * 25, part * 25 + 25)
        mine = q.encode(X[rows])
        found = [mine.packed, mine.scale, mine.norm, q.decode(mine), q.inner_product(codes, Y)]
        for metric in ("ip", "cosine", "l2"):
            found += [*q.search(codes, Y, 7, metric), *q.search(codes, Y[:1], 7, metric)]
        found += [q.rotate(X[rows]), q.norms(mine)]
        found += q.interval(mine, Y) if name in ("blockquant", "rabitq") else ()
        return [array.tobytes() for array in found]

    alone = [everything(part) for part in range(THREADS)]
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in range(5):
            assert list(pool.map(everything, range(THREADS))) == alone


def test_searches_of_one_index():
    index = make()
    index.remove(range(0, 200, 9))

    def search(turn):
        options = (
            {},
            {"allow": range(turn)},
            {"deny": [[turn]] * 6},
            {"rerank": X},
            {"exact": True},
        )
        found = []
        for option in options:
            found += index.search(Y, 5, "l2", **option)
        return [array.tobytes() for array in found]

    alone = [search(turn) for turn in range(40)]
    fresh = pickle.loads(pickle.dumps(index))  # nothing is derived so far
    index = fresh
    with ThreadPoolExecutor(THREADS) as pool:
        assert list(pool.map(search, range(40))) == alone


@pytest.mark.parametrize("kind", ["int64", "str"])
def test_an_add_is_seen_as_a_whole(kind):
    """Two threads add and remove blocks of rows, and six search: a block is there or not.

    What is found has the scores of the rows themselves, in the right order.
    """
    name = (lambda id: id) if kind == "int64" else "id {:05d}".format
    number = (lambda id: id) if kind == "int64" else (lambda id: int(id[3:]))
    q = bq.Eden(DIM, 4, store_norm=True)
    index = bq.Index.of(q, ids=kind)
    base = [name(id) for id in range(40)]
    index.add(X[:40], ids=base)
    scores = q.inner_product(q.encode(X), Y)  # of row id % 200
    added = [0, 0]

    def block(thread, turn):
        return 1000 + (2 * turn + thread) * BLOCK + np.arange(BLOCK)

    def writer(thread):
        def step(turn):
            ids = block(thread, turn)
            index.add(X[ids % 200], ids=[name(id) for id in ids.tolist()])
            added[thread] = turn + 1
            if turn >= 4:
                gone = block(thread, turn - 4)
                assert index.remove([name(id) for id in gone.tolist()]) == BLOCK

        return turns(150, step)

    def look(turn):
        before = list(added)
        found, ids = index.search(Y, 200)
        after = list(added)
        seen = [number(id) for id in ids[0].tolist() if id not in (None, -1)]
        assert len(seen) == len(set(seen)) >= 40
        assert set(range(40)) <= set(seen)
        blocks = {(id - 1000) // BLOCK for id in seen if id >= 1000}
        assert len(seen) == 40 + len(blocks) * BLOCK, "a part of a block"
        for thread in (0, 1):
            turns_seen = {at // 2 for at in blocks if at % 2 == thread}
            # Added before the search and not yet removed after it: these must be there.
            assert turns_seen >= set(range(max(0, after[thread] - 3), before[thread]))
            # What was removed before the search is not, nor what was not begun after it.
            assert not turns_seen - set(range(max(0, before[thread] - 5), after[thread] + 1))
        rows = np.array(seen) % 200
        for query in range(len(Y)):
            mine = np.array([number(id) for id in ids[query, : len(seen)].tolist()])
            np.testing.assert_array_equal(found[query, : len(seen)], scores[query, mine % 200])
            assert (np.diff(found[query, : len(seen)]) <= 0).all()
        assert sorted(rows.tolist()) == sorted((mine % 200).tolist())

    together(writer(0), writer(1), *[turns(10**6, look)] * 6)
    left = [id for id in index if number(id) >= 1000]
    assert len(left) % BLOCK == 0
    index.remove(left)
    assert list(index) == base
    assert index.codes() == q.encode(X[:40])
    for a, b in zip(index.search(Y, 5), q.search(q.encode(X[:40]), Y, 5), strict=True):
        assert [name(i) if b.dtype == np.int64 else i for i in b.flat] == a.ravel().tolist()


def test_replaced_rows_are_there_once():
    """One thread replaces five rows again and again: a search finds each once, all of one time."""
    index = bq.Index(DIM, 8, "eden")
    ids = ["a", "b", "c", "d", "e"]
    index.add(np.tile(X[0], (5, 1)), ids=ids)
    index.add(-1000 * Y[:1], ids="far")
    q = index.quantizer
    known = {q.inner_product(q.encode(row), Y[:1]).tobytes() for row in X[:50]}

    def replace(turn):
        index.add(np.tile(X[turn % 50], (5, 1)), ids=ids, replace=True)

    def look(turn):
        scores, found = index.search(Y[:1], 8)
        assert found[0, :6].tolist() == [*ids, "far"]
        assert len(set(scores[0, :5].tolist())) == 1
        assert scores[0, :1].tobytes() in known
        some = index.search(Y[:1], 3, allow=["e", "b"])[1]
        assert some.tolist() == [["b", "e", None]]
        assert "c" in index
        assert len(index) == 6
        assert index.ids.tolist() in (["far", *ids], [*ids, "far"])
        assert len(set(map(bytes, index.codes(ids).packed))) == 1

    together(turns(400, replace), *[turns(10**6, look)] * 7)


class Watched(bq.Index):
    """An index that looks at each moment as a thread would that reads it at once."""

    def __setattr__(self, name, value):
        super().__setattr__(name, value)
        if name == "_now":
            live = value.left > value.change
            assert int(live.sum()) == len(value)
            ids = [id for id, is_live in zip(value.ids, live, strict=True) if is_live]
            assert len(set(ids)) == len(ids)
            assert value.live is None or (value.live == live).all()
            rows = value.find(value.ids)
            assert (rows[live] == np.flatnonzero(live)).all()
            assert all(array.shape[0] == len(value.left) for array in value.filled.values())


@pytest.mark.parametrize("kind", ["int64", "str"])
def test_every_moment_is_whole(kind):
    """What is published is complete at that very time, not soon after."""
    names = list(range(200)) if kind == "int64" else [f"{id}" for id in range(200)]
    index = Watched(DIM, 2)
    for turn in range(60):
        index.add(X[:5], ids=names[turn : turn + 5], replace=True)
        index.add(X[5:7], ids=names[100 + 2 * (turn % 50) :][:2], replace=True)
        if turn % 3 == 0:
            index.remove([names[turn], names[100 + 2 * (turn % 50)]])
    index.compact()
    assert len(index._now.left) == len(index) == len(set(index))


def test_filters_while_rows_move():
    """Removals copy rows to other places; what a filter allows is found all the same."""
    index = make()
    fixed = list(range(0, 200, 40))
    alone = index.search(Y, 5, allow=fixed)
    others = [id for id in range(200) if id not in fixed]

    def change(turn):
        index.remove(others[turn::3], missing_ok=True)
        index.add(X[others[turn::3]], ids=others[turn::3])
        if turn % 2:
            index.compact()

    def look(turn):
        for a, b in zip(index.search(Y, 5, allow=fixed), alone, strict=True):
            np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(index.decode(fixed), index.quantizer.decode(codes))
        kept = copy.copy(index)
        assert kept.ids.tolist() == list(kept)
        assert len(pickle.loads(pickle.dumps(index))) >= len(fixed)

    codes = index.codes(fixed)
    together(
        lambda goes_on: [change(turn % 3) for turn in range(150) if goes_on()],
        *[turns(10**6, look)] * 7,
    )


def test_eight_threads_add():
    """Default ids are given once, and an id that several threads add is added by one of them."""
    index = bq.Index(DIM, 4, "eden")
    refused = []

    def add(thread):
        def step(turn):
            ids = index.add(X[thread * 10 : thread * 10 + 10])
            assert ids.tolist() == list(range(ids[0], ids[0] + 10))
            rows[ids[0]] = thread
            try:
                index.add(X[turn], ids=-2 - turn)
            except ValueError as error:
                refused.append(str(error))

        return turns(25, step)

    rows = {}
    assert together(*map(add, range(THREADS))).count(25) >= 1
    found = [id for id in index if id >= 0]
    assert sorted(found) == list(range(len(found)))
    assert found == sorted(found)
    for first, thread in rows.items():
        expected = index.quantizer.encode(X[thread * 10 : thread * 10 + 10])
        assert index.codes(range(first, first + 10)) == expected
    own = [id for id in index if id < 0]
    assert len(own) == len(set(own))
    assert len(own) + len(refused) == len(rows)


def search_here(index):
    return [array.tobytes() for array in index.search(Y, 5, "cosine", deny=[3])]


def test_spawned_processes():
    index = make()
    index.remove(range(50))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        there = pool.apply(search_here, (index,))
    assert there == search_here(index)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_forked_while_a_thread_adds():
    """The child has the rows of one moment, and its locks are open."""
    script = """
import os, sys, threading
import numpy as np, blockquant as bq
x = np.random.default_rng(0).standard_normal((50, 24)).astype(np.float32)
index = bq.Index(24, 2)
index.add(x)
index._lock.acquire()  # as a thread of the parent that adds or removes
child = os.fork()
if child == 0:
    index.add(x[:1])
    index.remove(3)
    whole = [id for id in range(51) if id != 3]
    os._exit(0 if list(index) == whole and index.search(x, 5)[1][4, 0] == 4 else 1)
_, status = os.waitpid(child, 0)
print(status, len(index))
"""
    command = [sys.executable, "-W", "ignore", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout == "0 50\n", done.stderr
