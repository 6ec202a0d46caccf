"""The findings of a comparison in sentences: one question per criterion, and the costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from blockquant.report._fitted import findings
from blockquant.report._numbers import at_rate, best, holds, span

if TYPE_CHECKING:
    from blockquant.measurement import Figures, Verdict


@dataclass(frozen=True)
class Answer:
    """A question, the method that answers it and why."""

    question: str
    method: str
    sentences: list[str]


@dataclass(frozen=True)
class Choice:
    """The best method for a purpose at a rate."""

    rate: float
    purpose: str
    row: dict[str, Any]
    #: The figure of the criterion, in words.
    figure: str


def choices(comparison: Figures) -> list[Choice]:
    """The best method of each criterion at each rate.

    Methods on fitted axes follow where there are some: for search the one with the most recall.
    """
    plain = comparison.part(False)
    return _choices(plain) + _fitted_choices(comparison)


def _fitted_choices(comparison: Figures) -> list[Choice]:
    rows: dict[float, list[dict[str, Any]]] = {}
    for (rate, _), row in comparison.part(True).table().items():
        rows.setdefault(rate, []).append(row)
    out = []
    for rate, own in rows.items():
        found = max(own, key=lambda row: row["recall10"])
        text = f"recall@10 {found['recall10']:.3f}"
        out.append(Choice(rate, "search, fitted", found, text))
        least = min(own, key=lambda row: row["ip_error"])
        out.append(Choice(rate, "scores, fitted", least, f"d·E[error²] {least['ip_error']:.3g}"))
        least = min(own, key=lambda row: row["nmse"])
        text = f"normalised MSE {least['nmse']:.3g}"
        out.append(Choice(rate, "reconstruction, fitted", least, text))
    return out


def _choices(comparison: Figures) -> list[Choice]:
    rows = comparison.table()
    narrowest = _narrowest(comparison)
    shown = {
        "nmse": ("reconstruction", "normalised MSE {:.3g}"),
        "ip_error": ("search", "d·E[error²] {:.3g}"),
    }
    order = list(dict.fromkeys(rate for rate, _ in comparison.runs))
    first = {"ip_error": 0}
    verdicts = sorted(
        comparison.verdicts(), key=lambda v: (order.index(v.rate), first.get(v.field, 1))
    )
    out = []
    for verdict in verdicts:
        rate = verdict.rate
        if verdict.field in shown:
            purpose, text = shown[verdict.field]
            row = rows[rate, verdict.best]
            out.append(Choice(rate, purpose, row, text.format(row[verdict.field])))
        elif rate in narrowest:
            row = rows[rate, narrowest[rate]]
            text = f"± {row['half_width']:.3g} at confidence {row['confidence']:g}"
            out.append(Choice(rate, "guarantees", row, text))
    return out


def answers(comparison: Figures) -> list[Answer]:
    """The answers: search first, then the other criteria, then the costs.

    Guarantees are among them if a method has intervals. The best method for search is the one with
    the least expected error of scores, but the answer tells what users see: the recall and the
    typical error of a score. What axes fitted to a sample gain is the last answer.
    """
    plain = comparison.part(False)
    out = _answers(plain) if plain.runs else []
    if comparison.part(True).runs:
        out.append(Answer("If you can fit axes to a sample", *findings(comparison)))
    return out


def _answers(comparison: Figures) -> list[Answer]:
    verdicts = comparison.verdicts()
    scores, errors = (
        [verdict for verdict in verdicts if verdict.field == field]
        for field in ("ip_error", "nmse")
    )
    out = [
        _criterion(
            comparison, scores, "To score and search: inner products", "d·E[error²]", _search
        ),
        _criterion(comparison, errors, "To get the vectors back: reconstruction", "Normalised MSE"),
    ]
    guarantee = _guarantee(comparison)
    out += [guarantee] if guarantee else []
    out.append(_cost(comparison, out))
    return out


def _size(row: dict[str, Any], with_bits: bool) -> str:
    """The size of a method's codes, in parentheses."""
    size = row["bytes_per_vector"]
    parts = [f"{row['bits']:.3g} bits"] if with_bits else []
    parts += [] if size is None else [f"{size:.4g} bytes"]
    return f" ({', '.join(parts)})" if parts else ""


def _winner(names: list[str]) -> tuple[str, bool]:
    """The name that occurs most often (the first one of equals), and whether all are this name."""
    name, often = Counter(names).most_common(1)[0]
    return name, often == len(names)


def _criterion(
    comparison: Figures,
    verdicts: list[Verdict],
    question: str,
    measure: str,
    lead: Callable[[Figures, list[Verdict], list[str]], list[str]] | None = None,
) -> Answer:
    rows = comparison.table()
    winner, always = _winner([verdict.best for verdict in verdicts])
    own = [verdict for verdict in verdicts if verdict.best == winner]
    used = [rows[verdict.rate, winner] for verdict in own]
    # A byte budget does not tell the bits, so they are named too.
    sizes = [_size(row, comparison.unit == "bytes") for row in used]
    figures = ", ".join(
        f"{row[v.field]:.3g} {at_rate(comparison, v.rate)}{size}"
        for v, row, size in zip(own, used, sizes, strict=True)
    )
    where = "every rate" if always else f"{len(own)} of {len(verdicts)} rates"
    if lead is None:
        sentences = [f"{measure} {figures}: the least at {where}."]
    else:
        sentences = [*lead(comparison, own, sizes), f"Its {measure} is the least at {where}."]
    against = [v for v in own if v.runner_up is not None]
    rivals = sorted({v.runner_up for v in against if v.runner_up is not None})
    if rivals:
        margin = span((v.margin for v in against), "{:.0f}")
        word = "beyond" if all(v.significant for v in against) else "not everywhere beyond"
        noise = f"{word} the noise of the seeds"
        if comparison.about["seeds"] == 1:
            noise = "but one seed does not tell the noise"
        sentences.append(
            f"That is {margin} % below the best of the other families ({', '.join(rivals)}), "
            f"{noise}."
        )
    sentences += [
        f"{at_rate(comparison, v.rate).capitalize()} {v.best} is ahead."
        for v in verdicts
        if v not in own
    ]
    return Answer(question, winner, sentences)


def _search(comparison: Figures, own: list[Verdict], sizes: list[str]) -> list[str]:
    """Recall@10, the typical error of a score, and methods with significantly more recall."""
    rows = comparison.table()
    found = [(rows[v.rate, v.best], v.rate) for v in own]
    recall = ", ".join(
        f"{row['recall10']:.3f} {at_rate(comparison, rate)}{size}"
        for (row, rate), size in zip(found, sizes, strict=True)
    )
    error = ", ".join(f"{row['q50']:.3g} {at_rate(comparison, rate)}" for row, rate in found)
    out = [
        f"Recall@10 {recall}.",
        f"Typical error of a score, a cosine: {error} (half of the scores are closer).",
    ]
    more: dict[str, list[str]] = {}
    for verdict in own:
        for rate, name in rows:
            if rate == verdict.rate:
                gain = comparison.difference(name, verdict.best, "recall10", rate)
                if gain.high < 0:  # The recall is significantly higher.
                    share = f"{rows[rate, name]['recall10']:.3f} {at_rate(comparison, rate)}"
                    more.setdefault(name, []).append(share)
    out += [f"{name} finds more: {', '.join(shares)}." for name, shares in more.items()]
    return out


def _narrowest(comparison: Figures) -> dict[float, str]:
    """The method with the narrowest intervals at each rate, among those whose intervals hold."""
    out: dict[float, tuple[float, bool, str]] = {}
    for (rate, name), row in comparison.table().items():
        if row["half_width"] is not None and holds(comparison, row):
            # The scale rules of one method give the same intervals. The unbiased one is named.
            key = round(row["half_width"], 6), name.endswith("/mse"), name
            out[rate] = min(out.get(rate, key), key)
    return {rate: name for rate, (_, _, name) in out.items()}


def _guarantee(comparison: Figures) -> Answer | None:
    rows = comparison.table()
    narrowest = _narrowest(comparison)
    if not narrowest:
        return None
    winner, always = _winner(list(narrowest.values()))
    level = comparison.about["confidence"]
    own = {rate: rows[rate, name] for rate, name in narrowest.items() if name == winner}
    figures = ", ".join(
        f"± {row['half_width']:.3g} {at_rate(comparison, rate)}" for rate, row in own.items()
    )
    covered = span((row["coverage"] for row in own.values()), "{:.4f}")
    lead = "the narrowest of all that state intervals"
    if not always:
        lead += f" at {len(own)} of {len(narrowest)} rates"
    without = sorted({name for (_, name), row in rows.items() if row["half_width"] is None})
    sentences = [
        f"Each inner product within {figures}, at confidence {level:g}: {lead}.",
        f"They contain the true value in {covered} of the pairs.",
    ]
    sentences += [
        f"{at_rate(comparison, rate).capitalize()} those of {name} are narrower."
        for rate, name in narrowest.items()
        if name != winner
    ]
    stated = {at: row for at, row in rows.items() if row["half_width"] is not None}
    broken = sorted({name for (_, name), row in stated.items() if not holds(comparison, row)})
    if broken:
        sentences.append(
            f"Not counted where they miss more than twice as often as stated: {', '.join(broken)}."
        )
    if without:
        sentences.append(f"No intervals: {', '.join(without)}.")
    return Answer("For guarantees: intervals that hold", winner, sentences)


def _cost(comparison: Figures, found: list[Answer]) -> Answer:
    rows = comparison.table()
    times: dict[str, list[float]] = {}
    for (_, name), row in rows.items():
        times.setdefault(name, []).append(row["encode_us"])
    least = best(comparison, ["nmse", "encode_us"])
    # Times relative to the fastest of the same rate, as some methods are missing at some budgets.
    slower = {
        name: [
            row["encode_us"] / least[rate, "encode_us"]
            for (rate, own), row in rows.items()
            if own == name
        ]
        for name in times
    }
    fastest = min(times, key=lambda name: sum(slower[name]) / len(slower[name]))
    losses = [
        row["nmse"] / least[rate, "nmse"]
        for (rate, name), row in rows.items()
        if name == fastest and least[rate, "nmse"] > 0  # A multiple of 0 says nothing.
    ]
    loss = f"; {span(losses, '{:.2f}')} times the least error of the rate" if losses else ""
    sentences = [f"{span(times[fastest], '{:.2g}')} µs per row to encode on this machine{loss}."]
    for name in dict.fromkeys(answer.method for answer in found):
        if name != fastest:
            sentences.append(f"{name} takes {span(times[name], '{:.2g}')} µs.")
    return Answer("If encoding time decides", fastest, sentences + _between(comparison, fastest))


def _between(comparison: Figures, fastest: str) -> list[str]:
    """The other families that have less error than the fastest method, in less time than the best.

    Of those that do so at a rate, the one with the least error.
    """
    found: dict[str, list[str]] = {}
    rows = comparison.table()
    for verdict in comparison.verdicts():
        leader, quick = rows[verdict.rate, verdict.best], rows.get((verdict.rate, fastest))
        if verdict.field != "nmse" or quick is None or leader["nmse"] == 0:
            continue
        taken = {name.partition("/")[0] for name in (fastest, verdict.best)}
        between = [
            row
            for (rate, name), row in rows.items()
            if rate == verdict.rate
            and name.partition("/")[0] not in taken
            and row["encode_us"] < leader["encode_us"]
            and row["nmse"] < quick["nmse"]
        ]
        if between:
            row = min(between, key=lambda row: row["nmse"])
            error, time = (row[field] / leader[field] for field in ("nmse", "encode_us"))
            found.setdefault(row["method"], []).append(
                f"{error:.2f} times the least error in {time:.2g} of its time "
                f"{at_rate(comparison, verdict.rate)}"
            )
    return [f"Between them is {name}: {', '.join(shares)}." for name, shares in found.items()]
