"""The measurement of several methods on the same rows, queries and rotation seeds."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any

import numpy as np

from blockquant import _core, registry
from blockquant._arrays import sample as shipped
from blockquant._checks import between, brief, real, whole
from blockquant._fitted import Predicted
from blockquant.measurement import _fitted
from blockquant.measurement._budget import Rate, Unmet, within
from blockquant.measurement._expectation import Expectation
from blockquant.measurement._figures import Figures
from blockquant.measurement._measurement import Distortion, run
from blockquant.measurement._truth import Truth


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
    sample: Any = None,
) -> Figures:
    """The figures of several methods on the same rows, queries and seeds.

    :func:`blockquant.compare` documents the parameters, the errors and the result.
    """
    seeds = whole(seeds, "seeds")
    confidence = between(confidence, "confidence")
    if isinstance(methods, str):
        raise TypeError(f"methods is str {methods!r}, expected a list of names")
    for given, what in ((bits, "bits"), (bytes_per_vector, "bytes_per_vector")):
        if isinstance(given, Real):
            raise TypeError(f"{what} is {brief(given)}, expected a list of numbers")
    chosen = _fitted.chosen(methods, sample)
    share = None if sample is None else _fitted.as_share(sample)
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
        x, y = shipped()
        source = source or "the shipped sample of sentence embeddings"
    truth = Truth(x, y, share)
    model = None
    if sample is not None:
        if progress is not None:
            progress("fit")
        model = _fitted.model(sample, share, truth)
    expectation = Expectation(confidence)
    predicted: dict[tuple[float, str], Predicted] = {}
    runs: dict[tuple[float, str], list[Distortion]] = {}
    rates: dict[tuple[float, str], Rate] = {}
    unmet: dict[tuple[float, str], str] = {}
    for mark in marks:
        for name in chosen:
            built_in = _fitted.is_fitted(name) or registry.is_built_in(name)
            options: dict[str, Any] = {"rotation": rotation} if built_in else {}
            try:
                rate = _rate(name, mark, truth, options) if unit == "bytes" else Rate(mark)
            except Unmet as reason:
                unmet[mark, name] = str(reason)
                continue
            if rate.block is not None:
                options["block"] = rate.block
            for seed in range(seeds):
                if progress is not None:
                    progress(f"{name}, {mark:g} {unit}, seed {seed}")
                try:
                    q = _made(name, model, dim=truth.shape[2], bits=rate.bits, seed=seed, **options)
                except ValueError as reason:
                    if seed:  # Seed 0 worked, so the rate is not the reason.
                        raise
                    unmet[mark, name] = str(reason)
                    break
                rates[mark, name] = rate
                found = run(q, truth, name, confidence, expectation)
                runs.setdefault((mark, name), []).append(found)
                if _fitted.is_fitted(name) and not seed and q.predicted is not None:
                    predicted[mark, name] = q.predicted
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
        "blockquant": _core.version(),
    }
    if model is not None:
        about["sample"] = _fitted.about(model)
    centers = np.asarray(truth.products, np.float64)
    shares = np.asarray(truth.weights / truth.weights.sum(), np.float64)
    return Figures(runs, rates, unmet, about, truth.shape, (centers, shares), model, predicted)


def _rate(name: str, budget: float, truth: Truth, options: dict[str, Any]) -> Rate:
    if _fitted.is_fitted(name):
        return _fitted.within(int(budget), truth.shape[2])
    return within(name, int(budget), truth, options)


def _made(name: str, model: _fitted.Model | None, **options: Any) -> Any:
    if model is not None and _fitted.is_fitted(name):
        return _fitted.create(name, model.axes, **options)
    return registry.create(name, **options)


def _reasons(unmet: dict[tuple[float, str], str]) -> str:
    """Each reason once, after the names of the methods that it concerns."""
    names: dict[str, dict[str, None]] = {}
    for (_, name), reason in unmet.items():
        names.setdefault(reason, {})[name] = None
    return "; ".join(f"{', '.join(some)}: {reason}" for reason, some in names.items())
