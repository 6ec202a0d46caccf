"""The figures that a comparison of many methods gives, and what follows from them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockquant._fitted import Predicted
from blockquant.measurement._budget import Rate
from blockquant.measurement._errors import Errors
from blockquant.measurement._fitted import Model, criterion_of, is_fitted
from blockquant.measurement._measurement import COUNTS, Distortion, names
from blockquant.measurement._student import half_interval
from blockquant.measurement._verdicts import Difference, Used, Verdict

#: The three criteria, each with its name and its field. Smaller is better in all of them.
CRITERIA = (
    ("reconstruction (normalised MSE)", "nmse"),
    ("expected inner-product error (d·E[error²])", "ip_error"),
    ("high probability (99.9 % quantile of |error|)", "q999"),
)

#: Fields without a standard error: they are equal for all seeds, or are times.
_WITHOUT_ERROR = ("_theory", "_us", "_vector", "_dimension", "confidence", *COUNTS)


@dataclass(frozen=True, eq=False, repr=False)
class Figures:
    """The measurements of several methods at several rates, one per rotation seed."""

    #: The runs of each rate and method, one per seed.
    runs: dict[tuple[float, str], list[Distortion]]
    #: The bits per coordinate and the block that each method uses at a rate.
    rates: dict[tuple[float, str], Rate]
    #: The reason why a method is left out at a rate.
    unmet: dict[tuple[float, str], str]
    #: The data, the options, the machine and the versions.
    about: dict[str, Any]
    #: The number of rows, the number of queries and the dimension.
    shape: tuple[int, int, int]
    #: A histogram of the inner products of rows and queries: centers of the bins and shares.
    products: tuple[NDArray[np.float64], NDArray[np.float64]]
    #: The model of the sample, if one was given.
    model: Model | None
    #: What the model predicts of each fitted method at a rate.
    predicted: dict[tuple[float, str], Predicted]

    @property
    def unit(self) -> str:
        """What the rates are: ``bits`` per coordinate or ``bytes`` per vector."""
        return str(self.about["unit"])

    def part(self, fitted: bool) -> Figures:
        """The figures of the methods on fitted axes, or of those that know nothing of the rows."""
        keep = {key: runs for key, runs in self.runs.items() if is_fitted(key[1]) is fitted}
        unmet = {key: why for key, why in self.unmet.items() if is_fitted(key[1]) is fitted}
        return Figures(
            keep,
            self.rates,
            unmet,
            self.about,
            self.shape,
            self.products,
            self.model if fitted else None,
            self.predicted if fitted else {},
        )

    def values(self, rate: float, method: str, field: str) -> NDArray[np.float64]:
        """One figure for every seed, NaN where the method does not have it.

        Parameters
        ----------
        rate : float
            Bits per coordinate or bytes per vector, as `unit` says.
        method : str
            The full name.
        field : str
            A field of :class:`Distortion`.

        Returns
        -------
        ndarray of float64, (seeds,)

        Raises
        ------
        ValueError
            If the method was left out at the rate, with the reason, or was not compared.
        """
        return np.array([getattr(run, field) for run in self._of(rate, method)], np.float64)

    def errors(self, rate: float, method: str) -> Errors:
        """The distribution of the inner-product errors of all seeds together.

        Parameters
        ----------
        rate : float
            Bits per coordinate or bytes per vector, as `unit` says.
        method : str
            The full name.

        Raises
        ------
        ValueError
            If the method was left out at the rate, with the reason, or was not compared.
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

        Times are the minimum over seeds, because other work of the machine only adds to them. For
        methods on fitted axes, `criterion` is what their bits are given for, and `training_rows`
        and `training_seconds` are those of the sample; for others they are None.

        See Also
        --------
        table : The same rows by rate and method.
        """
        return list(self.table().values())

    def table(self) -> dict[tuple[float, str], dict[str, Any]]:
        """The dicts of :meth:`rows`, by rate and method."""
        return {key: dict(row) for key, row in self._table.items()}

    @cached_property
    def _table(self) -> dict[tuple[float, str], dict[str, Any]]:
        out = {}
        for (rate, name), runs in self.runs.items():
            bits, block = self.rates[rate, name]
            row: dict[str, Any] = {"bits": bits, "method": name, "seeds": len(runs)}
            row["budget"] = rate if self.unit == "bytes" else None
            row["block"] = block
            fit = self.model if is_fitted(name) else None
            row["criterion"] = criterion_of(name) if fit else None
            row["training_rows"] = fit.axes.rows if fit else None
            row["training_seconds"] = fit.seconds if fit else None
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
        """How much lower one method's figure is than another's, paired over seeds.

        Parameters
        ----------
        method, other : str
            Full names.
        field : str
            A field of :class:`Distortion` that both methods have.
        rate : float
            Bits per coordinate or bytes per vector, as `unit` says.

        Returns
        -------
        Difference
            The difference in percent, with its 95 % interval.

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
        if others.mean() == 0:  # No finite ratio compares a positive figure with zero.
            gain = 0.0 if own.mean() == 0 else -np.inf
            return Difference(method, other, field, rate, gain, gain, gain)
        ratio = own.mean() / others.mean()
        # The ratio of two means spreads as own − ratio·other does, to first order.
        half = 100 * half_interval((own - ratio * others) / others.mean())
        gain = 100 * float(1 - ratio)
        return Difference(method, other, field, rate, gain, gain - half, gain + half)

    def differences(self) -> list[Difference]:
        """The best method against every other, under each criterion at each rate.

        Where some methods are fitted to a sample, the best of the others comes first, against the
        others, and then the best fitted one against all.

        See Also
        --------
        verdicts : The best method against the best of the other families only.
        """
        out = []
        for rate, field, best, others, _ in self._contests():
            out += [self.difference(best, name, field, rate) for name in others]
        return out

    def verdicts(self) -> list[Verdict]:
        """The best method under each criterion at each rate, paired over seeds.

        Where some methods are fitted to a sample, the verdicts on the others, which know nothing of
        the rows, come first. Then the best fitted one is set against the best of those.

        See Also
        --------
        differences : The best method against every other.
        """
        names = {field: criterion for criterion, field in CRITERIA}
        out = []
        for rate, field, best, others, fitted in self._contests():
            head = rate, self.unit, names[field], field, best, self._used(rate, best)
            family = best.partition("/")[0]
            rivals = [name for name in others if name.partition("/")[0] != family]
            if fitted:
                rivals = [name for name in rivals if not is_fitted(name)] or rivals
            if not rivals:
                out.append(Verdict(*head, None, None, 0.0, 0.0, fitted))
                continue
            other = rivals[0]
            found = self.difference(best, other, field, rate)
            noise = (found.high - found.low) / 2
            used = self._used(rate, other)
            out.append(Verdict(*head, other, used, found.percent, noise, fitted))
        return out

    def _contests(self) -> Iterator[tuple[float, str, str, list[str], bool]]:
        """Rate, field, the best method, its rivals in order, and whether it is fitted."""
        rates = list(dict.fromkeys(rate for rate, _ in self.runs))
        for fitted in (False, True):
            for rate in rates:
                for _, field in CRITERIA:
                    order = self._order(rate, field)
                    best = next((name for name in order if is_fitted(name) is fitted), None)
                    if best is None:
                        continue
                    others = [name for name in order if fitted or not is_fitted(name)]
                    others.remove(best)
                    yield rate, field, best, others, fitted

    def _used(self, rate: float, method: str) -> Used:
        row = self._table[rate, method]
        return Used(row["bits"], row["bytes_per_vector"])

    def _order(self, rate: float, field: str) -> list[str]:
        """The methods at a rate, in ascending order of their means."""
        found = [name for at, name in self.runs if at == rate]
        return sorted(found, key=lambda name: float(self.values(rate, name, field).mean()))
