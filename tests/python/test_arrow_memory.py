"""The memory of Arrow arrays of rows, and producers that go wrong."""

import gc
import weakref
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import blockquant as bq
from arrowexport import Exporter, Part
from blockquant._arrays import as_float32, as_floats, as_rows

X = np.random.default_rng(7).standard_normal((50, 6)).astype(np.float32)
Q = bq.BlockQuant(dim=6, bits=2)
FIXED = pa.FixedSizeListArray.from_arrays(pa.array(X.reshape(-1)), 6)
LISTS = FIXED.cast(pa.list_(pa.float32()))


def rows(x, dim=6):
    return as_rows(x, dim)[0]


def address(array):
    return array.__array_interface__["data"][0]


@pytest.mark.parametrize("first", [0, 1, 9])
def test_one_chunk_is_a_view(first):
    """The values lie where the producer has them, from the first row of the slice."""
    place = FIXED.values.buffers()[1].address + first * 6 * 4
    for x in (FIXED[first:], pa.table({"v": FIXED})[first:], pa.chunked_array([FIXED[first:]])):
        found = rows(x)
        assert address(found) == place
        assert not found.flags.writeable
        assert address(as_float32(x, 6)) == place
    assert address(rows(LISTS[first:])) == LISTS.values.buffers()[1].address + first * 6 * 4
    flat = pa.array(X[0])
    assert address(rows(flat)) == flat.buffers()[1].address


def test_several_chunks_are_one_copy():
    found = rows(pa.chunked_array([FIXED[:3], FIXED[3:]]))
    start = FIXED.values.buffers()[1].address
    assert not start <= address(found) < start + X.nbytes


def fixed(values=X, **changes):
    """Fixed-size lists of six floats, as the exporter takes them."""
    options = {"length": len(values), "buffers": [None], **changes}
    children = options.pop("children", [Part("f", values.size, [None, values])])
    return Part("+w:6", children=children, **options)


def lists(offsets, values=X, **changes):
    offsets = np.array(offsets, np.int32)
    options = {"length": len(offsets) - 1, "buffers": [None, offsets], **changes}
    return Part("+l", children=[Part("f", values.size, [None, values])], **options)


def table(*columns, names=None, **changes):
    options = {"length": columns[0].length, "buffers": [None], **changes}
    for place, column in enumerate(columns):
        column.name = (names or "abc")[place]
    return Part("+s", children=columns, **options)


@pytest.mark.parametrize("chunk", [fixed(), table(fixed()), lists(range(0, 301, 6))])
def test_the_memory_lives_as_long_as_a_view_of_it(chunk):
    """The exporter overwrites what it gave away when the array is released."""
    exporter = Exporter(chunk)
    found = rows(exporter)
    gc.collect()
    assert exporter.alive == {"0": 1}
    np.testing.assert_array_equal(found, X)
    part = found[3:5, 1:]
    del found
    gc.collect()
    assert exporter.alive == {"0": 1}
    np.testing.assert_array_equal(part, X[3:5, 1:])
    del part
    gc.collect()
    assert exporter.alive == {}


def test_copied_chunks_are_released_once():
    exporter = Exporter(fixed(), fixed(X[:0]), fixed(X[:9]))
    found = rows(exporter)
    gc.collect()
    assert exporter.alive == {}
    np.testing.assert_array_equal(found, np.concatenate([X, X[:9]]))


def test_everything_is_released_after_an_error():
    exporter = Exporter(fixed(), fixed(null_count=1, buffers=[np.uint8([0xFE] * 7)]), fixed())
    with pytest.raises(ValueError, match=r"^x: row 50 is null, expected a list of 6 floats$"):
        rows(exporter)
    gc.collect()
    assert exporter.alive == {}


def test_codes_hold_no_view():
    """Encoding reads; afterwards nothing of the producer is kept."""
    exporter = Exporter(fixed())
    codes = Q.encode(exporter)
    gc.collect()
    assert exporter.alive == {}
    assert codes == Q.encode(X)


def test_producers_go_away():
    x = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(60, dtype=np.float32)), 6)
    gone = weakref.ref(x)
    found = rows(x)
    del x
    gc.collect()
    assert gone() is None
    junk = [pa.array(np.zeros(60, np.float32)) for _ in range(50)]
    np.testing.assert_array_equal(found.reshape(-1), np.arange(60, dtype=np.float32))
    del junk


# ---- producers that go wrong


def test_offsets_of_every_level_count():
    values = np.concatenate([np.zeros(12, np.float32), X.reshape(-1), np.zeros(6, np.float32)])
    child = Part("f", 306, [None, values], offset=6)
    x = fixed(length=50, offset=1, children=[child])
    np.testing.assert_array_equal(rows(Exporter(x)), X)
    np.testing.assert_array_equal(rows(Exporter(table(x, length=48, offset=2))), X[2:])


@pytest.mark.parametrize(
    ("chunk", "found"),
    [
        (lists([0, 6, 12], values=X[:1]), "child|offset"),
        (lists([-6, 0, 6]), "offset|is damaged"),
        (lists([12, 6, 0]), "row 0 has -6 values"),
        (fixed(children=[Part("f", 299, [None, X])]), "child|is damaged"),
        (fixed(length=2**60), "child|is damaged|overflow"),
        (fixed(children=[]), "child"),
        (fixed(buffers=[]), "buffer"),
        (fixed(length=-1), "length"),
        (fixed(offset=-1), "offset"),
        (fixed(children=[Part("f", 300, [None, None])]), "buffer"),
        (fixed(null_count=3), "buffer 0"),
        (table(fixed(X[:3]), length=4), "child|length|is damaged"),
        (Part("+w:abc", 1, [None], [Part("f", 6, [None, X])]), "format"),
        (Part("+w:-6", 1, [None], [Part("f", 6, [None, X])]), "lists of -6 values"),
        (Part("", 1, []), "format"),
        (Part("no such", 1, []), "format"),
        (Part(None, 1, []), "format"),
    ],
)
def test_structures_that_do_not_fit(chunk, found):
    exporter = Exporter(chunk)
    with pytest.raises(ValueError, match=f"^x.*({found})"):
        as_rows(exporter, 6)
    gc.collect()
    assert exporter.alive == {}


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_lists_of_any_offsets_are_read_or_refused(data):
    """Whatever offsets say, no value is read that is not of the child."""
    count, first = data.draw(st.integers(1, 5)), data.draw(st.integers(0, 3))
    step, start = data.draw(st.integers(-2, 7)), data.draw(st.integers(-3, 300))
    offsets = [start + step * place for place in range(-first, count + 2)]
    for _ in range(data.draw(st.integers(0, 1))):
        place = data.draw(st.integers(0, len(offsets) - 1))
        offsets[place] = data.draw(st.integers(-(2**31), 2**31 - 1))
    shift, length = data.draw(st.integers(0, 20)), data.draw(st.integers(0, 280))
    kind = data.draw(st.sampled_from(["+l", "+L"]))
    child = Part("f", length, [None, X], offset=shift)
    ends = np.array(offsets, np.int32 if kind == "+l" else np.int64)
    exporter = Exporter(Part(kind, count, [None, ends], [child], offset=first))
    values, ends = X.reshape(-1)[shift : shift + length], offsets[first : first + count + 1]
    lengths = {stop - start for start, stop in pairwise(ends)}
    if len(lengths) == 1 and min(lengths) >= 0 and min(ends) >= 0 and max(ends) <= length:
        found = as_floats(exporter, "x")[0]
        wanted = [values[start:stop].tolist() for start, stop in pairwise(ends)]
        assert found.tolist() == wanted
    else:
        with pytest.raises(ValueError, match=r"^x"):
            as_floats(exporter, "x")


def test_wrapped_offsets_are_refused():
    """Lengths that agree only modulo 2⁶⁴."""
    offsets = np.array([0, 2**62, -(2**63), -(2**62), 0], np.int64)
    chunk = Part("+L", 4, [None, offsets], [Part("f", 300, [None, X])])
    with pytest.raises(ValueError, match=r"^x.* (offset|damaged)"):
        as_rows(Exporter(chunk), None)


def test_a_stream_that_fails():
    exporter = Exporter(fixed(), fixed(), fails_after=1)
    expected = "^x: cannot take Exporter as Arrow: .*the disk is gone"
    with pytest.raises(ValueError, match=expected):
        rows(exporter)
    gc.collect()
    assert exporter.alive == {}


class Refusing:
    def __init__(self, error):
        self._error = error

    def __arrow_c_stream__(self, requested_schema=None):
        raise self._error


@pytest.mark.parametrize("error", [RuntimeError("no"), ValueError("no"), ImportError("no")])
def test_a_producer_that_refuses(error):
    with pytest.raises(ValueError, match=r"^x: cannot take Refusing as Arrow: no$") as caught:
        rows(Refusing(error))
    assert caught.value.__cause__ is error
    with pytest.raises(MemoryError):
        rows(Refusing(MemoryError()))


@pytest.mark.parametrize("given", [None, 3, object(), "capsule"])
def test_what_is_not_a_capsule(given):
    class Wrong:
        def __arrow_c_stream__(self, requested_schema=None):
            return given

    with pytest.raises(ValueError, match=r"^x: cannot take Wrong as Arrow: "):
        rows(Wrong())
