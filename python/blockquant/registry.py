"""Methods by name, built-in and anyone's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from blockquant._checks import brief
from blockquant.methods import BlockQuant, Eden, RaBitQ, TurboQuant

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


_BUILT_IN = frozenset(_FACTORIES)


def available() -> list[str]:
    """The full names that :func:`create` takes, in order of registration.

    Examples
    --------
    >>> "eden/mse" in available()
    True
    """
    return list(_FACTORIES)


def full_name(name: str) -> str:
    """The name with its scale rule: ``eden`` is ``eden/unbiased``.

    Raises
    ------
    ValueError
        If there is no such method.

    Examples
    --------
    >>> full_name("turboquant")
    'turboquant/mse'
    """
    full = _DEFAULTS.get(name, name)
    if full not in _FACTORIES:
        raise ValueError(f"unknown method {name!r}, expected one of {', '.join(_FACTORIES)}")
    return full


def is_built_in(name: str) -> bool:
    """Whether the method is this package's own and so takes all its options.

    Examples
    --------
    >>> is_built_in("eden/mse")
    True
    """
    return name in _BUILT_IN


def register(name: str, factory: Factory) -> None:
    """Adds a method, so that :func:`create` and :func:`compare` accept its name.

    Parameters
    ----------
    name : str
        A new name, not empty.
    factory : callable
        Called with ``dim=``, ``bits=`` and ``seed=``; returns an object with ``encode(x)`` for
        float32 rows (n, dim) and ``decode(codes)`` back to (n, dim), and if it likes
        ``inner_product(codes, y)``, (m, n), and ``interval(codes, y, confidence)``, two of these.
        Its codes may be anything; ``nbytes`` is reported.

    Raises
    ------
    TypeError
        If the name is not a str, or the factory is not callable.
    ValueError
        If the name is empty or taken.

    Examples
    --------
    >>> class Half:
    ...     def __init__(self, dim, bits, seed): ...
    ...     def encode(self, x):
    ...         return x.astype("float16")
    ...     def decode(self, codes):
    ...         return codes.astype("float32")
    >>> register("example/half", Half)
    >>> "example/half" in available()
    True
    """
    if not isinstance(name, str):
        raise TypeError(f"name is {type(name).__name__} {brief(name)}, expected str")
    if not name:
        raise ValueError("name is empty, expected what `create` shall call the method")
    if name in _FACTORIES or name in _DEFAULTS:
        raise ValueError(f"method {name!r} is registered already")
    if not callable(factory):
        raise TypeError(f"factory of {name!r} is {type(factory).__name__}, expected a callable")
    _FACTORIES[name] = factory


def create(name: str, *, dim: int, bits: float, seed: int = 0, **options: Any) -> Any:
    """Makes the quantizer of that name.

    Parameters
    ----------
    name : str
        One of :func:`available`, or a method without its scale rule for the default: ``unbiased``,
        and ``mse`` for ``turboquant``.
    dim, bits, seed, **options
        Given to the method.

    Returns
    -------
    Quantizer
        Or whatever the registered factory returns.

    Raises
    ------
    ValueError
        If there is no such method.

    Examples
    --------
    >>> create("eden/mse", dim=384, bits=2)
    create('eden/mse', dim=384, bits=2, rotation='hadamard', seed=0)
    """
    return _FACTORIES[full_name(name)](dim=dim, bits=bits, seed=seed, **options)
