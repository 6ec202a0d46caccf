"""What quantizers do to rows, measured beside the theory.

The criteria are the reconstruction error, the expected inner-product error and the high-probability
inner-product error. Recall, ranks, interval coverage, bytes and times are measured too.
"""

from blockquant.measurement._compare import compare
from blockquant.measurement._errors import Errors
from blockquant.measurement._figures import CRITERIA, Figures
from blockquant.measurement._fitted import FITTED, Model, chosen, full_name, is_fitted
from blockquant.measurement._measurement import Distortion, measure
from blockquant.measurement._student import half_interval
from blockquant.measurement._verdicts import Difference, Used, Verdict

__all__ = [
    "CRITERIA",
    "FITTED",
    "Difference",
    "Distortion",
    "Errors",
    "Figures",
    "Model",
    "Used",
    "Verdict",
    "chosen",
    "compare",
    "full_name",
    "half_interval",
    "is_fitted",
    "measure",
]
