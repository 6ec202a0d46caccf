"""Tables and plots of a comparison."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blockquant.distortion import Comparison

_HEADER = (
    *("bits", "method", "bytes", "nmse", "theory", "d·E[e²]", "theory"),
    *("bias", "|e|99.9%", "R@10", "enc µs", "dec"),
)
_WIDTH = (4, 20, 5, 8, 7, 8, 7, 6, 8, 5, 6, 4)


def _figure(value: float | None) -> str:
    """At most seven characters: four decimals, five below 0.1 and an exponent below 0.001."""
    if value is None:
        return "–"
    if 0 < value < 0.001:
        return f"{value:.1e}"
    return f"{value:.4g}" if value >= 10 else f"{value:.{4 if value >= 0.1 else 5}f}"


def _cells(row: dict[str, Any], best: dict[tuple[float, str], float]) -> list[str]:
    def star(field: str) -> str:
        mark = "*" if row[field] == best[row["bits"], field] else " "
        return _figure(row[field]) + mark

    size = row["bytes_per_vector"]
    return [
        f"{row['bits']:g}",
        row["method"],
        "–" if size is None else f"{size:.0f}",
        star("nmse"),
        _figure(row["nmse_theory"]),
        star("ip_error"),
        _figure(row["ip_error_theory"]),
        f"{row['bias']:+.3f}",
        star("q999"),
        f"{row['recall10']:.3f}",
        f"{row['encode_us']:.1f}",
        f"{row['decode_us']:.1f}",
    ]


def _table(comparison: Comparison) -> list[list[str]]:
    rows = comparison.rows()
    best: dict[tuple[float, str], float] = {}
    for row in rows:
        for field in ("nmse", "ip_error", "q999"):
            key = (row["bits"], field)
            best[key] = min(best.get(key, float("inf")), row[field])
    return [_cells(row, best) for row in rows]


def _noise(comparison: Comparison) -> str:
    rows = comparison.rows()
    if rows[0]["seeds"] < 2:
        return "one seed: no standard errors"
    worst = {
        f: max(100 * row[f + "_se"] / row[f] if row[f] else 0.0 for row in rows)
        for f in ("nmse", "ip_error")
    }
    return (
        f"means over {rows[0]['seeds']} rotation seeds; standard errors at most "
        f"{worst['nmse']:.2f} % (nmse), {worst['ip_error']:.2f} % (d·E[e²])"
    )


def text(comparison: Comparison) -> str:
    """The table and the verdicts, for a terminal."""
    left = (0, 1)

    def line(cells: tuple[str, ...] | list[str]) -> str:
        parts = [
            cell.ljust(width) if place in left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(cells, _WIDTH, strict=True))
        ]
        return " ".join(parts).rstrip()

    out = [line(_HEADER)]
    previous = ""
    for cells in _table(comparison):
        if cells[0] != previous:
            out.append("-" * (sum(_WIDTH) + len(_WIDTH) - 1))
        previous = cells[0]
        out.append(line(cells))
    out += ["", "* best of its column at that rate; e: inner-product error of unit vectors;"]
    out += [f"{_noise(comparison)}", ""]
    out += [str(verdict) for verdict in comparison.verdicts()]
    return "\n".join(out)


def markdown(comparison: Comparison) -> str:
    """The table in Markdown."""
    out = ["| " + " | ".join(h.replace("|", "\\|") for h in _HEADER) + " |"]
    out.append("|" + "---|" * len(_HEADER))
    out += [
        "| " + " | ".join(cell.strip() for cell in cells) + " |" for cells in _table(comparison)
    ]
    return "\n".join(out)


def save(comparison: Comparison, folder: Path) -> list[Path]:
    """Writes ``results.csv`` and, with matplotlib, ``comparison.png``."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = comparison.rows()
    names = list(dict.fromkeys(key for row in rows for key in row))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, names)
    writer.writeheader()
    writer.writerows(rows)
    table = folder / "results.csv"
    table.write_text(buffer.getvalue(), encoding="utf-8", newline="")
    try:
        figure = _plot(rows)
    except ImportError:
        return [table]
    picture = folder / "comparison.png"
    figure.savefig(picture, dpi=130)
    return [table, picture]


def _plot(rows: list[dict[str, Any]]) -> Any:
    from matplotlib.figure import Figure

    from blockquant.theory import shannon

    figure = Figure(figsize=(12, 4.2), layout="constrained")
    panels = (
        ("nmse", "normalised MSE"),
        ("ip_error", "d · E[inner-product error²]"),
        ("q999", "99.9 % quantile of |error|"),
    )
    methods = list(dict.fromkeys(row["method"] for row in rows))
    for axes, (field, label) in zip(figure.subplots(1, 3), panels, strict=True):
        for place, method in enumerate(methods):
            own = [row for row in rows if row["method"] == method]
            axes.plot(
                [row["bits"] for row in own],
                [row[field] for row in own],
                marker="osD^vPX"[place % 7],
                color=f"C{place}",
                label=method,
                linewidth=1.2,
            )
        if field == "nmse":
            bits = sorted({row["bits"] for row in rows})
            axes.plot(bits, [shannon(b) for b in bits], "k--", linewidth=1, label="Shannon's bound")
        axes.set(yscale="log", xlabel="bits per coordinate", title=label)
        axes.grid(alpha=0.3, which="both")
    figure.axes[0].legend(fontsize=8)
    return figure
