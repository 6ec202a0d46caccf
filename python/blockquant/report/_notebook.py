"""The table for a notebook, as HTML without a style sheet or a script."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from blockquant.report._numbers import rate_name
from blockquant.report._text import HEADER, cells, notes

if TYPE_CHECKING:
    from blockquant.measurement import Figures

#: The first so many columns are words, aligned to the left. The others are figures.
_LEFT = 2


def notebook(comparison: Figures) -> str:
    """The table, its notes and the verdicts."""
    rows, queries, dim = comparison.shape
    caption = f"{rows:,} rows, {queries:,} queries, d = {dim}: {comparison.about['source']}"
    out = [
        '<div style="overflow-x: auto"><table>',
        f'<caption style="text-align: left">{escape(caption)}</caption>',
        f"<thead><tr>{_line('th', HEADER)}</tr></thead>",
    ]
    previous: float | None = None
    for rate, own in cells(comparison):
        if rate != previous:
            out.append("<tbody>" if previous is None else "</tbody><tbody>")
            if comparison.unit == "bytes":
                name = escape(rate_name(comparison, rate))
                out.append(
                    f'<tr><th colspan="{len(HEADER)}" scope="rowgroup" style="text-align: left">'
                    f"{name} per vector</th></tr>"
                )
        previous = rate
        out.append(f"<tr>{_line('td', own)}</tr>")
    out.append("</tbody></table></div>")
    out += _list(notes(comparison))
    out += _list([str(verdict) for verdict in comparison.verdicts()])
    return "\n".join(out)


def _line(tag: str, own: tuple[str, ...] | list[str]) -> str:
    parts = []
    for place, cell in enumerate(own):
        side = "left" if place < _LEFT else "right"
        text = escape(cell.strip())
        shown = f"<strong>{text}</strong>" if text.endswith("*") else text
        parts.append(f'<{tag} style="text-align: {side}; white-space: nowrap">{shown}</{tag}>')
    return "".join(parts)


def _list(lines: list[str]) -> list[str]:
    return ["<ul>", *(f"<li>{escape(line)}</li>" for line in lines), "</ul>"]
