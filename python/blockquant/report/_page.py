"""The report as one self-contained HTML file.

What it answers comes first (which method for reconstruction, for inner products, for guarantees; at
how many bytes, at what cost of encoding), then the plots, then all figures in tables that sort.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Any, NamedTuple

from blockquant.measurement import is_fitted
from blockquant.report._fitted import EXPECTED, HEADINGS, about_sample, allocations, notes, shares
from blockquant.report._numbers import absent, figure, holds, leading, left_out, rate_name
from blockquant.report._summary import answers, choices

if TYPE_CHECKING:
    from blockquant.measurement import Figures
    from blockquant.report._plots import Plot


class _Column(NamedTuple):
    """A field of the comparison's rows, with its heading and its format."""

    field: str
    heading: str
    show: str = ""
    #: Whether the best of each rate is marked.
    marked: bool = True


_TABLES = (
    (
        "Reconstruction",
        "Error of the decoded rows. Normalised MSE is E‖x − x̂‖²/‖x‖²; in small type what the "
        "theory says, and the standard error over seeds. The cosine is that of a row and its "
        "decoding.",
        (
            _Column("nmse", "normalised MSE"),
            _Column("cosine", "cosine", "{:.4f}"),
        ),
    ),
    (
        "Expected inner-product error",
        "For unit vectors, e = ⟨x̂, y⟩ − ⟨x, y⟩. The bias is the slope of e against ⟨x, y⟩, ± its "
        "standard error over seeds; the variance is E[e²] without the bias. Both expectations are "
        "times d, so that they can be compared across dimensions.",
        (
            _Column("ip_error", "d·E[e²]"),
            _Column("bias", "bias (slope)", "{:+.4f}", False),
            _Column("variance", "d·variance", "", False),
        ),
    ),
    (
        "High probability",
        "Quantiles of |e|, and the intervals that the method states for each pair from what is "
        "stored with its code: how many contain the true value, and how wide they are. A method "
        "without intervals has none to keep.",
        (
            _Column("q50", "|e| at 50 %"),
            _Column("q99", "99 %"),
            _Column("q999", "99.9 %"),
            _Column("q9999", "99.99 %"),
            _Column("coverage", "coverage", "{:.4f}", False),
            _Column("half_width", "half width"),
        ),
    ),
    (
        "Retrieval and cost",
        "Recall@k is the share of the k highest estimates that belong to the true k nearest rows "
        "(by inner product, equal rows alike); the rank correlation is Spearman's. Times are the "
        "least over seeds, and no star marks the best: the machine does other things too.",
        (
            _Column("recall1", "recall@1", "{:.3f}"),
            _Column("recall10", "recall@10", "{:.3f}"),
            _Column("recall100", "recall@100", "{:.3f}"),
            _Column("rank_correlation", "rank correlation", "{:.4f}"),
            _Column("encode_us", "encode, µs per row", "{:.2f}", False),
            _Column("decode_us", "decode, µs per row", "{:.2f}", False),
            _Column("training_rows", "rows fitted to", "{:,}", False),
            _Column("training_seconds", "fit, s", "{:.2g}", False),
        ),
    ),
)

#: Beside the name of a method on fitted axes.
_FITTED = "<small>fitted</small>"

_METHOD = """<dl>
<dt>The same for all</dt><dd>The same unit rows, unit queries and rotation seeds for every method;
differences are paired over seeds, and their intervals (95 %) are Student's t.</dd>
<dt>Every byte counted</dt><dd>Bytes per vector are those of the packed code and of every scalar
stored with it.</dd>
<dt>Theory</dt><dd>The expectation under a Haar rotation, from the law of a coordinate or block of a
random point on the sphere: <code>blockquant.theory</code>.</dd>
<dt>Standard errors</dt><dd>Over rotation seeds. They do not say how the figures would change for
other rows.</dd>
</dl>"""


def page(comparison: Figures, plots: Sequence[Plot], without: str | None = None) -> str:
    """The whole page. `without` is the reason why plots are missing."""
    about = comparison.about
    rows, queries, dim = comparison.shape
    seeds = f"{about['seeds']} rotation seed" + ("s" if about["seeds"] != 1 else "")
    body = [_answers(comparison), _by_rate(comparison)]
    if plots:
        body.append(_figures(plots))
    elif without is not None:
        body.append(f"<h2>Plots</h2>\n<p>{escape(without)}</p>")
    if comparison.predicted:
        body.append(_allocation(comparison))
    body += [_table(comparison, *table) for table in _tables(comparison)]
    body.append(_differences(comparison))
    if comparison.unmet:
        body.append(_unmet(comparison))
    body.append(f"<h2>How it was measured</h2>\n{_METHOD}")
    zero = left_out(comparison)
    assets = files("blockquant") / "report" / "assets"
    return Template((assets / "page.html").read_text(encoding="utf-8")).substitute(
        title="Vector quantizers compared",
        subtitle=escape(
            f"{rows:,} rows and {queries:,} queries of {dim} dimensions: {about['source']}. "
            f"{seeds}, rotation {about['rotation']}." + ("" if zero is None else f" {zero}.")
        ),
        css=(assets / "page.css").read_text(encoding="utf-8"),
        js=(assets / "page.js").read_text(encoding="utf-8"),
        body="\n".join(body),
        machine=escape(
            f"blockquant {about['blockquant']}, {about['machine']}, {about['isa']}, "
            f"{about['threads']} threads, Python {about['python']}, NumPy {about['numpy']}"
        ),
    )


def _answers(comparison: Figures) -> str:
    out = []
    for answer in answers(comparison):
        text = " ".join(answer.sentences)
        out.append(
            f'<section class="answer"><h3>{escape(answer.question)}</h3>'
            f"<strong>{escape(answer.method)}</strong><p>{escape(text)}</p></section>"
        )
    return '<div class="answers">\n' + "\n".join(out) + "\n</div>"


def _by_rate(comparison: Figures) -> str:
    """The best method at each rate, with its recall, error, bytes and encoding time."""
    budget = comparison.unit == "bytes"

    def bits(row: dict[str, Any]) -> list[str]:
        return [_cell(row["bits"], f"{row['bits']:.3g}")] if budget else []

    lines = []
    previous: float | None = None
    for choice in choices(comparison):
        row = choice.row
        size = row["bytes_per_vector"]
        cells = [
            _rate(comparison, choice.rate),
            f'<td class="name">{escape(choice.purpose)}</td>',
            f'<td class="name">{escape(row["method"])}</td>',
            _cell(row["recall10"], f"{row['recall10']:.3f}"),
            _cell(row["q50"], f"± {row['q50']:.3g}"),
            *bits(row),
            _cell(size, "–" if size is None else f"{size:.4g}"),
            f'<td class="name">{escape(choice.figure)}</td>',
            _cell(row["encode_us"], f"{row['encode_us']:.2f}"),
        ]
        lines.append(f"<tr{_rule(choice.rate, previous)}>{''.join(cells)}</tr>")
        previous = choice.rate
    headings = (
        *("rate", "for", "take", "recall@10", "typical score error", *(["bits"] if budget else [])),
        *("bytes per vector", "by its criterion", "encode, µs per row"),
    )
    caption = (
        "The best of each criterion. Half of all scores are closer to the true cosine than the "
        "typical error."
    )
    table = _grid(caption, headings, lines, left=(1, 2, len(headings) - 2))
    return f"<h2>What to take</h2>\n{table}"


def _rate(comparison: Figures, rate: float) -> str:
    """The heading cell of a row, which sorts as a number."""
    name = escape(rate_name(comparison, rate))
    return f'<th scope="row" data-value="{rate:.9g}">{name}</th>'


def _rule(rate: float, previous: float | None) -> str:
    """A line above the first row of each rate except the first rate."""
    return ' class="new"' if previous not in (None, rate) else ""


def _figures(plots: Sequence[Plot]) -> str:
    out = [
        f"<figure>{plot.svg()}<figcaption>{escape(plot.caption)}</figcaption></figure>"
        for plot in plots
    ]
    return '<h2>Plots</h2>\n<div class="plots">\n' + "\n".join(out) + "\n</div>"


def _grid(
    caption: str, headings: Sequence[str], rows: Sequence[str], left: Sequence[int] = ()
) -> str:
    """A sortable table. The headings in `left` are above columns of words."""
    head = "".join(
        f'<th scope="col"{" class=name" if place in left else ""}>'
        f'<button type="button">{escape(text)}</button></th>'
        for place, text in enumerate(headings)
    )
    return (
        # With the focus, the keyboard can scroll the table.
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(headings[0])} table">'
        f"<table><caption><span>{escape(caption)}</span></caption>"
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n" + "\n".join(rows) + "\n</tbody></table></div>"
    )


def _table(comparison: Figures, title: str, caption: str, columns: Sequence[_Column]) -> str:
    ahead = leading(comparison, [column.field for column in columns if column.marked])
    lines = []
    previous: float | None = None
    for (rate, name), row in comparison.table().items():
        size = row["bytes_per_vector"]
        cells = [
            f'<th scope="row">{escape(name)}{_FITTED if is_fitted(name) else ""}</th>',
            _cell(row["bits"], f"{row['bits']:.4g}"),
            _cell(size, "–" if size is None else f"{size:.4g}"),
            *(
                _value(comparison, row, column, ahead[rate, name].get(column.field))
                for column in columns
            ),
        ]
        lines.append(f"<tr{_rule(rate, previous)}>{''.join(cells)}</tr>")
        previous = rate
    headings = ["method", "bits", "bytes", *(column.heading for column in columns)]
    return f"<h2>{escape(title)}</h2>\n{_grid(caption, headings, lines)}"


def _cell(value: Any, shown: str, small: str = "", mark: bool = False) -> str:
    data = "" if value is None else f"{value:.9g}"
    shown = f"<b>{shown} ★</b>" if mark else shown
    below = f"<small>{small}</small>" if small else ""
    return f'<td data-value="{data}">{shown}{below}</td>'


def _value(comparison: Figures, row: dict[str, Any], column: _Column, leading: float | None) -> str:
    value = row[column.field]
    if value is None:
        return _cell(None, "–")
    show = column.show.format if column.show else figure
    notes = []
    expected = row.get(f"{column.field}_theory")
    if expected is not None:
        notes.append(f"theory {show(expected)}")
    error = row.get(f"{column.field}_se")
    if error is not None and error == error and column.field in ("nmse", "ip_error", "bias"):
        notes.append(f"± {error:.1e}")
    # Figures that look the same are marked alike, except widths of intervals that do not hold.
    marked = column.marked and leading is not None and show(value) == show(leading)
    if column.field == "half_width":
        marked = marked and holds(comparison, row)
    return _cell(value, show(value), ", ".join(notes), marked)


def _tables(comparison: Figures) -> list[tuple[str, str, tuple[_Column, ...]]]:
    """The tables, with the costs of the sample where there is one."""
    has = comparison.model is not None
    return [
        (title, caption, tuple(c for c in columns if has or not c.field.startswith("training_")))
        for title, caption, columns in _TABLES
    ]


def _allocation(comparison: Figures) -> str:
    """What the bits of fitted axes are given for, and the model."""
    model = comparison.model
    assert model is not None
    tables = []
    for family in dict.fromkeys(name.partition("/")[0] for _, name in comparison.predicted):
        rates = [rate for rate, name in comparison.predicted if name.startswith(f"{family}/")]
        lines = []
        previous: float | None = None
        for rate, own in zip(rates, allocations(comparison, family), strict=True):
            cells = [_text(cell, place in _WORDS) for place, cell in enumerate(own)][1:]
            row = "".join([_rate(comparison, rate), *cells])
            lines.append(f"<tr{_rule(rate, previous)}>{row}</tr>")
            previous = rate
        caption = (
            f"{family}: the same bytes, given to axes by each criterion, and the errors that "
            "follow; the least of a rate is marked. The ratios are those of the measured error to "
            "the predicted one, and the last column has the number of axes and the bits of each, "
            "in every group."
        )
        tables.append(_grid(caption, HEADINGS, lines, left=_WORDS))
    about = about_sample(comparison)
    text = (
        f"{model.axes.describe()}. {about[0].upper()}{about[1:]}. Of the variance, "
        f"{shares(comparison)}."
    )
    more = " ".join(f"{note[0].upper()}{note[1:]}." for note in notes(comparison)[1:])
    return (
        f"<h2>Fitted axes</h2>\n<p>{escape(text)}</p>\n" + "\n".join(tables) + "\n"
        f"<p>{escape(more)} {escape(EXPECTED)}</p>"
    )


#: The columns of words of the table of allocations.
_WORDS = (1, len(HEADINGS) - 1)


def _text(cell: str, is_word: bool) -> str:
    """A cell of a text, whose star is that of the best figure."""
    if is_word:
        return f'<td class="name">{escape(cell)}</td>'
    shown = escape(cell.strip().removesuffix("*"))
    return f"<td><b>{shown} ★</b></td>" if cell.endswith("*") else f"<td>{shown}</td>"


def _differences(comparison: Figures) -> str:
    names = {"nmse": "normalised MSE", "ip_error": "d·E[e²]", "q999": "|e| at 99.9 %"}
    lines = []
    for found in comparison.differences():
        known = found.high < float("inf")
        span = f"{found.low:.2f} to {found.high:.2f}" if known else "one seed"
        word = "yes" if found.significant else "no"
        cells = [
            _rate(comparison, found.rate),
            f'<td class="name">{escape(names[found.field])}</td>',
            f'<td class="name">{escape(found.method)}</td>',
            f'<td class="name">{escape(found.other)}</td>',
            _cell(found.percent, f"{found.percent:.2f} %"),
            _cell(found.low if known else None, span),
            f"<td>{word}</td>",
        ]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    caption = "How much lower the best figure is than each other method's, paired over seeds."
    headings = (
        *("rate", "criterion", "best", "other"),
        *("lower by", "95 % interval", "beyond the noise"),
    )
    return (
        "<h2>Differences</h2>\n<details><summary>The best of each criterion against every other "
        f"method</summary>{_grid(caption, headings, lines, left=(1, 2, 3))}</details>"
    )


def _unmet(comparison: Figures) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in absent(comparison))
    return f"<h2>Left out at a rate</h2>\n<ul>{items}</ul>"
