r"""What each method must measure on rows rotated by a Haar matrix.

Notation: ρ = ⟨u, c⟩/d and Q = ‖c‖²/d are means over coordinates of a = u·c and q = c²;
sin²θ = 1 − ρ²/Q, tan²θ = Q/ρ² − 1. Their expectations come from the law of a coordinate (numerical
integration) or block (samples and the codebook's own distortion), with the O(1/d) term of the delta
method: the covariance of (ρ, Q) given ‖u‖² = d. Good to O(1/d²); poor below d ≈ 16. Extended RaBitQ
chooses its rescaling per row; what that gains over the best common one is averaged over samples.
"""

from __future__ import annotations

from functools import lru_cache
from math import log2, pi, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockquant import _core
from blockquant._checks import between

_GRID = 100_001
_SAMPLES = 1 << 14


def shannon(bits: float) -> float:
    """Least normalised MSE of any quantizer of Gaussian coordinates: 4^(−bits) (Shannon 1959).

    Examples
    --------
    >>> shannon(2)
    0.0625
    """
    return float(4.0**-bits)


def _law(dim: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points and masses of the law of a coordinate, t = √d·sin φ."""
    if dim == 1:
        return np.array([-1.0, 1.0]), np.array([0.5, 0.5])
    reach = pi / 2 if dim < 300 else min(pi / 2, 10.0 / sqrt(dim))
    phi = (np.arange(_GRID) + 0.5) / _GRID * 2 * reach - reach
    mass = np.cos(phi) ** (dim - 2)
    return sqrt(dim) * np.sin(phi), mass / mass.sum()


def _moments(
    u: NDArray[np.float64], c: NDArray[np.float64], mass: NDArray[np.float64], count: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean of (a, q) and covariance of their means over `count` parts given the sum of squares.

    u and c are (n, p).
    """
    values = np.stack([(u * c).mean(1), (c * c).mean(1), (u * u).mean(1)])
    mean = values @ mass
    off = values - mean[:, None]
    cov = (off * mass) @ off.T
    if cov[2, 2] > 1e-12:
        cov = cov - np.outer(cov[:, 2], cov[2]) / cov[2, 2]
    return mean[:2], cov[:2, :2] / count


def _scalar_moments(
    levels: NDArray[np.float64], boundaries: NDArray[np.float64], dim: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    u, mass = _law(dim)
    c = levels[np.searchsorted(boundaries, u)]
    return _moments(u[:, None], c[:, None], mass, dim)


def _midpoints(levels: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray((levels[1:] + levels[:-1]) / 2, dtype=np.float64)


@lru_cache(maxsize=256)
def _block_moments(
    bits: float, dim: int, block: int | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    core = _core.Quantizer("blockquant", dim, bits, block=block)
    words = core.codebook().astype(np.float64)
    p = words.shape[1]
    width = round(log2(len(words)))
    if p == 1:
        return _scalar_moments(words[:, 0], _midpoints(words[:, 0]), dim)
    rng = np.random.default_rng(0)
    g = rng.standard_normal((_SAMPLES, p))
    rest = rng.chisquare(dim - p, _SAMPLES) if dim > p else np.zeros(_SAMPLES)
    u = g * np.sqrt(dim / ((g * g).sum(1) + rest))[:, None]
    half = (words * words).sum(1) / 2
    pieces = np.array_split(u, max(1, _SAMPLES * len(words) >> 22))
    index = np.concatenate([(piece @ words.T - half).argmax(1) for piece in pieces])
    mass = np.full(_SAMPLES, 1 / _SAMPLES)
    _, cov = _moments(u, words[index], mass, dim / p)
    distortion = _core.block_distortion(dim, p, width)
    if dim % p:
        tail = core.tail_codebook()
        assert tail is not None
        own = _core.block_distortion(dim, dim % p, round(log2(len(tail))))
        distortion = (distortion * (dim - dim % p) + own * (dim % p)) / dim
    # Codewords are the means of their cells, so that E[a] = E[q] = 1 − distortion.
    return np.array([1 - distortion, 1 - distortion]), cov


def _grid_point(u: NDArray[np.float64], t: float, bits: int) -> NDArray[np.float64]:
    most = 2 ** (bits - 1) - 1
    return np.asarray(np.copysign(np.minimum(np.floor(t * np.abs(u)), most) + 0.5, u))


@lru_cache(maxsize=256)
def _rabitq_rescaling(bits: int, dim: int) -> float:
    """The common rescaling t with the largest cosine in the limit of large d."""
    u, mass = _law(dim)

    def cosine(t: float) -> float:
        c = _grid_point(u, t, bits)
        return float((mass @ (u * c)) ** 2 / (mass @ (c * c)))

    low, high = 0.05, 2.0 ** (bits + 1)
    for _ in range(6):
        ts = np.linspace(low, high, 25)
        best = int(np.argmax([cosine(float(t)) for t in ts]))
        low, high = float(ts[max(best - 1, 0)]), float(ts[min(best + 1, 24)])
    return (low + high) / 2


@lru_cache(maxsize=256)
def _rabitq_gain(bits: int, dim: int) -> tuple[float, float]:
    """Mean fall of sin²θ and tan²θ from the common rescaling to the best one of each row.

    Rows are uniform on the sphere. Raising t moves |u_i| from level k − ½ to k + ½ at t = k/|u_i|,
    which adds |u_i| to ⟨u, c⟩ and 2k to ‖c‖².
    """
    most = 2 ** (bits - 1) - 1
    if most == 0:
        return 0.0, 0.0
    common = _rabitq_rescaling(bits, dim)
    rng = np.random.default_rng(0)
    step = np.arange(1, most + 1)
    gains = []
    for _ in range(min(256, max(16, (1 << 20) // (dim * most)))):
        u = np.abs(rng.standard_normal(dim))
        order = np.argsort((step / u[:, None]).ravel())
        rho = u.sum() / 2 + np.append(0.0, np.cumsum(np.repeat(u, most)[order]))
        q = dim / 4 + np.append(0.0, np.cumsum(2.0 * np.tile(step, dim)[order]))
        whole = u @ u
        c = _grid_point(u * sqrt(dim / whole), common, bits)
        best = float((rho**2 / q).max() / whole)
        own = float((u @ c) ** 2 / (c @ c) / whole)
        gains.append((best - own, 1 / own - 1 / best))
    sin2, tan2 = np.mean(gains, axis=0)
    return float(sin2), float(tan2)


def _split(name: str) -> tuple[str, str]:
    method, _, scale = name.partition("/")
    return method, scale or ("mse" if method == "turboquant" else "unbiased")


@lru_cache(maxsize=1024)
def _angles(
    method: str, bits: float, dim: int, block: int | None
) -> tuple[float, float, float, float]:
    """E|u−c|²/d with S = 1, E sin²θ, E tan²θ, and the variance of ρ."""
    if method == "blockquant":
        mean, cov = _block_moments(bits, dim, block)
    elif method == "rabitq":
        u, mass = _law(dim)
        c = _grid_point(u, _rabitq_rescaling(int(bits), dim), int(bits))
        mean, cov = _moments(u[:, None], c[:, None], mass, dim)
    else:
        law = "gaussian" if method == "eden" else "sphere"
        levels = _core.lloyd_max(law, dim, int(bits))
        # The core's own boundaries: midpoints in float32.
        mean, cov = _scalar_moments(levels.astype(np.float64), _midpoints(levels), dim)
    rho, q = float(mean[0]), float(mean[1])
    v_rho, both, v_q = float(cov[0, 0]), float(cov[0, 1]), float(cov[1, 1])
    cos2 = rho**2 / q + v_rho / q - 2 * rho / q**2 * both + rho**2 / q**3 * v_q
    sec2 = q / rho**2 + 3 * q / rho**4 * v_rho - 2 / rho**3 * both
    sin2, tan2 = _rabitq_gain(int(bits), dim) if method == "rabitq" else (0.0, 0.0)
    return 1 - 2 * rho + q, max(0.0, 1 - cos2 - sin2), max(0.0, sec2 - 1 - tan2), v_rho


def nmse(name: str, bits: float, dim: int, block: int | None = None) -> float:
    """Expected normalised MSE, E‖x − x̂‖²/‖x‖².

    Scale ``none`` and TurboQuant ``mse``: the codebook's distortion D; ``mse``: E sin²θ;
    ``unbiased``: E tan²θ (arXiv 2605.19972, unified comparison); TurboQuant ``prod``: D of b − 1
    bits times π/2 − 1/d (arXiv 2504.19874 with the exact second moment of QJL).

    Parameters
    ----------
    name : str
        As for :func:`blockquant.create`.
    bits : float
        Bits a coordinate.
    dim : int
        Coordinates of a row.
    block : int, optional
        Coordinates of a block, for BlockQuant.

    Raises
    ------
    ValueError
        If there is no theory for the method at this rate.

    Examples
    --------
    >>> round(nmse("turboquant/mse", 2, 1536), 4)
    0.1174
    """
    method, scale = _split(name)
    if not supported(name, bits):
        raise ValueError(f"no theory for {name!r} at {bits:g} bits")
    if scale == "prod":
        first = 1.0 if bits == 1 else _angles("turboquant", bits - 1, dim, None)[0]
        return first * (pi / 2 - 1 / dim)
    none, sin2, tan2, _ = _angles(method, bits, dim, block)
    if method == "turboquant" or scale == "none":
        return none
    return sin2 if scale == "mse" else tan2


def inner_product_bias(name: str, bits: float, dim: int, block: int | None = None) -> float:
    """Slope of E⟨x̂, y⟩ − ⟨x, y⟩ against ⟨x, y⟩.

    0 for ``unbiased`` and ``prod``, −E sin²θ for ``mse``, −D for ``none`` (arXiv 2605.19972).
    Parameters and errors are those of :func:`nmse`.

    Examples
    --------
    >>> inner_product_bias("eden/unbiased", 2, 384)
    0.0
    """
    error = nmse(name, bits, dim, block)
    return 0.0 if _split(name)[1] in ("unbiased", "prod") else -error


def inner_product_error(
    name: str, bits: float, dim: int, block: int | None = None, square: float = 0.0
) -> float:
    """d·E(⟨x̂, y⟩ − ⟨x, y⟩)² for unit x and y with ⟨x, y⟩² = `square`.

    The error is the bias plus a part of variance E[tan²θ]·(1 − ⟨x,y⟩²)/(d−1) (``unbiased``) or
    E[sin²θ cos²θ]·(1 − ⟨x,y⟩²)/(d−1) (``mse``; arXiv 2605.19972); with S = 1 the component along x
    errs by ρ − 1 and the rest, of square Q − ρ², is uniform: E[(1−ρ)²]·⟨x,y⟩² +
    E[Q−ρ²]·(1 − ⟨x,y⟩²)/(d−1); (π/2 − 1/d)·D_{b−1}/d for ``prod`` (arXiv 2504.19874).

    Other parameters and errors are those of :func:`nmse`.

    Examples
    --------
    >>> round(inner_product_error("eden/unbiased", 1, 384), 2)
    0.57
    """
    error = nmse(name, bits, dim, block)
    method, scale = _split(name)
    if scale == "prod":
        return error
    if dim == 1:
        return error * square
    if scale == "unbiased":
        return dim / (dim - 1) * error * (1 - square)
    # Codewords are the means of their cells: with S = 1, E[ρ] = E[Q] = 1 − D. With `mse` the spread
    # of sin²θ adds O(1/d²), left out.
    one = scale == "none" or method == "turboquant"
    spread = _angles(method, bits, dim, block)[3] if one else 0.0
    across = (error * (1 - error) - spread) * (1 - square) / (dim - 1)
    return dim * (across + (error**2 + spread) * square)


def error_quantile(
    name: str,
    level: float,
    bits: float,
    dim: int,
    square: float = 0.0,
    block: int | None = None,
) -> float | None:
    """Quantile of |⟨x̂, y⟩ − ⟨x, y⟩| for unit x and y; None where the law is not known or biased.

    For ``unbiased`` the error is tanθ·‖y⊥‖·t, t a coordinate of a uniform vector of S^(d−2) (arXiv
    2405.12497, exact); tanθ enters by its root mean square. `level` is that of the quantile, in
    (0, 1); `square` is ⟨x, y⟩²; other parameters and errors are those of :func:`nmse`.

    Examples
    --------
    >>> 0.05 < error_quantile("eden/unbiased", 0.99, 1, 384) < 0.15
    True
    """
    if _split(name)[1] != "unbiased" or dim < 3:
        return None
    t, mass = _law(dim - 1)
    half = t > 0
    cdf = np.cumsum(mass[half]) / mass[half].sum()
    place = min(int(np.searchsorted(cdf, level)), len(cdf) - 1)
    coordinate = float(t[half][place]) / sqrt(dim - 1)
    return sqrt(nmse(name, bits, dim, block) * (1 - square)) * coordinate


def interval_half_width(
    name: str,
    bits: float,
    dim: int,
    confidence: float,
    block: int | None = None,
    square: float = 0.0,
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
    name, bits, dim, block
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
    method, scale = _split(name)
    if method == "turboquant" or scale not in ("mse", "unbiased"):
        raise ValueError(f"{name!r} has no intervals, expected the scale rule unbiased or mse")
    if dim == 1:
        return 0.0
    sin2 = nmse(f"{method}/mse", bits, dim, block)
    spread = sin2 * _core.interval_quantile(dim, confidence) ** 2
    q = 1 - sin2 + spread
    along = (1 - sin2) * square + sin2 * (1 - square) / (dim - 1)
    return sqrt(spread * max(0.0, q - along)) / q


def supported(name: str, bits: float) -> bool:
    """Whether the functions of this module know the method at this rate.

    Examples
    --------
    >>> supported("eden/mse", 2), supported("mine", 2)
    (True, False)
    """
    method, scale = _split(name)
    scales = {
        "blockquant": ("none", "mse", "unbiased"),
        "eden": ("mse", "unbiased"),
        "rabitq": ("mse", "unbiased"),
        "turboquant": ("mse", "prod"),
    }
    return scale in scales.get(method, ()) and (method == "blockquant" or bits in range(1, 9))
