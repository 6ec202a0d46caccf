"""The format of figures, and the best figure of each column."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from blockquant.measurement import is_fitted

if TYPE_CHECKING:
    from blockquant.measurement import Figures

#: Fields whose greater values are better.
_RISING = ("cosine", "recall1", "recall10", "recall100", "rank_correlation")


def figure(value: float | None) -> str:
    """At most seven characters: four decimals, five below 0.1 and an exponent below 0.001.

    Examples
    --------
    >>> figure(0.12345), figure(0.012345), figure(0.00012345), figure(None)
    ('0.1235', '0.01235', '1.2e-04', '–')
    """
    if value is None:
        return "–"
    if 0 < abs(value) < 0.001:
        return f"{value:.1e}"
    return f"{value:.4g}" if abs(value) >= 10 else f"{value:.{4 if abs(value) >= 0.1 else 5}f}"


def best(comparison: Figures, fields: Iterable[str]) -> dict[tuple[float, str], float]:
    """The best figure of each field at each rate, if any method has the field."""
    rows = comparison.table()
    out: dict[tuple[float, str], float] = {}
    for field in fields:
        pick = max if field in _RISING else min
        for (rate, _), row in rows.items():
            if row[field] is not None and (field != "half_width" or holds(comparison, row)):
                out[rate, field] = pick(out.get((rate, field), row[field]), row[field])
    return out


def leading(
    comparison: Figures, fields: Sequence[str]
) -> dict[tuple[float, str], dict[str, float]]:
    """The best figure of each field that each method at each rate is compared with.

    Methods on fitted axes, which know the rows, are compared with their like only.
    """
    found = {fitted: best(comparison.part(fitted), fields) for fitted in (False, True)}
    return {
        (rate, name): {
            field: found[is_fitted(name)][rate, field]
            for field in fields
            if (rate, field) in found[is_fitted(name)]
        }
        for rate, name in comparison.runs
    }


def holds(comparison: Figures, row: dict[str, Any]) -> bool:
    """Whether intervals miss at most twice as many pairs as stated, plus three by chance."""
    rows, queries, _ = comparison.shape
    pairs = rows * queries * int(row["seeds"])
    return bool((1 - row["coverage"]) * pairs <= 2 * (1 - row["confidence"]) * pairs + 3)


def rate_name(comparison: Figures, rate: float) -> str:
    """A rate in words."""
    if comparison.unit == "bytes":
        return f"at most {rate:g} bytes"
    return f"{rate:g} bit" if rate == 1 else f"{rate:g} bits"


def at_rate(comparison: Figures, rate: float) -> str:
    """A rate in a sentence."""
    if comparison.unit == "bytes":
        return f"within {rate:g} bytes"
    return f"at {rate_name(comparison, rate)}"


def left_out(comparison: Figures) -> str | None:
    """A note on the rows and queries that are left out because they are zero, or None."""
    counts = ((comparison.about[f"zero_{noun}"], noun) for noun in ("rows", "queries"))
    singular = {"rows": "row", "queries": "query"}
    parts = [f"{n:,} zero {singular[noun] if n == 1 else noun}" for n, noun in counts if n]
    return f"{' and '.join(parts)} left out (they have no direction)" if parts else None


def absent(comparison: Figures) -> list[str]:
    """Notes on the methods that are left out at a rate, each with the reason."""
    return [
        f"{name} {at_rate(comparison, rate)}: left out, {reason}"
        for (rate, name), reason in comparison.unmet.items()
    ]


def rate_heading(comparison: Figures, rate: float, width: int) -> str:
    """A rule above the rows of a rate. It names a byte budget, which has no column."""
    if comparison.unit == "bits":
        return "-" * width
    return f"-- {rate_name(comparison, rate)} per vector ".ljust(width, "-")


def span(values: Iterable[float], show: str = "{:.3g}") -> str:
    """``low to high``, or one figure if both look the same."""
    found = np.array(list(values), np.float64)
    low, high = show.format(found.min()), show.format(found.max())
    return low if low == high else f"{low} to {high}"


def stairs(rows: Iterable[dict[str, Any]]) -> tuple[list[float], list[float]]:
    """The times at which the least error falls as methods take longer to encode, and that error.

    Examples
    --------
    >>> rows = [(2.0, 0.1), (1.0, 0.3), (3.0, 0.2)]
    >>> stairs({"encode_us": time, "nmse": error} for time, error in rows)
    ([1.0, 2.0], [0.3, 0.1])
    """
    times: list[float] = []
    least: list[float] = []
    for time, error in sorted((row["encode_us"], row["nmse"]) for row in rows):
        if not least or error < least[-1]:
            times.append(time)
            least.append(error)
    return times, least
