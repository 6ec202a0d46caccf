"""The frozen moments of trellis codes against fresh rows."""

import math

import numpy as np
import pytest

import blockquant as bq
from blockquant import _core
from reference_trellis import designs

each = pytest.mark.parametrize(("states", "bits"), sorted(designs()))
#: In the table, between two dimensions of it, between two with less than 32 steps, and above all.
DIMS = (31, 100, 36, 700, 5000)


def fresh(states, bits, dim, rule):
    """The decoded rows over the rows: along them, and the squared length.

    Gaussian rows have the law of the theory for every rotation.
    """
    rng = np.random.default_rng([states, round(2 * bits), dim])
    x = rng.standard_normal((max(40, 60_000 // dim), dim)).astype(np.float32)
    q = bq.Trellis(dim, bits, states=states, scale=rule)
    x_hat, x = q.decode(q.encode(x)).astype(np.float64), x.astype(np.float64)
    square = np.sum(x * x, axis=1)
    return np.sum(x_hat * x, axis=1) / square, np.sum(x_hat**2, axis=1) / square


def agrees(values, expected, accuracy):
    """The mean is within the accuracy and 4.5 standard errors."""
    noise = values.std(ddof=1) / math.sqrt(len(values))
    assert abs(values.mean() - expected) < accuracy * abs(expected) + 4.5 * noise


@each
@pytest.mark.parametrize("dim", DIMS)
def test_the_moments_are_those_of_fresh_rows(states, bits, dim):
    def told(criterion, rule, *more):
        return criterion(f"trellis/{rule}", bits, dim, *more, states=states)

    along, square = fresh(states, bits, dim, "none")
    sine = 1 - along**2 / square
    theory = bq.theory
    accuracy = told(theory.accuracy, "mse")
    assert accuracy < 0.05 if dim < 100 else accuracy < 0.02
    agrees(sine, told(theory.nmse, "mse"), accuracy)
    agrees(sine / (1 - sine), told(theory.nmse, "unbiased"), accuracy)
    agrees(1 - 2 * along + square, told(theory.nmse, "none"), accuracy)
    agrees(1 - along, -told(theory.inner_product_bias, "none"), accuracy)
    # Across a row, of unit x and y with ⟨x, y⟩ = 0.
    share = dim / (dim - 1)
    agrees(share * sine * (1 - sine), told(theory.inner_product_variance, "mse"), accuracy)
    wide = told(theory.inner_product_variance, "none")
    agrees(share * (square - along**2), wide, accuracy)
    # Along it, with ⟨x, y⟩ = 1. At high rates a few rows with a coordinate beyond all codewords
    # make most of the variance, so that it is known to some half of it.
    for values, rule in ((sine, "mse"), (along, "none")):
        spread = told(theory.inner_product_variance, rule, None, 1.0) / dim
        agrees((values - values.mean()) ** 2, spread, 0.5)


@each
def test_the_error_falls_with_rate_and_states(states, bits):
    """It is above Shannon's bound, and less with half a bit more or twice the states."""
    dim = 1536
    own = bq.theory.nmse("trellis/mse", bits, dim, states=states)
    assert bq.theory.shannon(bits) < own < 1.36 * bq.theory.shannon(bits)
    for more in ((2 * states, bits), (states, bits + 0.5)):
        if more in designs():
            assert bq.theory.nmse("trellis/mse", more[1], dim, states=more[0]) < own


def test_the_default_states_are_those_of_the_core():
    states = _core.Quantizer("trellis", 8, 2).states
    told = bq.theory.nmse("trellis/mse", 2, 384)
    assert told == bq.theory.nmse("trellis/mse", 2, 384, states=states)
    with pytest.raises(ValueError, match="states=60"):
        bq.theory.nmse("trellis/mse", 2, 384, states=60)
