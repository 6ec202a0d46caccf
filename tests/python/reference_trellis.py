"""A NumPy reference of the trellis code, written from docs/specification.md section 7 alone.

It never calls the library, and reads the frozen numbers of the designs where they stand.
"""

import ast
import dataclasses
import functools
import re
from pathlib import Path

import numpy as np

TABLES = Path(__file__).parents[2] / "rust/codebook/trellis/tables.rs"
#: Fewer steps than this try every first state.
FEW_STEPS = 32


@dataclasses.dataclass(frozen=True, eq=False)
class Design:
    """A design with its tables."""

    memory: int
    uncoded: int
    #: Those of phase 0 and, at half rates, those of phase 1.
    generators: list
    distortion: int
    #: c(l, j) in units of 2^-12.
    words: np.ndarray

    @property
    def states(self):
        return 2**self.memory

    @property
    def bits(self):
        return self.uncoded + (1 if len(self.generators) == 1 else 0.5)

    @property
    def cap(self):
        """The excess distance of the metric 255, as a multiple of the distortion."""
        return {0.5: 40, 1: 60}.get(self.bits, 80 if self.bits <= 3 else 100)

    @functools.cached_property
    def labels(self):
        """The label of each window of memory + 1 bits."""
        return labels(self.memory + 1, self.generators[0])

    @functools.cached_property
    def between(self):
        """The label of each state on coordinates where no bit enters."""
        return labels(self.memory, self.generators[1])

    def steps(self, dim):
        """The bits of a path."""
        return dim if len(self.generators) == 1 else (dim + 1) // 2

    def coordinates(self, dim, step):
        """The coordinates of a step, each with the labels of windows or of states."""
        if len(self.generators) == 1:
            return [(step, False)]
        pair = (2 * step, False), (2 * step + 1, True)
        return [(at, is_between) for at, is_between in pair if at < dim]


def labels(bits, generators):
    windows = np.arange(2**bits)
    parity = [np.bitwise_count(windows & g).astype(int) & 1 for g in generators]
    return sum(bit << i for i, bit in enumerate(parity))


@functools.cache
def designs():
    """All designs, by the number of states and the bits."""
    found = {}
    for text in re.findall(r"^    Design \{\n(.*?)^    \},", TABLES.read_text(), re.M | re.S):
        fields = dict(
            re.findall(r"^        (\w+): (.*?),$(?=\n        \w|\n\Z)", text, re.M | re.S)
        )
        values = {name: ast.literal_eval(value.strip("&")) for name, value in fields.items()}
        # Those above the middle, in the order 16 j + l; c(15 - l, m - 1 - j) = -c(l, j).
        positive = np.array(values.pop("positive"))
        words = np.concatenate([-positive[::-1], positive]).reshape(-1, 16).T
        design = Design(**values, words=words)
        found[design.states, design.bits] = design
    return found


# --- decoding --------------------------------------------------------------------------------


def indexes(design, packed, dim):
    """16·uncoded + label for each coordinate of packed rows."""
    bits = np.unpackbits(packed, axis=1, bitorder="little").astype(int)
    steps = design.steps(dim)
    path = bits[:, :steps]
    windows = np.zeros_like(path)
    for age in range(design.memory + 1):
        if steps >= design.memory:
            windows += np.roll(path, age, axis=1) << age
        else:  # bits before the first are zeros
            windows[:, age:] += path[:, : max(steps - age, 0)] << age
    found = np.empty((len(packed), dim), int)
    for step in range(steps):
        for at, is_between in design.coordinates(dim, step):
            window = windows[:, step]
            table = design.between if is_between else design.labels
            found[:, at] = table[window % len(table)]
    planes = bits[:, steps : steps + design.uncoded * dim].reshape(len(packed), -1, dim)
    for plane in range(design.uncoded):
        found += planes[:, plane] << plane + 4
    return found


def decode(design, packed, dim):
    """The codewords of packed rows, in units of 2^-12."""
    index = indexes(design, packed, dim)
    return design.words[index % 16, index // 16]


# --- the best code of all --------------------------------------------------------------------


def least_error(design, u):
    """The least |u - c|^2 of all codes of the row u: every first state, in float64."""
    states, steps = design.states, design.steps(len(u))
    distance = ((u[:, None, None] - design.words / 4096) ** 2).min(axis=2)
    state = np.arange(states)
    # cost[first, state]: of the paths from `first` to `state`.
    cost = np.full((states, states), np.inf)
    cost[state, state] = 0
    for step in range(steps):
        (at, _), *second = design.coordinates(len(u), step)
        low = cost[:, state // 2] + distance[at, design.labels[state]]
        high = cost[:, (state + states) // 2] + distance[at, design.labels[state + states]]
        cost = np.minimum(low, high)
        for at, _ in second:
            cost = cost + distance[at, design.between]
    return cost[0].min() if steps < design.memory else cost[state, state].min()


# --- the encoder in integers -----------------------------------------------------------------


class Encoder:
    """The encoder of a design, step by step as the specification has it."""

    def __init__(self, design):
        self.design = design
        self.unit = 64 if design.bits <= 2 else 128
        q = np.arange(-4 * self.unit, 4 * self.unit + 1)
        self.distance = (q[:, None, None] * (4096 // self.unit) - design.words) ** 2
        nearest = self.distance.min(axis=2)
        excess = nearest - nearest.min(axis=1, keepdims=True)
        full = design.cap * design.distortion
        self.metrics = np.minimum(255, (2 * 255 * excess + full) // (2 * full))
        self.uncoded = self.distance.argmin(axis=2)

    def integers(self, u):
        """q + 4 unit."""
        most = 4 * self.unit
        return np.clip(np.rint(u * self.unit), -most, most).astype(int) + most

    def encode(self, u):
        """The packed bytes of a row."""
        design, q = self.design, self.integers(u)
        steps = design.steps(len(u))
        if steps < design.memory:
            decisions, metrics = self.search(q, range(steps), 0)
            path = self.trace(decisions, int(metrics[: 2**steps].argmin()))[0]
        elif steps < FEW_STEPS:
            paths = [self.circle(q, state) for state in range(design.states)]
            errors = [self.error(q, path) for path in paths]
            path = paths[int(np.argmin(errors))]
        else:
            reach = min(64, steps)
            decisions, metrics = self.search(q, range(steps - reach, steps + reach), None)
            _, state = self.trace(decisions, int(metrics.argmin()), reach)
            path = self.circle(q, state)
        return self.pack(q, path)

    def circle(self, q, state):
        """The best path from a state to the same state."""
        decisions, _ = self.search(q, range(self.design.steps(len(q))), state)
        path, first = self.trace(decisions, state)
        assert first == state
        return path

    def search(self, q, around, first):
        """The decisions of each step and the metrics at the end."""
        design = self.design
        states, memory = design.states, design.memory
        state = np.arange(states)
        metrics = np.zeros(states, int)
        decisions, least = [], 0
        for k, step in enumerate(around):
            (at, _), *second = design.coordinates(len(q), step % design.steps(len(q)))
            metric = self.metrics[q[at]]
            low = metrics[state // 2] + metric[design.labels[state]]
            high = metrics[(state + states) // 2] + metric[design.labels[state + states]]
            low, high = np.minimum(low, 255), np.minimum(high, 255)
            decision = high < low
            if first is not None and k < memory:
                decision[:] = first >> (memory - 1 - k) & 1
            metrics = np.where(decision, high, low)
            for at, _ in second:
                metrics = np.minimum(metrics + self.metrics[q[at]][design.between], 255)
            if k % 4 == 3:
                metrics = metrics - least
                least = metrics.min()
            decisions.append(decision)
        return decisions, metrics

    def trace(self, decisions, state, until=0):
        """The bits of the path that ends in this state, and the state where it begins."""
        path = []
        for decision in reversed(decisions[until:]):
            path.append(state & 1)
            state = (state | int(decision[state]) << self.design.memory) >> 1
        return path[::-1], state

    def chosen(self, q, path):
        """The label and the uncoded bits of each coordinate."""
        design, steps = self.design, len(path)
        is_circular = steps >= design.memory
        row = np.empty(len(q), int)
        for step in range(steps):
            bits = [
                path[(step - age) % steps] if is_circular or age <= step else 0
                for age in range(design.memory + 1)
            ]
            window = sum(bit << age for age, bit in enumerate(bits))
            for at, is_between in design.coordinates(len(q), step):
                table = design.between if is_between else design.labels
                row[at] = table[window % len(table)]
        return row, self.uncoded[q, row]

    def error(self, q, path):
        return self.distance[(q, *self.chosen(q, path))].sum()

    def pack(self, q, path):
        _, uncoded = self.chosen(q, path)
        planes = [(uncoded >> plane) & 1 for plane in range(self.design.uncoded)]
        bits = np.concatenate([path, *planes]).astype(np.uint8)
        return np.packbits(bits, bitorder="little")
