"""The tables as text, the same as JSON, and the picture."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import kinds

#: Title, pattern of names (a prefix), colour on light and on dark, marker.
FAMILIES = (
    ("Trellis, rotary mean", "Trellis", "#111111", "#FFFFFF", "X"),
    ("BlockQuant, rotary mean", "BlockQuant", "#0072B2", "#56B4E9", "o"),
    ("EDEN", "EDEN unbiased", "#D55E00", "#E69F00", "s"),
    ("RaBitQ", "RaBitQ", "#009E73", "#2FC79B", "^"),
    ("TurboQuant mse", "TurboQuant mse", "#9C4F7F", "#CC79A7", "D"),
    ("KIVI", "KIVI", "#6B6B6B", "#B5B5B5", "v"),
    ("Hadamard + q4_0", "Hadamard", "#8A7A00", "#F0E442", "P"),
)
SKIPPED = ("mean", "sinks", "window", "plain", "debias", "scales", "states")


def quality_table(rows: list[dict[str, Any]], tokens: int) -> Iterator[str]:
    """One line per kind, in the order of coded bits."""
    head = f"{'cache':<36} {'coded':>6} {'all-in':>6}  {'KL':>16}  {'perplexity':>16}  first choice"
    yield f"bits per value: coded rows with their scales; all-in at {tokens} tokens"
    yield ""
    yield head
    for row in sorted(rows, key=lambda row: (row["coded_bits"], row["kl"])):
        kl = f"{row['kl']:.5f} ± {row['kl_error']:.5f}"
        ratio = f"× {row['perplexity_ratio']:.4f} ± {row['perplexity_ratio_error']:.4f}"
        first = f"{row['first_choice']:.3f} ± {row['first_choice_error']:.3f}"
        yield (
            f"{row['name']:<36} {row['coded_bits']:6.3f} {row['all_bits']:6.3f}  {kl:>16}"
            f"  {ratio:>17}  {first}"
        )


def needle_table(rows: list[dict[str, Any]]) -> Iterator[str]:
    head = f"{'cache':<36} {'tokens':>6}  {'found':>13}  {'early':>6} {'middle':>6} {'late':>6}"
    yield head
    for row in rows:
        share = f"{row['found']:.3f} ± {row['error']:.3f}"
        depths = " ".join(f"{depth:6.3f}" for depth in row["depths"])
        yield f"{row['name']:<36} {row['tokens']:>6}  {share:>13}  {depths}"


def real_table(rows: list[dict[str, Any]]) -> Iterator[str]:
    title = "bq.KeyValueCache, token by token"
    yield f"{title:<36} {'tokens':>6} {'coded':>6}  {'KL':>8} simulated"
    for row in rows:
        yield (
            f"{row['name']:<36} {row['tokens']:>6} {row['coded_bits']:6.3f}  {row['kl']:.6f}"
            f"  {row['simulated_kl']:.6f}"
        )


def save(path: Path, told: dict[str, Any]) -> None:
    path.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", "utf-8")


def draw(told: dict[str, Any], folder: Path) -> None:
    """KL against bits per coded value, light and dark, transparent, with letters as paths."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    for theme, dark in (("light", False), ("dark", True)):
        ink = "#cfd0d0" if dark else "#333333"
        inked = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
        style = {"svg.fonttype": "path", "svg.hashsalt": "blockquant", "font.size": 9.5}
        with mpl.rc_context(style | dict.fromkeys(inked, ink)):
            figure = Figure(figsize=(7, 4), layout="constrained")
            axes = figure.subplots()
            for title, prefix, light, pale, marker in FAMILIES:
                points = sorted(curve(told["quality"], prefix))
                colour = pale if dark else light
                best = prefix in ("BlockQuant", "Trellis")
                axes.plot(
                    [bits for bits, *_ in points],
                    [kl for _, kl in points],
                    marker=marker,
                    color=colour,
                    label=title,
                    lw=2.2 if best else 1.2,
                    zorder=3 if best else 2,
                )
            starred = [row for row in told["quality"] if row["name"] == kinds.TWO_CENTROIDS]
            for row in starred:
                colour = next(own[3 if dark else 2] for own in FAMILIES if own[1] == "BlockQuant")
                label = "BlockQuant, 16 centroids"
                place = row["coded_bits"], row["kl"]
                axes.plot(*place, "*", ms=11, color=colour, label=label)
            axes.set(xlabel="bits per coded value, scales included", yscale="log")
            axes.set_ylabel("KL from float32, nats per token")
            axes.patch.set_alpha(0)
            axes.grid(alpha=0.25)
            axes.spines[["top", "right"]].set_visible(False)
            axes.legend(frameon=False, fontsize=8.5, labelcolor=ink)
            path = folder / f"inference-{theme}.svg"
            figure.savefig(path, transparent=True, metadata={"Date": None, "Creator": None})


def curve(rows: list[dict[str, Any]], prefix: str) -> Iterator[tuple[float, float]]:
    """Bits and divergence of a family: its members without special options."""
    for row in rows:
        name = row["name"]
        special = any(word in name for word in (*SKIPPED, "centroids"))
        if name.startswith(prefix) and not special:
            yield row["coded_bits"], row["kl"]
