"""The quantizers in torch operations have the bytes of the core, but for ties."""

import pickle

import numpy as np
import pytest
import torch

import blockquant as bq
from blockquant.integrations._torch_codes import TorchQuantizer, pack, to_bits, to_bytes, unpack

#: Rows of 300 whose index may differ: those with a coordinate on a boundary up to rounding.
MOST_TIES = 3
#: How much nearer, as a share of the squared norm, the core's choice may be where it differs.
TIE = 1e-5

NAMES = (
    *("blockquant/unbiased", "blockquant/mse", "blockquant/none", "eden/unbiased", "eden/mse"),
    *("turboquant/mse", "turboquant/prod", "rabitq/unbiased", "rabitq/mse"),
)


def gaussian(dim, rows=300, seed=0):
    x = np.random.default_rng([dim, seed]).standard_normal((rows, dim)).astype(np.float32)
    x[3] = 0
    x[4] *= 1e-30
    x[5] *= 1e30
    return x


def tensor(array):
    return None if array is None else torch.from_numpy(np.array(array))


def cases():
    for name in NAMES:
        for bits in (1, 2, 3, 4, 8):
            for dim in (64, 80, 96, 100, 128) if bits in (2, 3) else (64, 100):
                yield name, dim, bits, {}
    yield from (("blockquant", 100, bits, {}) for bits in (0.5, 1.5, 2.5, 3.5))
    yield from (
        ("blockquant", 100, bits, {"block": block})
        for bits, block in ((2, 3), (8, 1), (3, 2), (1, 6))
    )
    yield from ((name, dim, 2, {}) for name in NAMES for dim in (2, 3, 7))
    yield from ((name, 1, 1, {}) for name in NAMES if not name.startswith("turboquant"))
    yield from (
        (name, dim, bits, {"scale_search": scales})
        for name in ("blockquant/mse", "eden/unbiased")
        for bits, scales in ((3, 3), (4, 9), (4, 33), (8, 9))
        for dim in (3, 64, 100)
    )


@pytest.mark.parametrize(("name", "dim", "bits", "options"), list(cases()))
def test_codes_are_those_of_the_core(name, dim, bits, options):
    q = bq.create(name, dim=dim, bits=bits, seed=5, **options)
    x = gaussian(dim)
    expected = q.encode(x)
    device = TorchQuantizer(q)
    packed, scale, gamma = device.encode(tensor(x))
    assert packed.dtype == torch.uint8
    assert packed.shape == expected.packed.shape == (300, device.row_bytes)
    assert (gamma is None) == (expected.residual_norm is None)

    differ = (packed.numpy() != expected.packed).any(1)
    assert differ.sum() <= MOST_TIES
    same = ~differ
    np.testing.assert_allclose(scale[same], expected.scale[same], rtol=2e-6, atol=1e-44)
    if gamma is not None:
        np.testing.assert_allclose(gamma[same], expected.residual_norm[same], rtol=2e-6, atol=2e-6)
    assert not scale[3]

    # Each side decodes what the other encodes.
    theirs = tensor(expected.packed), tensor(expected.scale), tensor(expected.residual_norm)
    close(device.decode(*theirs).numpy(), q.decode(expected))
    ours = bq.Codes(
        packed.numpy(), scale.numpy(), None, None if gamma is None else gamma.numpy(), dim, repr(q)
    )
    decoded = q.decode(ours)
    close(device.decode(packed, scale, gamma).numpy(), decoded)

    # Where an index differs, both codewords are equally near (or, for RaBitQ, equally aligned).
    for row in np.flatnonzero(differ):
        sine = [squared_sine(x[row], rows[row]) for rows in (decoded, q.decode(expected))]
        assert abs(sine[0] - sine[1]) < TIE, row


def close(found, expected):
    length = np.linalg.norm(expected.astype(np.float64), axis=1, keepdims=True)
    assert (np.abs(found - expected.astype(np.float64)) <= 2e-6 * length + 1e-36).all()


def squared_sine(x, y):
    x, y = x.astype(np.float64), y.astype(np.float64)
    return 1 - (x @ y) ** 2 / ((x @ x) * (y @ y))


@pytest.mark.parametrize("width", range(1, 17))
def test_bits_are_packed_as_the_core_packs_them(width):
    index = np.random.default_rng(width).integers(0, 1 << width, (5, 13))
    bits = pack(torch.from_numpy(index), width)
    packed = to_bytes(bits)
    expected = bq._core.pack(index.astype(np.uint16), width)
    np.testing.assert_array_equal(packed.numpy(), expected)
    np.testing.assert_array_equal(unpack(to_bits(packed, 13 * width), width).numpy(), index)


def test_ties_of_equal_codewords_go_to_the_first():
    # With these rows each block lies exactly between codewords: the middle of the 1-bit levels.
    q = bq.RaBitQ(dim=4, bits=1)
    x = np.zeros((1, 4), np.float32)
    device = TorchQuantizer(q)
    packed, _, _ = device.encode(tensor(x))
    np.testing.assert_array_equal(packed.numpy(), q.encode(x).packed)


@pytest.mark.parametrize("dim", [64, 100])
@pytest.mark.parametrize("bits", [2, 3, 4, 5, 8])
@pytest.mark.parametrize("name", ["blockquant", "eden", "rabitq"])
def test_integer_codewords_are_multiples_of_one_step(name, dim, bits):
    q = bq.create(name, dim=dim, bits=bits)
    books = [q.codebook(), q.tail_codebook()]
    largest = max(abs(book).max() for book in books if book is not None)
    step = largest / (127 if bits <= 4 else 2047)
    device = TorchQuantizer(q, integers=True)
    packed, scale, _ = device.encode(tensor(gaussian(dim)))
    np.testing.assert_array_equal(packed, TorchQuantizer(q).encode(tensor(gaussian(dim)))[0])
    ones = torch.full_like(scale, dim**0.5)
    words = q.rotate(device.decode(packed, ones).numpy()) / step
    np.testing.assert_allclose(words, words.round(), atol=2e-3)
    exact = q.rotate(TorchQuantizer(q).decode(packed, ones).numpy()) / step
    assert abs(words - exact).max() < 0.51


def test_other_shapes_and_types():
    q = bq.BlockQuant(dim=80, bits=3)
    device = TorchQuantizer(q)
    x = tensor(gaussian(80, 24)).clamp(-5, 5)
    packed, scale, gamma = device.encode(x)
    assert gamma is None
    many = device.encode(x.reshape(2, 3, 4, 80))
    assert torch.equal(many[0], packed.reshape(2, 3, 4, -1))
    assert torch.equal(many[1], scale.reshape(2, 3, 4))
    assert torch.equal(device.decode(*many[:2]), device.decode(packed, scale).view(2, 3, 4, 80))
    one = device.encode(x[7])
    assert one[0].shape == (device.row_bytes,)
    assert one[1].shape == ()
    none = device.encode(x[:0].reshape(0, 5, 80))
    assert none[0].shape == (0, 5, device.row_bytes)
    assert device.decode(*none[:2]).shape == (0, 5, 80)
    for dtype in (torch.bfloat16, torch.float16, torch.float64):
        wide = x.to(dtype).to(torch.float32)
        assert torch.equal(device.encode(x.to(dtype))[0], device.encode(wide)[0])


def test_a_batch_in_many_chunks_is_one_batch(monkeypatch):
    q = bq.BlockQuant(dim=64, bits=3)
    x = tensor(gaussian(64, 50))
    whole = TorchQuantizer(q).encode(x)
    monkeypatch.setattr("blockquant.integrations._torch_codes.CHUNK_NUMBERS", 16 * 64 * 7)
    parts = TorchQuantizer(q).encode(x)
    assert (whole[0] != parts[0]).any(1).sum() <= 1
    torch.testing.assert_close(whole[1], parts[1])


def test_norms_at_the_ends_of_float32():
    q = bq.Eden(dim=16, bits=4, scale="mse")
    x = gaussian(16, 8)[6:7]
    for factor in (1e-44, 1e-38, 1e-20, 1e20, 3e37):
        rows = (x * np.float32(factor)).astype(np.float32)
        packed, scale, _ = TorchQuantizer(q).encode(tensor(rows))
        expected = q.encode(rows)
        np.testing.assert_array_equal(packed, expected.packed)
        np.testing.assert_allclose(scale, expected.scale, rtol=2e-6, atol=1e-45)


def test_autocast_changes_nothing():
    q = bq.BlockQuant(dim=64, bits=2)
    device, x = TorchQuantizer(q), tensor(gaussian(64, 40))
    plain = device.encode(x)
    with torch.autocast("cpu", torch.bfloat16):
        under = device.encode(x)
        decoded = device.decode(*plain[:2])
    assert torch.equal(plain[0], under[0])
    assert torch.equal(device.decode(*plain[:2]), decoded)


def test_errors_say_what_was_wrong():
    q = bq.BlockQuant(dim=64, bits=2)
    device = TorchQuantizer(q)
    x = tensor(gaussian(64, 10))
    packed, scale, _ = device.encode(x)
    with pytest.raises(ValueError, match=r"trellis/unbiased has no torch operations"):
        TorchQuantizer(bq.Trellis(64, 2))
    with pytest.raises(TypeError, match="quantizer is str, expected a Quantizer"):
        TorchQuantizer("blockquant")
    with pytest.raises(ValueError, match="has a center or stores norms"):
        TorchQuantizer(bq.BlockQuant(dim=64, bits=2, store_norm=True))
    with pytest.raises(ValueError, match="has a center or stores norms"):
        TorchQuantizer(bq.BlockQuant(dim=64, bits=2, center=np.ones(64)))
    with pytest.raises(TypeError, match=r"x is torch\.int64, expected a floating-point dtype"):
        device.encode(x.to(torch.int64))
    with pytest.raises(ValueError, match=r"shape \(10, 63\), expected \(\.\.\., 64\)"):
        device.encode(x[:, 1:])
    with pytest.raises(ValueError, match="x is on meta, expected cpu"):
        device.encode(x.to("meta"))
    x[2, 7] = torch.nan
    with pytest.raises(ValueError, match="row 2, column 7 is nan, expected a finite float32"):
        device.encode(x)
    with pytest.raises(ValueError, match="the scale of a row is beyond float32"):
        device.encode(torch.full((1, 64), 3e38))
    with pytest.raises(TypeError, match=r"packed is torch\.int64, expected torch\.uint8"):
        device.decode(packed.to(torch.int64), scale)
    with pytest.raises(ValueError, match=r"packed has shape \(10, 15\), expected \(\.\.\., 16\)"):
        device.decode(packed[:, 1:], scale)
    with pytest.raises(ValueError, match=r"scale has shape \(9,\), expected \(10,\) as packed"):
        device.decode(packed, scale[1:])
    with pytest.raises(ValueError, match="residual_norm is given, but blockquant/unbiased has no"):
        device.decode(packed, scale, scale)
    prod = TorchQuantizer(bq.TurboQuant(dim=64, bits=2, variant="prod"))
    with pytest.raises(ValueError, match="residual_norm is missing, but turboquant/prod has one"):
        prod.decode(*prod.encode(tensor(gaussian(64, 8)))[:2])


def test_a_pickle_makes_the_same_codes():
    device = TorchQuantizer(bq.TurboQuant(dim=20, bits=2, variant="prod"))
    x = tensor(gaussian(20, 30))
    again = pickle.loads(pickle.dumps(device))
    for found, expected in zip(again.encode(x), device.encode(x), strict=True):
        assert torch.equal(found, expected)
    assert repr(again) == repr(device)
    assert "turboquant/prod" in repr(device)
    assert "cpu" in repr(device)
