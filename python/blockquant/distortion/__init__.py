"""The three criteria, measured beside their theory: reconstruction, expected and high-probability
inner-product error."""

from blockquant.distortion._compare import compare
from blockquant.distortion._comparison import CRITERIA, Comparison
from blockquant.distortion._errors import Errors
from blockquant.distortion._measurement import Distortion, measure
from blockquant.distortion._student import half_interval
from blockquant.distortion._verdicts import Difference, Used, Verdict

__all__ = [
    "CRITERIA",
    "Comparison",
    "Difference",
    "Distortion",
    "Errors",
    "Used",
    "Verdict",
    "compare",
    "half_interval",
    "measure",
]
