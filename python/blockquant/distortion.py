"""The three criteria, measured beside their theory: reconstruction, expected and high-probability
inner-product error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockquant import registry, theory
from blockquant._arrays import as_float32, as_result, sample
from blockquant._checks import whole

_Float = NDArray[np.float32]

#: Compared where the caller names none.
METHODS = (
    "blockquant/mse",
    "blockquant/unbiased",
    "eden/mse",
    "eden/unbiased",
    "turboquant/mse",
    "turboquant/prod",
    "rabitq/unbiased",
)


@dataclass(frozen=True)
class Distortion:
    """What one quantizer does to one set of rows.

    Inner products are between unit rows and unit queries. ``*_theory`` is the expectation under a
    Haar rotation (:mod:`blockquant.theory`), None where there is none.
    """

    #: E‖x − x̂‖²/‖x‖².
    nmse: float
    nmse_theory: float | None
    #: Slope of the inner-product error against the true value.
    bias: float
    bias_theory: float | None
    #: d·E[error²] of inner products.
    ip_error: float
    ip_error_theory: float | None
    #: d·variance of the error about the bias.
    variance: float
    #: Quantiles of |error|: 50 %, 99 %, 99.9 %.
    q50: float
    q99: float
    q999: float
    q999_theory: float | None
    #: Mean over queries of |top 10 by estimate ∩ true top 10|/10.
    recall10: float
    #: Every stored byte; None where the codes do not say.
    bytes_per_vector: float | None
    #: Microseconds a row, all threads.
    encode_us: float
    decode_us: float


class _Truth:
    """Unit rows and queries and what is true of them, computed once for all methods."""

    def __init__(self, x: Any, y: Any) -> None:
        self.x = _unit(as_float32(x, None, "x"), "x")
        self.y = _unit(as_float32(y, self.x.shape[1], "y"), "y")
        if len(self.x) == 0 or len(self.y) == 0:
            raise ValueError(f"{len(self.x)} rows and {len(self.y)} queries, expected at least one")
        self.product = self.y @ self.x.T
        self.square = float(np.mean(np.square(self.product, dtype=np.float64)))
        self.top = _top(self.product)


def _unit(rows: _Float, what: str) -> _Float:
    wide = rows.astype(np.float64)
    norm = np.sqrt(np.einsum("ij,ij->i", wide, wide))
    if not norm.all():
        raise ValueError(f"{what}: row {int(np.argmin(norm != 0))} is zero, it has no direction")
    return np.asarray(wide / norm[:, None], dtype=np.float32)


def _top(scores: _Float) -> NDArray[np.intp]:
    k = min(10, scores.shape[1])
    return np.argpartition(-scores, k - 1, axis=1)[:, :k]


def _recall(truth: NDArray[np.intp], found: NDArray[np.intp]) -> float:
    hits = [len(np.intersect1d(a, b)) for a, b in zip(truth, found, strict=True)]
    return float(np.sum(hits) / truth.size)


def measure(q: Any, x: Any, y: Any = None) -> Distortion:
    """Measures a quantizer.

    Parameters
    ----------
    q : Quantizer
        Or any object with ``encode`` and ``decode``; ``inner_product`` is used where it has one.
    x : array_like, (n, d)
        Rows, as for :meth:`Quantizer.encode`; scaled to unit norm.
    y : array_like, (m, d), optional
        Queries, scaled to unit norm; by default the last tenth of the rows, at most 200, which are
        then left out of x.

    Returns
    -------
    Distortion

    Raises
    ------
    ValueError
        If a row or query is zero, the shapes do not fit, or what the quantizer returns is not
        finite or has a wrong shape.

    Examples
    --------
    >>> import blockquant as bq
    >>> d = bq.measure(bq.Eden(dim=384, bits=2, scale="mse"), *bq.sample())
    >>> abs(d.nmse / d.nmse_theory - 1) < 0.02
    True
    """
    name = getattr(q, "name", None)
    called = name or type(q).__name__
    return _measure(q, _Truth(*_hold_out(x, y)), called, name, getattr(q, "bits", None))


def _hold_out(x: Any, y: Any) -> tuple[Any, Any]:
    if y is not None:
        return x, y
    rows = as_float32(x, None, "x")
    held = min(200, max(1, len(rows) // 10))
    if len(rows) < 2:
        raise ValueError(f"{len(rows)} rows, expected at least 2 to hold out a query")
    return rows[:-held], rows[-held:]


def _measure(
    q: Any, truth: _Truth, called: str, name: str | None, bits: float | None
) -> Distortion:
    """`called` is the method in errors, `name` in the theory."""
    x, y = truth.x, truth.y
    n, d = x.shape
    start = perf_counter()
    codes = q.encode(x)
    encoded = perf_counter()
    back = q.decode(codes)
    decoded = perf_counter()
    # Compared with NaN nothing is smaller: a method that gives it would be the best of its column.
    back = as_result(back, x.shape, f"{called}: decode")
    with np.errstate(over="ignore", invalid="ignore"):
        estimate = q.inner_product(codes, y) if hasattr(q, "inner_product") else y @ back.T
    estimate = as_result(estimate, truth.product.shape, f"{called}: inner_product")
    error = (estimate - truth.product).ravel()
    along = float(np.multiply(error, truth.product.ravel(), dtype=np.float64).sum())
    slope = along / (truth.square * error.size) if truth.square > 0 else 0.0
    second = float(np.mean(np.square(error, dtype=np.float64)))
    about = second - slope**2 * truth.square
    size = np.abs(error)
    quantiles = np.quantile(size, [0.5, 0.99, 0.999])
    # The theory is that of uncentred rows: of a residual's share of the norm it knows nothing.
    known = None if getattr(q, "center", None) is not None else name
    t = _theory(known, bits, d, getattr(q, "block", None), truth.square)
    nbytes = getattr(codes, "nbytes", None)
    return Distortion(
        nmse=float(np.square(x - back, dtype=np.float64).sum()) / n,
        nmse_theory=t[0],
        bias=slope,
        bias_theory=t[1],
        ip_error=d * second,
        ip_error_theory=t[2],
        variance=d * about,
        q50=float(quantiles[0]),
        q99=float(quantiles[1]),
        q999=float(quantiles[2]),
        q999_theory=t[3],
        recall10=_recall(truth.top, _top(estimate)),
        bytes_per_vector=None if nbytes is None else nbytes / n,
        encode_us=(encoded - start) / n * 1e6,
        decode_us=(decoded - encoded) / n * 1e6,
    )


_Theory = tuple[float | None, float | None, float | None, float | None]


def _theory(
    name: str | None, bits: float | None, d: int, block: int | None, square: float
) -> _Theory:
    """Normalised MSE, bias, inner-product error and the 99.9 % quantile of its size."""
    if name is None or bits is None or not theory.supported(name, bits):
        return (None, None, None, None)
    return (
        theory.nmse(name, bits, d, block),
        theory.inner_product_bias(name, bits, d, block),
        theory.inner_product_error(name, bits, d, block, square),
        theory.error_quantile(name, 0.999, bits, d, square, block),
    )


#: The three criteria: name, field, the smaller the better.
CRITERIA = (
    ("reconstruction (normalised MSE)", "nmse"),
    ("expected inner-product error (d·E[error²])", "ip_error"),
    ("high probability (99.9 % quantile of |error|)", "q999"),
)

#: Two-sided 95 % quantiles of Student's t by degrees of freedom; 1.96 beyond.
_STUDENT = (0.0, 12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16)


@dataclass(frozen=True)
class Verdict:
    """Which method is best under a criterion at a bit width, against the best of another family."""

    bits: float
    criterion: str
    field: str
    best: str
    runner_up: str | None
    #: How much lower the best is, in per cent of the runner-up.
    margin: float
    #: Half of the 95 % interval of the margin over seeds (paired); infinite for one seed.
    noise: float

    @property
    def significant(self) -> bool:
        """Whether the margin exceeds the noise."""
        return self.runner_up is not None and self.margin > self.noise

    def __str__(self) -> str:
        unit = "bit" if self.bits == 1 else "bits"
        text = f"{self.bits:g} {unit}, {self.criterion}: {self.best}"
        if self.runner_up is None:
            return text + ", the only family"
        word = "beyond" if self.significant else "within"
        margin = f"{self.margin:.2f} % below {self.runner_up}"
        return f"{text}, {margin} ({word} the noise, ±{self.noise:.2f} %)"


class Comparison:
    """The result of :func:`compare`."""

    def __init__(
        self, runs: dict[tuple[float, str], list[Distortion]], shape: tuple[int, int, int]
    ) -> None:
        self.runs = runs
        #: Rows, queries, dimension.
        self.shape = shape

    def rows(self) -> list[dict[str, Any]]:
        """One dict a method and bit width: means over seeds, and standard errors as ``*_se``."""
        out = []
        for (bits, name), runs in self.runs.items():
            row: dict[str, Any] = {"bits": bits, "method": name, "seeds": len(runs)}
            for field in fields(Distortion):
                values = [getattr(run, field.name) for run in runs]
                if any(value is None for value in values):
                    row[field.name] = None
                    continue
                row[field.name] = float(np.mean(values))
                if not field.name.endswith(("_theory", "_us", "_vector")):
                    many = len(values) > 1
                    spread = np.std(values, ddof=1) / np.sqrt(len(values)) if many else np.nan
                    row[field.name + "_se"] = float(spread)
            out.append(row)
        return out

    def verdicts(self) -> list[Verdict]:
        """The best method under each criterion at each bit width, paired over seeds."""
        out = []
        for bits in dict.fromkeys(bits for bits, _ in self.runs):
            for criterion, field in CRITERIA:
                found = {
                    name: np.array([getattr(run, field) for run in runs])
                    for (at, name), runs in self.runs.items()
                    if at == bits
                }
                order = sorted(found, key=lambda name: float(found[name].mean()))
                best = order[0]
                others = [m for m in order if m.partition("/")[0] != best.partition("/")[0]]
                if not others:
                    out.append(Verdict(bits, criterion, field, best, None, 0.0, 0.0))
                    continue
                second = others[0]
                # A mean of 0 is shared with the best: both are without loss, and the margin is 0.
                gain = 100 * (found[second] - found[best]) / (found[second].mean() or 1.0)
                n = len(gain)
                student = _STUDENT[n - 1] if n <= len(_STUDENT) else 1.96
                noise = student * gain.std(ddof=1) / np.sqrt(n) if n > 1 else np.inf
                out.append(
                    Verdict(bits, criterion, field, best, second, float(gain.mean()), float(noise))
                )
        return out

    def to_text(self) -> str:
        """The table for a terminal, at most 100 columns."""
        from blockquant import report

        return report.text(self)

    def to_markdown(self) -> str:
        """The table in Markdown."""
        from blockquant import report

        return report.markdown(self)

    def save(self, folder: str | Path) -> list[Path]:
        """Write ``results.csv`` and (extra ``plot``) ``comparison.png`` into a folder.

        Returns
        -------
        list of Path
            What was written.
        """
        from blockquant import report

        return report.save(self, Path(folder))


def compare(
    x: Any = None,
    y: Any = None,
    methods: Sequence[str] | None = None,
    bits: Sequence[float] = (1, 2, 3, 4),
    seeds: int = 5,
    rotation: str = "hadamard",
    progress: Callable[[str], None] | None = None,
) -> Comparison:
    """Measures methods side by side: the same rows, queries and seeds for all.

    Parameters
    ----------
    x, y : array_like, (n, d) and (m, d), optional
        Rows and queries as for :func:`measure`; by default the shipped sample.
    methods : sequence of str, optional
        Names as for :func:`blockquant.create`, each measured once; by default all built-in methods
        in their usual scale rules.
    bits : sequence of float
        Bits a coordinate, each measured once.
    seeds : int
        Number of rotation seeds, 0, 1, ….
    rotation : str
        ``hadamard`` or ``haar``, for the built-in methods.
    progress : callable, optional
        Called with a line before each run.

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        If a method is unknown or cannot have such bits, if there are no methods, bits or seeds, or
        as for :func:`measure`, the method named.

    Examples
    --------
    >>> import blockquant as bq
    >>> c = bq.compare(methods=["eden/mse", "blockquant/mse"], bits=[2], seeds=2)
    >>> print(c.verdicts()[0].best)
    blockquant/mse
    """
    seeds = whole(seeds, "seeds")
    names = list(dict.fromkeys(map(registry.full_name, METHODS if methods is None else methods)))
    rates = list(dict.fromkeys(bits))
    if not names or not rates:
        raise ValueError(f"{len(names)} methods at {len(rates)} bit widths, expected at least one")
    if x is None:
        if y is not None:
            raise ValueError("queries y without rows x")
        x, y = sample()
    truth = _Truth(*_hold_out(x, y))
    dim = truth.x.shape[1]
    runs: dict[tuple[float, str], list[Distortion]] = {}
    for rate in rates:
        for name in names:
            options = {"rotation": rotation} if registry.is_built_in(name) else {}
            for seed in range(seeds):
                if progress is not None:
                    progress(f"{name}, {rate:g} bits, seed {seed}")
                q = registry.create(name, dim=dim, bits=rate, seed=seed, **options)
                label = getattr(q, "name", name)
                runs.setdefault((rate, name), []).append(_measure(q, truth, name, label, rate))
    return Comparison(runs, (len(truth.x), len(truth.y), dim))
