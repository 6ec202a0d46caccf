"""The table of a comparison for a terminal and in Markdown."""

from __future__ import annotations

from collections.abc import Callable
from textwrap import fill
from typing import TYPE_CHECKING, Any

from blockquant.measurement import is_fitted
from blockquant.report._fitted import HEADINGS, allocations, fitted_to
from blockquant.report._fitted import notes as fitted_notes
from blockquant.report._numbers import absent, figure, leading, left_out, rate_heading

if TYPE_CHECKING:
    from blockquant.measurement import Figures, Verdict

HEADER = (
    *("bits", "method", "bytes", "nmse", "theory", "d·E[e²]", "theory"),
    *("bias", "|e|99.9%", "R@10", "enc µs", "dec"),
)
#: The greatest width of a line, in columns.
_COLUMNS = 100
#: Least widths of the columns. A longer name or figure widens its column.
_WIDTH = (4, 19, 5, 8, 7, 8, 7, 6, 8, 6, 6, 4)
_METHOD = 1
_MARKED = ("nmse", "ip_error", "q999", "recall10")


def wrapped(line: str, indent: int = 2) -> str:
    """A line wrapped to the width of a terminal, with continuation lines indented.

    A longer word is not broken, because it may be the name of a file.
    """
    return fill(
        line,
        _COLUMNS,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    )


def cells(comparison: Figures) -> list[tuple[float, list[str]]]:
    """The cells of each method with its rate. The best figures of a rate have a star.

    Figures that look the same are marked alike. Times are not marked, because other work of the
    machine changes them.
    """
    ahead = leading(comparison, _MARKED)
    return [
        (rate, _cells(row, ahead[rate, name])) for (rate, name), row in comparison.table().items()
    ]


def _cells(row: dict[str, Any], ahead: dict[str, float]) -> list[str]:
    def star(field: str, show: Callable[[float], str] = figure) -> str:
        shown = show(row[field])
        return shown + ("*" if shown == show(ahead[field]) else " ")

    size = row["bytes_per_vector"]
    bits = row["bits"]
    return [
        f"{bits:g}" if float(bits).is_integer() else f"{bits:.2f}",
        row["method"],
        "–" if size is None else f"{size:.0f}",
        star("nmse"),
        figure(row["nmse_theory"]),
        star("ip_error"),
        figure(row["ip_error_theory"]),
        f"{row['bias']:+.3f}",
        star("q999"),
        star("recall10", "{:.3f}".format),
        _time(row["encode_us"]),
        _time(row["decode_us"]),
    ]


def _time(value: float) -> str:
    """At most five characters below a second.

    Examples
    --------
    >>> _time(1.234), _time(1234.5), _time(3e7)
    ('1.2', '1234', '3e+07')
    """
    if value >= 1e6:
        return f"{value:.0e}"
    return f"{value:.1f}" if value < 1000 else f"{value:.0f}"


def _noise(comparison: Figures) -> str:
    rows = comparison.rows()
    if rows[0]["seeds"] < 2:
        return "one seed: no standard errors"
    worst = {
        f: max(100 * row[f + "_se"] / row[f] if row[f] else 0.0 for row in rows)
        for f in ("nmse", "ip_error")
    }
    bias = max(row["bias_se"] for row in rows)
    return (
        f"means over {rows[0]['seeds']} rotation seeds; standard errors at most "
        f"{worst['nmse']:.2f} % (nmse), {worst['ip_error']:.2f} % (d·E[e²]), {bias:.4f} (bias)"
    )


def _coverage(comparison: Figures) -> list[str]:
    """A line about the intervals, if a method has them."""
    found = [row["coverage"] for row in comparison.rows() if row["coverage"] is not None]
    if not found:
        return []
    level = comparison.about["confidence"]
    span = f"{min(found):.4f} to {max(found):.4f}"
    return [
        f"intervals at confidence {level:g}: they contain the true value in {span} of the pairs"
    ]


_CRITERIA = {"nmse": "nmse", "ip_error": "d·E[e²]", "q999": "|e|99.9%"}


def _verdicts(comparison: Figures) -> list[str]:
    """The best method of each criterion against the best of the other families.

    Those that are fitted to a sample follow, against the best of those that are not.
    """
    verdicts = comparison.verdicts()
    out = _judged(
        [verdict for verdict in verdicts if not verdict.fitted],
        ("best", "the best of the other families"),
        comparison.unit,
    )
    fitted = [verdict for verdict in verdicts if verdict.fitted]
    if fitted:
        out += [""] if out else []
        out += _judged(fitted, ("best fitted", "the best without a sample"), comparison.unit)
    return out


def _judged(verdicts: list[Verdict], what: tuple[str, str], unit: str) -> list[str]:
    """In columns, or in sentences if a byte budget or long names need more room."""
    if not verdicts:
        return []
    best, others = what
    wide = max(21, *(len(verdict.best) + 2 for verdict in verdicts))
    head = f"{unit:<6}{'criterion':<11}"
    out = [f"{head}{best:<{wide}}below {others} (95 % interval)"]
    out += [_start(verdict) + _aligned(verdict, wide) for verdict in verdicts]
    if unit == "bits" and max(map(len, out)) <= _COLUMNS:
        return out
    out = [f"{head}{best}, against {others} (95 % interval)"]
    for verdict in verdicts:
        start = _start(verdict)
        out.append(wrapped(start + verdict.finding(), len(start) + 2))
    return out


def _start(verdict: Verdict) -> str:
    return f"{verdict.rate:<6g}{_CRITERIA[verdict.field]:<11}"


def _aligned(verdict: Verdict, wide: int) -> str:
    line = f"{verdict.best:<{wide}}"
    if verdict.runner_up is None:
        return line + "the only family"
    noise = "one seed" if verdict.noise == float("inf") else f"± {verdict.noise:.2f}"
    line += f"{verdict.margin:>6.2f} % {noise:<8}  {verdict.runner_up}"
    unknown = verdict.significant or verdict.noise == float("inf")
    return line + ("" if unknown else ", within the noise")


def notes(comparison: Figures) -> list[str]:
    """The notes that explain the table, one sentence each."""
    zero = left_out(comparison)
    return [
        "* best of its column at that rate; e: inner-product error of unit vectors",
        _noise(comparison),
        *_coverage(comparison),
        *fitted_notes(comparison),
        *([] if zero is None else [zero]),
        *absent(comparison),
    ]


def text(comparison: Figures) -> str:
    """The table and the verdicts, for a terminal."""
    table = cells(comparison)
    columns = zip(*(own for _, own in table), strict=True)
    widths = [max(least, *map(len, own)) for least, own in zip(_WIDTH, columns, strict=True)]
    # A name that is too long gets its own line above its figures.
    others = sum(widths) - widths[_METHOD] + len(widths) - 1
    widths[_METHOD] = max(_WIDTH[_METHOD], min(widths[_METHOD], _COLUMNS - others))

    def line(own: tuple[str, ...] | list[str]) -> str:
        parts = [
            cell.ljust(width) if place <= _METHOD else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(own, widths, strict=True))
        ]
        return " ".join(parts).rstrip()

    out = [line(HEADER)]
    wide = sum(widths) + len(widths) - 1
    previous: float | None = None
    family = ""
    for rate, own in table:
        if rate != previous:
            out.append(rate_heading(comparison, rate, wide))
            family = ""
        previous = rate
        if is_fitted(own[_METHOD]):
            # The name of the family stands once, and then only what the bits are given for.
            same = own[_METHOD].partition("/")[0] == family
            if not family:
                out.append(f"-- {fitted_to(comparison)} ".ljust(wide, "-"))
            family, _, criterion = own[_METHOD].partition("/")
            own[_METHOD] = f"…/{criterion}" if same else own[_METHOD]
        if len(own[_METHOD]) > widths[_METHOD]:
            start = own[0].ljust(widths[0]) + " "
            out.append(wrapped(start + own[_METHOD], len(start)))
            own = ["", "", *own[_METHOD + 1 :]]
        out.append(line(own))
    out.append("")
    out += map(wrapped, notes(comparison))
    out += ["", *_verdicts(comparison)]
    if comparison.predicted:
        out += _allocations(comparison)
    return "\n".join(out)


def _allocations(comparison: Figures) -> list[str]:
    """What fitted axes get bits for: three criteria, and the three errors of each."""
    out = []
    families = dict.fromkeys(name.partition("/")[0] for _, name in comparison.predicted)
    for family in families:
        table = [HEADINGS, *allocations(comparison, family)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        words = (1, len(HEADINGS) - 1)
        out += [
            "",
            f"What the bits of {family} are given for; measured error over predicted error:",
        ]
        for own in table:
            parts = [
                cell.ljust(width) if place in words else cell.rjust(width)
                for place, (cell, width) in enumerate(zip(own, widths, strict=True))
            ]
            out.append(" ".join(parts).rstrip())
    return out


def markdown(comparison: Figures) -> str:
    """The table in Markdown."""
    out = ["| " + " | ".join(h.replace("|", "\\|") for h in HEADER) + " |"]
    out.append("|" + "---|" * len(HEADER))
    out += [
        "| " + " | ".join(cell.strip().replace("|", "\\|") for cell in own) + " |"
        for _, own in cells(comparison)
    ]
    return "\n".join(out)
