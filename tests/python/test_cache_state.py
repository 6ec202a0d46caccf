"""The state of a cache depends on its tokens alone; pages are shared and copied when changed."""

import copy
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import blockquant as bq
from caches import extend, filled, same, state, tokens
from reference_cache import ReferenceCache

EDEN = {"keys": "eden", "key_bits": 3, "values": "eden", "value_bits": 2}
OPTIONS = {
    "static": {**EDEN},
    "rotary": {**EDEN, "center": "rotary", "rotary": 1e4},
    "centroids": {**EDEN, "centroids": 6},
    "prod": {**EDEN, "values": "turboquant/prod"},
    "rollback": {**EDEN, "rollback": 50},
    "no window": {**EDEN, "window": 0, "sinks": 0},
    "sinks of pages": {**EDEN, "window": 20, "sinks": 100},
}
STEPS = {
    "by one": [1] * 400,
    "by 7": [7] * 60,
    "by 63, 64, 65": [63, 64, 65] * 3,
    "prompt": [131, *[1] * 300],
}


@pytest.fixture
def kv(rng):
    return tokens(rng, 2, 2, 400, 32)


@pytest.fixture
def q(rng):
    return rng.standard_normal((2, 4, 2, 32)).astype(np.float32)


# ---- appending in pieces


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
def test_pieces_give_equal_bytes(kv, q, steps, options):
    pads = [0, 90]
    whole, pieces = filled(*kv, pads, **options), filled(*kv, pads, steps, **options)
    assert whole._core.to_bytes() == pieces._core.to_bytes()
    assert whole.nbytes == pieces.nbytes
    assert same(whole, pieces, q)


def test_a_sequence_does_not_depend_on_the_others(kv, q):
    k, v = kv
    together = filled(k, v, [0, 90], **EDEN)
    alone = filled(k[1:, :, 90:], v[1:, :, 90:], **EDEN)
    np.testing.assert_array_equal(together.attend(q)[1:], alone.attend(q[1:]))
    np.testing.assert_array_equal(together.decode()[0][1:, :, 90:], alone.decode()[0])


@pytest.mark.parametrize("n", [0, 3, 4, 131, 132, 195, 196, 400])
def test_pages_follow_from_the_length(kv, n):
    k, v = (x[:, :, :n] for x in kv)
    cache = filled(k, v, **EDEN)
    assert cache.coded == [max((n - 4 - 64) // 64, 0) * 64] * 2
    assert len(cache) == n


# ---- crops


@pytest.mark.parametrize("back", [1, 10, 50])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_crop_within_rollback_leaves_no_trace(kv, q, back, options):
    k, v = kv
    cache = filled(k[:, :, :60], v[:, :, :60], [0, 13], **{**options, "rollback": 50})
    for n in range(60 + back, 400, 17):
        before = len(cache)
        extend(cache, k[:, :, before:n], v[:, :, before:n], steps=[5])
        cache.crop(n - back)
        never = filled(k[:, :, : n - back], v[:, :, : n - back], [0, 13], **options)
        assert same(cache, never, q)
        # Centers are those of a cache that never had the tokens, too.
        found, expected = state(cache), state(never)
        for name in expected:
            if name.startswith(("centers", "key_", "value_", "centroid")):
                np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


def test_repeated_crops_within_rollback(kv, q):
    """A crop counts from the greatest length since."""
    k, v = kv
    cache = filled(k[:, :, :220], v[:, :, :220], **EDEN, rollback=30)
    for n in (210, 200, 195, 190):
        cache.crop(n)
        assert same(cache, filled(k[:, :, :n], v[:, :, :n], **EDEN), q)
    extend(cache, k[:, :, 190:], v[:, :, 190:])
    assert same(cache, filled(*kv, **EDEN), q)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_longer_crops_equal_the_reference(kv, rng, options):
    k, v = kv
    cache = filled(k[:, :, :0], v[:, :, :0], **options)
    reference = ReferenceCache(2, 32, batch=2, **options)
    q = rng.standard_normal((2, 2, 1, 32)).astype(np.float32)
    first = 0
    for last, n in [(300, 150), (330, 290), (400, 77), (170, 100), (390, 389), (400, 2), (300, 0)]:
        add = k[:, :, first:last], v[:, :, first:last]
        pads = [0, 30] if first == 0 else None
        cache.append(*add, pads=pads)
        reference.append(*add, pads)
        for _ in range(2):
            expected = [sum(page["len"] for page in one.pages) for one in reference.sequences]
            assert cache.coded == expected
            for found, rows in zip(cache.decode(), reference.decode(), strict=True):
                np.testing.assert_allclose(found, rows, rtol=0, atol=2e-5)
            if len(cache):
                np.testing.assert_allclose(cache.attend(q), reference.attend(q), atol=1e-4)
            cache.crop(n)
            reference.crop(n)
        first = n
    assert cache.pads == [0, 0]
    assert state(cache)["exact_keys"].size == 0


def test_a_longer_crop_keeps_codes(kv):
    k, v = kv
    cache = filled(k, v, **EDEN)
    before = cache.decode()[0]
    assert cache.coded == [320, 320]
    cache.crop(100)
    assert cache.coded == [96, 96]
    np.testing.assert_array_equal(cache.decode()[0], before[:, :, :100])
    cache.append(k[:, :, 100:], v[:, :, 100:])
    assert cache.coded == [96 + 192, 96 + 192]


def test_reset(kv, q):
    cache = filled(*kv, [0, 20], **EDEN)
    cache.reset()
    assert (len(cache), cache.pads, cache.coded, cache.dtype) == (0, [0, 0], [0, 0], None)
    assert cache._core.to_bytes() == bq.KeyValueCache(2, 32, batch=2, **EDEN)._core.to_bytes()
    extend(cache, *kv)
    assert same(cache, filled(*kv, **EDEN), q)


# ---- sharing


def test_reorder_repeat_and_select_share_pages(rng):
    k, v = tokens(rng, 3, 2, 400, 32)
    q = rng.standard_normal((3, 2, 1, 32)).astype(np.float32)
    cache = filled(k, v, [0, 5, 100], **EDEN, rollback=20)
    size, found, rows = cache.nbytes, cache.attend(q), cache.decode()[0]
    cache.reorder([2, 0, 1])
    assert cache.nbytes == size
    np.testing.assert_array_equal(cache.attend(q[[2, 0, 1]]), found[[2, 0, 1]])
    cache.reorder([1, 2, 0])
    np.testing.assert_array_equal(cache.attend(q), found)
    cache.repeat(3)
    assert cache.batch == 9
    assert cache.nbytes == size + 6 * 8
    np.testing.assert_array_equal(cache.decode()[0], rows.repeat(3, axis=0))
    assert (
        cache.bits_per_value < 0.34 * filled(k, v, [0, 5, 100], **EDEN, rollback=20).bits_per_value
    )
    cache.select(np.arange(9) % 3 == 0)
    np.testing.assert_array_equal(cache.attend(q), found)
    cache.select([1, 1, -1, 0, 2])
    np.testing.assert_array_equal(cache.decode()[0], rows[[1, 1, 2, 0, 2]])
    cache.reorder([0, 0, 0, 0, 0])
    assert cache.nbytes < size / 2


def test_sharers_are_independent_afterwards(kv, q, rng):
    k, v = kv
    prompt = k[:1, :, :300], v[:1, :, :300]
    cache = filled(*prompt, **EDEN, rollback=10)
    cache.repeat(2)
    extend(cache, k[:, :, 300:], v[:, :, 300:], steps=[1] * 100)
    for b in range(2):
        both = [
            np.concatenate([a, x[b : b + 1, :, 300:]], 2) for a, x in zip(prompt, kv, strict=True)
        ]
        alone = filled(*both, **EDEN, rollback=10)
        np.testing.assert_array_equal(alone.attend(q[b : b + 1]), cache.attend(q)[b : b + 1])
        np.testing.assert_array_equal(alone.decode()[0], cache.decode()[0][b : b + 1])


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy], ids=["copy", "deepcopy"])
def test_copies_are_independent(kv, q, make):
    k, v = kv
    cache = filled(k[:, :, :300], v[:, :, :300], **EDEN, rollback=30)
    before = cache._core.to_bytes()
    twin = make(cache)
    assert twin._core.to_bytes() == before
    extend(twin, k[:, :, 300:], v[:, :, 300:])
    twin.crop(250)
    twin.reorder([1, 0])
    twin.reset()
    assert cache._core.to_bytes() == before
    extend(cache, k[:, :, 300:], v[:, :, 300:])
    assert same(cache, filled(*kv, **EDEN), q)
    assert len(twin) == 0


# ---- threads and instruction sets

PROGRAM = """
import sys, hashlib
sys.path.insert(0, {folder!r})
import numpy as np
from caches import filled, tokens
rng = np.random.default_rng(5)
k, v = tokens(rng, 3, 2, 500, 72, 40)
q = rng.standard_normal((3, 4, 70, 72)).astype(np.float32)
digest = hashlib.sha256()
for options in (
    {{}},
    dict(center="rotary", rotary=1e4, centroids=7, keys="rabitq", key_bits=6, debias=True),
    dict(keys="turboquant/prod", values="blockquant/mse", value_bits=2.5),
    dict(keys="trellis", values="trellis/mse", key_bits=3, value_bits=1),
):
    options = {{"keys": "eden", "values": "eden", **options}}
    cache = filled(k, v, [0, 3, 200], **options)
    for array in (*cache.decode(), cache.attend(q)):
        digest.update(array.tobytes())
    digest.update(cache._core.to_bytes())
print(digest.hexdigest())
"""


def test_threads_and_instruction_sets_change_no_bit():
    program = PROGRAM.format(folder=str(Path(__file__).parent))
    found = set()
    for isa, threads in [*((isa, "1") for isa in bq.available_isa()), (bq.isa(), "2")]:
        env = os.environ | {"BLOCKQUANT_ISA": isa, "RAYON_NUM_THREADS": threads}
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
        found.add(done.stdout)
    assert len(found) == 1


# ---- memory


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_every_stored_byte_counts(rng, dtype):
    heads, dim, value_dim, n, pads = 3, 64, 48, 400, 7
    k, v = (x.astype(dtype) for x in tokens(rng, 1, heads, n, dim, value_dim))
    options = {"keys": "eden", "key_bits": 3, "values": "eden", "value_bits": 2}
    cache = filled(k, v, [pads], **options)
    coded = (n - pads - 68) // 64 * 64
    pages = coded // 64
    row = heads * (dim * 3 // 8 + 1 + value_dim * 2 // 8 + 1)
    codes = coded * row + pages * heads * 2 * 2
    exact = (n - pads - coded) * heads * (dim + value_dim) * np.dtype(dtype).itemsize
    center = heads * dim * 4
    assert cache.nbytes == codes + exact + center + 8
    values = heads * (dim + value_dim)
    assert cache.bits_per_value == pytest.approx(8 * cache.nbytes / ((n - pads) * values))
    assert cache.bits_per_coded_value == pytest.approx(8 * codes / (coded * values))
    for more, extra in (
        # Indexes of 5 bits, and 17 centroids in the place of one mean.
        ({"centroids": 17}, coded * heads * 5 // 8 + 16 * center),
        ({"byte_scales": False}, coded * heads * 2 * 3 - pages * heads * 2 * 2),
        ({"center": None}, -center),
        # The exact tokens of pages that were coded less than 300 tokens ago.
        ({"rollback": 300}, coded * heads * (dim + value_dim) * np.dtype(dtype).itemsize),
    ):
        assert filled(k, v, [pads], **options, **more).nbytes - cache.nbytes == extra, more


def test_the_whole_is_small(rng):
    """Keys at 3 bits, values at 2, window 64, against float16."""
    for n, ratio in ((2048, 4.5), (16384, 5.5)):
        k, v = (x.astype(np.float16) for x in tokens(rng, 1, 1, n, 64))
        cache = filled(k, v)
        assert cache.nbytes * ratio <= k.nbytes + v.nbytes
        assert cache.bits_per_coded_value <= 2.65


def test_no_tokens():
    cache = bq.KeyValueCache(2, 16, batch=3)
    assert np.isnan(cache.bits_per_value)
    assert np.isnan(cache.bits_per_coded_value)
    assert cache.decode()[0].shape == (3, 2, 0, 16)
    assert cache.attend(np.ones((3, 2, 0, 16), np.float32)).shape == (3, 2, 0, 16)
    assert cache
    none = np.ones((3, 2, 0, 16), np.float32)
    cache.append(none, none)
    assert len(cache) == 0
    one = np.ones((3, 2, 1, 16), np.float32)
    cache.append(one, one, pads=[1, 1, 1])
    assert not cache.attend(one).any()
    assert cache.pads == [1, 1, 1]
