"""Fitted axes: the mean, principal axes and variances of a sample."""

from __future__ import annotations

import os
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from blockquant._checks import counted, whole
from blockquant._core import Axes as _CoreAxes

_Path = str | bytes | os.PathLike[str] | os.PathLike[bytes]
_Self = TypeVar("_Self", bound="Axes")
_Double = NDArray[np.float64]


class Axes:
    """The mean, principal axes and variances of a sample. Made by :func:`blockquant.fit`.

    A row is x = mean + Σ zᵢ·axes[i]. The axes are orthonormal, and the coordinates zᵢ are not
    correlated and have the variances `variances`, which fall. A model does not change, so its
    arrays are read-only.

    Two models are equal if every bit is, and equal models have equal hashes. Two machines that fit
    the same sample may get models that differ in their last bits; files carry the model, so that
    nobody fits it again to read codes.

    See Also
    --------
    blockquant.fit : Makes a model of a sample.
    blockquant.AxesFit : Makes it of parts of a sample.

    Examples
    --------
    >>> import blockquant as bq
    >>> axes = bq.fit(bq.sample()[0])
    >>> axes.dim, axes.rows, axes.axes.shape, round(axes.share(100), 2)
    (384, 2000, (384, 384), 0.66)
    """

    _core: _CoreAxes

    def __init__(self) -> None:
        raise TypeError("Axes are made by blockquant.fit, AxesFit.finish or Axes.load")

    @classmethod
    def _of(cls: type[_Self], core: _CoreAxes) -> _Self:
        made = cls.__new__(cls)
        made._core = core
        return made

    @property
    def dim(self) -> int:
        """Coordinates of a row."""
        return self._core.dim

    @property
    def rows(self) -> int:
        """Rows of the sample."""
        return self._core.rows

    @property
    def shrinkage(self) -> float:
        """The part of the way to their mean that the variances were moved, 0 to 1."""
        return self._core.shrinkage

    @cached_property
    def mean(self) -> NDArray[np.float32]:
        """The mean of the sample, float32 of shape (dim,)."""
        return _read_only(self._core.mean)

    @cached_property
    def axes(self) -> NDArray[np.float32]:
        """One axis a row, by falling variance, float32 of shape (axes, dim).

        A fit has all dim axes, ``q.axes`` and files of codes only those that have bits.

        The entry of the largest magnitude of an axis is positive.
        """
        return _read_only(self._core.axes)

    @cached_property
    def variances(self) -> _Double:
        """The variances along the axes, after shrinkage, float64 of shape (dim,)."""
        return _read_only(self._core.variances)

    @cached_property
    def query_variances(self) -> _Double | None:
        """Mean of ⟨axes[i], y − mean⟩² over queries y, float64 (dim,), or None without queries."""
        found = self._core.query_variances
        return None if found is None else _read_only(found)

    @property
    def digest(self) -> str:
        """A checksum of the whole model: sixteen hexadecimal digits."""
        return self._core.digest

    @property
    def effective_dim(self) -> float:
        """(Σ variances)² / Σ variances²: so many axes of equal variance are spread as these; 0 if
        all variances are 0.
        """
        most = self.variances[0]
        if most == 0:
            return 0.0
        relative = self.variances / most
        return float(relative.sum() ** 2 / (relative**2).sum())

    def share(self, count: int) -> float:
        """The share of all variance that the first axes have; 0 if all variances are 0.

        Parameters
        ----------
        count : int
            The number of axes, 0 to `dim`.

        Examples
        --------
        >>> import numpy as np, blockquant as bq
        >>> axes = bq.fit(np.diag([3.0, 2.0, 1.0, 0.0]).repeat(9, 0), shrinkage=0)
        >>> [round(axes.share(count), 3) for count in range(5)]
        [0.0, 0.697, 0.957, 1.0, 1.0]
        """
        most = self.variances[0]
        if most == 0:
            return 0.0
        relative = self.variances / most
        return float(relative[: whole(count, "count", 0, self.dim)].sum() / relative.sum())

    def describe(self) -> str:
        """What the model is, in a few lines of text.

        Examples
        --------
        >>> import blockquant as bq
        >>> x, queries = bq.sample()
        >>> print(bq.fit(x, queries).describe())
        axes of 2000 rows, d = 384, with variances of queries
        shrinkage .1; effective dimension 153.0
        share of variance: 1 axis .03, 10 axes .16, 38 axes .38, 192 axes .86
        """
        queries = "without" if self.query_variances is None else "with"
        counts = sorted({min(count, self.dim) for count in _shown(self.dim)})
        shares = (f"{_axes(count)} {_decimals(self.share(count))}" for count in counts)
        return (
            f"axes of {counted(self.rows, 'row')}, d = {self.dim}, {queries} variances of queries\n"
            f"shrinkage {_decimals(self.shrinkage)}; effective dimension {self.effective_dim:.1f}\n"
            f"share of variance: {', '.join(shares)}"
        )

    def save(self, path: _Path) -> None:
        """Writes the model to one self-describing file.

        The file is in the safetensors format, with checksums in its metadata;
        ``rust/file/axes.rs`` describes it. Equal models give equal bytes. The file is written
        completely or not at all: if writing fails, an existing file stays as it was.

        Parameters
        ----------
        path : path-like
            The file. An existing file is replaced.

        Raises
        ------
        OSError
            If the file cannot be written.

        See Also
        --------
        load : Reads the file.

        Examples
        --------
        >>> import tempfile, blockquant as bq
        >>> axes = bq.fit(bq.sample()[0])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     axes.save(f"{folder}/axes.bq")
        ...     bq.Axes.load(f"{folder}/axes.bq") == axes
        True
        """
        self._core.save(os.fsdecode(path))

    @classmethod
    def load(cls: type[_Self], path: _Path) -> _Self:
        """Reads a file that :meth:`save` wrote.

        Parameters
        ----------
        path : path-like
            The file.

        Returns
        -------
        Axes
            The same model, bit for bit.

        Raises
        ------
        ValueError
            If the file is damaged, does not hold axes, or has another version. The error names the
            path and the place.
        OSError
            If the file cannot be read.

        See Also
        --------
        save : Writes the file.

        Examples
        --------
        >>> import blockquant as bq
        >>> bq.Axes.load(__file__)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        ValueError: ...this is not a file of fitted axes: ...
        """
        return cls._of(_CoreAxes.load(os.fsdecode(path)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Axes):
            return NotImplemented
        return self._core.equals(other._core)

    def __hash__(self) -> int:
        return hash(self.digest)

    def __getstate__(self) -> dict[str, Any]:
        arrays = ("mean", "axes", "variances", "query_variances")
        kept = {name: value for name, value in vars(self).items() if name not in arrays}
        return {**kept, "_core": self._core.to_bytes()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._core = _CoreAxes.from_bytes(state["_core"])

    def __copy__(self: _Self) -> _Self:
        return self

    def __deepcopy__(self: _Self, memo: dict[int, Any]) -> _Self:
        return self

    def __repr__(self) -> str:
        queries = "" if self.query_variances is None else ", with variances of queries"
        return (
            f"<Axes of {counted(self.rows, 'row')}, d = {self.dim}, "
            f"effective dimension {self.effective_dim:.1f}{queries}>"
        )


_Array = TypeVar("_Array", bound=NDArray[Any])


def _read_only(array: _Array) -> _Array:
    array.setflags(write=False)
    return array


def _shown(dim: int) -> tuple[int, ...]:
    """The numbers of axes whose share is described."""
    return 1, 10, max(1, dim // 10), max(1, dim // 2)


def _axes(count: int) -> str:
    return "1 axis" if count == 1 else f"{count} axes"


def _decimals(value: float) -> str:
    """A share with two decimals.

    Examples
    --------
    >>> _decimals(0.123), _decimals(1), _decimals(0)
    ('.12', '1', '0')
    """
    return f"{value:.2f}".rstrip("0").rstrip(".").replace("0.", ".") if value else "0"
