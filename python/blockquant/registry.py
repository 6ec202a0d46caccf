"""Methods by name, built-in and anyone's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from blockquant._checks import brief
from blockquant._methods import DEFAULTS, PARTS, did_you_mean
from blockquant.methods import FACES

Factory = Callable[..., Any]


def _built_in(name: str) -> Factory:
    """The face of a method with its scale rule, or its variant, filled in."""
    family, _, variant = name.partition("/")
    _, scale = PARTS[name]
    option = {"scale": scale} if scale is not None else {"variant": variant} if variant else {}
    return lambda **options: FACES[family](**option, **options)


_FACTORIES: dict[str, Factory] = {name: _built_in(name) for name in PARTS}
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
    full = DEFAULTS.get(name, name)
    if full not in _FACTORIES:
        names = list(_FACTORIES)
        raise ValueError(
            f"unknown method {name!r}, {did_you_mean(name, [*names, *DEFAULTS])}expected one of "
            f"{', '.join(names)}"
        )
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
    if name in _FACTORIES or name in DEFAULTS:
        raise ValueError(f"method {name!r} is registered already")
    if not callable(factory):
        raise TypeError(f"factory of {name!r} is {type(factory).__name__}, expected a callable")
    _FACTORIES[name] = factory


def create(name: str, *, dim: int, bits: float, seed: int = 0, **options: Any) -> Any:
    """Makes the quantizer of that name.

    Parameters
    ----------
    name : str
        One of :func:`available`, or a method without its scale rule or variant for the default,
        as :func:`full_name` gives it.
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
