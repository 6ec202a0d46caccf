"""Comparisons that print, draw and save themselves: a table, one page, plots and files."""

from blockquant.report._comparison import Comparison, compare
from blockquant.report._files import NAMES, NO_PLOTS, existing, has_plots, save, to_dict
from blockquant.report._notebook import notebook
from blockquant.report._text import markdown, text, wrapped

__all__ = [
    "NAMES",
    "NO_PLOTS",
    "Comparison",
    "compare",
    "existing",
    "has_plots",
    "markdown",
    "notebook",
    "save",
    "text",
    "to_dict",
    "wrapped",
]
