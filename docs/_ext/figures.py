"""The figures, measured and drawn when the site is built, for light pages and for dark ones."""

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

import blockquant as bq

#: Colours that the colour-blind can tell apart (Okabe and Ito 2008), one per method.
_METHODS = {
    "blockquant": ("#0072B2", "#56B4E9", "o"),
    "eden": ("#D55E00", "#E69F00", "s"),
    "rabitq": ("#009E73", "#2FC79B", "^"),
    "turboquant": ("#9C4F7F", "#CC79A7", "D"),
}
_PANELS = (
    (
        "reconstruction",
        "Reconstruction: ‖x − x̂‖²/‖x‖²",
        "nmse",
        ("blockquant/mse", "eden/mse", "rabitq/mse", "turboquant/mse"),
    ),
    (
        "products",
        "Inner products: d·E[error²]",
        "ip_error",
        ("blockquant/unbiased", "eden/unbiased", "rabitq/unbiased", "turboquant/prod"),
    ),
)
_BITS = (1, 2, 3, 4)


def _measure():
    x, queries = bq.sample()
    found = {}
    for name in (name for *_, names in _PANELS for name in names):
        quantizers = [bq.create(name, dim=x.shape[1], bits=bits) for bits in _BITS]
        found[name] = [bq.measure(q, x, queries) for q in quantizers]
    return found


def _draw(found, panel, path, dark):
    _, title, field, names = panel
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
        axes.set(xlabel="bits per coordinate", yscale="log", xticks=_BITS)
        axes.set_title(title, fontsize=10)
        axes.patch.set_alpha(0)
        axes.grid(alpha=0.25, which="both")
        axes.spines[["top", "right"]].set_visible(False)
        if field == "nmse":
            bound = [bq.theory.shannon(bits) for bits in _BITS]
            axes.plot(_BITS, bound, "--", color=ink, label="Shannon's bound")
        for name in names:
            light, pale, marker = _METHODS[name.partition("/")[0]]
            values = [getattr(one, field) for one in found[name]]
            colour = pale if dark else light
            axes.plot(_BITS, values, marker=marker, color=colour, label=name, lw=1.6, ms=5.5)
        axes.legend(frameon=False, fontsize=8.5, labelcolor=ink)
        figure.savefig(path, transparent=True, metadata={"Date": None})


def _figures(app):
    folder = Path(app.srcdir, "_generated")
    folder.mkdir(exist_ok=True)
    found = _measure()
    for panel in _PANELS:
        for theme, dark in (("light", False), ("dark", True)):
            _draw(found, panel, folder / f"{panel[0]}-{theme}.svg", dark)


def setup(app):
    app.connect("builder-inited", _figures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
