"""The criteria in closed form: reconstruction, inner products, their tails, the intervals."""

from __future__ import annotations

from functools import lru_cache
from math import pi, sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blockquant import _core
from blockquant._checks import between
from blockquant._methods import DEFAULTS, PARTS, has_rate, states_intervals
from blockquant.theory._angles import angles, coordinate_law, split
from blockquant.theory._trellis import trellis_angles

_Float = NDArray[np.float64]

#: Methods that have a closed form or frozen moments, with every scale rule or variant.
_KNOWN = ("blockquant", "eden", "rabitq", "trellis", "turboquant")
#: Bisections of a quantile in [0, 2]: to 2⁻⁴⁰.
_HALVINGS = 41


def shannon(bits: float) -> float:
    """Least normalised MSE of any quantizer of Gaussian coordinates: 4^(−bits) (Shannon 1959).

    Examples
    --------
    >>> shannon(2)
    0.0625
    """
    return float(4.0**-bits)


def supported(name: str, bits: float) -> bool:
    """Whether the functions of this module know the method at this rate.

    Examples
    --------
    >>> supported("eden/mse", 2), supported("mine", 2)
    (True, False)
    """
    full = DEFAULTS.get(name, name)
    return full in PARTS and split(full)[0] in _KNOWN and has_rate(PARTS[full][0], bits)


def nmse(
    name: str, bits: float, dim: int, block: int | None = None, *, states: int | None = None
) -> float:
    """Expected normalised MSE, E‖x − x̂‖²/‖x‖².

    Scale ``none`` and TurboQuant ``mse``: the codebook's distortion D; ``mse``: E sin²θ;
    ``unbiased``: E tan²θ (arXiv 2605.19972, unified comparison); TurboQuant ``prod``: D of b − 1
    bits times π/2 − 1/d (arXiv 2504.19874 with the exact second moment of QJL).

    Parameters
    ----------
    name : str
        As for :func:`blockquant.create`.
    bits : float
        Bits per coordinate.
    dim : int
        Coordinates of a row.
    block : int, optional
        Coordinates of a block, for BlockQuant.
    states : int, optional
        States of the path, for Trellis.

    Raises
    ------
    ValueError
        If the method has no theory at this rate.

    Examples
    --------
    >>> round(nmse("turboquant/mse", 2, 1536), 4)
    0.1174
    """
    return _law(name, bits, dim, block, states).nmse


def accuracy(
    name: str, bits: float, dim: int, block: int | None = None, *, states: int | None = None
) -> float:
    """Relative accuracy that :func:`nmse` and what follows from it can be held to.

    The sum of what is left out: 2/d² + 10/d³ by the delta method (nothing where S = 1), three
    standard errors of a block codebook's distortion, which comes from 2²⁰ samples (2¹⁸ above 256
    codewords, 2¹⁵ above 4096), and of RaBitQ's gain over the best common rescaling. For Trellis it
    is three standard errors of the frozen moments, and 1 % more for a dimension between theirs.

    Parameters and errors are those of :func:`nmse`.

    Examples
    --------
    >>> accuracy("turboquant/mse", 2, 384) < accuracy("blockquant/mse", 2, 384) < 0.01
    True
    """
    return _law(name, bits, dim, block, states).accuracy


def inner_product_bias(
    name: str, bits: float, dim: int, block: int | None = None, *, states: int | None = None
) -> float:
    """Slope of E⟨x̂, y⟩ − ⟨x, y⟩ against ⟨x, y⟩.

    0 for ``unbiased`` and ``prod``, −E sin²θ for ``mse``, −D for ``none`` (arXiv 2605.19972).
    Parameters and errors are those of :func:`nmse`.

    Examples
    --------
    >>> inner_product_bias("eden/unbiased", 2, 384)
    0.0
    """
    return _law(name, bits, dim, block, states).slope


def inner_product_variance(
    name: str,
    bits: float,
    dim: int,
    block: int | None = None,
    square: float = 0.0,
    *,
    states: int | None = None,
) -> float:
    """d·variance of ⟨x̂, y⟩ about its mean over rotations, for unit x and y.

    d/(d−1)·width²·(1 − m²) + d·spread·m², with m² = `square`. width² is E tan²θ (``unbiased``),
    E[sin²θ cos²θ] (``mse``), E[Q − ρ²] (S = 1); spread is the variance of the slope: 0, that of
    sin²θ, that of ρ (arXiv 2605.19972). For ``prod`` π/2·D − D²·m² − D(1 − D)·(1 − m²)/(d−1), D of
    b − 1 bits: the second moment of QJL less the square of what it estimates, of which the part
    along x is D·m (arXiv 2504.19874).

    Other parameters and errors are those of :func:`nmse`.

    Examples
    --------
    >>> round(inner_product_variance("eden/unbiased", 1, 384), 2)
    0.57
    """
    return float(dim * _law(name, bits, dim, block, states).variance(np.float64(square)))


def inner_product_error(
    name: str,
    bits: float,
    dim: int,
    block: int | None = None,
    square: float = 0.0,
    *,
    states: int | None = None,
) -> float:
    """d·E(⟨x̂, y⟩ − ⟨x, y⟩)² for unit x and y with ⟨x, y⟩² = `square`.

    :func:`inner_product_variance` and d·bias²·⟨x, y⟩² by :func:`inner_product_bias`. Parameters and
    errors are theirs.

    Examples
    --------
    >>> round(inner_product_error("eden/unbiased", 1, 384), 2)
    0.57
    """
    law = _law(name, bits, dim, block, states)
    return float(dim * (law.variance(np.float64(square)) + law.slope**2 * square))


def error_probability(
    name: str,
    error: float,
    bits: float,
    dim: int,
    square: float = 0.0,
    block: int | None = None,
    products: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    sizes: ArrayLike | None = None,
    *,
    states: int | None = None,
) -> float | None:
    """P(|⟨x̂, y⟩ − ⟨x, y⟩| ≤ `error`) over rotations, for unit x and y; None below d = 3.

    With the error slope·m + width·√(1 − m²)·t, t a coordinate of a uniform vector of S^(d−2) (arXiv
    2405.12497): for ``unbiased`` exact but for θ, which enters by its root mean square, as does the
    spread of the slope for the others. For ``prod`` a normal law, an approximation: d terms are
    added (arXiv 2504.19874).

    Parameters
    ----------
    error : float
        At least 0.
    square : float
        m², where the products are not given.
    products : array_like, (k,), optional
        The inner products m that the probability is averaged over.
    weights : array_like, (k,), optional
        Of the products, at least 0; equal by default.
    sizes : array_like, (k,), optional
        The lengths ‖x‖‖y‖ of the pairs that the products of unit vectors belong to, 1 by default:
        the error grows with them. With a center μ they are those of x − μ and of the part of y
        across μ (of y for the scale rules ``mse`` and ``none``).
    name, bits, dim, block, states
        As for :func:`nmse`.

    Raises
    ------
    ValueError
        As for :func:`nmse`.

    Examples
    --------
    >>> 0.68 < error_probability("eden/unbiased", 384**-0.5, 1, 384) < 0.95
    True
    """
    if dim < 3:
        return None
    return _Tails(_law(name, bits, dim, block, states), square, products, weights, sizes).within(
        error
    )


def error_quantile(
    name: str,
    level: float,
    bits: float,
    dim: int,
    square: float = 0.0,
    block: int | None = None,
    products: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    sizes: ArrayLike | None = None,
    *,
    states: int | None = None,
) -> float | None:
    """Quantile of |⟨x̂, y⟩ − ⟨x, y⟩| over rotations: where :func:`error_probability` is `level`.

    θ enters by its root mean square, so that in few dimensions the tails are heavier than told: of
    1-bit ``eden/unbiased`` the 99 % quantile is 6 % greater at d = 17, below 1 % from d = 128 on.

    Parameters
    ----------
    level : float
        In (0, 1).
    name, bits, dim, square, block, products, weights, sizes, states
        As for :func:`error_probability`.

    Raises
    ------
    ValueError
        As for :func:`nmse`, or if the level is out of range.

    Examples
    --------
    >>> 0.05 < error_quantile("eden/unbiased", 0.99, 1, 384) < 0.15
    True
    """
    level = between(level, "level")
    if dim < 3:
        return None
    tails = _Tails(_law(name, bits, dim, block, states), square, products, weights, sizes)
    low, high = 0.0, 2.0
    while tails.within(high) < level:
        low, high = high, 2 * high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if tails.within(middle) >= level else (middle, high)
    return high


def interval_half_width(
    name: str,
    bits: float,
    dim: int,
    confidence: float,
    block: int | None = None,
    square: float = 0.0,
    *,
    states: int | None = None,
) -> float:
    """Expected half width of :meth:`Quantizer.interval` for unit x and y.

    With q = cos²θ + sin²θ·τ² it is sinθ·τ·√(q − a²)/q, a² by its mean m²·cos²θ +
    sin²θ·(1 − m²)/(d−1) and sin²θ by its own; τ is the quantile of |t|, t² ~ Beta(½, (d−2)/2)
    (arXiv 2405.12497). The same for ``unbiased`` and ``mse``.

    Parameters
    ----------
    confidence : float
        As for :meth:`Quantizer.interval`.
    square : float
        m² = ⟨x, y⟩².
    name, bits, dim, block, states
        As for :func:`nmse`.

    Raises
    ------
    ValueError
        If the scale rule is neither, the confidence is not between 0 and 1, or as for
        :func:`nmse`.

    Examples
    --------
    >>> round(interval_half_width("blockquant/unbiased", 2, 384, 0.99), 3)
    0.043
    """
    confidence = between(confidence, "confidence")
    method, _ = split(name)
    full = DEFAULTS.get(name, name)
    if full not in PARTS or not states_intervals(full):
        raise ValueError(f"{name!r} has no intervals, expected the scale rule unbiased or mse")
    if dim == 1:
        return 0.0
    sin2 = nmse(f"{method}/mse", bits, dim, block, states=states)
    spread = sin2 * _core.interval_quantile(dim, confidence) ** 2
    q = 1 - sin2 + spread
    along = (1 - sin2) * square + sin2 * (1 - square) / (dim - 1)
    return sqrt(spread * max(0.0, q - along)) / q


class _Law(NamedTuple):
    """⟨x̂, y⟩ − m = slope·m + width·√(1 − m²)·t, and how much the slope varies."""

    dim: int
    nmse: float
    slope: float
    #: Square of the width; D of b − 1 bits for QJL.
    across: float
    #: Variance of the slope over rotations.
    spread: float
    #: Whether the error is of QJL: a sum of d terms, nearly normal.
    normal: bool
    accuracy: float

    def variance(self, square: Any) -> Any:
        """Of the error about slope·m, m² = `square`."""
        rest = (1 - square) / max(self.dim - 1, 1)  # 0 for d = 1, where m² = 1
        if self.normal:
            first = self.across
            known = first**2 * square + first * (1 - first) * rest
            return (pi / 2 * first - known) / self.dim
        return self.across * rest + self.spread * square


@lru_cache(maxsize=4096)
def _law(name: str, bits: float, dim: int, block: int | None, states: int | None) -> _Law:
    if not supported(name, bits):
        raise ValueError(f"no theory for {name!r} at bits={bits:g}")
    method, scale = split(name)
    if scale == "prod":
        first = 1.0 if bits == 1 else angles("turboquant", bits - 1, dim, None).distortion
        return _Law(dim, first * (pi / 2 - 1 / dim), 0.0, first, 0.0, True, 0.0)
    if method == "trellis":
        delta = 0.0
        angle, sampled = trellis_angles(bits, dim, states)
    else:
        delta = 2 / dim**2 + 10 / dim**3
        angle, sampled = angles(method, bits, dim, block), _sampling(method, bits, block)
    if scale == "unbiased":
        return _Law(dim, angle.tan2, 0.0, angle.tan2, 0.0, False, delta + sampled)
    if scale == "mse" and method != "turboquant":
        sin2, spread = angle.sin2, angle.sin2_variance
        across = max(0.0, sin2 * (1 - sin2) - spread)
        return _Law(dim, sin2, -sin2, across, spread, False, delta + sampled)
    # With S = 1 and E[Q] = D − 1 + 2·E[ρ], the width E[Q − ρ²] is D − (1 − E[ρ])² less the spread.
    none, slope, spread = angle.distortion, angle.rho - 1, angle.rho_variance
    across = max(0.0, none - slope**2 - spread)
    return _Law(dim, none, slope, across, spread, False, sampled)


def _sampling(method: str, bits: float, block: int | None) -> float:
    """Three relative standard errors of what comes from samples."""
    if method == "blockquant":  # default blocks have at most 4096 codewords
        return 0.006 if block is None or bits * block < 12.5 else 0.02
    return 0.002 if method == "rabitq" and bits > 1 else 0.0


@lru_cache(maxsize=8)
def _distribution(dim: int) -> tuple[_Float, _Float]:
    """Points and distribution function of a coordinate, of which many quantiles are asked."""
    t, mass = coordinate_law(dim)
    return t, np.cumsum(mass)


class _Tails:
    """The law of |error| averaged over the inner products."""

    def __init__(
        self,
        law: _Law,
        square: float,
        products: ArrayLike | None,
        weights: ArrayLike | None,
        sizes: ArrayLike | None,
    ) -> None:
        m = np.array([sqrt(square)]) if products is None else np.asarray(products, np.float64)
        w = np.ones(len(m)) if weights is None else np.asarray(weights, np.float64)
        size = np.ones(len(m)) if sizes is None else np.asarray(sizes, np.float64)
        live = w > 0
        m, size = m[live], size[live]
        self._mass = w[live] / w[live].sum()
        self._middle = size * law.slope * m
        sigma = np.sqrt(law.variance(np.minimum(m**2, 1.0)))
        # An error without width is at its middle.
        self._sigma = size * np.maximum(sigma, 1e-12)
        # In units of standard deviations; a normal law is that of a very long vector.
        self._t, self._cdf = _distribution(1 << 24 if law.normal else law.dim - 1)

    def within(self, error: float) -> float:
        """P(|error| ≤ `error`)."""
        below = self._below((error - self._middle) / self._sigma)
        return float(self._mass @ (below - self._below((-error - self._middle) / self._sigma)))

    def _below(self, deviations: _Float) -> _Float:
        return np.interp(deviations, self._t, self._cdf, left=0.0, right=1.0)
