"""The moments of centered rows and queries that the theory needs.

The theory holds for unit vectors. With a center μ it applies to r = x − μ and to v, the part of the
query whose inner product with the code is estimated: every error is ‖r‖‖v‖ times that of the
directions of r and v. So the moments of ‖r‖‖v‖ and of ⟨r, v⟩ replace 1 and the moments of ⟨x, y⟩.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from blockquant.measurement._truth import Truth

_Wide = NDArray[np.float64]

#: Bins per unit of a cosine, and per factor of 2 in size.
_COSINES, _SIZES = 256, 32


class Pairs(NamedTuple):
    """Means over rows and over pairs of a row and a query. size is ‖r‖‖v‖, product is ⟨r, v⟩."""

    #: ‖r‖²/‖x‖², for rows of unit norm.
    share: float
    #: size.
    size: float
    #: size².
    size_square: float
    #: product²/size.
    cosine_size: float
    #: product².
    product_square: float
    #: product·⟨x, y⟩ over ⟨x, y⟩².
    slope: float
    #: Bins of some of the pairs: product/size, size and the number of pairs.
    cosines: _Wide
    sizes: _Wide
    weights: _Wide

    @classmethod
    def of(cls, center: Any, across: bool, truth: Truth) -> Pairs:
        """The pairs of rows minus `center` and queries.

        If `across` is true, the component of each query along the center is subtracted from it.
        """
        m = np.asarray(center, np.float64)
        square = float(m @ m)
        y = truth.y.astype(np.float64)
        offset = y @ m
        along = offset / square if across and square > 0 else np.zeros(len(y))
        length = np.linalg.norm(y - along[:, None] * m, axis=1)
        sums = np.zeros(6)
        bins: dict[tuple[int, int], int] = {}
        for chunk in truth.chunks():
            r = chunk.x.astype(np.float64) - m
            norm = np.linalg.norm(r, axis=1)
            product = chunk.product - offset[:, None] - np.outer(along, r @ m)
            size = np.outer(length, norm)
            cosine = product / np.where(size > 0, size, 1.0)
            means = (
                size,
                np.square(size),
                cosine * product,
                np.square(product),
                product * chunk.product,
            )
            sums += (float(norm @ norm), *(float(values.sum()) for values in means))
            some = truth.pick(chunk, cosine), truth.pick(chunk, size)
            _count(*some, bins)
        n, count = truth.shape[0], truth.shape[0] * truth.shape[1]
        share, (size, size_square, cosine_size, product_square, both) = (
            sums[0] / n,
            sums[1:] / count,
        )
        slope = both / truth.square if truth.square > 0 else 0.0
        keys = np.array(list(bins), np.float64).reshape(-1, 2)
        return cls(
            share,
            size,
            size_square,
            cosine_size,
            product_square,
            slope,
            np.clip(keys[:, 0] / _COSINES, -1, 1),
            np.exp2(keys[:, 1] / _SIZES),
            np.array(list(bins.values()), np.float64),
        )


def _count(cosine: NDArray[Any], size: NDArray[Any], bins: dict[tuple[int, int], int]) -> None:
    """Counts pairs in their bins."""
    live = size > 0
    places = np.stack(
        [np.rint(cosine[live] * _COSINES), np.rint(np.log2(size[live]) * _SIZES)], axis=1
    ).astype(np.int64)
    for place, count in zip(*np.unique(places, axis=0, return_counts=True), strict=True):
        key = int(place[0]), int(place[1])
        bins[key] = bins.get(key, 0) + int(count)
