"""Every entry point names a number out of range, what was expected and what it got."""

import re

import numpy as np
import pytest

import blockquant as bq
from support import most_bits

FACES = [bq.BlockQuant, bq.Eden, bq.RaBitQ, bq.Trellis, bq.TurboQuant]
NAMES = list(bq.available())
HUGE = pytest.param(10**5000, id="huge")  # Python itself refuses to print it


def says(error, *parts):
    """Expect an error whose text is one short line with all `parts`."""
    ahead = "".join(f"(?=.*{re.escape(part)})" for part in parts)
    return pytest.raises(error, match=rf"\A{ahead}[^\n]{{1,160}}\Z")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dim", [0, -1, np.int64(-1), 2**24 + 1, 2**63, 2**64, HUGE])
def test_dim_out_of_range(name, dim):
    with says(ValueError, "dim=", "expected a whole number, 1 to"):
        bq.create(name, dim=dim, bits=2)


@pytest.mark.parametrize("make", FACES)
def test_a_dense_matrix_that_no_memory_holds(make):
    with says(ValueError, "dim=32769", "1 to 32768"):
        make(2**15 + 1, 2, rotation="haar")
    with says(ValueError, "dim=32769", "1 to 32768"):
        bq.TurboQuant(2**15 + 1, 2, variant="prod")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", [-1, 2**64, HUGE])
def test_seed_out_of_range(name, seed):
    with says(ValueError, "seed=", "expected a whole number, 0 to 18446744073709551615"):
        bq.create(name, dim=8, bits=2, seed=seed)


@pytest.mark.parametrize("seed", [2**64 - 1, np.uint64(2**64 - 1)])
def test_the_largest_seed(seed):
    assert bq.Eden(8, 2, seed=seed).seed == 2**64 - 1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "bits", [float("nan"), float("inf"), float("-inf"), 0, -1, -0.5, 17, 1e300, HUGE]
)
def test_bits_out_of_range(name, bits):
    with says(ValueError, "bits=", f"expected a number above 0, at most {most_bits(name)}"):
        bq.create(name, dim=8, bits=bits)


@pytest.mark.parametrize("block", [-1, 0, 9, 2**64, HUGE])
def test_block_out_of_range(block):
    with says(ValueError, "block=", "expected a whole number, 1 to 8"):
        bq.BlockQuant(8, 2, block=block)


@pytest.mark.parametrize("make", FACES)
@pytest.mark.parametrize("value", [True, "2", [2], None])
def test_numbers_of_a_wrong_type(make, value):
    with says(TypeError, f"dim={value!r}, expected a whole number"):
        make(value, 2)
    with says(TypeError, f"bits={value!r}, expected a number"):
        make(8, value)
    with says(TypeError, f"seed={value!r}, expected a whole number"):
        make(8, 2, seed=value)


@pytest.mark.parametrize("value", [2.0, np.float32(2), True, "2"])
def test_block_of_a_wrong_type(value):
    with says(TypeError, "block=", "expected a whole number, 1 to 8"):
        bq.BlockQuant(8, 2, block=value)


@pytest.mark.parametrize("count", [0, -1, 1025, 100_000, HUGE])
def test_threads_out_of_range(count):
    before = bq.num_threads()
    with says(ValueError, "threads=", "expected a whole number, 1 to 1024"):
        bq.set_num_threads(count)
    assert bq.num_threads() == before


@pytest.mark.parametrize("count", [1.0, True, "2", None])
def test_threads_of_a_wrong_type(count):
    with says(TypeError, f"threads={count!r}", "expected a whole number, 1 to 1024"):
        bq.set_num_threads(count)


@pytest.mark.parametrize(("seeds", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError)])
def test_seeds_of_a_comparison(seeds, error):
    with says(error, f"seeds={seeds}, expected a whole number, at least 1"):
        bq.compare(methods=["eden"], bits=[1], seeds=seeds)


@pytest.mark.parametrize(
    ("dim", "error"), [(0, ValueError), (-8, ValueError), (8.0, TypeError), (None, TypeError)]
)
def test_dim_of_codes(dim, error):
    with says(error, f"dim={dim}, expected a whole number, at least 1"):
        bq.Codes(np.zeros((1, 2), np.uint8), np.ones(1, np.float32), None, None, dim, "")


@pytest.mark.parametrize(("bits", "block"), [(2**-16, 2**20), (0.24, 66), (1e-5, 2**17)])
def test_a_codebook_that_no_memory_holds(bits, block):
    with pytest.raises(ValueError, match=rf"block={block} needs 2\^\d+ codewords"):
        bq.BlockQuant(2**22, bits, block=block)
