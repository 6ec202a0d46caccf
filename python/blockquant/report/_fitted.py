"""What a report says of fitted axes: the sample, the model, and what the bits are given for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from blockquant._checks import counted
from blockquant.measurement import is_fitted
from blockquant.report._numbers import at_rate, figure, leading, span

if TYPE_CHECKING:
    from blockquant._fitted import Predicted
    from blockquant.measurement import Figures, Model, Verdict

#: What :func:`allocations` gives.
HEADINGS = (
    *("rate", "given for", "nmse", "ratio", "d·E[e²]", "ratio", "|e|99.9%", "R@10"),
    "axes × bits",
)
#: How far the model's predictions can be relied on.
EXPECTED = (
    "The model predicts the errors of rows that are Gaussian along its axes, with the variances of "
    "its sample. A random rotation in each group makes any row look Gaussian to its code, so that "
    "costs little; what the sample does not tell is how much of other rows lies along each axis. "
    "For n rows of the sample and d coordinates, others of the same kind have at most "
    "1.02·(n + d)/(n − d) times the predicted error, and more says that they are of another kind. "
    "They have less where shrinkage expects more of them along the last axes than is there."
)
#: The errors of the criteria, and recall.
_ERRORS = ("nmse", "ip_error", "q999", "recall10")
#: The measured errors that a model predicts.
_PREDICTED = ("nmse", "ip_error")


def fitted_to(comparison: Figures) -> str:
    """The sample in few words."""
    model = _model(comparison)
    return f"fitted to {counted(model.axes.rows, 'row')} in {model.seconds:.2g} s"


def about_sample(comparison: Figures) -> str:
    """The sample and whether its rows are measured, in a sentence without its end."""
    model = _model(comparison)
    text = f"{fitted_to(comparison)} ({model.source})"
    if not model.shared:
        return f"{text}, none of which is measured"
    rows = counted(model.shared, "measured row")
    return f"{text}; {rows} {'is' if model.shared == 1 else 'are'} in the sample, too"


def notes(comparison: Figures) -> list[str]:
    """Notes on the sample and on the theory of fitted methods, if there are any."""
    if comparison.model is None:
        return []
    found = [f"+axes: {about_sample(comparison)}"]
    if (few := comparison.model.few) is not None:
        found.append(few)
    return found + _judged(comparison)


def _judged(comparison: Figures) -> list[str]:
    """The measured errors beside the predicted ones, and whether that is as expected."""
    ratios = measured_over_predicted(comparison)
    if not ratios:
        return []
    most = _model(comparison).noise
    text = (
        "theory of +axes is what the model predicts for rows like its sample; measured errors are "
        f"{span(ratios, '{:.2f}')} times that"
    )
    if max(ratios) > most:
        return [f"{text}: rows like the sample have at most {most:.2f}, so these are unlike it"]
    known = "" if most == float("inf") else f", at most {most:.2f} are expected"
    return [text + known]


def measured_over_predicted(comparison: Figures) -> list[float]:
    """Measured errors over the predicted ones, of all fitted methods."""
    rows = comparison.part(True).rows()
    return [ratio for row in rows for field in _PREDICTED if (ratio := _ratio(row, field))]


def _ratio(row: dict[str, Any], field: str) -> float | None:
    expected = row[f"{field}_theory"]
    return row[field] / expected if expected else None


def groups(predicted: Predicted) -> str:
    """The axes of each group and their bits.

    Examples
    --------
    >>> import blockquant as bq
    >>> q = bq.create("eden", dim=384, bits=1, axes=bq.fit(bq.sample()[0]))
    >>> groups(q.predicted).startswith("48×3")
    True
    """
    return " ".join(f"{group.axes}×{group.bits:g}" for group in predicted.groups)


def allocations(comparison: Figures, family: str) -> list[list[str]]:
    """A line for each rate and criterion of a method. The least errors of a rate have a star."""
    ahead = leading(comparison, _ERRORS)
    table = comparison.table()
    out = []
    for (rate, name), predicted in comparison.predicted.items():
        if name.partition("/")[0] != family:
            continue
        row = table[rate, name]
        shown = {
            field: ("{:.3f}".format if field == "recall10" else figure)(row[field])
            for field in _ERRORS
        }
        best = ahead[rate, name]
        starred = {
            field: text + ("*" if row[field] == best[field] else " ")
            for field, text in shown.items()
        }
        ratios = {field: _ratio(row, field) for field in _PREDICTED}
        over = {field: "–" if r is None else f"{r:.2f}" for field, r in ratios.items()}
        out.append(
            [
                f"{rate:g}",
                row["criterion"],
                starred["nmse"],
                over["nmse"],
                starred["ip_error"],
                over["ip_error"],
                starred["q999"],
                starred["recall10"],
                groups(predicted),
            ]
        )
    return out


def findings(comparison: Figures) -> tuple[str, list[str]]:
    """The fitted method to take for search, and what it gains, in sentences."""
    table = comparison.table()
    rates = list(dict.fromkeys(rate for rate, name in table if is_fitted(name)))
    chosen = {rate: max(_at(comparison, rate, True), key=_recall) for rate in rates}
    names = [row["method"] for row in chosen.values()]
    winner = max(names, key=names.count)
    gains = []
    for rate, row in chosen.items():
        others = _at(comparison, rate, False)
        beside = ""
        if others:
            plain = max(others, key=_recall)
            beside = f", where {plain['method']} has {plain['recall10']:.3f}"
            beside += f" ({_size(row)} and {_size(plain)})"
        named = "" if row["method"] == winner else f" ({row['method']})"
        gains.append(f"{row['recall10']:.3f}{named} {at_rate(comparison, rate)}{beside}")
    sentences = [f"Recall@10 {'; '.join(gains)}."]
    for field, text in (("nmse", "normalised MSE"), ("ip_error", "d·E[error²]")):
        found = [v for v in comparison.verdicts() if v.fitted and v.field == field and v.runner_up]
        if found:
            names = sorted({verdict.best for verdict in found})
            sentences.append(
                f"The {text} of {' and '.join(names)} is {_margins(comparison, found)}."
            )
    about = about_sample(comparison)
    sentences.append(f"{about[0].upper()}{about[1:]}.")
    model = _model(comparison)
    if model.few is not None:
        sentences.append(f"{model.few[0].upper()}{model.few[1:]}.")
    return winner, sentences


def _margins(comparison: Figures, found: list[Verdict]) -> str:
    parts = [f"{verdict.margin:.0f} % {at_rate(comparison, verdict.rate)}" for verdict in found]
    rivals = sorted({verdict.runner_up for verdict in found if verdict.runner_up is not None})
    return f"below that of {' and '.join(rivals)} by {', '.join(parts)}"


def _at(comparison: Figures, rate: float, fitted: bool) -> list[dict[str, Any]]:
    return [row for (at, _), row in comparison.part(fitted).table().items() if at == rate]


def _recall(row: dict[str, Any]) -> float:
    return float(row["recall10"])


def _size(row: dict[str, Any]) -> str:
    size = row["bytes_per_vector"]
    return "unknown bytes" if size is None else f"{size:.4g} bytes"


def _model(comparison: Figures) -> Model:
    assert comparison.model is not None
    return comparison.model


def shares(comparison: Figures) -> str:
    """The share of the variance that the first axes have, in words."""
    axes = _model(comparison).axes
    counts = sorted({max(1, round(axes.dim * part)) for part in (0.01, 0.1, 0.25, 0.5)})
    parts = [
        f"{100 * axes.share(count):.0f} % along {counted(count, 'axis', 'axes')}"
        for count in counts
    ]
    return ", ".join(parts)


def bits_of_axes(predicted: Predicted) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The bits of each axis, those without bits at the end."""
    return np.repeat(
        [float(group.bits) for group in predicted.groups],
        [group.axes for group in predicted.groups],
    )
