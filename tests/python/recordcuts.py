"""Changes of a store of records that are cut off at each of their lines, and the process of
`test_records.py`, which forks at each of them while another thread makes the change.
"""

import json
import os
import queue
import signal
import sys
import threading
import traceback

import numpy as np

import blockquant as bq
from blockquant.index import _index, _state
from blockquant.integrations import _records

X = np.random.default_rng(0).standard_normal((60, 16)).astype(np.float32)
#: The modules that replace what a store holds; others make what takes its place.
CHANGING = {_records.__name__, _index.__name__, _state.__name__}
#: Seconds until a child that hangs is ended.
LIMIT = 60


def empty():
    return _records.Records("cosine", {"bits": 4, "store_norm": True})


def filled():
    store = empty()
    store.put([f"{i}" for i in range(6)], X[:6], [*range(6)])
    return store


#: What a store is before a change, the change, and the rows of the ids after it.
CHANGES = {
    "put": (
        filled,
        lambda store: store.put(["30", "3", "4"], X[[30, 31, 32]], [30, 31, 32]),
        {**{f"{i}": i for i in range(6)}, "30": 30, "3": 31, "4": 32},
    ),
    "first put": (empty, lambda store: store.put(["7", "8"], X[:2], [0, 1]), {"7": 0, "8": 1}),
    "drop": (filled, lambda store: store.drop([f"{i}" for i in range(1, 6)]), {"0": 0}),
    "clear": (filled, lambda store: store.clear(), {}),
}


def rows_of(store):
    """The row of each id; records and codes agree on it."""
    rows = store.of()
    assert len(store) == len(rows)
    assert sorted(() if store.index is None else store.index) == sorted(rows)
    for id, row in rows.items():
        (found,) = store.search(X[row], 1, ids=[id])
        assert (found.id, found.record) == (id, row)
        assert found.score > 0.95
    return rows


def rows_at_a_cut(store):
    """The rows of a store whose change was cut off, and that other changes do what they do."""
    rows = rows_of(store)
    store.put(["new", "0"], X[40:42], [40, 41])
    assert rows_of(store) == {**rows, "new": 40, "0": 41}
    assert store.drop(["new"]) == 1
    assert rows_of(store) == {**rows, "0": 41}
    return rows


def at_each_line(store, change, stop):
    """Makes a change, and calls `stop` before each line that the lock of the store protects, when
    it is there for the first time."""
    seen = set()

    def trace(frame, event, _):
        if frame.f_globals.get("__name__") not in CHANGING:
            return None
        line = frame.f_code, frame.f_lineno
        if event == "line" and line not in seen:
            seen.add(line)
            if store._lock.locked():
                stop()
        return trace

    sys.settrace(trace)
    try:
        change(store)
    finally:
        sys.settrace(None)


def forked_at_each_line(begin, change, after):
    """How many children had the rows before the change, how many those after it, and how many
    failed.
    """
    store = begin()
    states = [rows_of(store), after]
    lines, forked = queue.SimpleQueue(), threading.Semaphore(0)

    def stop():
        lines.put(True)
        forked.acquire()

    def write():
        try:
            at_each_line(store, change, stop)
        finally:
            lines.put(False)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    found = [0, 0, 0]
    while lines.get():
        child = os.fork()
        if child == 0:
            signal.alarm(LIMIT)
            code = 2
            try:
                code = states.index(rows_at_a_cut(store))
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        status = os.waitpid(child, 0)[1]
        found[os.WEXITSTATUS(status) if os.WIFEXITED(status) else 2] += 1
        forked.release()
    assert rows_of(store) == after
    return found


def main():
    bq.set_num_threads(1)  # children need not start their own
    print(json.dumps({name: forked_at_each_line(*given) for name, given in CHANGES.items()}))


if __name__ == "__main__":
    main()
