"""Methods on fitted axes in a comparison: their names, the sample, and the model of it.

The name of a fitted method is that of its family with ``+axes``, and after it what the bits are
given for: ``trellis+axes/recall``. Reconstruction takes the scale rule ``mse``, which has the least
error there, and the others take ``unbiased``.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from numbers import Real
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockquant import _core, methods, registry
from blockquant._checks import between
from blockquant._methods import TABLE, did_you_mean
from blockquant.axes import Axes
from blockquant.fitting import AxesFit, few
from blockquant.measurement._budget import Rate, Unmet
from blockquant.measurement._truth import Source, Truth, unit_pieces

#: What the bits of fitted axes are given for, with the scale rule of each.
_SCALES = {"recall": "unbiased", "reconstruction": "mse", "inner_product": "unbiased"}
_MARK = "+axes"
#: What a comparison with a sample measures besides, if no methods are named.
FITTED = tuple(f"{methods.FITTED}{_MARK}/{criterion}" for criterion in _SCALES)
#: Bytes of a row besides ⌊d·bits/8⌋, the most that its scalars take.
_SCALARS = 8


@dataclass(frozen=True)
class Model:
    """The model of the sample that fitted methods use, and what it cost."""

    axes: Axes
    #: Where the rows of the sample come from.
    source: str
    #: The time of the fit, with all threads.
    seconds: float
    #: The number of rows that are measured although equal rows are in the sample.
    shared: int

    @property
    def noise(self) -> float:
        """The most that errors of other rows of the same kind exceed the predicted ones.

        (n + d)/(n − d) for n rows of the sample: Akaike's final prediction error of d fitted
        numbers, and ∞ for n ≤ d. 2 % more are for groups of axes whose rows are not Gaussian.
        """
        rows, dim = self.axes.rows, self.axes.dim
        return 1.02 * (rows + dim) / (rows - dim) if rows > dim else float("inf")

    @property
    def few(self) -> str | None:
        """A warning if the sample has few rows, or None."""
        return few(self.axes.rows, self.axes.dim)


def is_fitted(name: str) -> bool:
    """Whether it is the full name of a method on fitted axes.

    Examples
    --------
    >>> is_fitted("trellis+axes/recall"), is_fitted("trellis/unbiased")
    (True, False)
    """
    return name.partition("/")[0].endswith(_MARK) and name not in registry.available()


def full_name(name: str) -> str:
    """The name with its scale rule, or with what its fitted axes are for.

    Raises
    ------
    ValueError
        If there is no such method.

    Examples
    --------
    >>> full_name("eden"), full_name("eden+axes")
    ('eden/unbiased', 'eden+axes/recall')
    """
    if not is_fitted(name):
        return registry.full_name(name)
    family, _, criterion = name.partition("/")
    family = family.removesuffix(_MARK)
    criterion = criterion or next(iter(_SCALES))
    if family not in TABLE or not TABLE[family].scales:
        having = [f"{known}{_MARK}" for known, method in TABLE.items() if method.scales]
        raise ValueError(f"no method {name!r} on fitted axes, expected one of {', '.join(having)}")
    if criterion not in _SCALES:
        raise ValueError(
            f"unknown criterion {criterion!r} of {name!r}, "
            f"{did_you_mean(criterion, list(_SCALES))}expected one of {', '.join(_SCALES)}"
        )
    return f"{family}{_MARK}/{criterion}"


def criterion_of(name: str) -> str:
    """What the bits of a fitted method are given for, by its full name."""
    return name.partition("/")[2]


def chosen(names: Any, sample: Any) -> list[str]:
    """The full names that are measured, fitted ones last.

    Raises
    ------
    ValueError
        If a method is unknown, or fitted methods lack a sample, or a sample lacks them.
    """
    if names is None:
        names = methods.COMPARED if sample is None else (*methods.COMPARED, *FITTED)
    names = list(dict.fromkeys(map(full_name, names)))
    fitted = [name for name in names if is_fitted(name)]
    if fitted and sample is None:
        raise ValueError(f"{fitted[0]} needs a sample: rows, or a share of the rows to fit axes to")
    if sample is not None and not fitted:
        raise ValueError(f"a sample, but no fitted methods: name one of them, such as {FITTED[0]}")
    return [name for name in names if name not in fitted] + fitted


def create(name: str, axes: Axes, **options: Any) -> Any:
    """The quantizer of a full name with fitted axes."""
    family, _, criterion = name.partition("/")
    method = f"{family.removesuffix(_MARK)}/{_SCALES[criterion]}"
    return registry.create(method, axes=axes, criterion=criterion, **options)


def within(budget: int, dim: int) -> Rate:
    """The most bits whose bytes are no more than `budget`.

    Raises
    ------
    Unmet
        If the scalars of a row take all of it.
    """
    if budget <= _SCALARS:
        raise Unmet(f"needs more than {_SCALARS} bytes")
    return Rate(min(8 * (budget - _SCALARS) / dim, float(_core.MAX_FITTED_BITS)))


def as_share(sample: Any) -> float | None:
    """The share of the rows to fit to, or None if the sample is rows.

    Raises
    ------
    ValueError
        If the share is not between 0 and 1.
    """
    if not isinstance(sample, Real):
        return None
    return between(sample, "sample")


def model(sample: Any, share: float | None, truth: Truth) -> Model:
    """Fits axes to the sample, scaled to unit norm as all rows are.

    Raises
    ------
    ValueError
        If the sample has no row that is not zero, or its rows have another dimension.
    """
    dim = truth.shape[2]
    if share is None:
        rows = Source(sample, "sample")
        if rows.shape[1] != dim:
            raise ValueError(f"sample has d = {rows.shape[1]}, expected {dim}")
        pieces = unit_pieces(rows)
        source = "rows given"
    else:
        pieces, source = truth.sample(), f"{share:.3g} of the rows, at random"
    fit = AxesFit(dim)
    seen: set[bytes] = set()
    seconds = 0.0
    for piece in pieces:
        if share is None:
            seen.update(map(bytes, _keys(piece)))
        start = perf_counter()
        fit.add(piece)
        seconds += perf_counter() - start
    if fit.rows == 0:
        raise ValueError("sample has no rows that are not zero, expected at least one")
    start = perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # The notes of the comparison say it.
        axes = fit.finish()
    seconds += perf_counter() - start
    shared = 0
    if share is None:
        for chunk in truth.chunks():
            shared += sum(bytes(key) in seen for key in _keys(chunk.x))
    return Model(axes, source, seconds, shared)


def _keys(rows: NDArray[np.float32]) -> NDArray[np.void]:
    """The bytes of each row."""
    rows = np.ascontiguousarray(rows)
    return rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()


def about(fitted: Model) -> dict[str, Any]:
    """The sample and the model, in types that JSON can hold."""
    axes = fitted.axes
    return {
        "source": fitted.source,
        "rows": axes.rows,
        "seconds": fitted.seconds,
        "measured_too": fitted.shared,
        "shrinkage": axes.shrinkage,
        "effective_dim": axes.effective_dim,
        "digest": axes.digest,
        "variances": axes.variances.tolist(),
    }
