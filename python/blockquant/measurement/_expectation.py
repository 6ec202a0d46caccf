"""What theory, or the model of fitted axes, expects of a method on one set of rows."""

from __future__ import annotations

from typing import Any

from blockquant import theory
from blockquant._methods import states_intervals
from blockquant.measurement._centered import Pairs
from blockquant.measurement._truth import Truth
from blockquant.quantizer import Quantizer

#: Levels of the error quantiles and their fields.
LEVELS = {"q50": 0.5, "q99": 0.99, "q999": 0.999, "q9999": 0.9999}
_EXPECTED = [
    f"{name}_theory" for name in ("nmse", "bias", "ip_error", "variance", *LEVELS, "half_width")
]


class Expectation:
    """The theory of methods on one set of rows. The values of each method are computed once."""

    def __init__(self, confidence: float) -> None:
        self._confidence = confidence
        self._known: dict[Any, dict[str, float | None]] = {}

    def of(self, q: Any, truth: Truth) -> dict[str, float | None]:
        """The fields ``*_theory`` of :class:`Distortion`."""
        if getattr(q, "criterion", None) is not None:
            return self._predicted(q)
        name, bits = getattr(q, "name", None), getattr(q, "bits", None)
        if name is None or bits is None or not theory.supported(name, bits):
            return dict.fromkeys(_EXPECTED)
        if getattr(q, "scale_search", None) is not None:  # no closed form
            return dict.fromkeys(_EXPECTED)
        method = name, bits, getattr(q, "block", None), getattr(q, "states", None)
        center = getattr(q, "center", None)
        key = method, None if center is None else center.tobytes()
        if key not in self._known:
            self._known[key] = (
                self._look_up(*method, truth)
                if center is None
                else self._look_up_centered(*method, center, truth)
            )
        return self._known[key]

    def _predicted(self, q: Quantizer) -> dict[str, float | None]:
        """What the model of fitted axes expects, for rows and queries like those of its sample.

        It has no rotation, so it is computed for the first seed only.
        """
        key = q.name, q.bits, q.block, q.states, q.criterion, q.rotation, tuple(q.groups or ())
        if key not in self._known:
            found = q.predicted
            self._known[key] = dict.fromkeys(_EXPECTED) | (
                {"nmse_theory": found.nmse, "ip_error_theory": found.ip_error} if found else {}
            )
        return self._known[key]

    def _look_up_centered(
        self,
        name: str,
        bits: float,
        block: int | None,
        states: int | None,
        center: Any,
        truth: Truth,
    ) -> dict[str, float | None]:
        """As :meth:`_look_up`, for rows minus the center (:mod:`._centered`)."""
        d = truth.shape[2]
        across = Pairs.of(center, True, truth)
        # Biased estimates have no exact term, so their queries are not centered.
        slope = theory.inner_product_bias(name, bits, d, block, states=states)
        pairs = Pairs.of(center, False, truth) if slope != 0 else across

        def mean(of: Any) -> float:
            square = pairs.product_square / pairs.size_square
            return float(pairs.size_square * of(name, bits, d, block, square, states=states))

        def quantile(level: float) -> float | None:
            products, sizes, weights = pairs.cosines, pairs.sizes, pairs.weights
            return theory.error_quantile(
                name, level, bits, d, 0.0, block, products, weights, sizes, states=states
            )

        error = mean(theory.inner_product_error)
        bias = slope * pairs.slope
        square = across.cosine_size / across.size
        wide = theory.interval_half_width
        return {
            "nmse_theory": theory.nmse(name, bits, d, block, states=states) * pairs.share,
            "bias_theory": bias,
            "ip_error_theory": error,
            "variance_theory": error - d * bias**2 * truth.square,
            **{f"{field}_theory": quantile(level) for field, level in LEVELS.items()},
            "half_width_theory": (
                across.size * wide(name, bits, d, self._confidence, block, square, states=states)
                if states_intervals(name)
                else None
            ),
        }

    def _look_up(
        self, name: str, bits: float, block: int | None, states: int | None, truth: Truth
    ) -> dict[str, float | None]:
        d, square = truth.shape[2], truth.square
        products, weights = truth.products, truth.weights

        def of(value: Any, *more: float | None) -> float:
            return float(value(name, bits, d, *more, states=states))

        def quantile(level: float) -> float | None:
            return theory.error_quantile(
                name, level, bits, d, 0.0, block, products, weights, states=states
            )

        has = states_intervals(name)
        return {
            "nmse_theory": of(theory.nmse, block),
            "bias_theory": of(theory.inner_product_bias, block),
            "ip_error_theory": of(theory.inner_product_error, block, square),
            "variance_theory": of(theory.inner_product_variance, block, square),
            **{f"{field}_theory": quantile(level) for field, level in LEVELS.items()},
            "half_width_theory": (
                of(theory.interval_half_width, self._confidence, block, square) if has else None
            ),
        }
