"""What commands say of fitted axes: predicted errors, groups, and rows that are far away."""

from __future__ import annotations

from dataclasses import asdict
from math import isnan
from typing import Any

import click

from blockquant._checks import counted
from blockquant.axes import Axes
from blockquant.quantizer import Quantizer

#: The drift from which rows are called far from the model.
FAR = 1.5


def described(axes: Axes) -> dict[str, Any]:
    """What a model is, for JSON."""
    return {
        "rows": axes.rows,
        "dim": axes.dim,
        "queries": axes.query_variances is not None,
        "shrinkage": axes.shrinkage,
        "effective_dim": axes.effective_dim,
        "digest": axes.digest,
    }


def measures(q: Quantizer, drift: float | None) -> dict[str, Any]:
    """Predicted errors and drift of codes along fitted axes, for JSON; nothing without axes."""
    predicted = q.predicted
    return {} if predicted is None else {"predicted": asdict(predicted), "drift": drift}


def summary(q: Quantizer, drift: float | None) -> str:
    """Model, predicted errors and drift of codes along fitted axes."""
    axes, predicted = q.axes, q.predicted
    assert axes is not None
    assert predicted is not None
    return (
        f"axes of {counted(axes.rows, 'row')}, for {q.criterion}; predicted: "
        f"normalised MSE {predicted.nmse:.3g}, inner products {predicted.ip_error:.3g}; "
        f"drift {_decimals(drift)}"
    )


def _decimals(drift: float | None) -> str:
    return "–" if drift is None or isnan(drift) else f"{drift:.2f}"


def warn(drift: float | None, axes: str | None) -> None:
    """Warns on stderr if rows are far from the axes of a file."""
    if drift is not None and drift > FAR:
        click.echo(
            f"Warning: the rows are far from those that {axes} was fitted on: {drift:.2f} times "
            f"the error that is expected of such rows; fit axes to rows like these",
            err=True,
        )
