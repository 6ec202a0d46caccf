"""The plots of a comparison. Needs matplotlib.

A family has a colour (Okabe and Ito's, told apart by the colour-blind) and a scale rule has a line
and a marker, so that no method is told by colour alone. In the page the colours are variables of
its style sheet: one drawing serves light, dark and print.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from blockquant import theory
from blockquant.report._fitted import shares
from blockquant.report._labels import log_ticks, name_coinciding
from blockquant.report._numbers import stairs
from blockquant.report._spectrum import allocated, allocation, spectrum
from blockquant.report._styles import COLOURS, GRID, INK, label, styles_of

if TYPE_CHECKING:
    from blockquant.measurement import Figures

_STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.5,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.5,
    "xtick.color": INK,
    "ytick.color": INK,
    "lines.linewidth": 1.3,
    "lines.markersize": 4.5,
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "blockquant",
}
#: Nearly the width of a phone. The page enlarges the drawing.
_SIZE = (5.0, 4.3)
#: The tails are drawn down to this share of pairs, where a few pairs are left.
_FEWEST = 10


@dataclass(frozen=True)
class Plot:
    """A drawing with its file name and its caption on the page."""

    name: str
    title: str
    caption: str
    figure: Figure

    def svg(self) -> str:
        """The drawing for the page, without a fixed size and in the colours of the page."""
        text = self._svg
        text = text[text.index("<svg") :]
        text = re.sub(r'(<svg [^>]*?) width="[^"]*"', r"\1", text, count=1)
        text = re.sub(r'(<svg [^>]*?) height="[^"]*"', r"\1", text, count=1)
        text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
        # One page has several drawings, so their identifiers must differ.
        text = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{self.name}-", text)
        for place, colour in enumerate(COLOURS):
            text = text.replace(colour, f"var(--series-{place})")
        text = text.replace(INK, "var(--ink)").replace(GRID, "var(--grid)")
        label = f'role="img" aria-label="{self.title}"'
        return text.replace("<svg ", f"<svg {label} ", 1)

    def files(self) -> dict[str, bytes]:
        """The drawing on white, as ``.svg`` and ``.png``, by file name."""
        buffer = io.BytesIO()
        with rc_context(_STYLE):
            self.figure.savefig(buffer, format="png", dpi=160, facecolor="white")
        return {
            f"{self.name}.svg": self._svg.encode("utf-8"),
            f"{self.name}.png": buffer.getvalue(),
        }

    @cached_property
    def _svg(self) -> str:
        buffer = io.StringIO()
        with rc_context(_STYLE):
            self.figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
        return buffer.getvalue()


def draw(comparison: Figures) -> list[Plot]:
    """All plots, in the order of the page."""
    rate = _middle(comparison)
    bits = comparison.unit == "bits"
    at = f"{rate:g} {'bit' if rate == 1 else 'bits'}" if bits else f"at most {rate:g} bytes"
    level = comparison.about["confidence"]
    plots = [
        (
            "mse",
            "Reconstruction error against bits",
            "Points are measured, lines are theory. Shannon's bound is that of Gaussian "
            "coordinates: below it are only methods that have learnt from the rows, or in few "
            "dimensions. " + ("" if bits else "Bits count every stored byte."),
            _mse,
        ),
        (
            "errors",
            f"Inner-product error, {at}",
            "Density of the error ⟨x̂, y⟩ − ⟨x, y⟩ of unit vectors, times √d: narrow is good, and "
            "a shift or a shoulder is bias.",
            _density,
        ),
        (
            "tails",
            f"How often the error is beyond a bound, {at}",
            "Share of the pairs whose error is greater than t/√d. Points are measured, lines are "
            f"theory, of all pairs together: where a line is at {1 - level:.2g}, a bound that "
            f"{level:.4g} of the pairs keep. What the intervals of each pair keep is in the table.",
            _tails,
        ),
        (
            "recall",
            "Recall@10 against bytes",
            "Share of the true ten nearest rows (by inner product) among the ten of the highest "
            "estimates; every stored byte is counted.",
            _recall,
        ),
        (
            "cost",
            "Encoding time against error",
            "Each line joins the rates of one method; below and to the left is better. Times are "
            "those of this machine, all its threads.",
            _cost,
        ),
        (
            "trade",
            f"What encoding time buys, {at}",
            "Each point is a method; the stairs join the least error that is reached within a time."
            + (" Nothing is below Shannon's bound for Gaussian coordinates." if bits else ""),
            _trade,
        ),
    ]
    model = comparison.model
    if model is not None and (predicted := allocated(comparison, rate)):
        name, first = next(iter(predicted.items()))
        plots += [
            (
                "spectrum",
                f"The fitted axes, {at}",
                f"Variance along each axis of {model.axes.rows:,} rows, with the groups of {name} "
                f"and the bits of each axis. Of the variance, {shares(comparison)}. Predicted "
                f"normalised MSE {first.nmse:.3g}, d·E[error²] {first.ip_error:.3g}.",
                spectrum,
            ),
            (
                "allocation",
                f"What the bits are given for, {at}",
                "Bits per axis by criterion, at the same bytes: for inner products the first axes "
                "get more, because queries lie along them too.",
                allocation,
            ),
        ]
    return [_plot(comparison, rate, *plot) for plot in plots]


def _plot(
    comparison: Figures,
    rate: float,
    name: str,
    title: str,
    caption: str,
    body: Callable[[Figures, float, Any], None],
) -> Plot:
    with rc_context(_STYLE):
        figure = Figure(figsize=_SIZE, layout="constrained")
        axes = figure.subplots()
        axes.set_title(title)
        body(comparison, rate, axes)
        for axis in (axes.xaxis, axes.yaxis):
            if axis.get_scale() == "log":
                log_ticks(axis)
        figure.legend(
            *axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, handlelength=3
        )
        figure.draw_without_rendering()
        names = [label(method) for method in styles_of(comparison)]
        # Allocations are not curves: steps that coincide are told by their markers.
        if name != "allocation" and name_coinciding(axes, names, INK):
            caption += " Names beside a curve are those of curves that lie on top of each other."
    return Plot(name, title, caption, figure)


def _middle(comparison: Figures) -> float:
    """The rate whose distribution is drawn: 2 bits, or else the middle one."""
    rates = list(dict.fromkeys(rate for rate, _ in comparison.runs))
    return 2.0 if comparison.unit == "bits" and 2.0 in rates else rates[(len(rates) - 1) // 2]


def _own(comparison: Figures, name: str) -> list[dict[str, Any]]:
    return [row for row in comparison.rows() if row["method"] == name]


def _mse(comparison: Figures, _rate: float, axes: Any) -> None:
    dim = comparison.shape[2]
    # At equal bits the theory and the bound are those of the code without side information.
    whole = comparison.unit == "bits"
    reach: list[float] = []
    for name, style in styles_of(comparison).items():
        own = [row for row in _own(comparison, name) if whole or row["bits_per_dimension"]]
        bits = [row["bits"] if whole else row["bits_per_dimension"] for row in own]
        reach += bits
        known = [(b, row["nmse_theory"]) for b, row in zip(bits, own, strict=True)]
        known = [pair for pair in known if pair[1] is not None]
        axes.plot(
            bits, [row["nmse"] for row in own], label=label(name), **style | {"linestyle": "none"}
        )
        if known:
            axes.plot(*zip(*known, strict=True), **style | {"marker": "none"})
    if reach:
        grid = np.linspace(min(reach), max(reach), 50)
        bound = [theory.shannon(b) for b in grid]
        axes.plot(grid, bound, color=INK, linestyle=(0, (1, 1)), label="Shannon's bound")
    spoken = "bits per coordinate" if whole else "stored bits per dimension"
    axes.xaxis.set_major_locator(MaxNLocator(integer=whole, nbins=8))
    axes.set(yscale="log", xlabel=f"{spoken} (d = {dim})", ylabel="normalised MSE")


def _density(comparison: Figures, rate: float, axes: Any) -> None:
    root = comparison.shape[2] ** 0.5
    found = {name: comparison.errors(rate, name) for at, name in comparison.runs if at == rate}
    # A method without loss has no density.
    found = {name: errors for name, errors in found.items() if errors.quantile(0.99) > 0}
    least = min((errors.quantile(0.99) for errors in found.values()), default=1.0)
    most = max((errors.quantile(0.999) for errors in found.values()), default=1.0)
    reach = min(most, 4 * least) * root
    edges = np.linspace(-reach, reach, 122)
    styles = styles_of(comparison)
    for name, errors in found.items():
        style = styles[name] | {"markevery": 12}
        density = errors.density(edges / root) / root
        axes.plot((edges[1:] + edges[:-1]) / 2, density, label=label(name), **style)
    axes.set(xlabel="error · √d", ylabel="density", ylim=(0, None))


def _tails(comparison: Figures, rate: float, axes: Any) -> None:
    dim = comparison.shape[2]
    products, weights = comparison.products
    names = [name for at, name in comparison.runs if at == rate]
    least = 1.0
    reach = 0.0
    styles = styles_of(comparison)
    for name in names:
        errors = comparison.errors(rate, name)
        style = styles[name]
        end = errors.quantile(1 - _FEWEST / max(errors.total, 2 * _FEWEST))
        reach = max(reach, end * dim**0.5)
        least = min(least, _FEWEST / errors.total)
        size = np.linspace(0, end, 60)
        measured = errors.beyond(size)
        live = measured > 0
        axes.plot(
            size[live][::4] * dim**0.5,
            measured[live][::4],
            label=label(name),
            **style | {"linestyle": "none"},
        )
        bits, block = comparison.rates[rate, name]
        if not theory.supported(name, bits) or dim < 3:
            continue
        law = [
            theory.error_probability(
                name, e, bits, dim, block=block, products=products, weights=weights
            )
            for e in size
        ]
        beyond = 1 - np.array(law, np.float64)
        axes.plot(size * dim**0.5, np.maximum(beyond, 1e-12), **style | {"marker": "none"})
    level = 1 - comparison.about["confidence"]
    axes.axhline(level, color=INK, linestyle=(0, (1, 1)), label=f"{level:.2g} of the pairs")
    axes.set(
        yscale="log",
        ylim=(max(least, 1e-7), 1.3),
        xlim=(0, reach * 1.02 or 1.0),
        xlabel="t = |error| · √d",
        ylabel="share of pairs beyond",
    )


def _lines(comparison: Figures, axes: Any, x: str, y: str) -> None:
    for name, style in styles_of(comparison).items():
        own = [row for row in _own(comparison, name) if row[x] is not None]
        if own:
            axes.plot([row[x] for row in own], [row[y] for row in own], label=label(name), **style)


def _recall(comparison: Figures, _rate: float, axes: Any) -> None:
    _lines(comparison, axes, "bytes_per_vector", "recall10")
    axes.set(xlabel="bytes per vector, all counted", ylabel="recall@10")


def _cost(comparison: Figures, _rate: float, axes: Any) -> None:
    _lines(comparison, axes, "nmse", "encode_us")
    some = any(row["nmse"] > 0 for row in comparison.rows())
    xscale = "log" if some else "linear"
    axes.set(xscale=xscale, yscale="log", xlabel="normalised MSE", ylabel="encoding, µs per row")


def _trade(comparison: Figures, rate: float, axes: Any) -> None:
    rows = {name: row for (at, name), row in comparison.table().items() if at == rate}
    for name, style in styles_of(comparison).items():
        if name in rows:
            row = rows[name]
            point = style | {"linestyle": "none", "markersize": 6.5}
            axes.plot([row["encode_us"]], [row["nmse"]], label=label(name), **point)
    times, least = stairs(rows.values())
    # Within more time than any method takes, no error is less than that of the last stair.
    times.append(max(row["encode_us"] for row in rows.values()))
    least.append(least[-1])
    axes.step(times, least, where="post", color=INK, linewidth=0.8, zorder=1)
    if comparison.unit == "bits":
        bound = theory.shannon(rate)
        axes.axhline(bound, color=INK, linestyle=(0, (1, 1)), label="Shannon's bound")
    yscale = "log" if min(least) > 0 else "linear"
    axes.set(xscale="log", yscale=yscale, xlabel="encoding, µs per row", ylabel="normalised MSE")
