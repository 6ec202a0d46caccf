from typing import Any, final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "MissingNorms",
    "Quantizer",
    "Sketch",
    "available_isa",
    "block_distortion",
    "bytes_per_vector",
    "interval_quantile",
    "isa",
    "lloyd_max",
    "num_threads",
    "open_file",
    "pack",
    "save",
    "set_num_threads",
    "unpack",
    "version",
]

#: Packed codes, scale, norm, residual norm and center product.
_Codes = tuple[
    NDArray[np.uint8],
    NDArray[np.float32],
    NDArray[np.float32] | None,
    NDArray[np.float32] | None,
    NDArray[np.float32] | None,
]

class MissingNorms(ValueError):
    #: What needs them, with its verb.
    what: str

@final
class Sketch:
    @property
    def nbytes(self) -> int: ...

@final
class Quantizer:
    def __new__(
        cls,
        method: str,
        dim: int,
        bits: float,
        *,
        scale: str | None = None,
        block: int | None = None,
        rotation: str = "hadamard",
        seed: int = 0,
        store_norm: bool = False,
        center: NDArray[np.float32] | None = None,
    ) -> Quantizer: ...
    @property
    def method(self) -> str: ...
    @property
    def scale(self) -> str: ...
    @property
    def dim(self) -> int: ...
    @property
    def bits(self) -> float: ...
    @property
    def block(self) -> int | None: ...
    @property
    def rotation(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def store_norm(self) -> bool: ...
    @property
    def center(self) -> NDArray[np.float32] | None: ...
    @property
    def code_bytes(self) -> int: ...
    def norms(self, codes: _Codes) -> NDArray[np.float32] | None: ...
    def encode(self, x: NDArray[Any], *, bfloat16: bool = False) -> _Codes: ...
    def decode(self, codes: _Codes) -> NDArray[np.float32]: ...
    def inner_product(
        self, codes: _Codes, y: NDArray[np.float32], out: NDArray[np.float32]
    ) -> None: ...
    def interval(
        self, codes: _Codes, y: NDArray[np.float32], confidence: float
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]: ...
    def sketch(self, codes: _Codes) -> Sketch | None: ...
    def search(
        self,
        codes: _Codes,
        sketch: Sketch | None,
        y: NDArray[np.float32],
        k: int,
        metric: str,
        allowed: NDArray[np.uint8] | None = None,
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]: ...
    def rotate(self, x: NDArray[np.float32]) -> NDArray[np.float32]: ...
    def unrotate(self, z: NDArray[np.float32]) -> NDArray[np.float32]: ...
    def codebook(self) -> NDArray[np.float32]: ...
    def tail_codebook(self) -> NDArray[np.float32] | None: ...
    def indices(self, packed: NDArray[np.uint8]) -> NDArray[np.uint16]: ...

def isa() -> str: ...
def version() -> str: ...
def available_isa() -> list[str]: ...
def set_num_threads(n: int) -> None: ...
def num_threads() -> int: ...
def lloyd_max(law: str, dim: int, bits: int) -> NDArray[np.float32]: ...
def block_distortion(dim: int, block: int, width: int) -> float: ...
def bytes_per_vector(
    method: str,
    dim: int,
    bits: float,
    *,
    scale: str | None = None,
    block: int | None = None,
    store_norm: bool = False,
    centered: bool = False,
) -> int: ...
def interval_quantile(dim: int, confidence: float) -> float: ...
def pack(indices: NDArray[np.uint16], width: int) -> NDArray[np.uint8]: ...
def unpack(packed: NDArray[np.uint8], count: int, width: int) -> NDArray[np.uint16]: ...
def save(path: str, quantizer: Quantizer, codes: _Codes) -> None: ...
def open_file(
    data: NDArray[np.uint8], verify: bool
) -> tuple[Quantizer, int, int, list[tuple[str, int, int]]]: ...
