"""Bad input of the key-value cache gets a clear error, and the cache stays as it was."""

import re
import threading

import ml_dtypes
import numpy as np
import pytest

import blockquant as bq
from caches import filled, tokens

EDEN = {"keys": "eden", "key_bits": 2, "values": "eden", "value_bits": 2}


@pytest.fixture
def kv(rng):
    return tokens(rng, 2, 3, 200, 16)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"heads": 0}, "heads=0, expected a whole number, 1 to 1048576"),
        ({"heads": 2.0}, "heads=2.0, expected a whole number"),
        ({"dim": 0}, "dim=0, expected a whole number, 1 to 1024"),
        ({"dim": 1025}, "dim=1025"),
        ({"value_dim": 1025}, "value_dim=1025"),
        ({"batch": 0}, "batch=0"),
        ({"window": -1}, "window=-1, expected a whole number, 0 to"),
        ({"sinks": True}, "sinks=True"),
        ({"rollback": 2**31}, "rollback=2147483648"),
        ({"keys": "edne"}, "did you mean 'eden'?"),
        ({"keys": 3}, "keys is int, expected the name of a method"),
        ({"key_bits": 2.5, "keys": "eden"}, "keys: bits=2.5 for eden, expected a whole number"),
        ({"key_scale_search": 4}, "keys: scale_search=4, expected an odd number of scales from 3"),
        ({"key_scale_search": 35}, "key_scale_search=35, expected a whole number, 1 to 33"),
        ({"key_scale_search": "9"}, "key_scale_search='9', expected a whole number, 1 to 33"),
        ({"value_scale_search": 9}, "values: scale_search=9 at bits=2, expected at least 3 bits"),
        (
            {"keys": "rabitq", "key_scale_search": 9},
            "keys: scale_search is not an option of rabitq",
        ),
        ({"value_bits": 0}, "value_bits=0, expected a number above 0, at most 8"),
        ({"value_bits": "2"}, "value_bits='2'"),
        ({"center": "rotary"}, 'center="rotary" needs rotary='),
        ({"center": "mean"}, "center='mean', expected \"static\""),
        ({"rotary": 1e4}, "rotary is given with center='static'"),
        ({"center": "rotary", "rotary": -1.0}, "rotary=-1.0, expected a number above 0"),
        ({"center": "rotary", "rotary": np.ones(3)}, "rotary has 3 frequencies, expected dim/2=8"),
        ({"center": "rotary", "rotary": np.ones(1)}, "rotary has 1 frequency, expected dim/2=8"),
        ({"center": "rotary", "rotary": np.ones((2, 4))}, "rotary has shape (2, 4)"),
        ({"center": "rotary", "rotary": np.full(8, np.nan)}, "rotary: frequency 0 is NaN"),
        ({"center": "rotary", "rotary": 1e4, "dim": 15}, "expected an even dim"),
        ({"center": np.ones((2, 16))}, "center has shape (2, 16), expected (heads, dim) = (3, 16)"),
        ({"center": np.ones(16)}, "center has shape (16,), expected (heads, dim)"),
        ({"center": np.full((3, 16), np.inf)}, "center: value 0 is inf"),
        ({"centroids": 1}, "centroids=1, expected 2 to 256"),
        ({"centroids": 257}, "centroids=257"),
        ({"centroids": 4, "center": None}, "centroids=4 with center none"),
        ({"debias": True, "keys": "eden/mse"}, "debias needs keys with the scale rule unbiased"),
        ({"debias": 1}, "debias is int, expected bool"),
        ({"byte_scales": "yes"}, "byte_scales is str, expected bool"),
        ({"dtype": "float64"}, "dtype=float64, expected float32, float16 or bfloat16"),
        ({"dtype": "nonsense"}, "dtype is 'nonsense'"),
        ({"rotation": "none"}, "unknown rotation"),
        ({"rotation": None}, "rotation is NoneType, expected str"),
        ({"seed": -1}, "seed=-1"),
        ({"layer": -1}, "layer=-1"),
    ],
)
def test_parameters(options, text):
    with pytest.raises((TypeError, ValueError), match=re.escape(text)):
        bq.KeyValueCache(**{"heads": 3, "dim": 16, **EDEN, **options})


def test_a_registered_method_is_refused():
    bq.register("test/cache", lambda **options: None)
    with pytest.raises(ValueError, match="is a registered method, a cache takes built-in ones"):
        bq.KeyValueCache(1, 16, keys="test/cache")


def refused(cache, call, *texts):
    """The call fails with these texts, and the cache stays as it was."""
    before = cache._core.to_bytes()
    with pytest.raises((TypeError, ValueError)) as raised:
        call(cache)
    for text in texts:
        assert text in str(raised.value)
    assert cache._core.to_bytes() == before


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("side", ["keys", "values"])
def test_numbers_that_are_not_finite(kv, dtype, side, bad):
    wide = np.dtype(getattr(ml_dtypes, dtype, dtype))
    k, v = (x.astype(wide) for x in kv)
    cache = filled(k[:, :, :150], v[:, :, :150], layer=7, **EDEN)
    k, v = k[:, :, 150:].copy(), v[:, :, 150:].copy()
    (k if side == "keys" else v)[1, 2, 30, 5] = bad
    spelled = "NaN" if np.isnan(bad) else str(bad)
    text = f"layer 7: {side}: sequence 1, head 2, token 180, coordinate 5 is {spelled}"
    refused(cache, lambda cache: cache.append(k, v), text, "expected a finite number")


def test_the_first_bad_number_is_named(kv):
    k, v = (x.copy() for x in kv)
    k[1, 1, 3, 4] = v[0, 0, 0, 0] = k[1, 1, 9, 0] = k[1, 2, 0, 0] = np.nan
    cache = bq.KeyValueCache(3, 16, batch=2, **EDEN)
    text = "keys: sequence 1, head 1, token 3, coordinate 4 is NaN"
    refused(cache, lambda cache: cache.append(k, v), text)


def test_pads_may_hold_anything(kv):
    k, v = (x.copy() for x in kv)
    k[1, :, :9] = np.nan
    v[1, :, :9] = np.inf
    cache = filled(k, v, [0, 9], **EDEN)
    assert np.isfinite(cache.decode()[0]).all()
    assert not cache.decode()[0][1, :, :9].any()


def test_numbers_whose_sums_may_be_beyond_float32(kv):
    k, v = (x.copy() for x in kv)
    v[1, 2, 100, 3] = -1.1e33
    cache = bq.KeyValueCache(3, 16, batch=2, **EDEN)
    text = "values: sequence 1, head 2, token 100, coordinate 3 is -1"
    refused(cache, lambda cache: cache.append(k, v), text, "at most 1e33 in magnitude")


def test_the_largest_numbers_are_attended_to(kv):
    """All the largest at once: every sum of the codes stays in float32."""
    k, v = (np.full_like(x, 1e33) for x in kv)
    cache = filled(k, v, **EDEN)
    out = cache.attend(np.full((2, 3, 1, 16), 1e3, np.float32))
    np.testing.assert_allclose(out, 1e33, rtol=0.5)  # finite, and near them at 2 bits


def test_norms_of_keys_less_a_large_center(kv):
    k, v = kv
    center = np.full((3, 16), 2e38, np.float32)
    cache = bq.KeyValueCache(3, 16, batch=2, **{**EDEN, "center": center})
    text = "keys: sequence 0, head 0, token 4 has the norm"
    refused(cache, lambda cache: cache.append(k, v), text, "beyond float32")


def test_shapes_and_types(kv):
    k, v = kv
    cache = filled(k, v, **EDEN)
    for call, *texts in (
        (lambda c: c.append(k[0], v), "k has shape (3, 200, 16)", "(batch, heads, tokens"),
        (lambda c: c.append(k[:1], v[:1]), "[1, 3, 200, 16], expected [2, 3, 200, 16]"),
        (lambda c: c.append(k[:, :2], v), "keys have shape"),
        (lambda c: c.append(k, v[:, :, 1:]), "values have shape [2, 3, 199, 16], expected"),
        (lambda c: c.append(k, v[..., :15]), "values have shape"),
        (lambda c: c.append(k.astype("f8"), v), "k is float64, expected float32"),
        (lambda c: c.append(k.astype("i4"), v), "k has dtype int32"),
        (lambda c: c.append(k, v.astype("f2")), "k is float32, v is float16, expected one type"),
        (lambda c: c.append(k.astype("f2"), v.astype("f2")), "keys are float16, expected float32"),
        (lambda c: c.append(None, v), "k is NoneType"),
    ):
        refused(cache, call, *texts)


def test_the_given_type(kv):
    cache = bq.KeyValueCache(3, 16, batch=2, dtype=np.float16, **EDEN)
    assert cache.dtype == "float16"
    refused(cache, lambda cache: cache.append(*kv), "keys are float32, expected float16")
    cache.reset()
    assert cache.dtype == "float16"


def test_pads(kv):
    k, v = kv
    cache = bq.KeyValueCache(3, 16, batch=2, **EDEN)
    for pads, text in (
        ([0], "pads has 1 number, expected 2"),
        ([0, 201], "sequence 1 has 201 pads in a call of 200 tokens"),
        ([0, -1], "pads=-1, expected a whole number"),
        ([0.0, 1.0], "expected one whole number per sequence"),
        (1, "expected one whole number per sequence"),
        ([True, False], "expected one whole number per sequence"),
    ):
        refused(cache, lambda cache, pads=pads: cache.append(k, v, pads=pads), text)
    cache.append(k, v, pads=[0, 200])
    cache.append(k, v, pads=[0, 200])  # a long run of pads in two pieces
    cache.append(k, v, pads=[0, 20])
    text = "sequence 0 has 1 pad after 600 tokens of its own, expected pads before all"
    refused(cache, lambda cache: cache.append(k, v, pads=[1, 0]), text)
    refused(cache, lambda cache: cache.append(k, v, pads=[0, 2]), "sequence 1 has 2 pads after 180")
    assert cache.pads == [0, 420]


def test_queries(kv, rng):
    k, v = kv
    cache = filled(k, v, layer=2, **EDEN)
    q = rng.standard_normal((2, 6, 1, 16)).astype(np.float32)
    bad = q.copy()
    bad[1, 4, 0, 3] = np.nan
    nan_mask = np.zeros((1, 1, 1, 200), np.float32)
    nan_mask[..., 17] = np.nan
    for call, *texts in (
        (lambda c: c.attend(q[0]), "q has shape (6, 1, 16), expected (batch, query_heads"),
        (lambda c: c.attend(q[:1]), "q has shape (1, 6, 1, 16)", "= (2, …, …, 16)"),
        (lambda c: c.attend(q[..., :8]), "q has shape (2, 6, 1, 8)"),
        (lambda c: c.attend(q[:, :4]), "q has 4 heads, expected a multiple of heads=3"),
        (lambda c: c.attend(q[:, :0]), "q has 0 heads"),
        (lambda c: c.attend(np.repeat(q, 201, 2)), "q has 201 queries per head", "at most 200"),
        (lambda c: c.attend(q.astype(int)), "q has dtype int64"),
        (lambda c: c.attend(bad), "layer 2: q: sequence 1, head 4, query 0, coordinate 3 is NaN"),
        (lambda c: c.attend(q, scale=np.nan), "scale=NaN, expected a finite number"),
        (lambda c: c.attend(q, scale="1"), "scale is '1', expected a number"),
        (lambda c: c.attend(q, mask=np.ones(3, bool)), "mask has shape (3,)", "broadcast"),
        (lambda c: c.attend(q, mask=np.ones((2, 3, 1, 200), bool)), "does not broadcast"),
        (lambda c: c.attend(q, mask=np.ones(200, int)), "mask has dtype int64"),
        (lambda c: c.attend(q, mask=nan_mask), "mask: sequence 0, head 0, query 0, token 17 is"),
        (lambda c: c.attend(q, mask=np.full(200, np.inf)), "token 0 is inf, expected a number or"),
    ):
        refused(cache, call, *texts)


def test_edits(kv):
    cache = filled(*kv, layer=0, **EDEN)
    for call, *texts in (
        (lambda c: c.crop(201), "n=201, expected a whole number, 0 to 200"),
        (lambda c: c.crop(-1), "n=-1"),
        (lambda c: c.crop(1.0), "n=1.0"),
        (lambda c: c.reorder([0]), "layer 0: reorder has 1 position, expected 2"),
        (lambda c: c.reorder([0, 2]), "position 2 at 1, expected less than 2"),
        (lambda c: c.reorder([0.0, 1.0]), "expected booleans or integer positions"),
        (lambda c: c.select([]), "0 positions of sequences, expected at least one"),
        (lambda c: c.select([-3]), "position -3"),
        (lambda c: c.select([True]), "rows has 1 entries, expected 2"),
        (lambda c: c.repeat(0), "times=0"),
        (lambda c: c.repeat(None), "times=None"),
    ):
        refused(cache, call, *texts)


def test_calls_of_two_threads(rng):
    """A call while another thread changes the cache is an error, and does no harm."""
    k, v = tokens(rng, 1, 1, 60_000, 64)
    cache = bq.KeyValueCache(1, 64, keys="rabitq", key_bits=8, values="rabitq", value_bits=8)
    started = threading.Event()

    def append():
        started.set()
        cache.append(k, v)

    thread = threading.Thread(target=append)
    thread.start()
    started.wait()
    refusals = []
    while thread.is_alive():
        try:
            assert len(cache) in (0, 60_000)
        except RuntimeError as error:
            refusals.append(str(error))
    thread.join()
    assert len(cache) == 60_000
    assert {*refusals} == {"Already mutably borrowed"}
