"""Everything that measures also measures a method that is written in Python alone."""

import numpy as np
import pytest

import blockquant as bq
from blockquant import _core, registry


class HalfCodes:
    """Rows as float16, an example of what `encode` of a Python method may return."""

    def __init__(self, data):
        self.data = data
        self.nbytes = data.nbytes
        self.bits_per_dimension = 16.0

    def __len__(self):
        return len(self.data)


class Half:
    """A quantizer that rounds to float16."""

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


@pytest.mark.parametrize(
    ("name", "factory", "error", "text"),
    [
        ("eden/mse", Half, ValueError, "method 'eden/mse' is registered already"),
        ("eden", Half, ValueError, "method 'eden' is registered already"),
        ("", Half, ValueError, "name is empty"),
        (5, Half, TypeError, "name is int 5, expected str"),
        (["a"], Half, TypeError, r"name is list \['a'\], expected str"),
        ("broken", None, TypeError, "factory of 'broken' is NoneType, expected a callable"),
    ],
)
def test_what_cannot_be_registered(name, factory, error, text):
    before = bq.available()
    with pytest.raises(error, match=f"^{text}"):
        bq.register(name, factory)
    assert bq.available() == before


@pytest.mark.parametrize(
    ("name", "meant"),
    [("edne", "eden"), ("eden/mes", "eden/mse"), ("haff", "half"), ("faiss", None)],
)
def test_an_unknown_name_gets_a_suggestion(name, meant):
    hint = f"did you mean {meant!r}\\? " if meant else ""
    with pytest.raises(ValueError, match=f"^unknown method {name!r}, {hint}expected one of block"):
        bq.create(name, dim=8, bits=2)


def test_the_core_table_is_the_only_list_of_methods():
    """Names, order and defaults of the registry follow from the table."""
    table = _core.methods()
    assert {"turboquant/mse", "turboquant/prod"} <= {m.name for m in table if not m.scales}
    names = [f"{m.name}/{s}" for m in table for s in reversed(m.scales)]
    assert sorted(registry._BUILT_IN) == sorted([*names, *(m.name for m in table if not m.scales)])
    for method in table:
        short = method.name
        assert registry.full_name(short) == "/".join([short, *method.scales[:1]])
        q = bq.create(short, dim=16, bits=1)
        assert q.name == registry.full_name(short)
        assert (q.block is not None) == method.has_blocks
        assert (q.states in method.states) if method.states else q.states is None
        if method.has_scale_search:
            assert bq.create(short, dim=16, bits=4, scale_search=3).scale_search == 3
        else:
            with pytest.raises(TypeError, match="scale_search"):
                bq.create(short, dim=16, bits=4, scale_search=3)
        codes = q.encode(np.ones((1, 16), np.float32))
        assert (codes.residual_norm is not None) == method.has_gamma
        with pytest.raises(ValueError, match="bits"):
            bq.create(short, dim=16, bits=method.most_bits + 1)
        if method.bit_step:
            bits = 1 + method.bit_step / 2
            with pytest.raises(ValueError, match=f"bits={bits}"):
                bq.create(short, dim=16, bits=bits)


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


class Broken(Half):
    """Half with one result replaced: either all of it or the value at row 2, column 1."""

    def __init__(self, *, decoded=None, estimated=None, **options):
        super().__init__(**options)
        self.decoded, self.estimated = decoded, estimated

    def decode(self, codes):
        return spoilt(super().decode(codes).astype(np.float64), self.decoded)

    def inner_product(self, codes, y):
        return spoilt(np.asarray(y @ super().decode(codes).T, np.float64), self.estimated)


def spoilt(result, change):
    if isinstance(change, float):
        result[2, 1] = change
        return result
    return result if change is None else change(result)


@pytest.mark.parametrize("part", ["decode", "inner_product"])
@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        (np.nan, ValueError, "row 2, column 1 is NaN, expected a finite"),
        (-np.inf, ValueError, "row 2, column 1 is -inf, expected a finite"),
        (1e39, ValueError, r"row 2, column 1 is 1e\+39, expected a finite"),
        (lambda r: r[:, :-1], ValueError, r"gave shape \({m}, {less}\), expected \({m}, {n}\)"),
        (lambda r: r[0], ValueError, r"gave shape \({n},\), expected \({m}, {n}\)"),
        (lambda r: None, TypeError, "gave no array of numbers"),
        (lambda r: [[1.0], [1.0, 2.0]], TypeError, "gave no array of numbers"),
        (lambda r: r.astype(complex), TypeError, "gave no array of numbers"),
    ],
)
def test_a_result_that_would_win_its_column_is_an_error(
    sample, monkeypatch, part, change, error, text
):
    x, y = sample[0][:60], sample[1][:5]
    key = {"decode": "decoded", "inner_product": "estimated"}[part]
    m, n = x.shape if part == "decode" else (5, 60)
    text = text.format(m=m, n=n, less=n - 1) if "{" in text else text
    monkeypatch.setitem(
        registry._FACTORIES, "broken", lambda **options: Broken(**{key: change}, **options)
    )
    with pytest.raises(error, match=f"^broken: {part}:? {text}"):
        bq.compare(x, y, methods=["eden/mse", "broken"], bits=[2], seeds=1)
    with pytest.raises(error, match=f"^Broken: {part}:? {text}"):
        bq.measure(bq.create("broken", dim=x.shape[1], bits=2), x, y)


def test_finite_results_that_overflow_when_summed(sample):
    """Squares of errors of 1e38 are summed in float64; an infinite product is an error."""
    x, y = sample[0][:60], sample[1][:5]
    q = Broken(dim=x.shape[1], decoded=1e38, estimated=-1e38)
    result = bq.measure(q, x, y)
    assert result.nmse == pytest.approx(1e76 / 60, rel=1e-3)
    assert all(np.isfinite(getattr(result, name)) for name in ("bias", "ip_error", "variance"))
    q = Half(dim=x.shape[1])
    q.decode = lambda codes: np.full(x.shape, 3e38) * np.sign(y[0])
    with pytest.raises(ValueError, match=r"^Half: inner_product: row 0, column 0 is inf"):
        bq.measure(q, x, y)
