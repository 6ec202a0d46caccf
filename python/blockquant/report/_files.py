"""The files of a report."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blockquant._json import plain
from blockquant.report import _page

if TYPE_CHECKING:
    from blockquant.distortion import Comparison


def to_dict(comparison: Comparison) -> dict[str, Any]:
    """Everything that was measured, for JSON."""
    rows, queries, dim = comparison.shape
    unmet = [
        {"budget": rate, "method": name, "reason": reason}
        for (rate, name), reason in comparison.unmet.items()
    ]
    found: dict[str, Any] = plain(
        {
            "about": comparison.about,
            "shape": {"rows": rows, "queries": queries, "dim": dim},
            "rows": comparison.rows(),
            "verdicts": [asdict(v) | {"significant": v.significant} for v in comparison.verdicts()],
            "differences": [
                asdict(d) | {"significant": d.significant} for d in comparison.differences()
            ],
            "unmet": unmet,
        }
    )
    return found


def _csv(rows: list[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(key for row in rows for key in row))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, names)
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def save(comparison: Comparison, folder: Path) -> list[Path]:
    """Writes the page, the figures and, with matplotlib, the plots."""
    folder.mkdir(parents=True, exist_ok=True)
    plots = _draw(comparison)
    out = {
        "report.html": _page.page(comparison, plots),
        "results.csv": _csv(comparison.rows()),
        "results.json": json.dumps(to_dict(comparison), indent=1, ensure_ascii=False) + "\n",
    }
    written = []
    for name, content in out.items():
        (folder / name).write_text(content, encoding="utf-8", newline="")
        written.append(folder / name)
    for plot in plots:
        written += plot.save(folder)
    return written


def _draw(comparison: Comparison) -> list[Any]:
    """The plots; none without matplotlib."""
    try:
        from blockquant.report import _plots
    except ImportError:
        return []
    return _plots.draw(comparison)
