"""Look-ups of facts: text with eight facts of five digits, then a question for each of them.

All of a prompt is one sequence: the filler with the facts, at least 128 tokens of filler after the
last fact (so that no fact is exact in the cache when it is asked for), and the questions in random
order, each followed by its right answer. A look-up counts if the model's first choice is right for
all five digits, each given the right digits before it. A fact is a line like `Oslo: 48213.`: of
eight wordings, it is the one in which the float32 model finds most facts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .model import Attention, Model

FACTS = 8
GAP = 128
#: Depths are thirds of the part in which the facts lie.
DEPTHS = ("early", "middle", "late")
PLACES = (
    *("Lisbon", "Oslo", "Cairo", "Lima", "Madrid", "Tokyo", "Boston", "Dublin", "Athens", "Berlin"),
    *("Vienna", "Moscow", "Warsaw", "Delhi", "Sydney", "Toronto", "Chicago", "Geneva", "Prague"),
    "Manila",
)


@dataclass(frozen=True)
class Prompt:
    """The tokens; for each fact the position of its first digit in the answer, and its depth."""

    tokens: NDArray[np.int64]
    answers: list[int]
    depths: list[int]


def prompt(model: Model, text: str, length: int, seed: int) -> Prompt:
    """A prompt with that many tokens before the questions."""
    rng = np.random.default_rng(seed)
    places = rng.choice(PLACES, FACTS, replace=False)
    codes = rng.integers(10_000, 100_000, FACTS)
    told = zip(places, codes, strict=True)
    facts = [model.tokens(f"\n{p}: {c}.\n") for p, c in told]
    count = length - sum(map(len, facts))
    room = count - GAP
    stops = [model.tokenizer.token_to_id(stop) for stop in ".,?!:;"]
    ends: NDArray[np.int64] = np.empty(0, np.int64)
    while len(ends) < 2 * FACTS:  # a list has no ends of sentences: look elsewhere
        start = text.index(". ", int(rng.integers(len(text) // 20, len(text) * 9 // 10))) + 2
        filler = model.tokens(text[start : start + 12 * length])[:count]
        ends = np.flatnonzero(np.isin(filler[:room], stops)) + 1
    cuts = np.sort(rng.choice(ends, FACTS, replace=False))
    tokens = []
    for part, fact in zip(np.split(filler, cuts), [*facts, model.tokens("\n")], strict=True):
        tokens += [part, fact]
    answers = [0] * FACTS
    for i in rng.permutation(FACTS):
        question = model.tokens(f"{places[i]}:")
        answer = model.tokens(f" {codes[i]}.\n")
        digits = model.tokens(f" {codes[i]}")[-5:]
        lead = len(model.tokens(f" {codes[i]}")) - 5
        answers[i] = sum(map(len, tokens)) + len(question) + lead
        tokens += [question, answer]
        assert (answer[lead : lead + 5] == digits).all()
    depths = [min(int(3 * cut / room), 2) for cut in cuts]
    return Prompt(np.concatenate(tokens), answers, depths)


def looked_up(model: Model, attention: Attention, asked: Prompt) -> list[bool]:
    """Which of the facts of a prompt the model finds."""
    start = min(asked.answers) - 1
    hidden = model.hidden(asked.tokens, attention, start)
    chosen = (hidden @ model.embedding.T).argmax(axis=1)
    return [
        bool((chosen[at - 1 - start : at + 4 - start] == asked.tokens[at : at + 5]).all())
        for at in asked.answers
    ]
