"""The table for a terminal, and in Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blockquant.report._numbers import best, figure, rate_heading

if TYPE_CHECKING:
    from blockquant.distortion import Comparison

_HEADER = (
    *("bits", "method", "bytes", "nmse", "theory", "d·E[e²]", "theory"),
    *("bias", "|e|99.9%", "R@10", "enc µs", "dec"),
)
#: With the spaces between them 100 columns; a longer name or figure widens its column.
_WIDTH = (4, 19, 5, 8, 7, 8, 7, 6, 8, 6, 6, 5)
_MARKED = ("nmse", "ip_error", "q999", "recall10", "encode_us", "decode_us")


def _cells(row: dict[str, Any], rate: float, leading: dict[tuple[float, str], float]) -> list[str]:
    def star(field: str, shown: str) -> str:
        return shown + ("*" if row[field] == leading[rate, field] else " ")

    size = row["bytes_per_vector"]
    bits = row["bits"]
    return [
        f"{bits:g}" if float(bits).is_integer() else f"{bits:.2f}",
        row["method"],
        "–" if size is None else f"{size:.0f}",
        star("nmse", figure(row["nmse"])),
        figure(row["nmse_theory"]),
        star("ip_error", figure(row["ip_error"])),
        figure(row["ip_error_theory"]),
        f"{row['bias']:+.3f}",
        star("q999", figure(row["q999"])),
        star("recall10", f"{row['recall10']:.3f}"),
        star("encode_us", f"{row['encode_us']:.1f}"),
        star("decode_us", f"{row['decode_us']:.1f}"),
    ]


def _table(comparison: Comparison) -> list[tuple[float, list[str]]]:
    leading = best(comparison, _MARKED)
    return [(rate, _cells(row, rate, leading)) for (rate, _), row in comparison.table().items()]


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


def _coverage(comparison: Comparison) -> list[str]:
    """One line on the intervals, where a method has them."""
    found = [row["coverage"] for row in comparison.rows() if row["coverage"] is not None]
    if not found:
        return []
    level = comparison.about["confidence"]
    span = f"{min(found):.4f} to {max(found):.4f}"
    return [
        f"intervals at confidence {level:g}: they contain the true value in {span} of the pairs"
    ]


def _verdicts(comparison: Comparison) -> list[str]:
    """The best of each criterion against the best of the other families."""
    names = {"nmse": "nmse", "ip_error": "d·E[e²]", "q999": "|e|99.9%"}
    wide = max(21, *(len(verdict.best) + 2 for verdict in comparison.verdicts()))
    against = "below the best of the other families (95 % interval)"
    out = [f"{comparison.unit:<6}{'criterion':<11}{'best':<{wide}}{against}"]
    for verdict in comparison.verdicts():
        line = f"{verdict.rate:<6g}{names[verdict.field]:<11}{verdict.best:<{wide}}"
        if verdict.runner_up is None:
            out.append(line + "the only family")
            continue
        noise = "one seed" if verdict.noise == float("inf") else f"± {verdict.noise:.2f}"
        line += f"{verdict.margin:>6.2f} % {noise:<8}  {verdict.runner_up}"
        unknown = verdict.significant or verdict.noise == float("inf")
        out.append(line + ("" if unknown else ", within the noise"))
    return out


def text(comparison: Comparison) -> str:
    """The table and the verdicts, for a terminal."""
    left = (0, 1)
    table = _table(comparison)
    columns = zip(*(cells for _, cells in table), strict=True)
    widths = [max(least, *map(len, own)) for least, own in zip(_WIDTH, columns, strict=True)]

    def line(cells: tuple[str, ...] | list[str]) -> str:
        parts = [
            cell.ljust(width) if place in left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return " ".join(parts).rstrip()

    out = [line(_HEADER)]
    previous: float | None = None
    for rate, cells in table:
        if rate != previous:
            out.append(rate_heading(comparison, rate, sum(widths) + len(widths) - 1))
        previous = rate
        out.append(line(cells))
    out += ["", "* best of its column at that rate; e: inner-product error of unit vectors;"]
    out += [_noise(comparison), *_coverage(comparison)]
    out += [
        f"{name} at {rate:g} bytes a vector: not there, {reason}"
        for (rate, name), reason in comparison.unmet.items()
    ]
    out += ["", *_verdicts(comparison)]
    return "\n".join(out)


def markdown(comparison: Comparison) -> str:
    """The table in Markdown."""
    out = ["| " + " | ".join(h.replace("|", "\\|") for h in _HEADER) + " |"]
    out.append("|" + "---|" * len(_HEADER))
    out += [
        "| " + " | ".join(cell.strip() for cell in cells) + " |" for _, cells in _table(comparison)
    ]
    return "\n".join(out)
