r"""The angle between a row and its code, and its moments, for each method under a Haar rotation.

Notation: ρ = ⟨u, c⟩/d and Q = ‖c‖²/d are means over coordinates of a = u·c and q = c²;
sin²θ = 1 − ρ²/Q, tan²θ = Q/ρ² − 1. Their expectations come from the law of a coordinate (numerical
integration) or block (samples and the codebook's own distortion), with the O(1/d) term of the delta
method: the covariance of (ρ, Q) given ‖u‖² = d. Good to O(1/d²); poor below d ≈ 16. Extended RaBitQ
chooses its rescaling per row; what that gains over the best common one is averaged over samples.
"""

from __future__ import annotations

from functools import lru_cache
from math import log2, pi, sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from blockquant import _core
from blockquant._methods import DEFAULTS

_GRID = 100_001
_SAMPLES = 1 << 14


def coordinate_law(dim: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points √d·t and masses of the law of a coordinate t = sin φ of a uniform unit vector."""
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
    u, mass = coordinate_law(dim)
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
    u, mass = coordinate_law(dim)
    order = np.argsort(np.abs(u))
    size, mass = np.abs(u)[order], mass[order]
    # Of the coordinates of each size and greater ones: their mass, and their mean size times it.
    over, along = (np.append(np.cumsum(some[::-1])[::-1], 0.0) for some in (mass, mass * size))
    steps = np.arange(1, 2 ** (bits - 1))

    def cosine(t: float) -> float:
        # A coordinate passes from level k − ½ to k + ½ where its size is k/t.
        at = np.searchsorted(size, steps / t)
        rho, q = along[0] / 2 + along[at].sum(), over[0] / 4 + 2 * (steps @ over[at])
        return float(rho**2 / q)

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


def split(name: str) -> tuple[str, str]:
    """Method and scale rule or variant, the default one where none is named."""
    method, _, scale = DEFAULTS.get(name, name).partition("/")
    return method, scale


class Angles(NamedTuple):
    """Expectations over Haar rotations."""

    #: E‖u − c‖²/d, the normalised MSE with S = 1.
    distortion: float
    #: E[ρ], 1 − D where codewords are the means of their cells.
    rho: float
    #: E sin²θ and E tan²θ.
    sin2: float
    tan2: float
    #: Variance of ρ and of sin²θ.
    rho_variance: float
    sin2_variance: float


@lru_cache(maxsize=1024)
def angles(method: str, bits: float, dim: int, block: int | None) -> Angles:
    """The moments of a method, named without its scale rule."""
    if method == "blockquant":
        mean, cov = _block_moments(bits, dim, block)
    elif method == "rabitq":
        u, mass = coordinate_law(dim)
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
    spread = (rho / q) ** 2 * (4 * v_rho - 4 * rho / q * both + (rho / q) ** 2 * v_q)
    return Angles(
        1 - 2 * rho + q,
        rho,
        max(0.0, 1 - cos2 - sin2),
        max(0.0, sec2 - 1 - tan2),
        v_rho,
        spread,
    )
