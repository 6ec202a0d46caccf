"""A method written in Python alone takes part in everything that measures."""

import numpy as np
import pytest

import blockquant as bq


class HalfCodes:
    """Rows as float16: what `encode` of a Python method may return."""

    def __init__(self, data):
        self.data = data
        self.nbytes = data.nbytes
        self.bits_per_dimension = 16.0

    def __len__(self):
        return len(self.data)


class Half:
    """Rounding to float16 as a quantizer."""

    def __init__(self, dim, bits=16, seed=0, **options):
        self.dim, self.bits, self.seed = dim, bits, seed

    def encode(self, x):
        return HalfCodes(np.asarray(x, np.float16))

    def decode(self, codes):
        return codes.data.astype(np.float32)


@pytest.fixture(autouse=True, scope="module")
def half():
    bq.register("half", Half)


def test_is_listed_and_created():
    assert "half" in bq.available()
    assert isinstance(bq.create("half", dim=8, bits=16, seed=0), Half)


def test_name_taken():
    with pytest.raises(ValueError, match="eden"):
        bq.register("eden/mse", Half)
    with pytest.raises((TypeError, ValueError)):
        bq.register("broken", None)


def test_measure(sample):
    x, y = sample[0][:200], sample[1][:20]
    result = bq.measure(bq.create("half", dim=x.shape[1], bits=16, seed=0), x, y)
    x_hat = x.astype(np.float16).astype(np.float64)
    expected = np.mean(np.sum((x_hat - x) ** 2, axis=1) / np.sum(x.astype(float) ** 2, axis=1))
    assert result.nmse == pytest.approx(expected, rel=1e-3)


def test_measure_core_method(sample):
    x, y = sample[0][:300], sample[1][:30]
    q = bq.create("eden/unbiased", dim=x.shape[1], bits=2)
    x_hat = q.decode(q.encode(x)).astype(np.float64)
    result = bq.measure(q, x, y)
    assert result.nmse == pytest.approx(np.mean(np.sum((x_hat - x) ** 2, axis=1)), rel=1e-4)


def test_compare(sample):
    x, y = sample[0][:150], sample[1][:10]
    table = bq.compare(x, y, methods=["half", "eden/mse"], bits=(2,), seeds=2)
    text = table.to_markdown()
    assert "half" in text
    assert "eden/mse" in text
    assert len(table.rows()) == 2
