"""The core's table of methods: what is known of each by name, before anything is built."""

from __future__ import annotations

from blockquant import _core

#: The rows of the table, by the name that the core takes.
TABLE: dict[str, _core.Method] = {method.name: method for method in _core.methods()}


def _full_names(method: _core.Method) -> list[str]:
    """The method with each of its scale rules, the default last."""
    if not method.scales:
        return [method.name]
    return [f"{method.name}/{scale}" for scale in reversed(method.scales)]


#: The method and the scale rule of each full name. A rule of the method's own is None.
PARTS: dict[str, tuple[_core.Method, str | None]] = {
    full: (method, full.rpartition("/")[2] if method.scales else None)
    for method in TABLE.values()
    for full in _full_names(method)
}

#: The full name that each short one stands for: the default rule, or the first variant.
DEFAULTS: dict[str, str] = {}
for _full, (_method, _) in PARTS.items():
    if _method.scales:
        DEFAULTS[_method.name] = _full
    elif "/" in _full:
        DEFAULTS.setdefault(_full.partition("/")[0], _full)

#: The method that a command takes if none is given.
DEFAULT = DEFAULTS[next(iter(DEFAULTS))]


def states_intervals(name: str) -> bool:
    """Whether the scale rule of a built-in method keeps the angle of row and code.

    Examples
    --------
    >>> states_intervals("eden/mse"), states_intervals("turboquant/mse")
    (True, False)
    """
    _, scale = PARTS[name]
    return scale not in (None, "none")


def has_rate(method: _core.Method, bits: float) -> bool:
    """Whether the method takes so many bits per coordinate.

    Examples
    --------
    >>> has_rate(TABLE["eden"], 2), has_rate(TABLE["eden"], 2.5)
    (True, False)
    """
    step = method.bit_step
    return 0 < bits <= method.most_bits and (step == 0 or bits % step == 0)


def did_you_mean(name: str, names: list[str]) -> str:
    """A suggestion for an error, with a space after it, or nothing if no name is close.

    Examples
    --------
    >>> did_you_mean("edne", ["eden", "rabitq"])
    "did you mean 'eden'? "
    """
    closest = _core.closest(name, names)
    return "" if closest is None else f"did you mean {closest!r}? "
