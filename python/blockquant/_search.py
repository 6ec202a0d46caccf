"""A search of codes: checks of what is asked, and a call of the core."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from blockquant import _core
from blockquant._arrays import as_float32, as_mask
from blockquant._checks import whole
from blockquant._filled import Filled, in_order
from blockquant.codes import Codes

_Float = NDArray[np.float32]

#: Where at most one row in so many is allowed, a search does not scan signs.
_FEW = 16


class Found(NamedTuple):
    """What a search has found, and what it has searched."""

    score: _Float
    #: By which rows are chosen: at most the score, or minus the distance.
    rank: _Float
    position: NDArray[np.int64]
    #: The arrays that were searched: another thread may let the codes grow.
    filled: Filled
    queries: _Float
    allowed: NDArray[np.bool_] | None


def search(
    core: _core.Quantizer,
    codes: Codes,
    y: Any,
    k: int,
    metric: str,
    mask: Any,
    *,
    exact: bool = False,
    ranked: bool = False,
) -> Found:
    """The rows that the core finds in its codes; ``ranked`` asks for ranks that can be merged."""
    k = whole(k, "k")
    queries = as_float32(y, core.dim, "y")
    filled = codes._filled
    allowed = None if mask is None else as_mask(mask, len(filled["scale"]))
    score, rank, position = find(
        core, filled, queries, k, metric, allowed, exact=exact, ranked=ranked
    )
    return Found(score, rank, position, filled, queries, allowed)


def are_few(allowed: int, rows: int) -> bool:
    """Whether so few of the rows are allowed that the others cost more than they."""
    return _FEW * allowed < rows


def find(
    core: _core.Quantizer,
    filled: Filled,
    queries: _Float,
    k: int,
    metric: str,
    allowed: NDArray[np.bool_] | None,
    *,
    exact: bool = False,
    ranked: bool = False,
) -> tuple[_Float, _Float, NDArray[np.int64]]:
    """Scores, ranks and positions of the rows that the core finds in arrays of codes."""
    if not isinstance(metric, str):
        raise TypeError(f"metric is {type(metric).__name__}, expected str")
    rows = len(filled["scale"])
    few = allowed is not None and are_few(int(allowed.sum()), rows)
    return core.search(
        in_order(filled),
        None if exact or few else filled.signs(core, len(queries)),
        queries,
        min(k, max(rows, 1)),
        metric,
        None if allowed is None else allowed.view(np.uint8),
        exact=exact,
        ranked=ranked,
    )
