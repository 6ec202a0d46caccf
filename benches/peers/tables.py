"""What the comparisons print: aligned tables, and the machine above them."""

from __future__ import annotations

import os
import platform
import textwrap
from collections.abc import Sequence

import blockquant as bq

from ..common import hardware
from .adapters import faiss_isa, versions


class Table:
    """Aligned text of at most 100 columns, its first cells to the left, with notes below."""

    def __init__(self, title: str, heads: Sequence[str], left: int) -> None:
        self.title, self.left = title, left
        self.heads = list(zip(*(head.split("|") for head in heads), strict=True))
        self.lines: list[Sequence[str]] = []
        self.notes: dict[str, dict[str, None]] = {}

    def note(self, text: str, label: str) -> None:
        """Says below the table, once, what holds for these lines."""
        self.notes.setdefault(text, {})[label] = None

    def print(self) -> None:
        lines = [*self.heads, *self.lines]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        aligned = [self._align(line, widths) for line in lines]
        rule = "-" * max(map(len, aligned))
        count = len(self.heads)
        body = [rule, *aligned[:count], rule, *aligned[count:]] if self.lines else []
        notes = [
            textwrap.fill(f"{', '.join(labels)}: {text}", 100, subsequent_indent="  ")
            for text, labels in self.notes.items()
        ]
        print("", self.title, *body, *notes, sep="\n", flush=True)

    def _align(self, line: Sequence[str], widths: Sequence[int]) -> str:
        return " ".join(
            f"{cell:{'<' if place < self.left else '>'}{width}}"
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()


def plural(threads: int) -> str:
    return f"{threads} thread{'s' if threads > 1 else ''}"


def machine(what: str) -> str:
    """The lines that name the machine, the versions, and what is measured on it."""
    return "\n".join(
        [
            f"{hardware()}; ours on {bq.isa()}, faiss on {faiss_isa()}",
            f"Python {platform.python_version()}, {versions()}",
            f"{what}, load before {os.getloadavg()[0]:.1f}",
        ]
    )
