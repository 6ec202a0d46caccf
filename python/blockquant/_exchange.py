"""Codes as what other programs keep: bytes, and columns of Arrow."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from blockquant import _columns, _objects, _row_bytes
from blockquant._filled import ORDER, Arrays, Filled, in_order

_Self = TypeVar("_Self", bound="Exchange")

#: What only encoding depends on, as a quantizer describes itself.
_ENCODING = re.compile(r", scale_search=\d+")


def read_alike(made_by: str, other: str) -> bool:
    """Whether the codes of two quantizers mean the same, by their representations.

    Examples
    --------
    >>> read_alike("create('eden/mse', bits=4, scale_search=9)", "create('eden/mse', bits=4)")
    True
    """
    return made_by == other or _ENCODING.sub("", made_by) == _ENCODING.sub("", other)


class Exchange:
    """Base of :class:`Codes`: how rows leave it and come back."""

    __slots__ = ()

    _filled: Filled
    dim: int
    made_by: str

    def to_bytes(self) -> bytes:
        """The rows as bytes, one row after the other, for instance for a column of a database.

        Returns
        -------
        bytes
            n times the bytes of one row, ``nbytes`` in all. A row is its packed indexes, then those
            of scale, norm, residual norm and center product that the codes hold, in this order,
            each as a little-endian float32. So the bytes of rows that are joined are the bytes of
            the joined rows.

        See Also
        --------
        Quantizer.codes_from : Makes codes of the bytes.
        to_arrow : Gives a column that says which quantizer made the codes.
        save : Writes a file that says which quantizer made the codes, with checksums.

        Notes
        -----
        The bytes do not say which quantizer made them: keep ``repr(q)``, and the center where
        there is one, beside them.

        Examples
        --------
        >>> import blockquant as bq
        >>> q = bq.Eden(dim=384, bits=1)
        >>> codes = q.encode(bq.sample()[0])
        >>> len(codes[:1].to_bytes()), codes.nbytes // len(codes)
        (52, 52)
        >>> q.codes_from(codes.to_bytes(), rows=2000) == codes
        True
        """
        return _row_bytes.to_table(self._held()).tobytes()

    def to_arrow(self, name: str = "codes") -> Any:
        """The rows as one column of Arrow, which says which quantizer made them.

        Parameters
        ----------
        name : str
            The name of the column.

        Returns
        -------
        nanoarrow.Array
            A table of one column of fixed-size binary, without nulls: the bytes of
            :meth:`to_bytes`, one value per row. Whatever takes Arrow takes it, for instance
            ``pyarrow.table(…)`` or ``polars.DataFrame(…)``. The metadata of the field has the key
            ``blockquant``; ``docs/format.md`` has the layout.

        Raises
        ------
        TypeError
            If the name is not a str.

        See Also
        --------
        from_arrow : Makes codes of the column.
        Quantizer.to_arrow : Adds the center, or the groups of fitted axes, to the metadata.

        Examples
        --------
        >>> import blockquant as bq
        >>> q = bq.Eden(dim=384, bits=1)
        >>> codes = q.encode(bq.sample()[0])
        >>> column = codes.to_arrow()
        >>> len(column), bq.Codes.from_arrow(column) == codes
        (2000, True)
        """
        return self._to_arrow(name)

    def _to_arrow(self, name: str, **known: Any) -> Any:
        if not isinstance(name, str):
            raise TypeError(f"name is {type(name).__name__}, expected str")
        held = self._held()
        return _columns.column(_row_bytes.to_table(held), name, self._described(**known))

    def _described(self, **known: Any) -> _columns.Description:
        return _columns.Description(self.made_by, self.dim, tuple(self._held()), **known)

    @classmethod
    def from_arrow(
        cls: type[_Self], column: Any, quantizer: Any = None, *, name: str | None = None
    ) -> _Self:
        """Codes of a column of :meth:`to_arrow`.

        Parameters
        ----------
        column : object
            An array, a stream or a table with the Arrow PyCapsule interface, or a column of
            ``datasets``. Its values are fixed-size binary, or binary values of one length, as
            which Polars and DuckDB return them.
        quantizer : Quantizer, optional
            The quantizer that made the codes, for a column that came without the metadata of its
            field: an array alone, and what Polars, DuckDB and ``datasets`` return. With metadata it
            is compared.
        name : str, optional
            The column of a table. The default is the only one, or the only one with our metadata.

        Returns
        -------
        Codes
            In memory of its own.

        Raises
        ------
        TypeError
            If `column` is not Arrow, or not of bytes, or `quantizer` is not a quantizer.
        ValueError
            If another quantizer made the codes, neither metadata nor a quantizer is there, a value
            is null, a value has another length (row named), a scalar in it is not finite (row
            named), or the table does not have one such column. Other damage is not noticed.

        See Also
        --------
        blockquant.from_arrow : Makes the quantizer as well.

        Examples
        --------
        >>> import blockquant as bq
        >>> q = bq.Eden(dim=384, bits=1)
        >>> codes = q.encode(bq.sample()[0])
        >>> bq.Codes.from_arrow(codes.to_arrow(), q) == codes
        True
        >>> bq.Codes.from_arrow(codes.to_arrow(), bq.Eden(dim=384, bits=2))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        ValueError: the codes of column 'codes' were made by create('eden/unbiased', dim=384, ...
        """
        opened = _columns.opened(_objects.column_of_datasets(column), name)
        return cls._from_column(opened, quantizer)

    @classmethod
    def _from_column(cls: type[_Self], column: _columns.Column, quantizer: Any) -> _Self:
        """Codes of a column that is open."""
        described, what = column.description, column.what
        if quantizer is not None:
            if not hasattr(quantizer, "codes_from"):
                raise TypeError(f"quantizer is {type(quantizer).__name__}, expected a Quantizer")
            if described is not None and not read_alike(described.made_by, repr(quantizer)):
                found = f"the codes of {what} were made by {described.made_by}"
                raise ValueError(f"{found}, this is {quantizer!r}")
            empty = quantizer.codes_from(b"", 0)
            described, like = empty._described(), empty._held()
        elif described is None:
            raise ValueError(f"{what} has no metadata of codes, as {_columns.DROPPED}")
        elif column.width is None:
            raise ValueError(f"{what} has values of any length, as {_columns.DROPPED}")
        else:
            like = described.like(column.width, what)
        width, rows = _row_bytes.row_bytes(like), 0
        parts = [_row_bytes.from_table(np.empty((0, width), np.uint8), like, what)]
        for table in column.tables(width):
            parts.append(_row_bytes.from_table(table, like, what, rows))
            rows += len(table)
        joined = {key: np.concatenate([part[key] for part in parts]) for key in like}
        return cls._of(in_order(joined), described.dim, described.made_by)

    @classmethod
    def _of(cls: type[_Self], arrays: Arrays, dim: int, made_by: str) -> _Self:
        """Codes of the arrays as the core gives them."""
        raise NotImplementedError

    def _held(self) -> dict[str, NDArray[Any]]:
        """The arrays that the codes hold, in the order of :meth:`to_bytes`."""
        return {name: self._filled[name] for name in ORDER if name in self._filled}
