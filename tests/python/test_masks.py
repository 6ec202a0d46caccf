"""The masks of a search: booleans of any bytes, and positions."""

import numpy as np
import pytest

import blockquant as bq


def test_positions_from_the_end(sample):
    x, y = sample
    q = bq.BlockQuant(x.shape[1], 2)
    _, index = q.search(q.encode(x[:50]), y[:3], k=4, mask=[-1, -2, 7])
    assert set(index.ravel()) == {49, 48, 7}
    assert index.shape == (3, 3)


def test_masks_of_other_kinds(rng):
    q = bq.Eden(8, 2)
    codes = q.encode(rng.standard_normal((10, 8)))
    y = np.ones((1, 8))
    with pytest.raises(ValueError, match="position 18446744073709551615"):
        q.search(codes, y, mask=np.array([2**64 - 1], np.uint64))
    with pytest.raises(TypeError, match="masked array"):
        q.search(codes, y, mask=np.ma.masked_array([True] * 10))
    assert q.search(codes, y, k=2**70)[1].shape == (1, 10)


@pytest.mark.parametrize("n", [40, 600])
def test_masks_of_bytes_that_are_not_0_or_1(rng, n):
    """A view of other bytes allows what is not 0, of few rows and of many, certified too."""
    q = bq.Eden(24, 2, store_norm=True)
    codes, y = q.encode(rng.standard_normal((n, 24))), rng.standard_normal((3, 24))
    for share in (0.01, 0.5, 1.0):
        plain = rng.random(n) < share
        plain[3] = True
        bytes_of = np.where(plain, rng.integers(1, 256, n), 0).astype(np.uint8)
        for mask in (bytes_of.view(bool), np.repeat(bytes_of, 2).view(bool)[::2]):
            expected = q.search(codes, y, 5, mask=plain, certified=True)
            for a, b in zip(
                q.search(codes, y, 5, mask=mask, certified=True), expected, strict=True
            ):
                np.testing.assert_array_equal(a, b)
    all_set = np.full(n, 255, np.uint8).view(bool)
    np.testing.assert_array_equal(q.search(codes, y, mask=all_set)[1], q.search(codes, y)[1])


def test_the_core_takes_bytes():
    q = bq.Eden(8, 2)
    codes = q.encode(np.eye(8))
    parts = codes._arrays(), None, np.ones((1, 8), np.float32), 8, "ip"
    index = q._core.search(*parts, np.uint8([0, 7, 0, 255, 0, 0, 1, 128]))[-1]
    assert sorted(index[0]) == [1, 3, 6, 7]
    with pytest.raises(TypeError):
        q._core.search(*parts, np.ones(8, bool))


def test_integers_that_are_positions(rng):
    q = bq.Eden(8, 2)
    codes = q.encode(rng.standard_normal((3, 8)))
    for mask in ([0, 1], [0, 1, 2], [0, 1, 1, 0], [], np.zeros(0, np.uint8)):
        _, index = q.search(codes, np.ones((1, 8)), mask=mask)
        assert sorted(index[0]) == sorted(set(np.asarray(mask).tolist()))
    assert q.search(codes[:0], np.ones((1, 8)), mask=np.zeros(0, int))[1].shape == (1, 0)
