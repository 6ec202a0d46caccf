"""Fitting axes: the sums of a sample, and samples in arrays, files and batches."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from blockquant import _arrow, _core
from blockquant._arrays import as_rows
from blockquant._checks import counted, fraction, whole
from blockquant._progress import bar
from blockquant.axes import Axes
from blockquant.files import Rows, files_at, open_rows

#: Rows per coordinate below which a fit warns, and with which it loses little.
FEW, ENOUGH = 4, 16


class AxesFit:
    """The sums of a sample, to which rows are added part by part.

    The model of :meth:`finish` does not depend on how rows are divided among calls of :meth:`add`,
    bit for bit. Fits of parts, which other processes or machines made and pickled, are merged.
    What is kept are sums of dim² numbers, never the rows.

    Parameters
    ----------
    dim : int
        Coordinates of a row, at most 8192.

    Raises
    ------
    TypeError
        If `dim` is not a whole number.
    ValueError
        If it is out of range.

    See Also
    --------
    blockquant.fit : Does all of it for arrays and files.

    Examples
    --------
    >>> import blockquant as bq
    >>> x, _ = bq.sample()
    >>> left, right = bq.AxesFit(384), bq.AxesFit(384)
    >>> left.add(x[:500])
    >>> left.add(x[500:1000])
    >>> right.add(x[1000:])
    >>> left.merge(right)
    >>> left.rows, left.finish().share(100).__round__(2)
    (2000, 0.66)
    """

    def __init__(self, dim: int) -> None:
        self._core = _core.Fit(whole(dim, "dim", 1, _core.MAX_AXES_DIM))

    @property
    def dim(self) -> int:
        """Coordinates of a row."""
        return self._core.dim

    @property
    def rows(self) -> int:
        """Rows that were added."""
        return self._core.rows

    @property
    def queries(self) -> int:
        """Queries that were added."""
        return self._core.queries

    def add(self, x: Any) -> None:
        """Adds rows.

        Parameters
        ----------
        x : array_like, (n, dim) or (dim,)
            Rows as :meth:`Quantizer.encode` takes them.

        Raises
        ------
        TypeError
            If the elements are not real floating-point numbers.
        ValueError
            If the shape is wrong, or a value is NaN, infinite or beyond float32 (row and column
            named). Nothing is added then.
        """
        self._core.add(*as_rows(x, self.dim))

    def add_queries(self, y: Any) -> None:
        """Adds queries, for `query_variances` of the model.

        Parameters
        ----------
        y : array_like, (m, dim) or (dim,)
            Queries as :meth:`add` takes rows.

        Raises
        ------
        TypeError
            If the elements are not real floating-point numbers.
        ValueError
            As :meth:`add` says.
        """
        self._core.add_queries(*as_rows(y, self.dim, "y"))

    def merge(self, other: AxesFit) -> None:
        """Adds the rows and queries of another fit, which stays as it is.

        The result equals one fit of all rows to within rounding.

        Parameters
        ----------
        other : AxesFit
            A fit of as many coordinates.

        Raises
        ------
        TypeError
            If it is not an `AxesFit`.
        ValueError
            If the dimensions differ. Nothing is added then.
        """
        if not isinstance(other, AxesFit):
            raise TypeError(f"other is {type(other).__name__}, expected AxesFit")
        # A fit that is merged with itself counts its rows twice.
        self._core.merge(other._core.copy() if other is self else other._core)

    def finish(self, shrinkage: float | None = None) -> Axes:
        """The model of the rows so far. More can be added afterwards.

        Parameters
        ----------
        shrinkage : float, optional
            As :func:`blockquant.fit` has it.

        Returns
        -------
        Axes

        Warns
        -----
        UserWarning
            If there are fewer than 4·dim rows.

        Raises
        ------
        TypeError
            If `shrinkage` is not a number.
        ValueError
            If no rows were added, or `shrinkage` is out of range.
        """
        if shrinkage is not None:
            shrinkage = fraction(shrinkage, "shrinkage")
        made = Axes._of(self._core.finish(shrinkage))
        if (warning := few(made.rows, made.dim)) is not None:
            warnings.warn(warning, stacklevel=2)
        return made

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_core": self._core.to_bytes()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._core = _core.Fit.from_bytes(state["_core"])

    def __copy__(self) -> AxesFit:
        twin = type(self).__new__(type(self))
        vars(twin).update(vars(self))
        twin._core = self._core.copy()
        return twin

    def __deepcopy__(self, memo: dict[int, Any]) -> AxesFit:
        return self.__copy__()

    def __repr__(self) -> str:
        rows, queries = counted(self.rows, "row"), counted(self.queries, "query", "queries")
        return f"<AxesFit of {rows} and {queries}, d = {self.dim}>"


def few(rows: int, dim: int) -> str | None:
    """The warning about a sample with few rows; None if it has enough.

    Examples
    --------
    >>> few(100, 64)
    '100 rows are few for axes of 64 coordinates, which then follow the noise of the sample: at \
least 256 are needed, and 1024 lose little'
    """
    if dim == 1 or rows >= FEW * dim:
        return None
    return (
        f"{counted(rows, 'row')} are few for axes of {dim} coordinates, which then follow the "
        f"noise of the sample: at least {FEW * dim} are needed, and {ENOUGH * dim} lose little"
    )


def fit(
    sample: Any,
    queries: Any = None,
    *,
    shrinkage: float | None = None,
    array: str | None = None,
) -> Axes:
    """Fits the mean, principal axes and variances of a sample.

    Rows are taken a batch at a time, so a file may be larger than memory. The model depends on the
    rows and their order alone: batches, threads and the instruction set of the kernels do not
    change a bit of it. :class:`blockquant.Axes` says what other machines may change.

    Parameters
    ----------
    sample : array_like, path-like, or iterable
        Rows as :meth:`Quantizer.encode` takes them; a file, glob or folder of rows or a list of
        these, as :func:`blockquant.shards.encode` takes them; an open file of rows; or an iterable
        of batches of rows. 16 rows per coordinate are enough, and fewer than 4 give a warning: the
        axes then follow the noise of the sample.
    queries : array_like, path-like, or iterable, optional
        Queries, for `query_variances`.
    shrinkage : float, optional
        The part of the way to their mean that variances are moved, 0 to 1, because those of a
        sample are spread more than those that it is from. The default is estimated from the
        variances and the number of rows (oracle approximating shrinkage).
    array : str, optional
        The array or column of files. The default is the only one that holds rows of floats.

    Returns
    -------
    Axes

    Warns
    -----
    UserWarning
        If there are fewer than 4 rows per coordinate.

    Raises
    ------
    TypeError
        If the elements are not real floating-point numbers, or an argument has another type.
    ValueError
        If the sample is empty, rows differ in their number of coordinates, a value is NaN, infinite
        or beyond float32 (row and column named), a file is damaged, or `shrinkage` is out of range.
    OSError
        If a file cannot be read.

    See Also
    --------
    AxesFit : Fits parts of a sample in several calls or processes.

    References
    ----------
    Chen, Wiesel, Eldar and Hero, "Shrinkage Algorithms for MMSE Covariance Estimation", IEEE
    Transactions on Signal Processing 58 (2010).

    Examples
    --------
    >>> import blockquant as bq
    >>> x, queries = bq.sample()
    >>> bq.fit(x, queries)
    <Axes of 2000 rows, d = 384, effective dimension 153.0, with variances of queries>
    >>> bq.fit(x[start : start + 100] for start in range(0, 2000, 100)) == bq.fit(x)
    True
    """
    return fitted(sample, queries, shrinkage, array)


def fitted(
    sample: Any,
    queries: Any,
    shrinkage: float | None,
    array: str | None,
    option: str = "array=",
) -> Axes:
    """As :func:`fit`. `option` is what errors suggest for the choice of an array."""
    if shrinkage is not None:
        shrinkage = fraction(shrinkage, "shrinkage")
    if array is not None and not isinstance(array, str):
        raise TypeError(f"array is {type(array).__name__}, expected str")
    sums = _add(None, sample, AxesFit.add, "sample", array, option)
    if sums is None:
        raise ValueError("sample has no batches, and axes need at least 1 row")
    if queries is not None:
        _add(sums, queries, AxesFit.add_queries, "queries", array, option)
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        made = sums.finish(shrinkage)
    for each in raised:  # as if they came from the caller of `fit`
        warnings.warn(each.message, each.category, stacklevel=3)
    return made


_Add = Callable[[AxesFit, Any], None]


def _add(
    sums: AxesFit | None, given: Any, add: _Add, what: str, array: str | None, option: str
) -> AxesFit | None:
    """Adds all rows. Without sums they are made for as many coordinates as the first rows have."""
    paths = _paths(given)
    if paths is not None:
        return _add_files(sums, paths, add, what, array, option)
    if array is not None:
        raise TypeError(f"array is for files, and {what} is {type(given).__name__}")
    if isinstance(given, Rows):
        with bar(len(given), " rows", what) as step:
            return _add_rows(sums, given, add, step)
    first = 0
    for batch in _batches(given):
        rows, _ = as_rows(batch, None if sums is None else sums.dim, what)
        if sums is None:
            sums = AxesFit(rows.shape[1])
        try:
            add(sums, batch)
        except ValueError as error:
            if not first:
                raise
            raise ValueError(f"{what}, the batch after {first} rows: {error}") from None
        first += len(rows)
    return sums


def _batches(given: Any) -> Iterable[Any]:
    """Batches of rows; an array is one batch."""
    is_list = isinstance(given, (list, tuple))
    if is_list and len(given) and np.ndim(given[0]) == 2:
        return given  # type: ignore[no-any-return]
    arrays = ("__array__", "__dlpack__", "detach")
    is_array = any(hasattr(given, name) for name in arrays) or _arrow.offers_arrow(given)
    if is_list or is_array or not isinstance(given, Iterable):
        return [given]
    return given


def _paths(given: Any) -> list[str] | None:
    """The files, if paths are given."""
    kinds = (str, bytes, os.PathLike)
    if isinstance(given, kinds):
        given = [given]
    elif (
        not isinstance(given, (list, tuple))
        or not given
        or not all(isinstance(each, kinds) for each in given)
    ):
        return None
    found: dict[str, str] = {}
    for path in (path for each in given for path in files_at(os.fsdecode(each))):
        where = os.path.realpath(path)
        if where in found:
            raise ValueError(f"{path} is given twice, expected each row once")
        found[where] = path
    return list(found.values())


def _add_files(
    sums: AxesFit | None, paths: list[str], add: _Add, what: str, array: str | None, option: str
) -> AxesFit | None:
    def opened(path: str) -> Rows:
        return open_rows(path, array=array, option=option)

    total = 0
    for path in paths:
        with opened(path) as rows:
            total += len(rows)
    with bar(total, " rows", what) as step:
        for path in paths:
            with opened(path) as rows:
                sums = _add_rows(sums, rows, add, step)
    return sums


def _add_rows(
    sums: AxesFit | None, rows: Rows, add: _Add, step: Callable[..., None] | None
) -> AxesFit:
    """Adds the rows of a file, a chunk at a time."""
    if sums is None:
        sums = AxesFit(rows.shape[1])
    if rows.shape[1] != sums.dim:
        raise ValueError(f"{rows.path} has d = {rows.shape[1]}, expected {sums.dim}")
    for start, chunk in rows.chunks():
        try:
            add(sums, chunk)
        except ValueError as error:
            raise rows.not_finite(start, chunk) or error from None
        if step is not None:
            step(len(chunk))
    return sums
