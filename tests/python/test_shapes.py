"""For many dimensions and rates, codes have exactly the bytes of the layout."""

import math

import numpy as np
import pytest

import blockquant as bq
from support import default_block, row_bits, tail_width

DIMS = [*range(1, 131), 192, 200, 384, 576, 768, 960, 1000, 1536, 1537, 3072]


@pytest.mark.parametrize("bits", [1, 1.5, 2, 2.5, 3, 3.5, 4])
def test_every_dimension(bits):
    generator = np.random.default_rng(0)
    for dim in DIMS:
        x = generator.standard_normal((3, dim)).astype(np.float32)
        q = bq.BlockQuant(dim, bits)
        codes = q.encode(x)
        block, width = default_block(dim, bits)
        size = codes.packed.shape[1]
        assert size == math.ceil(row_bits(dim, block, width) / 8), (dim, block, width)
        if dim >= 8:  # at smaller dim no block may have exactly this rate
            tail = dim % block
            excess = tail_width(tail, block, width) - bits * tail
            assert excess <= 1.25
            assert size == math.ceil(dim * bits / 8) or (
                tail and size == math.ceil((dim * bits + excess) / 8)
            ), dim
        x_hat = q.decode(codes)
        assert x_hat.shape == x.shape
        assert np.isfinite(x_hat).all()
        if dim >= 32:
            nmse = np.sum((x_hat - x) ** 2) / np.sum(x**2)
            worst = {1: 0.9, 1.5: 0.4, 2: 0.22, 2.5: 0.12, 3: 0.07, 3.5: 0.04, 4: 0.025}[bits]
            assert 4.0**-bits / 1.1 < nmse < worst, (dim, nmse)


@pytest.mark.parametrize("name", ["eden", "rabitq", "turboquant/mse", "turboquant/prod"])
@pytest.mark.parametrize("bits", [1, 2, 3, 4, 5, 8])
def test_scalar_methods(name, bits):
    for dim in (1, 2, 7, 8, 9, 63, 100, 129):
        codes = bq.create(name, dim=dim, bits=bits).encode(np.ones((2, dim), np.float32))
        assert codes.packed.shape == (2, math.ceil(dim * bits / 8))


@pytest.mark.parametrize(
    ("dim", "bits", "block"),
    [(101, 2, 4), (67, 1, 8), (67, 1, 12), (130, 2.5, 4), (99, 4, 2), (46, 2, 3)],
)
def test_tail_is_no_worse_than_the_body(dim, bits, block):
    """The mean squared error per rotated coordinate is compared, over seeds and rows."""
    generator, tail, body = np.random.default_rng(2), [], []
    for seed in range(40):
        q = bq.BlockQuant(dim, bits, block=block, scale="none", seed=seed)
        x = generator.standard_normal((40, dim)).astype(np.float32)
        z, z_hat = q._core.rotate(x), q._core.rotate(q.decode(q.encode(x)))
        error = (z - z_hat) ** 2 / np.sum(x**2, axis=1, keepdims=True) * dim
        body.append(error[:, : dim - dim % block].mean())
        tail.append(error[:, dim - dim % block :].mean())
    noise = np.std(tail) / math.sqrt(len(tail))
    assert np.mean(tail) < np.mean(body) + 3 * noise


def test_fractional_rates_only_where_a_block_has_them():
    for maker in (bq.Eden, bq.RaBitQ, bq.TurboQuant):
        with pytest.raises(ValueError, match=r"\w"):
            maker(64, 2.5)
    with pytest.raises(ValueError, match=r"\w"):
        bq.BlockQuant(64, 3, block=8)  # 24 bits per index
