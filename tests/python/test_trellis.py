"""Trellis codes against their NumPy reference: decoding, the error, and the encoder itself."""

import math
import re

import numpy as np
import pytest

import blockquant as bq
from blockquant import _core
from reference_trellis import FEW_STEPS, Encoder, decode, designs, least_error
from support import cosines, rotate

DESIGNS = sorted(designs())
each = pytest.mark.parametrize(("states", "bits"), DESIGNS)
#: Below and above the bits of a state, above 16 and 32, and more than a window around the middle.
DIMS = (1, 2, 3, 4, 5, 7, 8, 9, 10, 15, 16, 17, 31, 32, 33, 63, 64, 65, 130)


def in_units(q, x):
    """The rotated rows in units of unit variance."""
    z = rotate(q, x).astype(np.float64)
    return np.sqrt(x.shape[1]) * z / np.linalg.norm(x.astype(np.float64), axis=1)[:, None]


def hostile(dim, rng):
    """Rotated rows that are constant, one-hot, and far beyond the codewords."""
    one_hot, constant = np.eye(1, dim, dim // 2)[0], np.ones(dim)
    far = np.where(rng.random(dim) < 0.5, -9.0, 9.0)
    return np.stack([constant, -constant, one_hot, -one_hot, far, rng.standard_cauchy(dim)])


def test_the_designs_are_those_of_the_library():
    for states in (16, 32, 64, 128, 256, 1024):
        for bits in np.arange(0.5, 4.5, 0.5):
            if (states, bits) in designs():
                q = bq.Trellis(8, bits, states=states)
                words = designs()[states, bits].words.T.reshape(-1, 1) / 4096
                np.testing.assert_array_equal(q.codebook(), words)
                assert (q.states, q.bits, q.tail_codebook()) == (states, bits, None)
            else:
                with pytest.raises(ValueError, match="expected"):
                    bq.Trellis(8, bits, states=states)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"states": 100}, "states=100 for trellis, expected one of 16, 32, 64, 128, 256"),
        ({"states": 8}, "states=8, expected a whole number, 16 to "),
        ({"states": 2**70}, f"states={2**70}, expected a whole number, 16 to "),
        ({"bits": 2.25}, "bits=2.25 for trellis, expected a multiple of .5 from 0.5 to 4"),
        ({"bits": 5}, "bits=5, expected a number above 0, at most 4"),
    ],
)
def test_impossible_trellises_say_what_is_possible(options, text):
    with pytest.raises(ValueError, match=f"^{re.escape(text)}"):
        bq.Trellis(**{"dim": 8, "bits": 2} | options)
    with pytest.raises(TypeError, match=r"^states=64\.0, expected a whole number, 16 to "):
        bq.Trellis(8, 2, states=64.0)
    with pytest.raises(ValueError, match=r"^states is not an option of eden$"):
        _core.Quantizer("eden", 8, 2, states=64)
    with pytest.raises(ValueError, match=r"^block is not an option of trellis$"):
        _core.Quantizer("trellis", 8, 2, block=4)


@each
def test_decoding(rng, states, bits):
    """Any bytes decode to the words of the reference, in every coordinate."""
    for dim in DIMS:
        q = bq.Trellis(dim, bits, states=states, scale="none", rotation="haar", seed=1)
        own = q.encode(rng.standard_normal((3, dim)).astype(np.float32)).packed
        assert own.shape[1] == math.ceil(math.ceil(bits * dim) / 8)
        packed = np.concatenate([own, rng.integers(0, 256, own.shape).astype(np.uint8)])
        codes = bq.Codes(packed, np.ones(6, np.float32), None, None, dim, repr(q))
        c = rotate(q, q.decode(codes)).astype(np.float64) * math.sqrt(dim)
        # The words are multiples of 1/4096, so that rounding removes the errors of the rotation.
        np.testing.assert_array_equal(
            np.rint(c * 4096), decode(designs()[states, bits], packed, dim)
        )


@each
def test_error_beside_that_of_the_best_code(rng, states, bits):
    """No code has less error than the best one of all, and on average it is near.

    The best code costs states² per coordinate, so rows are short and few. From 32 steps on, the
    state between the ends is found from the steps around it, which costs most in short rows.
    """
    design = designs()[states, bits]
    for dim in (1, 2, 3, 5, 7, 13, 31, 33, 65):
        x = rng.standard_normal((40 if states <= 64 else 2, dim)).astype(np.float32)
        q = bq.Trellis(dim, bits, states=states, seed=2)
        u = in_units(q, x)
        own = np.sum((u - decode(design, q.encode(x).packed, dim) / 4096) ** 2, axis=1)
        least = np.array([least_error(design, row) for row in u])
        np.testing.assert_array_less(least * (1 - 1e-9), own)
        steps = design.steps(dim)
        if states <= 64:
            assert own.sum() < least.sum() * (1.02 if steps < FEW_STEPS else 1 + 4 / steps)


@each
def test_the_encoder_bit_for_bit(rng, states, bits):
    """Hostile rows too. Rows whose integers depend on the rounding of the rotation are left out."""
    encoder = Encoder(designs()[states, bits])
    compared = 0
    for dim in (1, 2, 3, 7, 12, 33, 64, 101):
        q = bq.Trellis(dim, bits, states=states, seed=3)
        x = q._core.unrotate(hostile(dim, rng).astype(np.float32))
        u, packed = in_units(q, x), q.encode(x).packed
        away = np.flatnonzero(np.abs(u * encoder.unit % 1 - 0.5).min(axis=1) > 2e-3)
        # The reference takes a second per row that begins in every state in turn.
        tries_all = encoder.design.memory <= encoder.design.steps(dim) < FEW_STEPS
        for row in away[: 2 if tries_all else None]:
            np.testing.assert_array_equal(encoder.encode(u[row]), packed[row])
            compared += 1
    assert compared > 20


#: sin²θ·4^b at d = 384 by bits, of the simulation in float64 from which the designs come.
ERRORS = {
    16: {0.5: 1.099, 1: 1.177, 1.5: 1.248, 2: 1.246, 2.5: 1.309, 3: 1.289, 3.5: 1.338, 4: 1.320},
    64: {0.5: 1.079, 1: 1.129, 1.5: 1.194, 2: 1.181, 2.5: 1.240, 3: 1.214, 3.5: 1.265, 4: 1.233},
    256: {0.5: 1.069, 1: 1.099, 1.5: 1.161, 2: 1.143, 2.5: 1.205, 3: 1.179, 3.5: 1.227, 4: 1.196},
}


@each
def test_error_of_the_simulation(rng, states, bits):
    """Within 1.5 %, of which the noise of 300 rows is .5 %, and above Shannon's bound."""
    x = rng.standard_normal((300, 384)).astype(np.float32)
    q = bq.Trellis(384, bits, states=states, scale="mse", seed=4)
    cosine = cosines(x, q.decode(q.encode(x)))
    found = float(np.mean(1 - cosine**2)) * 4**bits
    # More states have less error.
    fewer = max(known for known in ERRORS if known <= states)
    more = [known for known in ERRORS if known >= states]
    lowest = 0.985 * ERRORS[more[0]][bits] if more else 1.0
    assert max(lowest, 1.0) < found < 1.015 * ERRORS[fewer][bits]
