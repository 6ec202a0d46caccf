"""How a cache changes what the model says: figures per window, and their means with errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .model import Attention, Float, Model

CHUNK = 256


@dataclass(frozen=True)
class Figures:
    """Of one window: the mean divergence from float32's next-token distribution in nats, the loss
    above float32's in nats, and the share of positions with the same first choice."""

    kl: float
    loss: float
    first: float


class Window:
    """A text window; its second half is measured, so every query has half a window behind it."""

    def __init__(self, model: Model, tokens: NDArray[np.int64], exact: Attention) -> None:
        self.model, self.tokens = model, tokens
        self.start = len(tokens) // 2
        self.hidden = self._hidden(exact)
        self.said = [model.log_probabilities(self.hidden[rows]) for rows in self._chunks()]

    def _hidden(self, attention: Attention) -> Float:
        """Rows of the positions whose next token is in the window."""
        return self.model.hidden(self.tokens, attention, self.start)[:-1]

    def perplexity(self) -> float:
        """That of float32."""
        losses = [
            -said[np.arange(len(said)), self._next(rows)]
            for said, rows in zip(self.said, self._chunks(), strict=True)
        ]
        return float(np.exp(np.concatenate(losses).mean()))

    def _chunks(self) -> list[slice]:
        return [slice(a, a + CHUNK) for a in range(0, len(self.hidden), CHUNK)]

    def _next(self, rows: slice) -> NDArray[np.int64]:
        return self.tokens[self.start + 1 :][rows]

    def figures(self, attention: Attention) -> Figures:
        hidden = self._hidden(attention)
        kl, loss, first = 0.0, 0.0, 0
        for p, rows in zip(self.said, self._chunks(), strict=True):
            q = self.model.log_probabilities(hidden[rows])
            first += int((p.argmax(axis=1) == q.argmax(axis=1)).sum())
            above = p - q
            loss += float(above[np.arange(len(q)), self._next(rows)].sum(dtype=np.float64))
            kl += float(np.einsum("ij,ij->i", np.exp(p), above).sum(dtype=np.float64))
        count = len(hidden)
        return Figures(kl / count, loss / count, first / count)


def error(values: NDArray[np.float64]) -> float:
    """The standard error of the mean; nan for one value."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")


def summary(found: list[Figures]) -> dict[str, float]:
    """Means over the windows, with the standard errors between them."""
    kl = np.array([one.kl for one in found])
    loss = np.array([one.loss for one in found])
    first = np.array([one.first for one in found])
    ratio = float(np.exp(loss.mean()))
    return {
        "kl": float(kl.mean()),
        "kl_error": error(kl),
        "perplexity_ratio": ratio,
        "perplexity_ratio_error": ratio * error(loss),
        "first_choice": float(first.mean()),
        "first_choice_error": error(first),
    }


def ratio(above: list[Figures], below: list[Figures]) -> tuple[float, float]:
    """The ratio of two mean divergences of the same windows, and its standard error."""
    a, b = (np.array([one.kl for one in found]) for found in (above, below))
    mean = float(a.mean() / b.mean())
    return mean, mean * error(a / a.mean() - b / b.mean())


def windows(model: Model, texts: dict[str, str], count: int, length: int) -> list:
    """Places of the texts in turn, spread over each of them, that begin with a paragraph."""
    found = []
    names = list(texts)
    for i in range(count):
        text = texts[names[i % len(names)]]
        rank, ranks = i // len(names), max(1, -(-count // len(names)))
        start = text.index("\n\n", int(len(text) * (0.06 + 0.9 * rank / ranks))) + 2
        tokens = model.tokens(text[start : start + 12 * length])[:length]
        if len(tokens) < length:
            raise ValueError(f"{names[i % len(names)]}: the text ends within window {i}")
        found.append((f"{names[i % len(names)]} at character {start}", tokens))
    return found
