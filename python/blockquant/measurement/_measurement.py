"""The measurement of one quantizer on one set of rows, beside the theory."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockquant._arrays import as_result
from blockquant._checks import between
from blockquant._methods import states_intervals
from blockquant.codes import Codes
from blockquant.measurement._errors import Counter, Errors
from blockquant.measurement._expectation import LEVELS, Expectation
from blockquant.measurement._ranks import Best, ranks, recall
from blockquant.measurement._truth import MOST_FOUND, Chunk, Truth
from blockquant.quantizer import Quantizer

_Float = NDArray[np.float32]


@dataclass(frozen=True)
class Distortion:
    """The result of :func:`measure`: what one quantizer does to one set of rows.

    Inner products are between unit rows and unit queries. The error is ⟨x̂, y⟩ − ⟨x, y⟩. The fields
    ``*_theory`` are expectations under a Haar rotation (:mod:`blockquant.theory`), or None if the
    theory does not cover the quantizer. With fitted axes they are what the model predicts for rows
    like its sample (:attr:`Quantizer.predicted`): those of `nmse` and `ip_error`.

    See Also
    --------
    measure : Measures a quantizer.
    compare : Measures several methods.
    """

    #: E‖x − x̂‖²/‖x‖².
    nmse: float
    nmse_theory: float | None
    #: Mean cosine between row and reconstruction.
    cosine: float
    #: Slope of the inner-product error against the true value.
    bias: float
    bias_theory: float | None
    #: d·E[error²].
    ip_error: float
    ip_error_theory: float | None
    #: d·variance of the error about the bias.
    variance: float
    variance_theory: float | None
    #: Quantiles of |error| at 50 %, 99 %, 99.9 % and 99.99 %, with a relative accuracy of 2⁻¹¹.
    q50: float
    q50_theory: float | None
    q99: float
    q99_theory: float | None
    q999: float
    q999_theory: float | None
    q9999: float
    q9999_theory: float | None
    #: Share of the pairs whose interval at this confidence contains the true value; None for a
    #: method without intervals.
    confidence: float
    coverage: float | None
    #: Mean half width of the intervals.
    half_width: float | None
    half_width_theory: float | None
    #: Mean over queries of the share of the k highest estimates whose true product reaches the
    #: k-th greatest, so that equal rows count alike.
    recall1: float
    recall10: float
    recall100: float
    #: Mean over queries of Spearman's rank correlation of estimates and true values. At most 2,000
    #: rows, spread evenly, and 200 queries are ranked.
    rank_correlation: float
    #: All stored bytes per vector, and all stored bits over the dimension. None if the codes do not
    #: tell their size.
    bytes_per_vector: float | None
    bits_per_dimension: float | None
    #: Microseconds per row, with all threads.
    encode_us: float
    decode_us: float
    #: The number of rows and queries that are left out because they are zero and have no direction.
    zero_rows: int
    zero_queries: int
    #: The distribution of the errors.
    errors: Errors = field(repr=False, compare=False)

    def __str__(self) -> str:
        out = []
        for name, label in _LABELS.items():
            value = getattr(self, name)
            if value is None or (name in COUNTS and not value):
                continue
            expected = getattr(self, f"{name}_theory", None)
            beside = "" if expected is None else f"   theory {_short(expected)}"
            label = label.format(confidence=self.confidence)
            out.append(f"{label:<46}{_short(value):>11}{beside}")
        return "\n".join(out)


_LABELS = {
    "nmse": "normalised MSE",
    "cosine": "cosine of row and reconstruction",
    "bias": "inner product: bias, slope",
    "ip_error": "inner product: d·E[error²]",
    "variance": "inner product: d·variance",
    "q50": "inner product: |error| at 50 %",
    "q99": "inner product: |error| at 99 %",
    "q999": "inner product: |error| at 99.9 %",
    "q9999": "inner product: |error| at 99.99 %",
    "coverage": "interval: coverage of {confidence:g}",
    "half_width": "interval: half width",
    "recall1": "recall@1",
    "recall10": "recall@10",
    "recall100": "recall@100",
    "rank_correlation": "rank correlation",
    "bytes_per_vector": "bytes per vector",
    "bits_per_dimension": "bits per dimension, all counted",
    "encode_us": "encode, µs per row",
    "decode_us": "decode, µs per row",
    "zero_rows": "zero rows, left out",
    "zero_queries": "zero queries, left out",
}
#: Fields that count what was left out. They depend on the data and not on the method.
COUNTS = ("zero_rows", "zero_queries")


def _short(value: float) -> str:
    return f"{value:.4g}" if value == 0 or abs(value) >= 1e-4 else f"{value:.1e}"


def names() -> list[str]:
    """The fields that are numbers, in order."""
    return [f.name for f in fields(Distortion) if f.name != "errors"]


def measure(q: Any, x: Any, y: Any = None, confidence: float = 0.99) -> Distortion:
    """Measures a quantizer.

    Parameters
    ----------
    q : Quantizer
        A quantizer, or any object with ``encode`` and ``decode``. If it has ``inner_product`` and
        ``interval``, these are used. It gets the rows in chunks, in order.
    x : array_like, (n, d)
        Rows, as for :meth:`Quantizer.encode`. They are scaled to unit norm. A quantizer with fitted
        axes gets them as they are, because its model knows their lengths, and what it returns is
        scaled. Zero rows have no direction: they are left out, and `zero_rows` of the result counts
        them. Objects that give arrays for slices (mapped files, h5py) are read one chunk at a time.
    y : array_like, (m, d), optional
        Queries. They are scaled to unit norm. Zero queries are left out, and `zero_queries` counts
        them. The default is the last tenth of the rows, at most 200, which are then not measured as
        rows.
    confidence : float
        Confidence of the intervals whose coverage is measured, for methods that have intervals. The
        rows have unit norm, so quantizers that do not store norms have intervals too.

    Returns
    -------
    Distortion

    Raises
    ------
    ValueError
        If all rows or all queries are zero, if the shapes do not fit, or if the quantizer returns a
        value that is not finite or an array of a wrong shape.

    See Also
    --------
    compare : Measures several methods on the same rows.
    blockquant.theory : The closed forms of the criteria.

    Examples
    --------
    >>> import blockquant as bq
    >>> d = bq.measure(bq.Eden(dim=384, bits=2, scale="mse"), *bq.sample())
    >>> abs(d.nmse / d.nmse_theory - 1) < 0.02
    True
    """
    name = getattr(q, "name", None)
    called = name or type(q).__name__
    confidence = between(confidence, "confidence")
    scaled = getattr(q, "criterion", None) is None
    return run(q, Truth(x, y), called, confidence, Expectation(confidence), scaled)


def run(
    q: Any,
    truth: Truth,
    called: str,
    confidence: float,
    expectation: Expectation,
    scaled: bool = True,
) -> Distortion:
    """One pass of a quantizer over the rows. Errors name the method as `called`.

    Unless `scaled`, it gets the rows as they were, and its results are divided by their norms.
    """
    n, m, d = truth.shape
    if isinstance(q, Quantizer):
        q.encode(truth.y[:1])  # Builds the tables of the first use before the time is taken.
    sums = _Sums(truth, q, called, confidence, scaled)
    for chunk in truth.chunks():
        sums.add(chunk)
    expected: dict[str, Any] = dict(expectation.of(q, truth))
    second = sums.square / (n * m)
    slope = sums.along / (n * m) / truth.square if truth.square > 0 else 0.0
    errors = sums.errors.errors()
    found = sums.best.products()
    nbytes = None if sums.nbytes is None else sums.nbytes / n
    values: dict[str, Any] = {
        "nmse": sums.loss / n,
        "cosine": sums.cosine / n,
        "bias": slope,
        "ip_error": d * second,
        "variance": d * (second - slope**2 * truth.square),
        **{name: errors.quantile(level) for name, level in LEVELS.items()},
        "confidence": confidence,
        "coverage": None if sums.inside is None else sums.inside / (n * m),
        "half_width": None if sums.inside is None else sums.width / (n * m),
        "recall1": recall(truth.top, found, 1),
        "recall10": recall(truth.top, found, 10),
        "recall100": recall(truth.top, found, MOST_FOUND),
        "rank_correlation": sums.rank_correlation(),
        "bytes_per_vector": nbytes,
        "bits_per_dimension": None if nbytes is None else 8 * nbytes / d,
        "encode_us": sums.encoding / n * 1e6,
        "decode_us": sums.decoding / n * 1e6,
        "zero_rows": truth.zero_rows,
        "zero_queries": truth.zero_queries,
    }
    return Distortion(**values, **expected, errors=errors)


class _Sums:
    """The sums over the chunks of a run."""

    def __init__(self, truth: Truth, q: Any, called: str, confidence: float, scaled: bool) -> None:
        self._truth, self._q, self._called, self._confidence = truth, q, called, confidence
        self._scaled = scaled
        self.loss = self.cosine = self.square = self.along = self.width = 0.0
        self.encoding = self.decoding = 0.0
        self.inside: int | None = 0 if _has_intervals(q) else None
        self.nbytes: int | None = 0
        self.errors = Counter()
        self.best = Best(truth.y, min(truth.shape[0], MOST_FOUND))
        self._scores: list[_Float] = []

    def add(self, chunk: Chunk) -> None:
        q, x, y = self._q, chunk.x, self._truth.y
        size = None if self._scaled else chunk.norm.astype(np.float32)
        given = x if size is None else x * size[:, None]
        start = perf_counter()
        codes = q.encode(given)
        encoded = perf_counter()
        back = q.decode(codes)
        self.decoding += perf_counter() - encoded
        self.encoding += encoded - start
        nbytes = getattr(codes, "nbytes", None)
        self.nbytes = None if nbytes is None or self.nbytes is None else self.nbytes + nbytes
        # Nothing is smaller than NaN, so a method that returned NaN would seem to be the best.
        back = as_result(back, x.shape, f"{self._called}: decode", chunk.first)
        if size is not None:
            back = back / size[:, None]
        wide = back.astype(np.float64)
        length = np.sqrt(np.einsum("ij,ij->i", wide, wide))
        self.loss += float(np.square(x - wide).sum())
        self.cosine += float((np.einsum("ij,ij->i", x, wide) / np.where(length, length, 1.0)).sum())
        with np.errstate(over="ignore", invalid="ignore"):
            has = hasattr(q, "inner_product")
            estimate = q.inner_product(codes, y) if has else y @ back.T
        what = f"{self._called}: inner_product"
        estimate = as_result(estimate, chunk.product.shape, what)
        if size is not None and has:
            estimate = np.asarray(estimate / size, np.float32)
        error = estimate - chunk.product
        self.square += float(np.square(error, dtype=np.float64).sum())
        self.along += float(np.einsum("ij,ij->", error, chunk.product, dtype=np.float64))
        self.errors.add(error)
        self.best.add(chunk.first, x, estimate)
        self._scores.append(self._truth.pick(chunk, estimate))
        if self.inside is not None:
            known = codes if getattr(q, "criterion", None) is not None else _with_norms(codes)
            bounds = q.interval(known, y, self._confidence)
            what = f"{self._called}: interval"
            low, high = (as_result(bound, chunk.product.shape, what) for bound in bounds)
            low, high = (low, high) if size is None else (low / size, high / size)
            self.inside += int(((low <= chunk.product) & (chunk.product <= high)).sum())
            self.width += float(np.subtract(high, low, dtype=np.float64).sum()) / 2

    def rank_correlation(self) -> float:
        own = ranks(np.concatenate(self._scores, axis=1))
        return float(np.einsum("ij,ij->i", own, self._truth.ranks).mean())


def _has_intervals(q: Any) -> bool:
    if not isinstance(q, Quantizer):
        return hasattr(q, "interval")
    # A quantizer with a center quantizes x − μ, whose norm is not that of the row, and fitted axes
    # have a center and need the angles of their groups.
    is_centered = q.center is not None or q.criterion is not None
    return states_intervals(q.name) and (q.store_norm or not is_centered)


def _with_norms(codes: Any) -> Any:
    """The codes of unit rows with the norms that intervals need."""
    if not isinstance(codes, Codes) or codes.norm is not None or codes.center_product is not None:
        return codes
    one = np.ones(len(codes), np.float32)
    return Codes(codes.packed, codes.scale, one, codes.residual_norm, codes.dim, codes.made_by)
