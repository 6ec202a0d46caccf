"""Quantizers of what tables say of their codes."""

from __future__ import annotations

import ast
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockquant import _columns, _objects, registry
from blockquant.axes import Axes
from blockquant.codes import Codes
from blockquant.quantizer import Quantizer

#: The digest of a center stands at the end, in the place of its values.
_CENTER = re.compile(r", center=<([0-9a-f]+)>\)$")
#: A digest of fitted axes and their groups.
_AXES = re.compile(r", axes=<([0-9a-f]+)>")


def from_arrow(
    column: Any, *, name: str | None = None, axes: Axes | None = None
) -> tuple[Quantizer, Codes]:
    """A quantizer and its codes of a column of :meth:`Codes.to_arrow`.

    Parameters
    ----------
    column : object
        As for :meth:`Codes.from_arrow`, with the metadata of the field.
    name : str, optional
        The column of a table. The default is the only one, or the only one with our metadata.
    axes : Axes, optional
        The model of codes along fitted axes, which no column holds: hundreds of kilobytes.

    Returns
    -------
    quantizer : Quantizer
        Made by :func:`create` with the arguments in the metadata.
    codes : Codes
        In memory of its own.

    Raises
    ------
    TypeError
        As for :meth:`Codes.from_arrow`, or if `axes` is not a model.
    ValueError
        If the metadata is missing, names no quantizer of this package, or names one with a center
        that it does not hold; if the codes are not along `axes`, or along axes that are not given;
        or as for :meth:`Codes.from_arrow`.

    See Also
    --------
    Codes.from_arrow : Makes the codes, for a quantizer that is there already.
    Quantizer.to_arrow : Gives a column that holds the center.

    Examples
    --------
    >>> import blockquant as bq
    >>> q = bq.Eden(dim=384, bits=1, center=bq.sample()[0])
    >>> codes = q.encode(bq.sample()[0])
    >>> same, back = bq.from_arrow(q.to_arrow(codes))
    >>> same == q, back == codes
    (True, True)
    """
    column = _objects.column_of_datasets(column)
    opened = _columns.opened(column, name)
    if opened.description is None:
        raise ValueError(f"{opened.what} has no metadata of codes, as {_columns.DROPPED}")
    quantizer = quantizer_of(opened.description, opened.what, axes)
    return quantizer, Codes._from_column(opened, quantizer)


def quantizer_of(
    description: _columns.Description, what: str, axes: Axes | None = None
) -> Quantizer:
    """The quantizer that the metadata of a column describes.

    Raises
    ------
    TypeError
        If `axes` is not a model.
    ValueError
        If it describes none of this package, one with a center that it does not hold, or one with
        other axes than these.
    """
    made_by = description.made_by
    digest = _CENTER.search(made_by)
    name, options = _arguments(_AXES.sub("", _CENTER.sub(")", made_by)), what)
    is_fitted = _AXES.search(made_by) is not None
    if axes is not None and not isinstance(axes, Axes):
        raise TypeError(f"axes is {type(axes).__name__}, expected what `fit` returns")
    if is_fitted and axes is None:
        raise ValueError(
            f"{what} was made by {made_by}, whose axes no column holds: pass the model as axes=, "
            "or the quantizer to Codes.from_arrow"
        )
    if axes is not None:
        if not is_fitted:
            raise ValueError(f"{what} was made by {made_by}, which has no axes: leave axes= out")
        options["axes"] = axes
    if digest is not None:
        if description.center is None:
            raise ValueError(
                f"{what} was made by {made_by}, whose center it does not hold: write it with "
                "q.to_arrow(codes), or pass the quantizer to Codes.from_arrow"
            )
        center: NDArray[np.float32] = description.center
        options["center"] = center
    try:
        quantizer = registry.create(name, **options)
        if axes is not None and description.groups is not None:
            quantizer = quantizer._along(axes, description.groups)
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"{what} was made by {made_by[:200]!r}: {error}") from None
    if repr(quantizer) != made_by:
        if axes is not None:
            other = "other axes than these"
            if description.groups is None:
                other += ", or in other groups of them, which only q.to_arrow(codes) writes"
            raise ValueError(f"{what} was made by {made_by} along {other}: {axes!r}")
        raise ValueError(f"{what} was made by {made_by}, but describes {quantizer!r}")
    assert isinstance(quantizer, Quantizer)
    return quantizer


def _arguments(made_by: str, what: str) -> tuple[str, dict[str, Any]]:
    """The arguments of ``create('name', key=value, …)``, of literals alone."""
    try:
        call = ast.parse(made_by, mode="eval").body
        if not isinstance(call, ast.Call) or ast.unparse(call.func) != "create":
            raise ValueError("not a call of create")
        (name,) = (ast.literal_eval(value) for value in call.args)
        options = {str(option.arg): ast.literal_eval(option.value) for option in call.keywords}
        if not registry.is_built_in(name):
            raise ValueError("not a method of this package")
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        found = f"{what} was made by {made_by[:200]!r}, which names no quantizer of this package"
        raise ValueError(f"{found}: use Codes.from_arrow(column, q)") from None
    return name, options
