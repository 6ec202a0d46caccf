"""The picture of the README, light and dark, from the files in `benches/results`.

    python benches/front_page.py [FOLDER]

writes `front-light.svg` and `front-dark.svg` into the folder (`docs/_static`). Left: recall@10
against the bytes that are stored per vector, with and without fitted axes, beside faiss and
turbovec. Right: the measured error against bits per coordinate, on the lines that theory gives,
with Shannon's bound.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import blockquant as bq

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benches" / "results"
DIM = 384
#: The kind of rows in the picture.
KIND = "sentence embeddings"

FITTED = "trellis, fitted axes"
#: Title, pattern of the labels in `fitted.txt`, colour on light and on dark, marker.
SEARCHERS = (
    (FITTED, r"trellis, axes, recall", "#C0143C", "#FF7A8A", "*"),
    ("trellis", r"trellis", "#111111", "#FFFFFF", "*"),
    ("blockquant", r"blockquant", "#0072B2", "#56B4E9", "o"),
    ("eden", r"eden", "#D55E00", "#E69F00", "s"),
    ("faiss PQ, trained", r"faiss PQ", "#009E73", "#2FC79B", "^"),
    ("faiss OPQ, trained", r"faiss OPQ", "#9C4F7F", "#CC79A7", "D"),
    ("faiss RaBitQ", r"faiss RR,RaBitQ\d?", "#8A7A00", "#F0E442", "P"),
    ("turbovec, calibrated", r"turbovec \d, calibrated", "#6B6B6B", "#B5B5B5", "v"),
)
#: Methods of `compare_sample.txt`, colour on light and on dark, marker.
METHODS = (
    ("trellis/mse", "#111111", "#FFFFFF", "*"),
    ("blockquant/mse", "#0072B2", "#56B4E9", "o"),
    ("eden/mse", "#D55E00", "#E69F00", "s"),
    ("rabitq/unbiased", "#009E73", "#2FC79B", "^"),
    ("turboquant/prod", "#9C4F7F", "#CC79A7", "D"),
)
BITS = (1, 2, 3, 4)


def fitted() -> dict[tuple[str, int], dict[str, list[str]]]:
    """The cells of `fitted.txt` by kind of rows and bits, and by label."""
    text = (RESULTS / "fitted.txt").read_text("utf-8")
    table = r"^(\w[\w -]*?)(?: \(.*\))?, d = .*, (\d) bits?\n.*\n((?:\S.*\n)+)"
    found = {}
    for kind, bits, body in re.findall(table, text, re.MULTILINE):
        lines = (re.split(r" {2,}", line) for line in body.splitlines() if "  " in line)
        found[kind, int(bits)] = {label: cells for label, *cells in lines}
    return found


def recalls() -> dict[str, tuple[list[int], list[float]]]:
    """Bytes per vector and recall@10 of each curve, in the order of the bits."""
    tables = [table for (kind, _), table in sorted(fitted().items()) if kind == KIND]
    found: dict[str, tuple[list[int], list[float]]] = {}
    for title, pattern, *_ in SEARCHERS:
        sizes, values = found[title] = [], []
        for table in tables:
            for label, (size, recall, *_) in table.items():
                if re.fullmatch(pattern, label):
                    sizes.append(int(size.rstrip("*")))
                    values.append(float(recall.split()[0].rstrip("+!")))
    return found


def errors() -> dict[tuple[str, int], float]:
    """Normalized squared error by method and bits, of the shipped sample."""
    text = (RESULTS / "compare_sample.txt").read_text("utf-8")
    found = re.findall(r"^(\d) +(\w+/\w+) +\d+ +([\d.]+)", text, re.MULTILINE)
    return {(name, int(bits)): float(error) for bits, name, error in found}


def draw_recall(axes: Axes, dark: bool) -> None:
    """The curve of fitted axes is above the others."""
    found = recalls()
    for title, _, light, pale, marker in SEARCHERS:
        first = title == FITTED
        axes.plot(
            *found[title],
            marker=marker,
            color=pale if dark else light,
            label=title,
            lw=2.4 if first else 1.2,
            ms=8 if first else 4.5,
            zorder=3 if first else 2,
        )
    axes.set(xlabel="bytes per vector, as stored", ylim=(0.65, 1))
    axes.set_title("recall@10, 25,000 embeddings, d = 384", fontsize=10)


def draw_error(axes: Axes, dark: bool, ink: str) -> None:
    """Points are measured, lines are theory."""
    found = errors()
    rates = np.linspace(BITS[0], BITS[-1], 50)
    shannon = [bq.theory.shannon(bits) for bits in rates]
    axes.plot(rates, shannon, "--", color=ink, lw=1.2, label="Shannon's bound")
    for name, light, pale, marker in METHODS:
        colour = pale if dark else light
        theory = [bq.theory.nmse(name, bits, DIM) for bits in BITS]
        axes.plot(BITS, theory, color=colour, lw=1.2)
        axes.plot(BITS, [found[name, bits] for bits in BITS], marker, color=colour, label=name)
    axes.set(xlabel="bits per coordinate", yscale="log", xticks=BITS)
    axes.set_title("squared error: points measured, lines theory", fontsize=10)


def draw(path: Path, dark: bool) -> None:
    """Both panels, transparent, with letters as paths: no font is needed."""
    ink = "#cfd0d0" if dark else "#333333"
    inked = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    style = {
        "svg.fonttype": "path",
        "svg.hashsalt": "blockquant",
        "font.size": 9.5,
        **dict.fromkeys(inked, ink),
    }
    with mpl.rc_context(style):
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        draw_recall(left, dark)
        draw_error(right, dark, ink)
        for axes in (left, right):
            axes.patch.set_alpha(0)
            axes.grid(alpha=0.25)
            axes.spines[["top", "right"]].set_visible(False)
            axes.legend(frameon=False, fontsize=8.5, labelcolor=ink)
        figure.savefig(path, transparent=True, metadata={"Date": None, "Creator": None})


def main(folder: Path) -> None:
    """Writes both pictures."""
    for theme, dark in (("light", False), ("dark", True)):
        draw(folder / f"front-{theme}.svg", dark)
    print(f"{folder}: front-light.svg and front-dark.svg")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "_static")
