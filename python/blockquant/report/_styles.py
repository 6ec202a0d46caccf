"""The colours, lines and markers of methods on plots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blockquant.measurement import Figures

#: Colours of the families in order of appearance. Further families have `INK`.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#aa4499", "#e69f00", "#56b4e9", "#7a7a00")
INK, GRID = "#1b1b1f", "#c8c8cf"
#: Scale rules and variants: line, marker.
_RULES = {
    "unbiased": ("-", "o"),
    "mse": ("--", "s"),
    "none": (":", "D"),
    "prod": (":", "^"),
    # Those of fitted axes.
    "recall": ("-", "*"),
    "reconstruction": ("--", "P"),
    "inner_product": (":", "X"),
}
_OTHER = ("-.", "v")


def styles_of(comparison: Figures) -> dict[str, dict[str, Any]]:
    """Colour, line and marker of each method, as matplotlib takes them."""
    methods = list(dict.fromkeys(name for _, name in comparison.runs))
    families = list(dict.fromkeys(name.partition("/")[0] for name in methods))
    out = {}
    for name in methods:
        family, _, rule = name.partition("/")
        place = families.index(family)
        line, marker = _RULES.get(rule, _OTHER)
        colour = COLOURS[place] if place < len(COLOURS) else INK
        out[name] = {"color": colour, "linestyle": line, "marker": marker}
    return out


def label(name: str) -> str:
    """A name in a legend, escaped: matplotlib treats dollars and a leading underscore specially."""
    hidden = " " if name.startswith("_") else ""
    return hidden + name.replace("$", r"\$")
