"""The search cascade: the same result however it is computed, and what the result is.

The rows found are those of the greatest m, the merit at the least of the estimate and its upper
bounds (`rust/scan/bounds.rs`); they are sorted by their estimates. m depends on the row, the query
and the quantizer alone, so nothing else may change a result.
"""

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import blockquant as bq
import reference_bounds
import searches
from blockquant import _core
from searches import KINDS, METRICS, NAMES, QUANTIZERS, make, merged, ranked, rows

some_quantizers = pytest.mark.parametrize(("name", "dim", "options"), QUANTIZERS, ids=NAMES)


def same(a, b):
    for one, other in zip(a, b, strict=True):
        np.testing.assert_array_equal(one, other)


def bits(array):
    return np.asarray(array, np.float32).view(np.uint32)


# ---- the same result however it is computed


@pytest.fixture(scope="module")
def written_codes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("codes")
    searches.write_codes(folder)
    return folder


def test_every_instruction_set_and_number_of_threads_finds_the_same(written_codes):
    command = [sys.executable, Path(searches.__file__), str(written_codes)]
    source = str(Path(bq.__file__).parents[1])
    running = {}
    for isa in _core.available_isa():
        path = os.pathsep.join([source, *filter(None, [os.environ.get("PYTHONPATH")])])
        env = os.environ | {"BLOCKQUANT_ISA": isa, "PYTHONPATH": path}
        running[isa] = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
    found = {isa: process.communicate()[0] for isa, process in running.items()}
    assert not any(process.returncode for process in running.values())
    digests = [json.loads(line) for text in found.values() for line in text.splitlines()]
    assert len(digests) == 2 * len(found)
    for other in digests[1:]:
        assert [case for case in other if other[case] != digests[0][case]] == []


@some_quantizers
def test_queries_in_any_division(name, dim, options):
    rng = np.random.default_rng(1)
    q = make(name, dim, options)
    x, _ = rows(rng, "Gaussian", 900, dim)
    y = rng.standard_normal((13, dim)).astype(np.float32)
    codes = q.encode(x)
    for metric in METRICS:
        for mask in (None, rng.random(len(x)) < 0.7):
            whole = q.search(codes, y, 10, metric, mask)
            for size in (1, 2, 3, 5, 8):
                parts = [
                    q.search(codes, y[at : at + size], 10, metric, mask)
                    for at in range(0, len(y), size)
                ]
                same(map(np.concatenate, zip(*parts, strict=True)), whole)


@some_quantizers
@pytest.mark.parametrize("kind", ["Gaussian", "near", "norms"])
def test_rows_in_any_division(name, dim, options, kind):
    rng = np.random.default_rng(2)
    q = make(name, dim, options)
    x, y = rows(rng, kind, 1300, dim)
    codes = q.encode(x)
    cuts = [0, 1, 64, 64, 500, 1234, 1300]
    for metric, k in zip(METRICS, (1, 10, 70), strict=True):
        for mask in (None, rng.random(len(x)) < 0.5):
            parts = []
            for a, b in pairwise(cuts):
                allowed = None if mask is None else mask[a:b]
                parts.append((a, ranked(q, codes[a:b], y, k, metric, allowed)))
            same(merged(parts, k, metric), q.search(codes, y, k, metric, mask))


def test_the_core_merges_ranked_parts(rng):
    """As the definition in `searches.merged` does, ties and NaN included."""
    parts = []
    for first in (0, 40, 80):
        rank = np.sort(rng.integers(0, 6, (3, 20)), axis=1)[:, ::-1].astype(np.float32)
        score = rank + rng.integers(0, 3, rank.shape).astype(np.float32)
        score[0, 19], rank[0, 19] = np.nan, -np.inf
        index = rng.permuted(np.tile(np.arange(40), (3, 1)), axis=1)[:, :20]
        parts.append((first, (score, rank, index.astype(np.int64))))
    for metric in ("ip", "l2"):
        same(searches.core_merged(parts, 15, metric), merged(parts, 15, metric))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "rate"), [("blockquant", 2), ("eden", 4), ("eden", 1)])
def test_codes_that_change_are_searched_like_fresh_ones(kind, name, rate):
    """After any appends and deletes between searches of one query and of many."""
    rng = np.random.default_rng(3)
    q = bq.create(name, dim=100, bits=rate, store_norm=True)
    x, y = rows(rng, kind, 2600, 100)
    codes = q.encode(x[:1100])
    for _ in range(12):
        action = rng.integers(4)
        if action == 0:
            at = rng.integers(2000)
            codes.append(q.encode(x[at : at + rng.integers(1, 600)]))
        elif action == 1:
            codes.delete(rng.integers(len(codes), size=rng.integers(1, 40)))
        elif action == 2:
            codes.delete(rng.random(len(codes)) < rng.choice([0.01, 0.4]))
        metric = METRICS[rng.integers(3)]
        mask = None if rng.random() < 0.6 else rng.random(len(codes)) < 0.5
        fresh = codes[:]
        for _ in range(2):
            one = rng.integers(len(y))
            line = q.search(codes, y[one], 10, metric, mask)
            same(line, q.search(fresh, y[one], 10, metric, mask))
        batch = q.search(codes, y, 10, metric, mask)
        same(batch, q.search(codes[:], y, 10, metric, mask))
        same([part[one : one + 1] for part in batch], line)


def test_a_loaded_file_and_a_slice_are_searched_alike(tmp_path, rng):
    q = bq.BlockQuant(96, 2, store_norm=True)
    x, y = rows(rng, "near", 2500, 96)
    codes = q.encode(x)
    bq.save(tmp_path / "codes.safetensors", q, codes)
    _, loaded = bq.load(tmp_path / "codes.safetensors")
    for some in (y, y[:1], y[:1], y[:1]):
        same(q.search(loaded, some), q.search(codes, some))
        score, index = q.search(codes[100:], some)
        same((score, index + 100), q.search(codes, some, mask=np.arange(len(x)) >= 100))


# ---- what is found


def few_hot(q, rng, n, dim):
    """Rows with two coordinates in the basis of the rotation, which bounds of level 0 miss."""
    few = np.zeros((n, dim))
    few[np.arange(n)[:, None], rng.integers(dim, size=(n, 2))] = rng.standard_normal((n, 2))
    return (few @ q.rotate(np.eye(dim))).astype(np.float32)


@pytest.mark.parametrize("kind", ["Gaussian", "few-hot"])
@pytest.mark.parametrize(
    ("name", "dim", "options"),
    [
        ("eden", 128, {"bits": 1}),
        ("eden", 100, {"bits": 3}),
        ("blockquant", 128, {"bits": 1}),
        ("blockquant", 133, {"bits": 2}),
        ("blockquant", 64, {"bits": 2.5}),
        ("rabitq", 65, {"bits": 4}),
        ("turboquant/mse", 96, {"bits": 8}),
    ],
)
def test_the_rows_found_are_those_of_the_greatest_m(kind, name, dim, options):
    """m by an independent reference, which rounds less; so it holds up to a small difference."""
    rng = np.random.default_rng(12)
    q = make(name, dim, options)
    x, y = rows(rng, "Gaussian", 4000, dim)
    if kind == "few-hot":
        x = few_hot(q, rng, len(x), dim)
    codes = q.encode(x)
    products, least = reference_bounds.least(q, codes.packed, y, dim)
    factor = codes.scale * np.linalg.norm(y, axis=1)[:, None] / dim
    estimates = q.inner_product(codes, y)
    np.testing.assert_allclose(products * factor, estimates, atol=1e-4 * np.abs(estimates).max())
    m = least * factor
    # Of the product of the norms, an error that rounding the shape of a row can make.
    slack = 5e-3 * np.linalg.norm(y, axis=1, keepdims=True) * codes.norm
    k = 25
    worst = -np.sort(-m, axis=1)[:, k - 1 : k]
    for parts in (q.search(codes, y, k), by_one(q, codes, y, k)):
        index = parts[1]
        found, margin = (np.take_along_axis(each, index, axis=1) for each in (m, slack))
        assert (found >= worst - 2 * margin).all()
        missing = np.ones(m.shape, bool)
        np.put_along_axis(missing, index, False, axis=1)
        assert not (missing & (m > worst + 2 * slack)).any()
    score, rank, index = ranked(q, codes, y, k)
    found, margin = (np.take_along_axis(each, index, axis=1) for each in (m, slack))
    assert (np.abs(rank - found) <= margin).all()
    assert (rank <= score).all()


def by_one(q, codes, y, k):
    """The same, one query at a time: from the third on a search uses what the others keep."""
    lines = [q.search(codes, one, k) for one in (*y[:2], *y)][2:]
    return [np.concatenate(parts) for parts in zip(*lines, strict=True)]


# ---- laws


@some_quantizers
@pytest.mark.parametrize("kind", ["Gaussian", "near"])
def test_scores_are_estimates_in_order(name, dim, options, kind):
    q = make(name, dim, options)
    x, y = rows(np.random.default_rng(4), kind, 700, dim)
    codes = q.encode(x)
    estimates = q.inner_product(codes, y)
    for k in (1, 10, 650):
        score, index = q.search(codes, y, k)
        np.testing.assert_array_equal(score, np.take_along_axis(estimates, index, axis=1) + 0)
        falls = np.diff(score, axis=1)
        assert (falls <= 0).all()
        assert (np.diff(index, axis=1)[falls == 0] > 0).all()
        assert all(len(set(line)) == k for line in index)


@some_quantizers
def test_exact_is_the_stable_order_of_all_estimates(name, dim, options):
    q = make(name, dim, options)
    for kind in KINDS:
        x, y = rows(np.random.default_rng(5), kind, 400, dim)
        codes = q.encode(x)
        estimates = q.inner_product(codes, y) + np.float32(0)
        for k in (10, 400, 401):
            index = np.argsort(-estimates, axis=1, kind="stable")[:, :k]
            expected = np.take_along_axis(estimates, index, axis=1), index
            same(q.search(codes, y, k, exact=True), expected)
            if k >= len(x):  # nothing can be overlooked
                same(q.search(codes, y, k), expected)


@some_quantizers
@pytest.mark.parametrize("metric", METRICS)
def test_a_scaled_query_finds_the_same(name, dim, options, metric):
    q = make(name, dim, options)
    x, y = rows(np.random.default_rng(6), "Gaussian", 900, dim)
    codes = q.encode(x)
    if metric == "l2":  # the distance scales with rows and queries
        factor, codes_too = 4, q.encode(4 * x)
        np.testing.assert_array_equal(codes_too.packed, codes.packed)
    else:
        factor, codes_too = 4, codes
    score, index = q.search(codes, y, 10, metric)
    times = {"ip": factor, "cosine": 1, "l2": factor**2}[metric]
    found = q.search(codes_too, factor * y, 10, metric)
    same(found, (score * np.float32(times), index))


@some_quantizers
def test_repeated_rows_are_found_together(name, dim, options):
    q = make(name, dim, options)
    x, y = rows(np.random.default_rng(7), "Gaussian", 500, dim)
    once = q.encode(x)
    twice = bq.concatenate([once, once])
    for metric in METRICS:
        score, index = q.search(once, y, 9, metric)
        found_score, found = q.search(twice, y, 18, metric)
        np.testing.assert_array_equal(found_score, np.repeat(score, 2, axis=1))
        for line, one in zip(found, index, strict=True):
            # In few dimensions many rows have the same code.
            assert dim <= 2 or sorted(line) == sorted([*one, *(one + len(x))])


@some_quantizers
def test_permuted_rows_are_the_same_rows(name, dim, options):
    rng = np.random.default_rng(8)
    q = make(name, dim, options)
    x, y = rows(rng, "Gaussian", 900, dim)
    codes, order = q.encode(x), rng.permutation(900)
    for metric in METRICS:
        score, index = q.search(codes, y, 10, metric)
        found_score, found = q.search(codes[order], y, 10, metric)
        np.testing.assert_array_equal(found_score, score)
        # Rows of equal scores can change places, and those of the last score can be others.
        inside = score != score[:, -1:]
        for line in range(len(y)):
            a, b = index[line][inside[line]], order[found[line]][inside[line]]
            assert sorted(a) == sorted(b)


@some_quantizers
def test_rows_that_cannot_win_change_nothing(name, dim, options):
    rng = np.random.default_rng(9)
    q = make(name, dim, options)
    x, _ = rows(rng, "Gaussian", 600, dim)
    y = np.abs(x[:5]) + 1
    codes = q.encode(np.abs(x))
    # Against every query, and far away from it.
    far = bq.concatenate([codes, q.encode(-40 * np.abs(x))])
    for metric in METRICS:
        same(q.search(far, y, 10, metric), q.search(codes, y, 10, metric))


@pytest.mark.parametrize("metric", ["l2", "ip"])
def test_moved_rows_and_queries_with_a_center(metric):
    """Numbers that can be moved without rounding: the rest after the center is the same."""
    rng = np.random.default_rng(10)
    x, y = (rng.integers(-128, 128, (n, 64)).astype(np.float32) for n in (1500, 9))
    plain = bq.BlockQuant(64, 2, store_norm=True, center=np.zeros(64))
    moved = bq.BlockQuant(64, 2, store_norm=True, center=np.full(64, 512.0))
    codes, codes_too = plain.encode(x), moved.encode(x + 512)
    np.testing.assert_array_equal(codes.packed, codes_too.packed)
    if metric == "l2":
        same(moved.search(codes_too, y + 512, 10, "l2"), plain.search(codes, y, 10, "l2"))
    else:
        found = moved.search(codes_too, y, 10)
        np.testing.assert_allclose(
            found[0], moved.search(codes_too, y, 10, exact=True)[0], rtol=1e-6
        )


@some_quantizers
def test_masks(name, dim, options):
    """A masked search is a search of the rows that are allowed."""
    rng = np.random.default_rng(11)
    q = make(name, dim, options)
    x, y = rows(rng, "norms", 1100, dim)
    codes = q.encode(x)
    narrow = np.zeros(len(x), bool)
    narrow[[3, 64, 65, 700]] = True
    all_but_one = np.arange(len(x)) != 500
    for mask in (rng.random(len(x)) < 0.5, narrow, all_but_one, np.zeros(len(x), bool)):
        for metric in METRICS:
            for some in (y, y[1:2]):
                score, index = q.search(codes, some, 10, metric, mask)
                part_score, part = q.search(codes[mask], some, 10, metric)
                same((score, index), (part_score, np.flatnonzero(mask)[part]))


@pytest.mark.parametrize("k", [1, 2, 63, 64, 65, 1000, 1999, 2000, 5000])
def test_any_k(rng, k):
    q = bq.BlockQuant(64, 2, store_norm=True)
    x, y = rows(rng, "near", 2000, 64)
    codes = q.encode(x)
    for metric in METRICS:
        score, index = q.search(codes, y, k, metric)
        best = q.search(codes, y, k, metric, exact=True)[0]
        assert index.shape == (len(y), min(k, 2000))
        # A lost place moves the scores after it by little.
        assert np.mean(score != best) < 0.01
        if k >= 2000:
            np.testing.assert_array_equal(score, best)


# ---- memory


def test_batches_keep_nothing_and_single_queries_keep_signs(rng):
    q = bq.BlockQuant(384, 2)
    x, y = rows(rng, "Gaussian", 6000, 384)
    codes = q.encode(x)
    for _ in range(3):
        q.search(codes, y)
        q.search(codes, y, exact=True)
    assert codes.search_nbytes <= 8 * len(x)
    q.search(codes, y[:1])
    assert codes.search_nbytes <= 8 * len(x)  # the first alone would not earn it back
    for _ in range(2):
        q.search(codes, y[:1])
    kept = codes.search_nbytes
    groups = -(-len(x) // 64) * 64
    assert 0 < kept <= groups * (384 // 8 + 8)
    codes.append(q.encode(x[:1]))
    q.search(codes, y[:1])
    assert codes.search_nbytes <= kept + 1024 * (384 // 8 + 8)
    assert codes[:100].search_nbytes == 0
