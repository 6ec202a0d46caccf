"""Append and delete equal NumPy and change neither the other operand nor copies."""

import copy
import pickle
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import blockquant as bq

Q = bq.TurboQuant(24, 2, variant="prod", store_norm=True)
ALL = Q.encode(np.random.default_rng(0).standard_normal((200, 24)))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_order_of_steps(data):
    codes, rows = ALL[:0], np.arange(0)
    views = []
    for _ in range(data.draw(st.integers(1, 12))):
        views.append((codes.packed, codes.packed.copy(), codes[::2], copy.copy(codes)))
        step = data.draw(st.sampled_from(["append", "append", "itself", "mask", "rows", "slice"]))
        if step == "append":
            first = data.draw(st.integers(0, 199))
            more = np.arange(first, min(200, first + data.draw(st.integers(0, 40))))
            codes.append(ALL[more])
            rows = np.concatenate([rows, more])
        elif step == "itself" and len(rows) < 500:
            codes.append(codes)
            rows = np.concatenate([rows, rows])
        elif step == "mask":
            mask = np.random.default_rng(len(rows)).random(len(rows)) < 0.3
            codes.delete(mask)
            rows = rows[~mask]
        elif step == "rows":
            gone = [i for i in (-1, 3, 3, 0) if -len(rows) <= i < len(rows)]
            codes.delete(gone)
            rows = np.delete(rows, gone)
        else:
            codes.delete(slice(1, None, 3))
            rows = np.delete(rows, slice(1, None, 3))
    assert codes == ALL[rows]
    assert len(codes) == len(rows)
    for packed, as_it_was, part, other in views:
        np.testing.assert_array_equal(packed, as_it_was)
        assert part == other[::2]
        np.testing.assert_array_equal(other.packed, as_it_was)


def test_copies_do_not_share_room():
    codes = ALL[:4]
    codes.append(ALL[4:5])  # now with room for three more
    twin, kept = copy.copy(codes), pickle.loads(pickle.dumps(codes))
    codes.append(ALL[10:12])
    twin.append(ALL[20:22])
    assert codes == ALL[[0, 1, 2, 3, 4, 10, 11]]
    assert twin == ALL[[0, 1, 2, 3, 4, 20, 21]]
    assert kept == copy.deepcopy(kept) == ALL[:5]


def test_rows_are_not_moved_while_there_is_room():
    codes = ALL[:0]
    codes.append(ALL[:100])
    codes.append(ALL[:1])
    places = set()
    for _ in range(99):
        codes.append(ALL[:1])
        places.add(codes.packed.ctypes.data)
    assert len(places) == 1
    assert codes.nbytes == 200 * (Q._core.code_bytes + 12)


def test_appending_costs_what_is_appended():
    """Appending four times as many rows one by one takes about four times as long, not 16."""
    times = []
    one = ALL[:1]
    for count in (1 << 15, 1 << 17):
        codes = ALL[:0]
        start = time.perf_counter()
        for _ in range(count // 16):
            codes.append(one)
        times.append(time.perf_counter() - start)
    assert times[1] < 10 * times[0]


def test_mapped_codes_move_to_memory(tmp_path):
    path = tmp_path / "codes"
    bq.save(path, Q, ALL)
    before = path.read_bytes()
    _, codes = bq.load(path)
    codes.append(ALL[:2])
    assert codes == bq.concatenate([ALL, ALL[:2]])
    assert codes.packed.flags.writeable
    _, codes = bq.load(path)
    codes.delete(np.arange(200) % 2 == 0)
    assert codes == ALL[1::2]
    np.testing.assert_array_equal(Q.decode(codes), Q.decode(ALL)[1::2])
    assert path.read_bytes() == before


def test_what_cannot_be_appended():
    codes = ALL[:3]
    with pytest.raises(TypeError, match="codes to append is ndarray, expected Codes"):
        codes.append(ALL.packed)
    with pytest.raises(ValueError, match=r"append were made by create\('eden.*these by create"):
        codes.append(bq.Eden(24, 2).encode(np.ones((1, 24))))
    less = bq.Codes(ALL.packed, ALL.scale, None, ALL.residual_norm, 24, ALL.made_by)
    with pytest.raises(ValueError, match="have the arrays"):
        codes.append(less)
    with pytest.raises(ValueError, match="codes 1 have the arrays"):
        bq.concatenate([ALL, less])
    thin = bq.Codes(ALL.packed[:, :1], ALL.scale, ALL.norm, ALL.residual_norm, 24, ALL.made_by)
    with pytest.raises(ValueError, match="have the arrays"):
        codes.append(thin)
    assert codes == ALL[:3]
    with pytest.raises(AttributeError):
        codes.packed = ALL.packed


@pytest.mark.parametrize(
    ("rows", "error", "text"),
    [
        (np.ones(2, bool), IndexError, "rows has 2 entries, expected 3, one per row"),
        (np.ones(0, bool), IndexError, "rows has 0 entries, expected 3"),
        ([3], IndexError, "rows: position 3 at 0, expected less than 3"),
        (3, IndexError, "rows: position 3 at 0"),
        ([-4], IndexError, "rows: position -4 at 0"),
        (np.array([2**64 - 1], np.uint64), IndexError, "position 18446744073709551615"),
        (True, IndexError, r"rows has shape \(\), expected \(3,\) or positions"),
        (np.array(True), IndexError, r"rows has shape \(\)"),
        ([[0]], IndexError, r"rows has shape \(1, 1\)"),
        ([0.0], TypeError, "rows has dtype float64, expected booleans or integer positions"),
        (np.zeros(0), TypeError, "rows has dtype float64"),
        (np.zeros(0, str), TypeError, "rows has dtype <U1"),
        (None, TypeError, "rows is None, expected booleans or integer positions"),
        (..., TypeError, "rows is Ellipsis"),
        ("0", TypeError, "rows is '0'"),
        ([None], TypeError, "rows has dtype object"),
        (np.ma.masked_array([0, 2], mask=[True, False]), TypeError, "rows is a masked array"),
    ],
    ids=repr,
)
def test_what_does_not_select_rows(rows, error, text):
    codes = ALL[:3]
    with pytest.raises(error, match=text):
        codes.delete(rows)
    with pytest.raises(error, match=text):
        codes[rows]
    assert codes == ALL[:3]


def test_rows_have_one_index():
    codes = ALL[:3]
    with pytest.raises(IndexError, match=r"rows only, found 2 indexes: \(0, 1\)"):
        codes[0, 1]
    assert codes[np.nonzero([0, 1, 1])] == codes[1:]


@pytest.mark.parametrize(
    "rows", [[], np.zeros(0, int), np.zeros(3, bool), slice(0), (), range(0)], ids=repr
)
def test_nothing_to_delete(rows):
    codes = ALL[:3]
    codes.delete(rows)
    assert codes == ALL[:3]


@pytest.mark.parametrize("integers", [[1, 0, 1], [0, 0, 0], np.uint8([1, 1, 1]), (0, 1, 0)])
def test_integers_that_can_be_a_mask_are_not_deleted(integers):
    codes = ALL[:3]
    with pytest.raises(TypeError, match=r"rows holds 3 integers, .*: pass a boolean array"):
        codes.delete(integers)
    assert codes == ALL[:3]
    assert codes[list(integers)] == bq.concatenate([codes[int(i)] for i in integers])
    codes.delete(np.array(integers, bool))
    assert codes == ALL[:3][np.array(integers) == 0]


def test_integers_that_are_positions():
    for rows, left in (([1, 0], [2]), ([0, 1, -1], []), ([0, 1, 1, 0], [2]), (0, [1, 2])):
        codes = ALL[:3]
        codes.delete(rows)
        assert codes == ALL[left]
    codes = ALL[:1]
    codes.delete(np.int64(0))
    codes.delete([])
    codes.delete(np.zeros(0, int))
    assert len(codes) == 0


@pytest.mark.parametrize("byte", [2, 128, 255])
def test_masks_of_bytes_that_are_not_0_or_1(byte):
    plain = np.arange(200) % 3 == 0
    odd = np.where(plain, np.uint8(byte), np.uint8(0)).view(bool)
    wide = np.zeros((200, 2), bool)
    wide[:, 0] = odd
    wide.view(np.uint8)[:, 0] = odd.view(np.uint8)
    for mask in (odd, wide[:, 0], odd[::-1][::-1]):
        assert ALL[mask] == ALL[plain]
        codes = ALL[:]
        codes.delete(mask)
        assert codes == ALL[~plain]


def test_arrays_at_odd_addresses():
    """Numbers at addresses that their type does not divide are copied to ones that it does."""
    parts = []
    for array in (ALL.scale, ALL.norm, ALL.residual_norm):
        bytes_of = np.zeros(array.nbytes + 1, np.uint8)
        parts.append(bytes_of[1:].view(np.float32))
        parts[-1][:] = array
        assert not parts[-1].flags.aligned
    codes = bq.Codes(ALL.packed, *parts, 24, ALL.made_by)
    assert codes.scale.flags.aligned
    assert codes == ALL
