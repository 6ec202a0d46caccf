"""Codes as plain bytes, row by row: `Codes.to_bytes` and `Quantizer.codes_from`."""

import struct

import numpy as np
import pytest

import blockquant as bq

DIM = 50
CENTER = np.full(DIM, 0.25, np.float32)

CASES = [
    ("blockquant", 2, {}),
    ("blockquant/mse", 2.5, {"store_norm": True}),
    ("eden", 3, {"store_norm": True, "center": CENTER}),
    ("eden/mse", 1, {"center": CENTER}),
    ("rabitq", 4, {"center": CENTER}),
    ("trellis", 1, {"states": 16, "store_norm": True}),
    ("turboquant/mse", 2, {}),
    ("turboquant/prod", 2, {"store_norm": True}),
]


def make(name, bits, options, rows=7):
    q = bq.create(name, dim=DIM, bits=bits, **options)
    x = np.random.default_rng(3).standard_normal((rows, DIM)).astype(np.float32)
    return q, q.encode(x)


@pytest.mark.parametrize(("name", "bits", "options"), CASES)
def test_bytes_come_back_as_the_same_codes(name, bits, options):
    q, codes = make(name, bits, options)
    data = codes.to_bytes()
    assert len(data) == codes.nbytes
    for form in (data, bytearray(data), memoryview(data)):
        assert q.codes_from(form, len(codes)) == codes
    again = bq.create(name, dim=DIM, bits=bits, **options)
    assert np.array_equal(again.decode(again.codes_from(data, 7)), q.decode(codes))


@pytest.mark.parametrize(("name", "bits", "options"), CASES)
def test_a_row_is_its_packed_bytes_and_then_its_scalars(name, bits, options):
    _, codes = make(name, bits, options)
    scalars = (codes.scale, codes.norm, codes.residual_norm, codes.center_product)
    for row in range(len(codes)):
        expected = codes.packed[row].tobytes()
        for values in scalars:
            if values is not None:
                expected += struct.pack("<f", values[row])
        assert codes[row].to_bytes() == expected


def test_joined_bytes_are_the_joined_rows():
    q, codes = make("blockquant", 2, {"store_norm": True})
    assert b"".join(codes[i].to_bytes() for i in range(7)) == codes.to_bytes()
    assert codes[::-2].to_bytes() == q.codes_from(codes[::-2].to_bytes(), 4).to_bytes()


def test_no_rows_are_no_bytes():
    q, codes = make("turboquant/prod", 2, {})
    assert codes[:0].to_bytes() == b""
    empty = q.codes_from(b"", 0)
    assert empty == codes[:0]
    empty.append(codes)
    assert empty == codes


def test_what_comes_back_can_grow_and_be_searched():
    q, codes = make("eden", 2, {"store_norm": True})
    data = bytearray(codes.to_bytes())
    back = q.codes_from(data, 7)
    data[:] = bytes(len(data))
    assert back == codes
    back.append(codes)
    assert len(back) == 14
    score, index = q.search(back, np.ones(DIM, np.float32), k=2, metric="l2")
    assert score[0, 0] == score[0, 1]
    assert index[0, 1] == index[0, 0] + 7


@pytest.mark.parametrize("change", [-1, 1, 17])
def test_a_wrong_length_says_what_was_found_and_expected(change):
    q, codes = make("eden", 2, {})
    data = codes.to_bytes()
    wrong = data[:change] if change < 0 else data + bytes(change)
    message = rf"data has {len(wrong)} bytes, expected {len(data)}: 7 rows of 17 bytes"
    with pytest.raises(ValueError, match=message):
        q.codes_from(wrong, 7)


def test_bytes_of_another_rate_are_refused_by_their_length():
    q, _ = make("eden", 2, {})
    _, other = make("eden", 3, {})
    with pytest.raises(ValueError, match="expected 119: 7 rows of 17 bytes"):
        q.codes_from(other.to_bytes(), 7)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_scalar_that_is_not_finite_is_named(value):
    q, codes = make("eden", 2, {"store_norm": True})
    data = bytearray(codes.to_bytes())
    size = len(data) // 7
    data[3 * size - 4 : 3 * size] = struct.pack("<f", value)
    with pytest.raises(ValueError, match=rf"row 2 has the norm {value}, expected a finite"):
        q.codes_from(data, 7)


def test_other_types_and_numbers_of_rows_are_refused():
    q, codes = make("eden", 2, {})
    with pytest.raises(TypeError, match="data is str, expected bytes"):
        q.codes_from("text", 1)
    with pytest.raises(TypeError, match="data is ndarray, expected bytes"):
        q.codes_from(codes.packed, 7)
    with pytest.raises(ValueError, match="rows"):
        q.codes_from(b"", -1)
    with pytest.raises(TypeError, match="rows"):
        q.codes_from(codes.to_bytes(), 7.5)
