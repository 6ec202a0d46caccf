"""The figures, drawn when the site is built, for light pages and for dark ones.

Errors by bits are measured then; error against encoding time is that of a kept run
(`benches/results/trellis.txt`), since the times of a builder say nothing.
"""

import re
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

import blockquant as bq

#: Colours that the colour-blind can tell apart (Okabe and Ito 2008), one per method.
_METHODS = {
    "blockquant": ("#0072B2", "#56B4E9", "o"),
    "eden": ("#D55E00", "#E69F00", "s"),
    "rabitq": ("#009E73", "#2FC79B", "^"),
    "turboquant": ("#9C4F7F", "#CC79A7", "D"),
    "trellis": ("#111111", "#FFFFFF", "*"),
}
_PANELS = (
    (
        "reconstruction",
        "Reconstruction: ‖x − x̂‖²/‖x‖²",
        "nmse",
        ("blockquant/mse", "eden/mse", "rabitq/mse", "turboquant/mse", "trellis/mse"),
    ),
    (
        "products",
        "Inner products: d·E[error²]",
        "ip_error",
        (
            *("blockquant/unbiased", "eden/unbiased", "rabitq/unbiased", "turboquant/prod"),
            "trellis/unbiased",
        ),
    ),
)
_BITS = (1, 2, 3, 4)
_KEPT = Path(__file__).resolve().parents[2] / "benches" / "results" / "trellis.txt"


def _measure():
    x, queries = bq.sample()
    found = {}
    for name in (name for *_, names in _PANELS for name in names):
        quantizers = [bq.create(name, dim=x.shape[1], bits=bits) for bits in _BITS]
        found[name] = [bq.measure(q, x, queries) for q in quantizers]
    return found


def _axes(dark, title, **options):
    """A figure with axes in the colours of the theme, and its ink."""
    ink = "#cfd0d0" if dark else "#333333"
    style = {
        "svg.fonttype": "path",
        "svg.hashsalt": "blockquant",
        "font.size": 10,
        "text.color": ink,
        "axes.edgecolor": ink,
        "axes.labelcolor": ink,
        "xtick.color": ink,
        "ytick.color": ink,
    }
    with mpl.rc_context(style):
        figure = Figure(figsize=(4.2, 3.7), layout="constrained")
        axes = figure.subplots()
        axes.set(**options)
        axes.set_title(title, fontsize=10)
        axes.patch.set_alpha(0)
        axes.grid(alpha=0.25, which="both")
        axes.spines[["top", "right"]].set_visible(False)
    return style, figure, axes, ink


def _save(style, figure, axes, ink, path):
    with mpl.rc_context(style):
        axes.legend(frameon=False, fontsize=8.5, labelcolor=ink)
        figure.savefig(path, transparent=True, metadata={"Date": None})


def _style(name, dark):
    light, pale, marker = _METHODS[name.partition("/")[0]]
    return {"marker": marker, "color": pale if dark else light, "lw": 1.6, "ms": 5.5}


def _draw(found, panel, path, dark):
    _, title, field, names = panel
    options = {"xlabel": "bits per coordinate", "yscale": "log", "xticks": _BITS}
    style, figure, axes, ink = _axes(dark, title, **options)
    if field == "nmse":
        bound = [bq.theory.shannon(bits) for bits in _BITS]
        axes.plot(_BITS, bound, "--", color=ink, label="Shannon's bound")
    for name in names:
        values = [getattr(one, field) for one in found[name]]
        axes.plot(_BITS, values, label=name, **_style(name, dark))
    _save(style, figure, axes, ink, path)


def kept_table(title):
    """A table of the kept run about trellis codes: a dict of floats by column for each rate."""
    lines = _KEPT.read_text("utf-8").splitlines()
    first = next(place for place, line in enumerate(lines) if line.startswith(title))
    cells = [re.split(r" {2,}", line.strip()) for line in lines[first + 1 :]]
    (_, *heads), *rows = cells[: cells.index([""])]
    return {
        float(bits): {
            head: float(cell.split()[0].rstrip("!"))
            for head, cell in zip(heads, values, strict=True)
            if cell != "–"
        }
        for bits, *values in rows
    }


def trade():
    """Encoding time and error over Shannon's bound by method and bits, the states ascending."""
    errors, times = (kept_table(title) for title in ("error × Shannon", "encode, µs"))
    found = {}
    for bits in _BITS:
        both = [head for head in times[bits] if head in errors[bits]]
        for head in both:
            name = "trellis" if head.endswith("states") else head
            found.setdefault((name, bits), []).append((times[bits][head], errors[bits][head]))
    return found


def _draw_trade(found, path, dark):
    title = "Error against encoding time, d = 1536"
    options = {"xscale": "log", "xlabel": "µs per row, one thread", "ylabel": "× Shannon's bound"}
    style, figure, axes, ink = _axes(dark, title, **options)
    seen = set()
    for (name, bits), points in found.items():
        label = "trellis, 16 to 256 states" if name == "trellis" else name
        axes.plot(
            *zip(*points, strict=True), label=None if name in seen else label, **_style(name, dark)
        )
        seen.add(name)
        place = points[0]
        axes.annotate(
            f"{bits} b", place, (-4, 3), textcoords="offset points", ha="right", fontsize=7
        )
    axes.set_xticks((2, 5, 10, 20))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    _save(style, figure, axes, ink, path)


def _figures(app):
    folder = Path(app.srcdir, "_generated")
    folder.mkdir(exist_ok=True)
    found = _measure()
    for panel in _PANELS:
        for theme, dark in (("light", False), ("dark", True)):
            _draw(found, panel, folder / f"{panel[0]}-{theme}.svg", dark)
    for theme, dark in (("light", False), ("dark", True)):
        _draw_trade(trade(), folder / f"trade-{theme}.svg", dark)


def setup(app):
    app.connect("builder-inited", _figures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
