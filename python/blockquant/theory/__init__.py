r"""What each method must measure on rows rotated by a Haar matrix.

Unit rows x and queries y, with m = ⟨x, y⟩; θ is the angle between a row and its code, D the
distortion of the codebook. Both come from the law of a coordinate or block (:mod:`._angles`), those
of Trellis from a long run (:mod:`._trellis`). The reconstruction x̂ has a part along x and a part
that is uniform on the directions across x, so that

    ⟨x̂, y⟩ − m = slope·m + width·√(1 − m²)·t,   t a coordinate of a uniform vector of S^(d−2)

with the slope and width that the scale rule makes of θ (arXiv 2605.19972, unified comparison). All
criteria follow from this line. It is exact for the scale rules ``unbiased`` and ``mse`` given θ;
θ enters by its second moments, which leaves O(1/d²). ``accuracy`` says how good a number is.

Examples
--------
>>> from blockquant import theory
>>> round(theory.nmse("blockquant/mse", bits=2, dim=1536), 3)
0.097
"""

from blockquant.theory._criteria import (
    accuracy,
    error_probability,
    error_quantile,
    inner_product_bias,
    inner_product_error,
    inner_product_variance,
    interval_half_width,
    nmse,
    shannon,
    supported,
)
from blockquant.theory._storage import bits_per_dimension, bytes_per_vector

__all__ = [
    "accuracy",
    "bits_per_dimension",
    "bytes_per_vector",
    "error_probability",
    "error_quantile",
    "inner_product_bias",
    "inner_product_error",
    "inner_product_variance",
    "interval_half_width",
    "nmse",
    "shannon",
    "supported",
]
