"""Rotation-based vector quantization: BlockQuant, EDEN, RaBitQ, TurboQuant and trellis codes.

>>> import numpy as np
>>> import blockquant as bq
>>> x, queries = bq.sample()
>>> q = bq.BlockQuant(dim=384, bits=2)
>>> codes = q.encode(x)
>>> codes.packed.shape, codes.packed.dtype
((2000, 96), dtype('uint8'))
>>> q.decode(codes).shape
(2000, 384)
>>> q.inner_product(codes, queries).shape
(200, 2000)
"""

from blockquant import files, shards, theory
from blockquant._arrays import sample
from blockquant._core import available_isa, isa, num_threads, version
from blockquant._fitted import Predicted, PredictedGroup
from blockquant.axes import Axes
from blockquant.cache import KeyValueCache
from blockquant.codes import Codes, concatenate
from blockquant.files.codes import load, save
from blockquant.fitting import AxesFit, fit
from blockquant.index import Index
from blockquant.measurement import Distortion, measure
from blockquant.methods import BlockQuant, Eden, RaBitQ, Trellis, TurboQuant
from blockquant.quantizer import Quantizer
from blockquant.registry import available, create, register
from blockquant.report import Comparison, compare
from blockquant.tables import from_arrow
from blockquant.threads import set_num_threads

__version__ = version()

__all__ = [
    "Axes",
    "AxesFit",
    "BlockQuant",
    "Codes",
    "Comparison",
    "Distortion",
    "Eden",
    "Index",
    "KeyValueCache",
    "Predicted",
    "PredictedGroup",
    "Quantizer",
    "RaBitQ",
    "Trellis",
    "TurboQuant",
    "available",
    "available_isa",
    "compare",
    "concatenate",
    "create",
    "files",
    "fit",
    "from_arrow",
    "isa",
    "load",
    "measure",
    "num_threads",
    "register",
    "sample",
    "save",
    "set_num_threads",
    "shards",
    "theory",
]
