"""An index against a dict of its rows, in any order of calls.

What a search finds depends on the rows that are there and on the order in which they were added,
not on what happened before: it equals a search of new codes of these rows.
"""

import copy
import pickle
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

import blockquant as bq
from blockquant.index import _ids

DIM = 12
Q = bq.Eden(DIM, 2, store_norm=True)
#: Few different rows, so that many scores are equal.
POOL = np.random.default_rng(3).standard_normal((9, DIM)).astype(np.float32)
QUERIES = np.random.default_rng(4).standard_normal((3, DIM)).astype(np.float32)

NUMBERS = st.sampled_from([0, 1, 2, 3, 5, 8, 13, 40, -7, 2**63 - 2, -(2**63), 2**40])
STRINGS = st.sampled_from(["", "a", "b", "ab", "ä", "向量", "a\0", "x" * 300, "-1", "0"])


class Model(RuleBasedStateMachine):
    """The index, and a dict from ids to rows of the pool in the order of adding."""

    kind: str
    some: st.SearchStrategy

    @initialize()
    def begin(self):
        self.index = bq.Index.of(Q, ids=self.kind)
        self.rows = {}
        self.next = 0
        self.kept = []

    def ids(self, data, **options):
        return data.draw(st.lists(self.some, **options))

    @rule(data=st.data(), replace=st.booleans(), as_codes=st.booleans())
    def add(self, data, replace, as_codes):
        ids = self.ids(data, unique=True, max_size=7)
        which = data.draw(st.lists(st.integers(0, 8), min_size=len(ids), max_size=len(ids)))
        x = POOL[which].reshape(len(ids), DIM)
        x = Q.encode(x) if as_codes else x
        known = [place for place, id in enumerate(ids) if id in self.rows]
        if known and not replace:
            with pytest.raises(ValueError, match=f"position {known[0]} is "):
                self.index.add(x, ids=ids)
            return
        assert list(self.index.add(x, ids=ids, replace=replace)) == ids
        for id, row in zip(ids, which, strict=True):
            self.rows.pop(id, None)
            self.rows[id] = row
            if self.kind == "int64":
                self.next = max(self.next, id + 1)

    @rule(count=st.integers(0, 6), data=st.data())
    def add_without_ids(self, count, data):
        which = data.draw(st.lists(st.integers(0, 8), min_size=count, max_size=count))
        x = POOL[which].reshape(count, DIM)
        if self.kind == "str" and count:
            with pytest.raises(TypeError, match="strings as ids: pass ids"):
                self.index.add(x)
        elif self.next + count > 2**63:
            with pytest.raises(ValueError, match="do not fit int64"):
                self.index.add(x)
        else:
            ids = self.index.add(x).tolist()
            assert ids == list(range(self.next, self.next + count))
            self.rows.update(zip(ids, which, strict=True))
            self.next += count

    @rule(data=st.data(), missing_ok=st.booleans())
    def remove(self, data, missing_ok):
        ids = self.ids(data, max_size=6)
        missing = [place for place, id in enumerate(ids) if id not in self.rows]
        if missing and not missing_ok:
            with pytest.raises(KeyError, match=f"position {missing[0]} is "):
                self.index.remove(ids)
            return
        known = {id for id in ids if id in self.rows}
        assert self.index.remove(ids, missing_ok=missing_ok) == len(known)
        for id in known:
            del self.rows[id]

    @rule()
    def remove_half(self):
        ids = list(self.rows)[::2]
        assert self.index.remove(ids) == len(ids)
        for id in ids:
            del self.rows[id]

    @rule()
    def compact(self):
        self.index.compact()

    @rule(how=st.sampled_from(["file", "pickle", "copy"]), keep=st.booleans())
    def take_another(self, how, keep):
        """Goes on with a copy; what the original had must stay as it was."""
        if keep:
            self.kept.append((self.index, dict(self.rows)))
        if how == "file":
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
                path = Path(folder, "index")
                self.index.save(path)
                self.index.save(Path(folder, "again"))
                assert path.read_bytes() == Path(folder, "again").read_bytes()
                self.index = bq.Index.load(path)
        else:
            give = {"pickle": lambda a: pickle.loads(pickle.dumps(a)), "copy": copy.copy}[how]
            self.index = give(self.index)

    @rule(
        data=st.data(),
        k=st.integers(1, 12),
        metric=st.sampled_from(["ip", "cosine", "l2"]),
        what=st.sampled_from(["allow", "deny", None]),
        one_each=st.booleans(),
        exact=st.booleans(),
    )
    def search(self, data, k, metric, what, one_each, exact):
        options, wanted = {}, [None] * len(QUERIES)
        if what is not None and one_each:
            wanted = [data.draw(st.none() | st.lists(self.some, max_size=6)) for _ in QUERIES]
            options[what] = wanted
        elif what is not None:
            options[what] = self.ids(data, max_size=8)
            wanted = [options[what]] * len(QUERIES)
        found = self.index.search(QUERIES, k, metric, exact=exact, **options)
        check(found, self.rows, self.kind, k, metric, what, wanted, exact)

    @invariant()
    def what_it_holds(self):
        same(self.index, self.rows, self.kind)
        for index, rows in self.kept:
            same(index, rows, self.kind)


def same(index, rows, kind):
    assert len(index) == len(rows)
    assert list(index) == index.ids.tolist() == list(rows)
    assert index.kind == kind
    codes = index.codes()
    assert codes == Q.encode(POOL[list(rows.values())].reshape(-1, DIM))
    assert index.codes(list(rows)[::-1]) == codes[::-1]
    size = sum(len(id.encode()) for id in rows) if kind == "str" else 0
    assert index.nbytes == codes.nbytes + 8 * len(rows) + size
    assert all(id in index for id in rows)
    # Removed rows take at most a quarter of the room that is filled.
    assert 4 * index._now.removed <= len(index._now.left)


def check(found, rows, kind, k, metric, what, wanted, exact):
    """Compares with searches of new codes, query by query."""
    scores, ids = found
    assert scores.shape == ids.shape == (len(QUERIES), k)
    assert scores.dtype == np.float32
    assert ids.dtype == (object if kind == "str" else np.int64)
    names = list(rows)
    codes = Q.encode(POOL[list(rows.values())].reshape(-1, DIM))
    for place, query in enumerate(QUERIES):
        mask = np.ones(len(names), bool)
        if wanted[place] is not None:
            mask = np.array([(id in wanted[place]) == (what == "allow") for id in names], bool)
        score, row = Q.search(codes, query, k, metric, mask, exact=exact)
        count = row.shape[1]
        assert ids[place, :count].tolist() == [names[i] for i in row[0]]
        np.testing.assert_array_equal(scores[place, :count], score[0])
        assert (scores[place, count:] == (np.inf if metric == "l2" else -np.inf)).all()
        padding = None if kind == "str" else -1
        assert ids[place, count:].tolist() == [padding] * (k - count)


class Numbers(Model):
    kind, some = "int64", NUMBERS


class Strings(Model):
    kind, some = "str", STRINGS


options = settings(
    max_examples=40,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestNumbers = Numbers.TestCase
TestNumbers.settings = options
TestStrings = Strings.TestCase
TestStrings.settings = options


@pytest.mark.parametrize("different", [1, 2])
def test_strings_of_equal_keys(monkeypatch, different):
    """Hashes of strings can be equal, and what is found must not depend on it."""

    def keys(self):
        return np.array([len(string) % different for string in self], np.int64)

    monkeypatch.setattr(_ids.Strings, "keys", keys)
    index = bq.Index.of(Q)
    index.add(POOL[:3], ids=["a", "bcd", "c"])
    index.remove("c")
    assert [id for id in ("a", "bcd", "c", "e", "efg", "") if id in index] == ["a", "bcd"]
    assert index.codes(["bcd", "a"]) == Q.encode(POOL[[1, 0]])
    run_state_machine_as_test(Strings, settings=settings(options, max_examples=25))
