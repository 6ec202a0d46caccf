"""The search over scales: against NumPy, what it gains, and how codes with and without it mix."""

import math
import pickle

import numpy as np
import pytest

import blockquant as bq
import reference as ref
from shardjobs import contents, encode, parts, same_rows
from support import FAMILIES, families, rotate

#: How far the sums of the core, in float32, can move sin²θ, as a share of it.
ROUNDING = 2e-5


def rotated(q, x):
    z = rotate(q, x).astype(np.float64)
    return z * math.sqrt(x.shape[1]) / np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True)


def nearest_of(q):
    """The nearest codewords of rotated rows, by the codebooks of a quantizer."""
    words, tail = q.codebook().astype(np.float64), q.tail_codebook()

    def nearest(u):
        if q.block is None:
            levels = words[:, 0]
            return levels[ref.nearest_level(u, levels)]
        blocks, rest = ref.to_blocks(u, q.block)
        flat = words[ref.nearest(blocks.reshape(-1, q.block), words)]
        if rest.shape[1]:
            rest = tail.astype(np.float64)[ref.nearest(rest, tail.astype(np.float64))]
        return ref.from_blocks(flat.reshape(blocks.shape), rest)

    return nearest


CELLS = [
    *[("eden", bits, dim, {}) for bits in (3, 4, 8) for dim in (1, 7, 64, 77)],
    *[("blockquant", bits, dim, {}) for bits in (3, 4) for dim in (13, 64)],
    ("blockquant", 3.5, 33, {"block": 2}),
    ("blockquant", 6, 17, {"block": 1}),
]


@pytest.mark.parametrize("scale", ["mse", "unbiased"])
@pytest.mark.parametrize("count", [3, 9, 33])
@pytest.mark.parametrize(("method", "bits", "dim", "options"), CELLS)
def test_the_reference_chooses_the_same_codes(rng, method, bits, dim, options, count, scale):
    q = bq.create(f"{method}/{scale}", dim=dim, bits=bits, seed=2, scale_search=count, **options)
    x = rng.standard_normal((60, dim)).astype(np.float32)
    codes = q.encode(x)
    u = rotated(q, x)
    expected, cosine = ref.scale_search(u, count, nearest_of(q))
    found = codewords(q, q.indices(codes))
    # Where the choice differs, it is a tie up to rounding.
    sine = 1 - cosine_square(u, found)
    np.testing.assert_array_less(sine, (1 - cosine) * (1 + ROUNDING) + 1e-9)
    assert dim == 1 or np.mean((found == expected).all(axis=1)) >= 0.95
    length = np.linalg.norm(x.astype(np.float64), axis=1)
    np.testing.assert_allclose(codes.scale, length * ref.scale_rule(u, found, scale), rtol=1e-5)


def codewords(q, index):
    """The codeword vectors of indexes."""
    words = q.codebook().astype(np.float64)
    if q.block is None:
        return words[index, 0]
    m, tail = q.dim // q.block, q.tail_codebook()
    rest = np.empty((len(index), 0)) if tail is None else tail.astype(np.float64)[index[:, m]]
    return ref.from_blocks(words[index[:, :m]], rest)


def cosine_square(u, c):
    return np.sum(u * c, axis=1) ** 2 / np.sum(c * c, axis=1) / np.sum(u * u, axis=1)


def nmse(name, x, bits, seed=0, **options):
    """The normalized squared error of each row."""
    q = bq.create(name, dim=x.shape[1], bits=bits, seed=seed, **options)
    x_hat = q.decode(q.encode(x)).astype(np.float64)
    return np.sum((x - x_hat) ** 2, axis=1) / np.sum(x.astype(np.float64) ** 2, axis=1)


#: What 3 and 9 scales take from the mean squared error, in percent.
GAINS = [
    ("eden/mse", 3, 64, {}, 6.4, 9.2),
    ("eden/mse", 4, 64, {}, 13.0, 18.7),
    ("blockquant/mse", 3, 64, {}, 5.9, 8.1),
    ("blockquant/mse", 3, 64, {"block": 2}, 6.2, 8.7),
    ("blockquant/mse", 4, 64, {}, 10.6, 15.2),
    ("eden/mse", 3, 384, {}, 1.7, 2.1),
    ("eden/mse", 4, 384, {}, 4.7, 6.5),
    ("blockquant/mse", 4, 384, {}, 4.1, 5.8),
    ("eden/mse", 4, 1536, {}, 1.5, 2.0),
]


@pytest.mark.parametrize(("name", "bits", "dim", "options", "three", "nine"), GAINS)
def test_gains(name, bits, dim, options, three, nine):
    """They are those of ``benches/results/scale_search.txt``, on other rows and rotations."""
    x = np.random.default_rng(5).standard_normal((300_000 // dim, dim)).astype(np.float32)
    one = nmse(name, x, bits, seed=11, **options).mean()
    for count, gain in ((3, three), (9, nine)):
        found = nmse(name, x, bits, seed=11, scale_search=count, **options).mean()
        assert 100 * (1 - found / one) == pytest.approx(gain, abs=0.06 * gain + 0.1)


@pytest.mark.parametrize("name", ["eden/mse", "blockquant/mse", "eden/unbiased"])
@pytest.mark.parametrize("dim", [3, 50, 64])
def test_no_row_is_worse(rng, name, dim):
    x = np.concatenate([families(dim, rng) for _ in range(20)])
    assert len(x) == 20 * len(FAMILIES)
    for bits in (3, 4, 5):
        one = nmse(name, x, bits)
        for count in (3, 5, 9, 33):
            found = nmse(name, x, bits, scale_search=count)
            # Decoded rows are float32.
            assert (found <= one * (1 + 1e-4) + 1e-12).all()
            assert found.mean() < one.mean()


def test_estimates_stay_unbiased_and_their_bounds_hold(rng):
    x, y = rng.standard_normal((2, 40, 64)).astype(np.float32)
    true = y.astype(np.float64) @ x.T.astype(np.float64)
    errors, inside, seeds = [], [], 60
    for seed in range(seeds):
        q = bq.Eden(64, 3, rotation="haar", seed=seed, store_norm=True, scale_search=9)
        codes = q.encode(x)
        errors.append(q.inner_product(codes, y) - true)
        low, high = q.interval(codes, y, confidence=0.9)
        inside.append(((low <= true) & (true <= high)).mean())
    # The slope of the error along the truth: 0.018 below 0 with the scale rule mse.
    slope = np.array([(error * true).sum() / (true * true).sum() for error in errors])
    assert abs(slope.mean()) < 4 * slope.std() / math.sqrt(seeds)
    assert np.mean(inside) == pytest.approx(0.9, abs=0.01)


def test_codes_with_and_without_it_are_one_kind(rng):
    x, y = rng.standard_normal((30, 64)), rng.standard_normal((2, 64))
    with_, without = (
        bq.BlockQuant(64, 3, scale_search=count, store_norm=True, center=x[:5])
        for count in (9, None)
    )
    assert with_ != without
    assert (with_.scale_search, without.scale_search) == (9, None)
    a, b = with_.encode(x), without.encode(x)
    assert a.made_by == repr(with_) != b.made_by
    assert (a.packed != b.packed).any()
    mixed = bq.concatenate([a, b])
    for q in (with_, without):
        np.testing.assert_array_equal(q.decode(mixed), np.r_[without.decode(a), with_.decode(b)])
        np.testing.assert_array_equal(q.search(mixed, y, k=9)[1], with_.search(mixed, y, k=9)[1])
        assert bq.Codes.from_arrow(a.to_arrow(), q).to_bytes() == a.to_bytes()
    b.append(a)
    assert len(b) == 60
    other = bq.BlockQuant(64, 3, scale_search=9, store_norm=True, center=x[:6])
    with pytest.raises(ValueError, match="the codes were made by"):
        other.decode(a)
    with pytest.raises(ValueError, match="were made by"):
        bq.concatenate([a, other.encode(x)])


def test_files_keep_it_and_are_as_before_without_it(rng, tmp_path):
    x = rng.standard_normal((5, 16))
    for count, says in ((None, False), (1, False), (9, True)):
        q = bq.Eden(16, 4, scale_search=count)
        bq.save(tmp_path / "codes", q, q.encode(x))
        assert (b'"scale_search":"9"' in (tmp_path / "codes").read_bytes()) == says
        loaded, codes = bq.load(tmp_path / "codes")
        assert (loaded, codes) == (q, q.encode(x))
        assert loaded.scale_search == (9 if says else None)


def test_an_index_keeps_it(rng, tmp_path):
    x = rng.standard_normal((50, 16)).astype(np.float32)
    index = bq.Index(16, 4, "eden", scale_search=9)
    q = bq.Eden(16, 4, scale_search=9)
    index.add(x[:30])
    index.save(tmp_path / "index")
    for found in (bq.Index.load(tmp_path / "index"), pickle.loads(pickle.dumps(index))):
        assert found.quantizer == q
        found.add(x[30:])
        assert found.codes() == q.encode(x)


def test_shards_keep_it(rng, tmp_path):
    x = rng.standard_normal((200, 32)).astype(np.float32)
    rows = parts(tmp_path / "rows", x)
    spec = {"name": "eden", "bits": 4, "scale_search": 9}
    shards = encode(rows, tmp_path / "codes", spec)
    same_rows(shards, bq.Eden(32, 4, scale_search=9), x)
    same_rows(bq.shards.open(tmp_path / "codes"), bq.Eden(32, 4, scale_search=9), x)
    before = contents(tmp_path / "codes")
    assert b"scale_search" in before["manifest.json"]
    del spec["scale_search"]
    with pytest.raises(ValueError, match="codes holds codes of eden/unbiased"):
        encode(rows, tmp_path / "codes", spec)
    assert contents(tmp_path / "codes") == before
    encode(rows, tmp_path / "plain", spec)
    assert b"scale_search" not in contents(tmp_path / "plain")["manifest.json"]


def test_theory_is_not_that_of_one_scale(sample):
    x, y = sample[0][:200], sample[1][:20]
    plain, searched = (bq.measure(bq.Eden(384, 4, scale_search=count), x, y) for count in (None, 9))
    assert searched.nmse < plain.nmse
    assert plain.nmse_theory is not None
    assert searched.nmse_theory is None


@pytest.mark.parametrize("count", [0, -1, 34, 10**30])
def test_numbers_out_of_range(count):
    with pytest.raises(ValueError, match=r"scale_search=.*, expected a whole number, 1 to 33"):
        bq.Eden(8, 4, scale_search=count)


@pytest.mark.parametrize("count", [9.0, "9", True, [9]])
def test_numbers_of_a_wrong_type(count):
    with pytest.raises(TypeError, match=r"scale_search=.*, expected a whole number, 1 to 33"):
        bq.BlockQuant(8, 4, scale_search=count)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: bq.Eden(8, 4, scale_search=8), "scale_search=8, expected an odd number"),
        (lambda: bq.Eden(8, 2, scale_search=9), "scale_search=9 at bits=2, expected at least 3"),
        (lambda: bq.BlockQuant(8, 2.5, scale_search=3), "scale_search=3 at bits=2.5, expected"),
        (
            lambda: bq.BlockQuant(8, 4, scale="none", scale_search=3),
            'scale_search=3 with scale="none", expected another scale rule',
        ),
        (
            lambda: bq._core.Quantizer("rabitq", 8, 4, scale_search=3),
            "scale_search is not an option of rabitq",
        ),
    ],
)
def test_what_has_no_search(make, text):
    with pytest.raises(ValueError, match=text):
        make()
