"""What quantizers do to rows, measured beside the theory.

The criteria are the reconstruction error, the expected inner-product error and the high-probability
inner-product error. Recall, ranks, interval coverage, bytes and times are measured too.
"""

from blockquant.measurement._compare import METHODS, compare
from blockquant.measurement._errors import Errors
from blockquant.measurement._figures import CRITERIA, Figures
from blockquant.measurement._measurement import Distortion, measure
from blockquant.measurement._student import half_interval
from blockquant.measurement._verdicts import Difference, Used, Verdict

__all__ = [
    "CRITERIA",
    "METHODS",
    "Difference",
    "Distortion",
    "Errors",
    "Figures",
    "Used",
    "Verdict",
    "compare",
    "half_interval",
    "measure",
]
