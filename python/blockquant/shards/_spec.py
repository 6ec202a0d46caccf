"""What the codes are made with: a quantizer, or what :func:`blockquant.create` takes."""

from __future__ import annotations

from typing import Any

from blockquant import registry
from blockquant._checks import brief, whole
from blockquant.quantizer import Quantizer

Spec = Quantizer | dict[str, Any]

#: The center that is found from the rows themselves.
MEAN = "mean"


def checked(spec: Any) -> Spec:
    """A quantizer, or a dict that names a method and its bits.

    Raises
    ------
    TypeError
        If it is neither.
    ValueError
        If the dict lacks a name or bits.

    Examples
    --------
    >>> checked({"name": "eden"})
    Traceback (most recent call last):
        ...
    ValueError: spec has no 'bits', expected what create takes, such as name and bits
    """
    if isinstance(spec, Quantizer):
        return spec
    if not isinstance(spec, dict):
        expected = "expected a Quantizer of this package, or a dict of what create takes"
        raise TypeError(f"spec is {type(spec).__name__} {brief(spec)}, {expected}")
    for name in ("name", "bits"):
        if name not in spec:
            raise ValueError(
                f"spec has no {name!r}, expected what create takes, such as name and bits"
            )
    return dict(spec)


def dim_of(spec: Spec) -> int | None:
    """Coordinates of a row, if the spec says so."""
    if isinstance(spec, Quantizer):
        return spec.dim
    return None if spec.get("dim") is None else whole(spec["dim"], "dim")


def wants_mean(spec: Spec) -> bool:
    """Whether the center is the mean of the rows."""
    if isinstance(spec, Quantizer) or not isinstance(spec.get("center"), str):
        return False
    if spec["center"] != MEAN:
        raise ValueError(f"center={brief(spec['center'])}, expected an array, 'mean' or None")
    return True


def quantizer(spec: Spec, dim: int, **more: Any) -> Quantizer:
    """The quantizer of a spec for rows of `dim` coordinates."""
    if isinstance(spec, Quantizer):
        return spec
    made = registry.create(**{**spec, "dim": dim, **more})
    if not isinstance(made, Quantizer):
        name = brief(spec["name"])
        raise TypeError(
            f"{name} is a registered method; only this package's own make files of codes"
        )
    return made
