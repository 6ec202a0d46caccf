"""The plots of fitted axes: their variances, and the bits that they get."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from blockquant.report._fitted import bits_of_axes
from blockquant.report._styles import COLOURS, INK, label, styles_of

if TYPE_CHECKING:
    from blockquant._fitted import Predicted
    from blockquant.measurement import Figures


def allocated(comparison: Figures, rate: float) -> dict[str, Predicted]:
    """The predictions at a rate, by the names of the fitted methods."""
    return {name: found for (at, name), found in comparison.predicted.items() if at == rate}


def spectrum(comparison: Figures, rate: float, axes: Any) -> None:
    """The variance along each axis; the groups of the first fitted method are shaded."""
    assert comparison.model is not None
    variances = comparison.model.axes.variances
    live = variances[variances > 0]
    found = next(iter(allocated(comparison, rate).values()))
    most = max(group.bits for group in found.groups) or 1
    start = 0.5
    for group in found.groups:
        end = start + group.axes
        shade = 0.45 * group.bits / most
        axes.axvspan(start, end, color=COLOURS[0], alpha=shade, linewidth=0)
        text = f"{group.bits:g}\nbits" if group.bits != 1 else "1\nbit"
        axes.text(
            (start + end) / 2,
            0.98,
            text,
            transform=axes.get_xaxis_transform(),
            ha="center",
            va="top",
            fontsize=7.5,
        )
        start = end
    places = np.arange(1, len(live) + 1)
    axes.plot(places, live, color=INK, label="variance of the sample, after shrinkage")
    top = live.max() if len(live) else 1.0
    least = live.min() if len(live) else 0.1
    axes.set(
        yscale="log",
        xlabel="axis, by falling variance",
        ylabel="variance along the axis",
        xlim=(0.5, len(variances) + 0.5),
        ylim=(least / 1.5, top * (top / least) ** 0.15 * 1.5),
    )


def allocation(comparison: Figures, rate: float, axes: Any) -> None:
    """The bits of each axis by every fitted method."""
    styles = styles_of(comparison)
    for name, found in allocated(comparison, rate).items():
        bits = bits_of_axes(found)
        style = styles[name] | {"markevery": max(1, len(bits) // 12)}
        axes.plot(
            np.arange(1, len(bits) + 1), bits, drawstyle="steps-mid", label=label(name), **style
        )
    axes.set(xlabel="axis, by falling variance", ylabel="bits of the axis", ylim=(0, None))
