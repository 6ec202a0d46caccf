r"""The angle between a row and its trellis code: moments that were measured once.

A path through a trellis has no closed form. `examples/trellis_moments.rs` codes rows that are
uniform on the sphere, and `trellis.csv` keeps the means and variances for each number of states,
rate and dimension. Between dimensions every moment is scaled by its power of Shannon's bound
4^(−r), variances by d as well, and is then interpolated in 1/d. Here r is the rate of the path and
of the uncoded bits: at half rates a row of odd d has one bit more than d·b. Above the last
dimension the scaled moments hardly change, and those of the last are taken.

The accuracy is that of the means. At high rates a few rows with a coordinate beyond all codewords
make most of the variances, which are known to some half of them; they matter for ⟨x, y⟩² near 1.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from math import ceil

import numpy as np
from numpy.typing import NDArray

from blockquant import _core
from blockquant.theory._angles import Angles

#: What interpolation adds to the relative accuracy.
_BETWEEN = 0.01


@lru_cache(maxsize=1)
def _table() -> dict[tuple[int, float], NDArray[np.float64]]:
    """The lines of each number of states and rate without these two, by dimension."""
    text = resources.files("blockquant.theory").joinpath("trellis.csv").read_text("utf-8")
    found: dict[tuple[int, float], list[list[float]]] = {}
    for line in text.splitlines()[1:]:
        states, bits, *values = map(float, line.split(","))
        found.setdefault((int(states), bits), []).append(values)
    return {key: np.array(lines) for key, lines in found.items()}


def _shannon(bits: float, dim: NDArray[np.float64]) -> NDArray[np.float64]:
    """4^(−r) of rows of so many coordinates."""
    uncoded = ceil(bits) - 1
    path = np.ceil(dim * (bits - uncoded))
    return np.asarray(4.0 ** -(uncoded + path / dim), np.float64)


def trellis_angles(bits: float, dim: int, states: int | None) -> tuple[Angles, float]:
    """The moments, and their relative accuracy: three standard errors and the interpolation."""
    # The core knows the default, and names what is wrong with other states.
    states = _core.Quantizer("trellis", 1, bits, states=states).states
    assert states is not None
    lines = _table()[states, bits]
    dims, accuracy = lines[:, 0], lines[:, -1]
    at = int(np.searchsorted(dims, dim))
    if at < len(dims) and dims[at] == dim:
        sin2, spread, tan2, distortion, rho, rho_variance, certain = lines[at, 1:]
        return Angles(distortion, rho, sin2, tan2, rho_variance, spread), float(certain)
    d = np.append(dims, dim)
    bound = _shannon(bits, d)
    scales = np.stack([bound, bound**2 / d, bound, bound, bound, bound / d])
    moments = lines[:, 1:-1].T.copy()
    moments[4] = 1 - moments[4]  # 1 − ρ is about the distortion
    scaled = moments / scales[:, :-1]
    x = np.maximum(1 / dim, 1 / dims[-1])
    sin2, spread, tan2, distortion, off, rho_variance = (
        float(np.interp(x, 1 / dims[::-1], row[::-1])) * scale
        for row, scale in zip(scaled, scales[:, -1], strict=True)
    )
    certain = float(accuracy[at - 1 : at + 1].max()) + _BETWEEN
    return Angles(distortion, 1 - off, sin2, tan2, rho_variance, spread), certain
