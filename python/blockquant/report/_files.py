"""The files of a report."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blockquant._json import plain
from blockquant.files.atomic import replacing
from blockquant.report import _page

if TYPE_CHECKING:
    from blockquant.measurement import Figures
    from blockquant.report._plots import Plot


def to_dict(comparison: Figures) -> dict[str, Any]:
    """Everything that was measured, in types that JSON can hold."""
    rows, queries, dim = comparison.shape
    unmet = [
        {"rate": rate, "unit": comparison.unit, "method": name, "reason": reason}
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
            "predicted": [
                {"rate": rate, "unit": comparison.unit, "method": name, **asdict(found)}
                for (rate, name), found in comparison.predicted.items()
            ],
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


#: The names of the plots, in the order of the page.
PLOTS = ("mse", "errors", "tails", "recall", "cost", "trade", "spectrum", "allocation")
#: All files that a report can have.
NAMES = (
    *("report.html", "results.csv", "results.json"),
    *(f"{name}.{kind}" for name in PLOTS for kind in ("svg", "png")),
)
#: The warning if matplotlib is not installed.
NO_PLOTS = (
    "the report has no plots: they need matplotlib; in a clone of the repository "
    "pip install '.[plot]' installs it"
)


def has_plots() -> bool:
    """Whether plots can be drawn."""
    try:
        from blockquant.report import _plots  # noqa: F401
    except ImportError:
        return False
    return True


def existing(folder: Path) -> list[Path]:
    """The files of a report that are in a folder."""
    return [folder / name for name in NAMES if os.path.lexists(folder / name)]


def save(comparison: Figures, folder: Path, replace: bool) -> list[Path]:
    """Writes the page, the figures and, with matplotlib, the plots.

    All files are drawn and written to the disk before the first one gets its name. Plots of an
    earlier report that are not drawn now are removed, so that all files belong to one report.
    """
    content = _content(comparison)
    made = _make(folder)
    try:
        there = existing(folder)
        if there and not replace:
            names = ", ".join(path.name for path in there)
            raise FileExistsError(errno.EEXIST, f"a report is there ({names})", str(folder))
        for path in there:
            if not path.is_file():
                raise IsADirectoryError(errno.EISDIR, "not a file, cannot be replaced", str(path))
        with ExitStack() as stack:
            for name, data in content.items():
                file = stack.enter_context(replacing(folder / name))
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
    except BaseException:
        if made:
            for name in content:
                (folder / name).unlink(missing_ok=True)
        for path in made:
            path.rmdir()
        raise
    if folder / "report.html" in there:
        for path in there:
            if path.name not in content:
                path.unlink()
    return [folder / name for name in content]


def _make(folder: Path) -> list[Path]:
    """Makes a folder and its missing parents. Returns the new folders, the innermost first."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    made: list[Path] = []
    try:
        for path in reversed(missing):
            path.mkdir()
            made.insert(0, path)
    except BaseException:
        for path in made:
            path.rmdir()
        raise
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    return made


def _content(comparison: Figures) -> dict[str, bytes]:
    """The files by name."""
    plots = _draw(comparison)
    text = {
        "report.html": _page.page(comparison, plots, None if has_plots() else NO_PLOTS),
        "results.csv": _csv(comparison.rows()),
        "results.json": json.dumps(to_dict(comparison), indent=1, ensure_ascii=False) + "\n",
    }
    out = {name: content.encode("utf-8") for name, content in text.items()}
    for plot in plots:
        out |= plot.files()
    return out


def _draw(comparison: Figures) -> list[Plot]:
    """The plots, or an empty list without matplotlib."""
    if not has_plots():
        return []
    from blockquant.report import _plots

    return _plots.draw(comparison)
