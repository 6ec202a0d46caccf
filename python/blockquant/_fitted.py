"""What a quantizer with fitted axes tells of its model: groups, expected errors, drift."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from blockquant import _core
from blockquant._parameters import Parameters
from blockquant.axes import Axes
from blockquant.codes import Codes


@dataclass(frozen=True)
class PredictedGroup:
    """What is expected of successive axes with one rate. An item of :attr:`Predicted.groups`."""

    #: Method, or None for axes without bits.
    method: str | None
    #: Number of axes.
    axes: int
    #: Bits per axis.
    bits: float
    #: Share of the variance of the rows.
    variance: float
    #: Squared error over variance, along these axes; 1 without bits.
    distortion: float
    #: Share of the squared error of decoded rows.
    error: float


@dataclass(frozen=True)
class Predicted:
    """The expected errors of rows like the sample. Made by :attr:`Quantizer.predicted`."""

    #: E‖x − x̂‖²/E‖x‖² of decoded rows.
    nmse: float
    #: d·E[(⟨x, y⟩ estimated − true)²]/(E‖x‖²·E‖y‖²).
    ip_error: float
    #: The groups by falling variance and, if there are any, the axes without bits at the end.
    groups: tuple[PredictedGroup, ...]

    def describe(self) -> str:
        """The groups of axes, one a line, with their shares of the variance and of the error.

        Examples
        --------
        >>> import numpy as np, blockquant as bq
        >>> x = np.random.default_rng(0).standard_normal((9000, 64)) * np.repeat([8, 1], 32)
        >>> q = bq.create("eden", dim=64, bits=2, axes=bq.fit(x, shrinkage=0))
        >>> print(q.predicted.describe())
        axes  bits  method  variance  distortion   error
          32     4    eden    98.5 %     0.00846  35.4 %
          32     0       –     1.5 %           1  64.6 %
        """
        heads = ("axes", "bits", "method", "variance", "distortion", "error")
        rows = [heads, *map(_cells, self.groups)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True))
            for row in rows
        )


def _cells(group: PredictedGroup) -> tuple[str, ...]:
    return (
        f"{group.axes}",
        f"{group.bits:g}",
        group.method or "–",
        f"{100 * group.variance:.1f} %",
        f"{group.distortion:.3g}",
        f"{100 * group.error:.1f} %",
    )


class Fitted(Parameters):
    """The properties that follow from fitted axes, which are None without."""

    @property
    def axes(self) -> Axes | None:
        """The fitted axes that have bits, or None.

        For another rate give the model of :func:`fit`, which has all axes.
        """
        axes = self._core.axes
        return None if axes is None else Axes._of(axes)

    def _without_axes(self, what: str) -> _core.Quantizer:
        """The core, if it has one of what each group of axes has of its own."""
        if self._core.axes is not None:
            found = f"along fitted axes each group of axes has {what} of its own"
            raise ValueError(f"{found}: ask a quantizer without axes")
        return self._core

    @property
    def criterion(self) -> str | None:
        """What the bits of fitted axes are given for."""
        return self._core.criterion

    @property
    def groups(self) -> list[tuple[str, int, float]] | None:
        """Method, number of axes and bits per axis of each group of fitted axes, or None."""
        return self._core.groups

    @property
    def predicted(self) -> Predicted | None:
        """What the model of fitted axes predicts for rows like its sample, or None.

        A :class:`Predicted` with the error of decoded rows, that of inner products with queries
        like those that were fitted (without queries, with ones like the rows, and independent of
        them), and where the bits and the errors are. It follows from the variances of the model and
        from the errors of the methods on Gaussian rows, which the first access measures.

        Examples
        --------
        >>> import blockquant as bq
        >>> x, _ = bq.sample()
        >>> axes = bq.fit(x[:1536])
        >>> q = bq.create("trellis", dim=384, bits=2, axes=axes, criterion="reconstruction")
        >>> measured = float(((q.decode(q.encode(x[1536:])) - x[1536:]) ** 2).sum(axis=1).mean())
        >>> 0.8 < measured / q.predicted.nmse < 1.25
        True
        """
        found = self._core.predicted()
        if found is None:
            return None
        nmse, ip_error, groups = found
        return Predicted(nmse, ip_error, tuple(PredictedGroup(*group) for group in groups))

    def drift(self, codes: Codes | Iterable[Codes]) -> float | None:
        """How far rows are from the sample of the axes, by their codes.

        The expected error of these rows, by the lengths along the groups of axes that their codes
        keep, divided by ``predicted.nmse``: 1 for rows like the sample, more where they lie along
        axes with few bits. It is an average over rows, so ask for parts of the codes, such as the
        latest ones. With RaBitQ it can be off by half at few bits, because its codewords have
        any length.

        Parameters
        ----------
        codes : Codes, or an iterable of them
            Codes of this quantizer, or of one with the same parameters; several count as if they
            were joined.

        Returns
        -------
        float or None
            None without axes, NaN without rows, ∞ where all rows are zero or the model expects no
            error at all.

        Raises
        ------
        TypeError
            If something else is given.
        ValueError
            If the codes come from another quantizer.

        Examples
        --------
        >>> import blockquant as bq
        >>> x, _ = bq.sample()
        >>> axes = bq.fit(x[:1536])
        >>> q = bq.create("trellis", dim=384, bits=2, axes=axes, criterion="reconstruction")
        >>> near, far = q.encode(x[1536:]), q.encode(x[1536:, ::-1])
        >>> 0.8 < q.drift(near) < 1.25, q.drift(far) > 2
        (True, True)
        """
        if not isinstance(codes, (Codes, Iterable)):
            raise TypeError(f"codes is {type(codes).__name__}, expected Codes")
        error = square = 0.0
        for part in [codes] if isinstance(codes, Codes) else codes:
            self._check(part)
            losses = self._core.losses(part._arrays())
            if losses is not None:
                error, square = error + losses[0], square + losses[1]
        return self._core.drift(error, square)
