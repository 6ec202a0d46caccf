"""Methods by name, built-in and anyone's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from blockquant.quantizer import BlockQuant, Eden, RaBitQ, TurboQuant

Factory = Callable[..., Any]

_FACTORIES: dict[str, Factory] = {
    "blockquant/none": lambda **options: BlockQuant(scale="none", **options),
    "blockquant/mse": lambda **options: BlockQuant(scale="mse", **options),
    "blockquant/unbiased": lambda **options: BlockQuant(scale="unbiased", **options),
    "eden/mse": lambda **options: Eden(scale="mse", **options),
    "eden/unbiased": lambda **options: Eden(scale="unbiased", **options),
    "turboquant/mse": lambda **options: TurboQuant(variant="mse", **options),
    "turboquant/prod": lambda **options: TurboQuant(variant="prod", **options),
    "rabitq/mse": lambda **options: RaBitQ(scale="mse", **options),
    "rabitq/unbiased": lambda **options: RaBitQ(scale="unbiased", **options),
}
_DEFAULTS = {
    "blockquant": "blockquant/unbiased",
    "eden": "eden/unbiased",
    "rabitq": "rabitq/unbiased",
    "turboquant": "turboquant/mse",
}


def available() -> list[str]:
    """The names that :func:`create` takes, in order of registration.

    Examples
    --------
    >>> "eden/mse" in available()
    True
    """
    return list(_FACTORIES)


def register(name: str, factory: Factory) -> None:
    """Adds a method, so that it takes part in everything that measures.

    Parameters
    ----------
    name
        A new name.
    factory
        Called with ``dim=``, ``bits=`` and ``seed=``; returns an object with ``encode(x)`` and
        ``decode(codes)``, and if it
        likes ``inner_product(codes, y)``. Its codes may have ``nbytes``.

    Raises
    ------
    ValueError
        If the name is taken.
    """
    if name in _FACTORIES or name in _DEFAULTS:
        raise ValueError(f"method {name!r} is registered already")
    if not callable(factory):
        raise TypeError(f"factory of {name!r} is not callable")
    _FACTORIES[name] = factory


def create(name: str, *, dim: int, bits: float, seed: int = 0, **options: Any) -> Any:
    """Makes the quantizer of that name.

    Parameters
    ----------
    name
        One of :func:`available`, or a method without its scale rule for the default.
    dim, bits, seed, **options
        Given to the method.

    Raises
    ------
    ValueError
        If there is no such method.

    Examples
    --------
    >>> create("eden/mse", dim=384, bits=2)
    create('eden/mse', dim=384, bits=2, rotation='hadamard', seed=0)
    """
    factory = _FACTORIES.get(_DEFAULTS.get(name, name))
    if factory is None:
        raise ValueError(f"unknown method {name!r}, expected one of {', '.join(_FACTORIES)}")
    return factory(dim=dim, bits=bits, seed=seed, **options)
