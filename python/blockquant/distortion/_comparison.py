"""Many methods side by side: the same rows, queries and rotation seeds for all."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockquant import _core, registry
from blockquant._arrays import sample
from blockquant._checks import between, whole
from blockquant.distortion._budget import Rate, Unmet, within
from blockquant.distortion._errors import Errors
from blockquant.distortion._measurement import Distortion, Expectation, names, run
from blockquant.distortion._student import half_interval
from blockquant.distortion._truth import Truth

#: Compared where the caller names none.
METHODS = (
    "blockquant/mse",
    "blockquant/unbiased",
    "eden/mse",
    "eden/unbiased",
    "turboquant/mse",
    "turboquant/prod",
    "rabitq/unbiased",
)

#: The three criteria: name, field, the smaller the better.
CRITERIA = (
    ("reconstruction (normalised MSE)", "nmse"),
    ("expected inner-product error (d·E[error²])", "ip_error"),
    ("high probability (99.9 % quantile of |error|)", "q999"),
)

#: Fields that are the same for every seed, or times of a noisy machine: no standard error.
_WITHOUT_ERROR = ("_theory", "_us", "_vector", "_dimension", "confidence")


@dataclass(frozen=True)
class Difference:
    """How much lower a method's figure is than another's, paired over rotation seeds."""

    method: str
    other: str
    field: str
    #: Bits a coordinate, or bytes a vector.
    rate: float
    #: In per cent of the other's mean; negative where it is higher.
    percent: float
    #: 95 % interval, by Student's t; infinite for one seed.
    low: float
    high: float

    @property
    def significant(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Verdict:
    """Which method is best under a criterion at a rate, against the best of another family."""

    #: Bits a coordinate, or bytes a vector.
    rate: float
    #: ``bits`` or ``bytes``.
    unit: str
    criterion: str
    field: str
    best: str
    runner_up: str | None
    #: How much lower the best is, in per cent of the runner-up.
    margin: float
    #: Half of the 95 % interval of the margin over seeds (paired); infinite for one seed.
    noise: float

    @property
    def significant(self) -> bool:
        """Whether the margin exceeds the noise."""
        return self.runner_up is not None and self.margin > self.noise

    def __str__(self) -> str:
        unit = self.unit if self.rate != 1 else self.unit.removesuffix("s")
        text = f"{self.rate:g} {unit}, {self.criterion}: {self.best}"
        if self.runner_up is None:
            return text + ", the only family"
        margin = f"{self.margin:.2f} % below {self.runner_up}"
        if self.noise == float("inf"):
            return f"{text}, {margin} (one seed: the noise is not known)"
        word = "beyond" if self.significant else "within"
        return f"{text}, {margin} ({word} the noise, ±{self.noise:.2f} %)"


class Comparison:
    """The result of :func:`compare`."""

    def __init__(
        self,
        runs: dict[tuple[float, str], list[Distortion]],
        rates: dict[tuple[float, str], Rate],
        unmet: dict[tuple[float, str], str],
        about: dict[str, Any],
        truth: Truth,
    ) -> None:
        #: The runs of each rate and method, one a seed.
        self.runs = runs
        #: The bits and block that a rate means to a method.
        self.rates = rates
        #: Why a method is not there at a budget.
        self.unmet = unmet
        #: What was compared, on which machine.
        self.about = about
        #: Rows, queries, dimension.
        self.shape = truth.shape
        #: The inner products of rows and queries in bins: centres and shares.
        self.products = truth.products, truth.weights / truth.weights.sum()

    @property
    def unit(self) -> str:
        """What the rates are: ``bits`` a coordinate or ``bytes`` a vector."""
        return str(self.about["unit"])

    def values(self, rate: float, method: str, field: str) -> NDArray[np.float64]:
        """A figure of every seed; NaN where there is none."""
        return np.array([getattr(run, field) for run in self.runs[rate, method]], np.float64)

    def errors(self, rate: float, method: str) -> Errors:
        """The inner-product errors of all seeds."""
        return Errors.sum([run.errors for run in self.runs[rate, method]])

    def rows(self) -> list[dict[str, Any]]:
        """One dict a method and rate: means over seeds, and standard errors as ``*_se``.

        Times are the least over seeds: what else a machine does only adds to them.
        """
        return list(self.table().values())

    def table(self) -> dict[tuple[float, str], dict[str, Any]]:
        """:meth:`rows` by rate and method."""
        return {key: dict(row) for key, row in self._table.items()}

    @cached_property
    def _table(self) -> dict[tuple[float, str], dict[str, Any]]:
        out = {}
        for (rate, name), runs in self.runs.items():
            bits, block = self.rates[rate, name]
            row: dict[str, Any] = {"bits": bits, "method": name, "seeds": len(runs)}
            row["budget"] = rate if self.unit == "bytes" else None
            row["block"] = block
            for field in names():
                values = [getattr(run, field) for run in runs]
                if any(value is None for value in values):
                    row[field] = None
                    continue
                one = np.min if field.endswith("_us") else np.mean
                row[field] = float(one(values))
                if not field.endswith(_WITHOUT_ERROR):
                    many = len(values) > 1
                    spread = np.std(values, ddof=1) / np.sqrt(len(values)) if many else np.nan
                    row[field + "_se"] = float(spread)
            out[rate, name] = row
        return out

    def difference(
        self, method: str, other: str, field: str = "nmse", rate: float = 2
    ) -> Difference:
        """How much lower the figure of one method is than another's, paired over seeds.

        Parameters
        ----------
        method, other : str
            Full names.
        field : str
            A field of :class:`Distortion` that both methods have.
        rate : float
            Bits a coordinate, or bytes a vector.

        Raises
        ------
        KeyError
            If a method was not measured at the rate.

        Examples
        --------
        >>> import blockquant as bq
        >>> c = bq.compare(methods=["eden/mse", "blockquant/mse"], bits=[2], seeds=3)
        >>> d = c.difference("blockquant/mse", "eden/mse")
        >>> d.significant, 15 < d.percent < 19
        (True, True)
        """
        own, others = self.values(rate, method, field), self.values(rate, other, field)
        if others.mean() == 0:  # without loss: alike, or beyond comparison
            gain = 0.0 if own.mean() == 0 else -np.inf
            return Difference(method, other, field, rate, gain, gain, gain)
        ratio = own.mean() / others.mean()
        # The ratio of two means spreads as own − ratio·other does, to first order.
        half = 100 * half_interval((own - ratio * others) / others.mean())
        gain = 100 * float(1 - ratio)
        return Difference(method, other, field, rate, gain, gain - half, gain + half)

    def differences(self) -> list[Difference]:
        """Under each criterion at each rate, the best method against every other."""
        out = []
        for rate in dict.fromkeys(rate for rate, _ in self.runs):
            for _, field in CRITERIA:
                order = self._order(rate, field)
                out += [self.difference(order[0], name, field, rate) for name in order[1:]]
        return out

    def verdicts(self) -> list[Verdict]:
        """The best method under each criterion at each rate, paired over seeds."""
        out = []
        for rate in dict.fromkeys(rate for rate, _ in self.runs):
            for criterion, field in CRITERIA:
                order = self._order(rate, field)
                best = order[0]
                head = rate, self.unit, criterion, field, best
                others = [m for m in order if m.partition("/")[0] != best.partition("/")[0]]
                if not others:
                    out.append(Verdict(*head, None, 0.0, 0.0))
                    continue
                found = self.difference(best, others[0], field, rate)
                noise = (found.high - found.low) / 2
                out.append(Verdict(*head, others[0], found.percent, noise))
        return out

    def _order(self, rate: float, field: str) -> list[str]:
        """The methods at a rate, the least mean first."""
        found = [name for at, name in self.runs if at == rate]
        return sorted(found, key=lambda name: float(self.values(rate, name, field).mean()))

    def to_text(self) -> str:
        """The table for a terminal, at most 100 columns."""
        from blockquant import report

        return report.text(self)

    def to_markdown(self) -> str:
        """The table in Markdown."""
        from blockquant import report

        return report.markdown(self)

    def to_dict(self) -> dict[str, Any]:
        """Everything that was measured, in what JSON can hold; a figure that is missing is None.

        Keys: ``about`` (data, machine, versions), ``shape``, ``rows`` as :meth:`rows`,
        ``verdicts``, ``differences``, ``unmet``.
        """
        from blockquant import report

        return report.to_dict(self)

    def save(self, folder: str | Path) -> list[Path]:
        """Writes the report into a folder, which is made where it is not there.

        ``report.html`` is one page that needs nothing else; ``results.csv`` and ``results.json``
        have all figures. With matplotlib (extra ``plot``) the page has plots, which are written as
        ``.svg`` and ``.png`` too.

        Returns
        -------
        list of Path
            What was written.
        """
        from blockquant import report

        return report.save(self, Path(folder))


def compare(
    x: Any = None,
    y: Any = None,
    methods: Sequence[str] | None = None,
    bits: Sequence[float] = (1, 2, 3, 4),
    seeds: int = 5,
    rotation: str = "hadamard",
    progress: Callable[[str], None] | None = None,
    *,
    bytes_per_vector: Sequence[int] | None = None,
    confidence: float = 0.99,
    source: str | None = None,
) -> Comparison:
    """Measures methods side by side: the same rows, queries and seeds for all.

    Parameters
    ----------
    x, y : array_like, (n, d) and (m, d), optional
        Rows and queries as for :func:`measure`; by default the shipped sample.
    methods : sequence of str, optional
        Names as for :func:`blockquant.create`, each measured once; by default all built-in methods
        in their usual scale rules.
    bits : sequence of float
        Bits a coordinate, each measured once.
    seeds : int
        Number of rotation seeds, 0, 1, ….
    rotation : str
        ``hadamard`` or ``haar``, for the built-in methods.
    progress : callable, optional
        Called with a line before each run.
    bytes_per_vector : sequence of int, optional
        Instead of bits: budgets of stored bytes a vector, every byte counted. Each method has the
        most bits that fit; BlockQuant, also between whole ones, the rate and block of the least
        error in theory (of codebooks of 2 to 256 words and the default ones). One that has none
        that fit is listed as such.
    confidence : float
        Of the intervals whose coverage is measured.
    source : str, optional
        What the rows are, for the report.

    Returns
    -------
    Comparison

    Raises
    ------
    TypeError
        If the methods are no sequence of names.
    ValueError
        If a method is unknown or cannot have such bits, if there are no methods, bits or seeds, if
        no method meets any budget, or as for :func:`measure`, the method named.

    Examples
    --------
    >>> import blockquant as bq
    >>> c = bq.compare(methods=["eden/mse", "blockquant/mse"], bits=[2], seeds=2)
    >>> print(c.verdicts()[0].best)
    blockquant/mse
    >>> c = bq.compare(methods=["eden/mse", "turboquant/prod"], bytes_per_vector=[100], seeds=1)
    >>> [(row["method"], row["bits"], row["bytes_per_vector"]) for row in c.rows()]
    [('eden/mse', 2, 100.0), ('turboquant/prod', 1, 56.0)]
    """
    from blockquant import __version__

    seeds = whole(seeds, "seeds")
    confidence = between(confidence, "confidence")
    if isinstance(methods, str):
        raise TypeError(f"methods is str {methods!r}, expected a list of names")
    chosen = list(dict.fromkeys(map(registry.full_name, METHODS if methods is None else methods)))
    unit = "bits" if bytes_per_vector is None else "bytes"
    wanted = bits if bytes_per_vector is None else [whole(b, "bytes") for b in bytes_per_vector]
    marks = list(dict.fromkeys(wanted))
    if not chosen or not marks:
        raise ValueError(f"{len(chosen)} methods at {len(marks)} rates, expected at least one")
    if x is None:
        if y is not None:
            raise ValueError("queries y without rows x")
        x, y = sample()
        source = source or "the shipped sample of sentence embeddings"
    truth = Truth(x, y)
    expectation = Expectation(confidence)
    runs: dict[tuple[float, str], list[Distortion]] = {}
    rates: dict[tuple[float, str], Rate] = {}
    unmet: dict[tuple[float, str], str] = {}
    for mark in marks:
        for name in chosen:
            options: dict[str, Any] = {"rotation": rotation} if registry.is_built_in(name) else {}
            try:
                budget = unit == "bytes"
                rate = within(name, int(mark), truth, options) if budget else Rate(mark)
            except Unmet as reason:
                unmet[mark, name] = str(reason)
                continue
            if rate.block is not None:
                options["block"] = rate.block
            rates[mark, name] = rate
            for seed in range(seeds):
                if progress is not None:
                    progress(f"{name}, {mark:g} {unit}, seed {seed}")
                q = registry.create(name, dim=truth.shape[2], bits=rate.bits, seed=seed, **options)
                found = run(q, truth, name, confidence, expectation)
                runs.setdefault((mark, name), []).append(found)
    if not runs:
        reasons = "; ".join(f"{name} {reason}" for (_, name), reason in unmet.items())
        raise ValueError(f"no method fits {', '.join(map(str, marks))} bytes: {reasons}")
    about = {
        "source": source or "rows given",
        "rotation": rotation,
        "seeds": seeds,
        "unit": unit,
        "confidence": confidence,
        "machine": platform.machine(),
        "isa": _core.isa(),
        "threads": _core.num_threads(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blockquant": __version__,
    }
    return Comparison(runs, rates, unmet, about, truth)
