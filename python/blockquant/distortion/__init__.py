"""The three criteria, measured beside their theory: reconstruction, expected and high-probability
inner-product error."""

from blockquant.distortion._comparison import (
    CRITERIA,
    METHODS,
    Comparison,
    Difference,
    Verdict,
    compare,
)
from blockquant.distortion._errors import Errors
from blockquant.distortion._measurement import Distortion, measure
from blockquant.distortion._student import half_interval

__all__ = [
    "CRITERIA",
    "METHODS",
    "Comparison",
    "Difference",
    "Distortion",
    "Errors",
    "Verdict",
    "compare",
    "half_interval",
    "measure",
]
