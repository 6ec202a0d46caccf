"""What a comparison prints and writes: a table for a terminal, one page, plots, figures."""

from blockquant.report._files import save, to_dict
from blockquant.report._text import markdown, text

__all__ = ["markdown", "save", "text", "to_dict"]
