"""The cache on a torch device follows the core's: the same state, and codes equal but for ties."""

import copy
import pickle

import numpy as np
import pytest
import torch

import blockquant as bq
from blockquant.integrations._torch_cache import TorchKeyValueCache
from blockquant.integrations._torch_pages import PAGE_TOKENS, Scales

#: The share of decoded rows that may differ by more than rounding: those with an index, or a byte
#: of a scale, that is on a boundary up to the rounding of float32 sums.
TIES = 0.005

OPTIONS = (
    {},
    {"center": "rotary", "rotary": 10000.0},
    {"center": "rotary", "rotary": 1e6, "sinks": 0, "window": 300},
    {"center": None, "byte_scales": False},
    {"center": "given"},
    {"rollback": 100, "window": 32, "sinks": 70},
    {"window": 0, "sinks": 0},
    {"keys": "rabitq", "values": "turboquant/prod", "value_bits": 4},
    {"key_bits": 6, "value_bits": 8, "values": "eden", "rotation": "haar", "seed": 9},
    {"keys": "turboquant/prod", "byte_scales": True, "values": "turboquant/mse"},
    {"key_scale_search": 9, "values": "eden", "value_bits": 4, "value_scale_search": 3},
    {"key_bits": 2.5, "keys": "blockquant/mse", "values": "eden/mse", "byte_scales": False},
)


def tensors(*arrays):
    return tuple(torch.from_numpy(array) for array in arrays)


class Both:
    """The two caches, which get the same tokens."""

    def __init__(self, heads=2, dim=64, value_dim=None, batch=2, seed=0, **options):
        self.rng = np.random.default_rng(seed)
        if isinstance(options.get("center"), str) and options["center"] == "given":
            options["center"] = self.rng.standard_normal((heads, dim)).astype(np.float32)
        options |= {"value_dim": value_dim, "batch": batch}
        self.core = bq.KeyValueCache(heads, dim, **options)
        self.torch = TorchKeyValueCache(heads, dim, **options)
        self.dims = dim, value_dim or dim

    def rows(self, tokens):
        for dim, mean in zip(self.dims, (2, 0), strict=True):
            shape = (self.core.batch, self.core.heads, tokens, dim)
            yield (self.rng.standard_normal(shape) + mean).astype(np.float32)

    def append(self, tokens, pads=None):
        k, v = self.rows(tokens)
        self.core.append(k, v, pads=pads)
        self.torch.append(*tensors(k, v), pads=pads)

    def call(self, name, *arguments):
        getattr(self.core, name)(*arguments)
        getattr(self.torch, name)(*arguments)

    def compare(self):
        assert len(self.torch) == len(self.core)
        for name in ("coded", "pads", "nbytes", "batch"):
            assert getattr(self.torch, name) == getattr(self.core, name), name
        for name in ("bits_per_value", "bits_per_coded_value") if len(self.core) else ():
            np.testing.assert_allclose(getattr(self.torch, name), getattr(self.core, name))
        for found, expected in zip(self.torch.decode(), self.core.decode(), strict=True):
            differ = (abs(found.numpy() - expected) > 1e-5 * (1 + abs(expected))).any(-1)
            assert differ.sum() <= TIES * differ.size
            # A tie in an index, or one step of a scale.
            error = np.linalg.norm(found.numpy() - expected, axis=-1)
            assert (error <= 0.5 * np.linalg.norm(expected, axis=-1)).all()


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: " ".join(options))
def test_the_life_of_a_cache_is_that_of_the_core(options):
    both = Both(batch=3, **options)
    for tokens, pads in ((40, [0, 10, 40]), (500, [0, 0, 5]), (1, None), (77, None)):
        both.append(tokens, pads)
        both.compare()
    for n in (600, 570, 360, 330, 130, 60, 3, 0):
        both.call("crop", n)
        both.compare()
    both.append(300)
    both.compare()
    both.call("reset")
    both.append(200, [100, 0, 7])
    both.compare()


@pytest.mark.parametrize(("dim", "value_dim"), [(80, 80), (96, 128), (100, 36), (128, 64), (2, 3)])
def test_head_sizes(dim, value_dim):
    both = Both(dim=dim, value_dim=value_dim, center="rotary", rotary=10000.0)
    both.append(300, [0, 13])
    both.compare()


def test_choosing_sequences():
    both = Both(batch=3)
    both.append(300, [0, 20, 3])
    for name, argument in (
        *(("reorder", [2, 0, 0]), ("select", [1, 2]), ("repeat", 2), ("reorder", [3, 1, 2, 0])),
        ("select", [2]),
    ):
        both.call(name, argument)
        pads, coded = both.core.pads, both.core.coded
        assert (both.torch.pads, both.torch.coded) == (pads, coded)
        both.append(50)
    found, expected = both.torch.decode()[0].numpy(), both.core.decode()[0]
    assert (abs(found - expected) > 1e-4).any(-1).mean() <= TIES


def test_sequences_that_share_tokens_count_once():
    cache = TorchKeyValueCache(2, 64)
    cache.append(*torch.randn(2, 1, 2, 300, 64))
    one = cache.nbytes
    cache.repeat(4)
    assert cache.nbytes == one + 3 * 8
    assert round(cache.bits_per_coded_value, 2) == 2.63


def test_chunks_of_tokens_change_nothing():
    k, v = torch.randn(2, 1, 2, 500, 64, generator=torch.Generator().manual_seed(1)) + 1
    whole = TorchKeyValueCache(2, 64)
    whole.append(k, v)
    parts = TorchKeyValueCache(2, 64)
    for some in (slice(0, 3), slice(3, 190), slice(190, 191), slice(191, 500)):
        parts.append(k[:, :, some], v[:, :, some])
    assert parts.coded == whole.coded
    assert parts.nbytes == whole.nbytes
    for found, expected in zip(parts.decode(), whole.decode(), strict=True):
        assert ((found - expected).abs() > 1e-5).any(-1).float().mean() <= TIES


@pytest.mark.parametrize("rollback", [1, 64, 200])
def test_a_crop_within_the_rollback_leaves_no_trace(rollback):
    k, v = torch.randn(2, 1, 2, 600, 64, generator=torch.Generator().manual_seed(1)) + 1
    for length in (131, 132, 260, 400):
        never = TorchKeyValueCache(2, 64, rollback=rollback)
        never.append(k[:, :, :length], v[:, :, :length])
        taken = copy.copy(never)
        taken.append(k[:, :, length : length + rollback], -v[:, :, length : length + rollback])
        taken.crop(length)
        assert taken.coded == never.coded
        for found, expected in zip(taken.decode(), never.decode(), strict=True):
            assert torch.equal(found, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_types(dtype):
    cache = TorchKeyValueCache(2, 64)
    k, v = (torch.randn(2, 1, 2, 300, 64) + 1).to(dtype)
    cache.append(k, v)
    core = bq.KeyValueCache(2, 64)
    core.append(k, v)
    assert cache.dtype == dtype
    assert cache.nbytes == core.nbytes
    k_hat, _ = cache.decode(dtype)
    assert k_hat.dtype == dtype
    assert torch.equal(k_hat[:, :, :4], k[:, :, :4])
    assert torch.equal(k_hat[:, :, 4 + 192 :], k[:, :, 4 + 192 :])
    other = torch.float16 if dtype != torch.float16 else torch.float32
    with pytest.raises(TypeError, match=f"keys are {other}, expected {dtype}, the type of this"):
        cache.append(k.to(other), v.to(other))


def test_attention():
    both = Both(batch=2, heads=2, center="rotary", rotary=10000.0)
    both.append(300, [0, 298])
    rng = np.random.default_rng(5)
    q = rng.standard_normal((2, 6, 5, 64)).astype(np.float32)
    allowed = rng.random((2, 1, 5, 300)) < 0.7
    added = rng.standard_normal((1, 6, 5, 300)).astype(np.float32)
    added[..., 7] = -np.inf
    for mask in (None, allowed, added):
        for scale in (None, 0.05):
            expected = both.core.attend(q, scale=scale, mask=mask)
            of_torch = None if mask is None else torch.from_numpy(mask)
            found = both.torch.attend(torch.from_numpy(q), scale=scale, mask=of_torch)
            # The core rounds queries to 16 bits.
            np.testing.assert_allclose(found.numpy(), expected, atol=2e-3)
    # The first three of five queries of the second sequence come before its first token.
    assert not both.torch.attend(torch.from_numpy(q))[1, :, :3].any()
    keys, values = (torch.from_numpy(part) for part in both.core.decode())
    plain = torch.nn.functional.scaled_dot_product_attention(
        torch.from_numpy(q[:1, :, -1:]), keys[:1], values[:1], enable_gqa=True
    )
    last = both.torch.attend(torch.from_numpy(q[:, :, -1:]))[:1]
    torch.testing.assert_close(last, plain, atol=1e-4, rtol=1e-4)


def test_copies_and_pickles():
    cache = TorchKeyValueCache(2, 64, center="rotary", rotary=500.0, layer=3)
    k, v = torch.randn(2, 1, 2, 300, 64)
    cache.append(k, v)
    before = cache.decode()
    for twin in (copy.copy(cache), copy.deepcopy(cache), pickle.loads(pickle.dumps(cache))):
        for found, expected in zip(twin.decode(), before, strict=True):
            assert torch.equal(found, expected)
        twin.append(k, v)
        twin.crop(40)
        assert len(cache) == 300
    for found, expected in zip(cache.decode(), before, strict=True):
        assert torch.equal(found, expected)
    assert "300 tokens" in repr(cache)
    assert "on cpu" in repr(cache)
    assert "blockquant/unbiased at 3 bits" in repr(cache)


def test_the_caller_may_write_to_its_tensors_again():
    cache = TorchKeyValueCache(1, 8, sinks=2, key_bits=2)
    k = torch.randn(1, 1, 30, 8)
    cache.append(k, k)
    before = cache.decode()[0]
    k.zero_()
    assert torch.equal(cache.decode()[0], before)
    assert all(
        tensor.untyped_storage().nbytes() == tensor.nbytes
        for one in cache._sequences
        for tensor in one.tensors()
    )


@pytest.mark.parametrize("pages", [1, 3])
def test_bytes_of_scales(pages):
    rng = np.random.default_rng(pages)
    scales = np.exp(rng.standard_normal((2, pages * PAGE_TOKENS)) * 3).astype(np.float32)
    scales[0, :5] = 0
    scales[1, :PAGE_TOKENS] = 0
    scales[0, 5] = 1e-30
    if pages == 3:
        scales[1, -1] = np.finfo(np.float32).max
    bytes_ = Scales.of(torch.from_numpy(scales), True)
    read = bytes_.read([PAGE_TOKENS] * pages).numpy()
    for page in np.split(np.arange(pages * PAGE_TOKENS), pages):
        for head in range(2):
            own = scales[head, page].astype(np.float64)
            with np.errstate(divide="ignore"):
                exponent = np.minimum(np.rint(12 * np.log2(own)), 128 * 12 - 1)
            base = int(exponent.max() - 255) if own.any() else 0
            code = np.clip(exponent - base, 0, 255).astype(int)
            expected = np.where(code == 0, 0, np.exp2((base + code) / 12)).astype(np.float32)
            assert int(bytes_.bases[head, page[0] // PAGE_TOKENS]) == base
            np.testing.assert_array_equal(bytes_.rows[head, page], code)
            np.testing.assert_array_equal(read[head, page], expected)


def test_errors_leave_the_cache_as_it_was():
    cache = TorchKeyValueCache(2, 8, batch=2, layer=7, key_bits=2)
    good = torch.randn(2, 2, 100, 8)
    cache.append(good, good, pads=[3, 0])
    state = cache.decode()
    bad = good.clone()
    bad[1, 0, 40, 5] = torch.inf
    nan = good.clone()
    nan[0, 1, 2, 0] = torch.nan
    place = "sequence 1, head 0, token 140, coordinate 5 is inf, expected a finite number"
    huge = torch.full((2, 2, 100, 8), 3e38)
    for error, message, k, v, pads in (
        (ValueError, f"layer 7: keys: {place}", bad, good, None),
        (ValueError, f"layer 7: values: {place}", good, bad, None),
        (ValueError, r"keys have shape \(2, 2, 100, 7\), expected \(2, 2, 100, 8\)", bad[..., 1:],
         good, None),
        (ValueError, "values have shape", good, good[:, :1], None),
        (ValueError, "values have shape", good, good[:, :, 1:], None),
        (ValueError, "keys are on meta, expected cpu", good.to("meta"), good, None),
        (TypeError, "values are torch.float16, expected torch.float32", good, good.half(), None),
        (TypeError, "keys are torch.float64", good.double(), good.double(), None),
        (ValueError, "sequence 1 has 1 pad after 100 of its own", good, good, [0, 1]),
        (ValueError, "pads has 1 number, expected 2, one per sequence", good, good, [0]),
        (ValueError, "pads=101, expected a whole number, 0 to 100", good, good, [101, 0]),
        (ValueError, "layer 7: keys: .*float32", huge, good, None),
    ):  # fmt: skip
        with pytest.raises(error, match=message):
            cache.append(k, v, pads=pads)
        assert len(cache) == 100
        for found, expected in zip(cache.decode(), state, strict=True):
            assert torch.equal(found, expected)
    # What pads hold is nobody's business.
    fresh = TorchKeyValueCache(2, 8, batch=2, key_bits=2)
    fresh.append(nan, good, pads=[3, 0])
    with pytest.raises(ValueError, match="n=101, expected a whole number, 0 to 100"):
        cache.crop(101)
    with pytest.raises(ValueError, match="reorder has 3 positions, expected 2"):
        cache.reorder([0, 1, 1])
    with pytest.raises(ValueError, match="position of a sequence=2, expected"):
        cache.select([2])
    with pytest.raises(ValueError, match="0 positions of sequences"):
        cache.select([])
    with pytest.raises(ValueError, match="times=0"):
        cache.repeat(0)
    with pytest.raises(ValueError, match=r"q has shape \(2, 3, 1, 8\)"):
        cache.attend(good[:, [0, 0, 0], :1])
    with pytest.raises(ValueError, match="101 queries for 100 tokens"):
        cache.attend(torch.randn(2, 2, 101, 8))


@pytest.mark.parametrize("option", [{"centroids": 16}, {"debias": True}])
def test_what_only_the_core_has_is_refused(option):
    (name,) = option
    with pytest.raises(ValueError, match=f"{name}=.* only blockquant.KeyValueCache has"):
        TorchKeyValueCache(2, 8, **option)


def test_parameters_are_checked_as_the_core_checks_them():
    with pytest.raises(ValueError, match="dim=0"):
        TorchKeyValueCache(2, 0)
    with pytest.raises(ValueError, match="needs rotary="):
        TorchKeyValueCache(2, 8, center="rotary")
    with pytest.raises(TypeError, match="unexpected keyword argument 'windows'"):
        TorchKeyValueCache(2, 8, windows=3)
