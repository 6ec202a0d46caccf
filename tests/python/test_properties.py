"""Properties, by Hypothesis: the definition of packing, and any finite float32 input."""

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import blockquant as bq
from blockquant import _core
from support import pack_bits

NAMES = list(bq.available())
CACHE = {}


def quantizer(name, dim, bits):
    key = name, dim, bits
    if key not in CACHE:
        CACHE[key] = bq.create(name, dim=dim, bits=bits)
    return CACHE[key]


@settings(max_examples=300, deadline=None)
@given(st.data(), st.integers(1, 16))
def test_pack_unpack(data, width):
    shape = data.draw(st.tuples(st.integers(0, 5), st.integers(1, 70)))
    index = data.draw(hnp.arrays(np.uint16, shape, elements=st.integers(0, 2**width - 1)))
    packed = _core.pack(index, width)
    np.testing.assert_array_equal(packed, pack_bits(index, width).reshape(packed.shape))
    assert packed.dtype == np.uint8
    np.testing.assert_array_equal(_core.unpack(packed, shape[1], width), index)


@pytest.mark.parametrize("width", range(1, 17))
def test_pack_every_width(width, rng):
    index = rng.integers(0, 2**width, (20, 133)).astype(np.uint16)
    packed = _core.pack(index, width)
    np.testing.assert_array_equal(packed, pack_bits(index, width))
    np.testing.assert_array_equal(_core.unpack(packed, 133, width), index)


@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_any_finite_float32(name, data):
    """Encoding never crashes, and rows below 1e37 decode to finite values.

    Larger rows can have scales or values beyond float32, so they may raise a ValueError.
    """
    dim = data.draw(st.sampled_from([1, 2, 3, 7, 16, 33]))
    finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
    x = data.draw(
        hnp.arrays(np.float32, st.tuples(st.integers(1, 4), st.just(dim)), elements=finite)
    )
    q = quantizer(name, dim, data.draw(st.sampled_from([1, 2, 4])))
    if np.abs(x.astype(np.float64)).max() > 1e37:
        with contextlib.suppress(ValueError):
            q.decode(q.encode(x))
        return
    codes = q.encode(x)
    x_hat = q.decode(codes)
    assert np.isfinite(codes.scale).all()
    assert np.isfinite(x_hat).all()
    assert not x_hat[~x.any(axis=1)].any()
