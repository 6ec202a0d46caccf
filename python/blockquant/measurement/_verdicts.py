"""The differences between methods, and which method is the best."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    """How much lower a method's figure is than another's, paired over rotation seeds."""

    method: str
    other: str
    field: str
    #: Bits per coordinate or bytes per vector.
    rate: float
    #: In percent of the other's mean. It is negative if the figure is higher.
    percent: float
    #: The 95 % interval by Student's t. It is infinite for one seed.
    low: float
    high: float

    @property
    def significant(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Used:
    """The storage of a method at a rate.

    Examples
    --------
    >>> print(Used(bits=2, bytes_per_vector=100))
    2 bits, 100 bytes
    """

    #: Bits per coordinate, without side information.
    bits: float
    #: All stored bytes per vector, or None if the codes do not tell their size.
    bytes_per_vector: float | None

    def __str__(self) -> str:
        parts = [f"{self.bits:.3g} bit" + ("" if self.bits == 1 else "s")]
        if self.bytes_per_vector is not None:
            parts.append(f"{self.bytes_per_vector:.4g} bytes")
        return ", ".join(parts)


@dataclass(frozen=True)
class Verdict:
    """The best method under a criterion at a rate, and the best method of another family."""

    #: Bits per coordinate or bytes per vector.
    rate: float
    #: ``bits`` or ``bytes``.
    unit: str
    criterion: str
    field: str
    best: str
    best_uses: Used
    runner_up: str | None
    runner_up_uses: Used | None
    #: How much lower the best is, in percent of the runner-up.
    margin: float
    #: Half the width of the 95 % interval of the margin, paired over seeds. It is infinite for one
    #: seed.
    noise: float
    #: Whether the best is on axes fitted to a sample, and the runner-up knows nothing of the rows.
    fitted: bool = False

    @property
    def significant(self) -> bool:
        """Whether the margin exceeds the noise."""
        return self.runner_up is not None and self.margin > self.noise

    def __str__(self) -> str:
        unit = self.unit if self.rate != 1 else self.unit.removesuffix("s")
        return f"{self.rate:g} {unit}, {self.criterion}: {self.finding()}"

    def finding(self) -> str:
        """The best method and its margin in words. At a byte budget both methods' sizes follow."""
        best, other = self.best, self.runner_up
        if self.unit == "bytes":
            best, other = f"{best} ({self.best_uses})", f"{other} ({self.runner_up_uses})"
        if self.runner_up is None:
            return f"{best}, the only family"
        margin = f"{best}, {self.margin:.2f} % below {other}"
        if self.noise == float("inf"):
            return f"{margin} (one seed: the noise is not known)"
        word = "beyond" if self.significant else "within"
        return f"{margin} ({word} the noise, ±{self.noise:.2f} %)"
