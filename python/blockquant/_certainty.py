"""How many of the rows that a search found are certain.

Suppose that the intervals of all n rows hold at once. A row that was found is certainly among the k
best if at most k - 1 other rows can be better. This is so if its lower bound is at least the
(k + 1)-th greatest upper bound and its own upper bound is one of the k greatest. If its own upper
bound is not one of these, its lower bound must be at least the k-th greatest. By the union bound,
all intervals hold at once if each one has the confidence 1 - (1 - confidence)/n.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from blockquant._checks import between

if TYPE_CHECKING:
    from blockquant.codes import Codes

_Float = NDArray[np.float32]

#: Pairs of a row and a query that are bounded at a time. NumPy sorts them in a tenth of a second,
#: and Ctrl-C waits no longer than that.
_PAIRS = 1 << 20


def certain(
    q: Any,
    codes: Codes,
    queries: _Float,
    index: NDArray[np.int64],
    metric: str,
    allowed: NDArray[np.bool_] | None,
    confidence: float,
) -> NDArray[np.int64]:
    """The number of certain rows of each query.

    Parameters
    ----------
    q : Quantizer
        The quantizer that made the codes.
    codes : Codes
        The n codes that were searched.
    queries : ndarray of float32, (m, dim)
        The queries.
    index : ndarray of int64, (m, k)
        The rows that the search found.
    metric : str
        ``ip``, ``l2`` or ``cosine``.
    allowed : ndarray of bool, (n,), or None
        The rows that the search was restricted to.
    confidence : float
        The probability that all intervals hold at once, between 0 and 1.

    Returns
    -------
    ndarray of int64, (m,)
        All zero if no row was found.

    Raises
    ------
    ValueError
        If the confidence is out of range, or `q` and the codes do not give intervals.
    """
    confidence = between(confidence, "confidence")
    m, k = index.shape
    rows = len(codes) if allowed is None else int(allowed.sum())
    each = 1 - (1 - confidence) / max(rows, 1)
    q.interval(codes[:0], queries[:0], each)  # Raises without intervals.
    if k == 0:
        return np.zeros(m, dtype=np.int64)
    # The k + 1 greatest upper bounds so far, in ascending order.
    best = np.full((m, k + 1), -np.inf)
    together = max(1, _PAIRS // max(m, 1))
    for start in range(0, len(codes), together):
        part = codes[start : start + together]
        high = _merit(q.interval(part, queries, each)[1], q.norms(part), metric)
        if allowed is not None:
            high = np.where(allowed[start : start + together], high, -np.inf)
        best = np.sort(np.concatenate([best, high], axis=1), axis=1)[:, -(k + 1) :]
    count = np.zeros(m, dtype=np.int64)
    for place, found in enumerate(index):
        part = codes[found]
        low, high = (
            _merit(b, q.norms(part), metric)[0] for b in q.interval(part, queries[place], each)
        )
        among = (high > low) | (low >= best[place, 1])
        count[place] = ((low >= best[place, 0]) & among).sum()
    return count


def _merit(product: _Float, norms: _Float | None, metric: str) -> NDArray[np.float64]:
    """Bounds on inner products as bounds on a value that is greater for nearer rows."""
    merit = product.astype(np.float64)
    if norms is None or metric == "ip":
        return merit
    norm = norms.astype(np.float64)
    if metric == "l2":
        return 2 * merit - norm**2
    return np.divide(merit, norm, out=np.zeros_like(merit), where=norm > 0)
