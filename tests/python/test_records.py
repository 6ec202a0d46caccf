"""A change of a store of records is whole wherever a fork or an interrupt cuts it off."""

import json
import os
import subprocess
import sys

import pytest

import recordcuts
from recordcuts import CHANGES, at_each_line, rows_at_a_cut, rows_of


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_children_forked_while_a_thread_changes():
    """At each line of a change a child has the rows before it or after it, and can go on."""
    command = [sys.executable, "-W", "ignore", recordcuts.__file__]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.keys() == CHANGES.keys()
    for before, after, failed in found.values():
        assert failed == 0, done.stderr
        assert before > 0
        assert after > 3


@pytest.mark.parametrize("name", CHANGES)
def test_an_interrupt(name):
    begin, change, after = CHANGES[name]
    states = [rows_of(begin()), after]
    lines = []
    at_each_line(begin(), change, lambda: lines.append(len(lines)))
    found = []
    for line in lines:
        store, left = begin(), iter(range(line + 1))

        def stop(left=left, line=line):
            if next(left, 0) == line:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            at_each_line(store, change, stop)
        found.append(states.index(rows_at_a_cut(store)))
    assert set(found) == {0, 1}


def test_a_change_that_fails_leaves_nothing_to_be_done(monkeypatch):
    store = recordcuts.filled()

    def fail(*_, **__):
        raise MemoryError

    monkeypatch.setattr(type(store.index), "add", fail)
    with pytest.raises(MemoryError):
        store.put(["new"], recordcuts.X[:1], [0])
    monkeypatch.undo()
    assert "new" not in rows_at_a_cut(store)
