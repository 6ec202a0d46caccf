"""Many methods side by side: the same rows, queries and rotation seeds for all."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any

import numpy as np

from blockquant import _core, registry
from blockquant._arrays import sample
from blockquant._checks import between, brief, real, whole
from blockquant.distortion._budget import Rate, Unmet, within
from blockquant.distortion._comparison import Comparison
from blockquant.distortion._measurement import Distortion, Expectation, run
from blockquant.distortion._truth import Truth
from blockquant.methods import COMPARED


def compare(
    x: Any = None,
    y: Any = None,
    methods: Sequence[str] | None = None,
    bits: Sequence[float] = (1, 2, 3, 4),
    seeds: int = 5,
    rotation: str = "hadamard",
    progress: Callable[[str], None] | None = None,
    *,
    bytes_per_vector: Sequence[int] | None = None,
    confidence: float = 0.99,
    source: str | None = None,
) -> Comparison:
    """Measures methods side by side: the same rows, queries and seeds for all.

    Parameters
    ----------
    x, y : array_like, (n, d) and (m, d), optional
        Rows and queries as for :func:`measure`; by default the shipped sample.
    methods : sequence of str, optional
        Names as for :func:`blockquant.create`, each measured once; by default all built-in methods
        in their usual scale rules.
    bits : sequence of float
        Bits per coordinate, each measured once. A method that cannot have such bits is left out at
        this rate, and `unmet` of the result says why.
    seeds : int
        Number of rotation seeds, 0, 1, ….
    rotation : str
        ``hadamard`` or ``haar``, for the built-in methods.
    progress : callable, optional
        It is called with one line before each run.
    bytes_per_vector : sequence of int, optional
        Instead of bits: budgets of stored bytes per vector, every byte counted. Each method has
        the most bits that fit; BlockQuant, also between whole ones, the rate and block of the
        least error in theory (of codebooks of 2 to 256 words and the default ones). A method
        without bits that fit is left out, as above.
    confidence : float
        Of the intervals whose coverage is measured.
    source : str, optional
        What the rows are, for the report.

    Returns
    -------
    Comparison

    Raises
    ------
    TypeError
        If the methods or rates are not a list.
    ValueError
        If a method is unknown, if methods, rates or seeds are empty, if all methods are left out
        at all rates, or as for :func:`measure`, the method named.

    Examples
    --------
    >>> import blockquant as bq
    >>> c = bq.compare(methods=["eden/mse", "blockquant/mse"], bits=[2], seeds=2)
    >>> print(c.verdicts()[0].best)
    blockquant/mse
    >>> c = bq.compare(methods=["eden/mse", "turboquant/prod"], bytes_per_vector=[100], seeds=1)
    >>> [(row["method"], row["bits"], row["bytes_per_vector"]) for row in c.rows()]
    [('eden/mse', 2, 100.0), ('turboquant/prod', 1, 56.0)]
    """
    from blockquant import __version__

    seeds = whole(seeds, "seeds")
    confidence = between(confidence, "confidence")
    if isinstance(methods, str):
        raise TypeError(f"methods is str {methods!r}, expected a list of names")
    for given, what in ((bits, "bits"), (bytes_per_vector, "bytes_per_vector")):
        if isinstance(given, Real):
            raise TypeError(f"{what} is {brief(given)}, expected a list of numbers")
    chosen = list(dict.fromkeys(map(registry.full_name, COMPARED if methods is None else methods)))
    unit = "bits" if bytes_per_vector is None else "bytes"
    if bytes_per_vector is None:
        marks = [mark for mark in dict.fromkeys(bits) if real(mark, "bits", 16)]
    else:
        marks = list(dict.fromkeys(whole(size, "bytes") for size in bytes_per_vector))
    if not chosen or not marks:
        raise ValueError(f"{len(chosen)} methods at {len(marks)} rates, expected at least one")
    if x is None:
        if y is not None:
            raise ValueError("queries y without rows x")
        x, y = sample()
        source = source or "the shipped sample of sentence embeddings"
    truth = Truth(x, y)
    expectation = Expectation(confidence)
    runs: dict[tuple[float, str], list[Distortion]] = {}
    rates: dict[tuple[float, str], Rate] = {}
    unmet: dict[tuple[float, str], str] = {}
    for mark in marks:
        for name in chosen:
            options: dict[str, Any] = {"rotation": rotation} if registry.is_built_in(name) else {}
            try:
                budget = unit == "bytes"
                rate = within(name, int(mark), truth, options) if budget else Rate(mark)
            except Unmet as reason:
                unmet[mark, name] = str(reason)
                continue
            if rate.block is not None:
                options["block"] = rate.block
            for seed in range(seeds):
                if progress is not None:
                    progress(f"{name}, {mark:g} {unit}, seed {seed}")
                try:
                    q = registry.create(
                        name, dim=truth.shape[2], bits=rate.bits, seed=seed, **options
                    )
                except ValueError as reason:
                    if seed:  # what is wrong is not the rate
                        raise
                    unmet[mark, name] = str(reason)
                    break
                rates[mark, name] = rate
                found = run(q, truth, name, confidence, expectation)
                runs.setdefault((mark, name), []).append(found)
    if not runs:
        wanted = ", ".join(f"{mark:g}" for mark in marks)
        raise ValueError(f"no method has {wanted} {unit}: {_reasons(unmet)}")
    about = {
        "source": source or "rows given",
        "rotation": rotation,
        "seeds": seeds,
        "unit": unit,
        "confidence": confidence,
        "zero_rows": truth.zero_rows,
        "zero_queries": truth.zero_queries,
        "machine": platform.machine(),
        "isa": _core.isa(),
        "threads": _core.num_threads(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blockquant": __version__,
    }
    return Comparison(runs, rates, unmet, about, truth)


def _reasons(unmet: dict[tuple[float, str], str]) -> str:
    """Each reason once, after the names of the methods that it holds for."""
    names: dict[str, dict[str, None]] = {}
    for (_, name), reason in unmet.items():
        names.setdefault(reason, {})[name] = None
    return "; ".join(f"{', '.join(some)}: {reason}" for reason, some in names.items())
