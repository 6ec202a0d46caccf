"""What a comparison of many methods found."""

from __future__ import annotations

import warnings
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockquant.distortion._budget import Rate
from blockquant.distortion._errors import Errors
from blockquant.distortion._measurement import COUNTS, Distortion, names
from blockquant.distortion._student import half_interval
from blockquant.distortion._truth import Truth
from blockquant.distortion._verdicts import Difference, Used, Verdict

#: The three criteria: name, field, the smaller the better.
CRITERIA = (
    ("reconstruction (normalised MSE)", "nmse"),
    ("expected inner-product error (d·E[error²])", "ip_error"),
    ("high probability (99.9 % quantile of |error|)", "q999"),
)

#: Fields that are the same for every seed, or times of a noisy machine: no standard error.
_WITHOUT_ERROR = ("_theory", "_us", "_vector", "_dimension", "confidence", *COUNTS)


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
        #: The runs of each rate and method, one per seed.
        self.runs = runs
        #: The bits and block that a rate means to a method.
        self.rates = rates
        #: Why a method is left out at a rate.
        self.unmet = unmet
        #: What was compared, on which machine.
        self.about = about
        #: Rows, queries, dimension.
        self.shape = truth.shape
        #: The inner products of rows and queries in bins: centers and shares.
        self.products = truth.products, truth.weights / truth.weights.sum()

    def __str__(self) -> str:
        return self.to_text()

    def _repr_html_(self) -> str:
        """The table for a notebook."""
        from blockquant import report

        return report.notebook(self)

    @property
    def unit(self) -> str:
        """What the rates are: ``bits`` per coordinate or ``bytes`` per vector."""
        return str(self.about["unit"])

    def values(self, rate: float, method: str, field: str) -> NDArray[np.float64]:
        """A figure of every seed; NaN where there is none.

        Raises
        ------
        ValueError
            If the method was left out at the rate, with the reason, or was not compared.
        """
        return np.array([getattr(run, field) for run in self._of(rate, method)], np.float64)

    def errors(self, rate: float, method: str) -> Errors:
        """The inner-product errors of all seeds.

        Raises
        ------
        ValueError
            As for :meth:`values`.
        """
        return Errors.sum([run.errors for run in self._of(rate, method)])

    def _of(self, rate: float, method: str) -> list[Distortion]:
        """The runs of a method at a rate, or an error that says why there are none."""
        found = self.runs.get((rate, method))
        if found is not None:
            return found
        if (rate, method) in self.unmet:
            reason = self.unmet[rate, method]
            raise ValueError(f"{method} was left out at {rate:g} {self.unit}: {reason}")
        known = [*self.runs, *self.unmet]
        names = ", ".join(dict.fromkeys(name for _, name in known))
        rates = ", ".join(f"{one:g}" for one in dict.fromkeys(one for one, _ in known))
        raise ValueError(
            f"{method!r} at {rate:g} {self.unit} was not compared, expected one of {names} "
            f"at {rates} {self.unit}"
        )

    def rows(self) -> list[dict[str, Any]]:
        """One dict per method and rate: means over seeds, and standard errors as ``*_se``.

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
                row[field] = int(values[0]) if field in COUNTS else float(one(values))
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
            Bits per coordinate, or bytes per vector.

        Raises
        ------
        ValueError
            If a method was left out at the rate, with the reason, or was not compared.

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
                head = rate, self.unit, criterion, field, best, self._used(rate, best)
                others = [m for m in order if m.partition("/")[0] != best.partition("/")[0]]
                if not others:
                    out.append(Verdict(*head, None, None, 0.0, 0.0))
                    continue
                other = others[0]
                found = self.difference(best, other, field, rate)
                noise = (found.high - found.low) / 2
                used = self._used(rate, other)
                out.append(Verdict(*head, other, used, found.percent, noise))
        return out

    def _used(self, rate: float, method: str) -> Used:
        row = self._table[rate, method]
        return Used(row["bits"], row["bytes_per_vector"])

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
        ``verdicts``, ``differences``, ``unmet`` (the methods left out, with the reasons).
        """
        from blockquant import report

        return report.to_dict(self)

    def save(self, folder: str | Path, replace: bool = True) -> list[Path]:
        """Writes the report into a folder, which is made where it is not there.

        ``report.html`` is one page that needs nothing else; ``results.csv`` and ``results.json``
        have all figures. With matplotlib (extra ``plot``) the page has plots, which are written as
        ``.svg`` and ``.png`` too; without it a warning says so. Each file appears whole or not at
        all: all are written and on the disk before the first one gets its name.

        Parameters
        ----------
        folder : str or Path
        replace : bool
            Whether files of an earlier report are replaced.

        Returns
        -------
        list of Path
            What was written.

        Raises
        ------
        FileExistsError
            If a file exists and is not to be replaced.
        OSError
            If a file cannot be written; a report that is there stays as it was.
        """
        from blockquant import report

        written = report.save(self, Path(folder), replace)
        if not report.has_plots():
            warnings.warn(report.NO_PLOTS, stacklevel=2)
        return written
