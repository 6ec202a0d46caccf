"""Quantizers and codes: thin faces of the core's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockquant import _core
from blockquant._arrays import as_float32, as_rows

_Float = NDArray[np.float32]


class Codes:
    """The codes of a batch of rows.

    Parameters
    ----------
    packed
        uint8 (n, bytes): the indexes, least significant bit first, rows aligned to bytes.
    scale
        float32 (n,): s = ‖x‖·S.
    norm
        float32 (n,): ‖x‖, where the quantizer stores it.
    residual_norm
        float32 (n,): γ of TurboQuant ``prod``.
    dim
        Coordinates of a row.
    made_by
        What the codes belong to; decoding with another quantizer is an error.

    Examples
    --------
    >>> import blockquant as bq
    >>> codes = bq.Eden(dim=384, bits=1).encode(bq.sample()[0])
    >>> len(codes), codes.nbytes, round(codes.bits_per_dimension, 3)
    (2000, 104000, 1.083)
    >>> len(codes[10:20]), len(codes[codes.scale > 0])
    (10, 2000)
    """

    __slots__ = ("dim", "made_by", "norm", "packed", "residual_norm", "scale")

    def __init__(
        self,
        packed: NDArray[np.uint8],
        scale: _Float,
        norm: _Float | None,
        residual_norm: _Float | None,
        dim: int,
        made_by: str,
    ) -> None:
        self.packed = packed
        self.scale = scale
        self.norm = norm
        self.residual_norm = residual_norm
        self.dim = dim
        self.made_by = made_by

    def __len__(self) -> int:
        return len(self.scale)

    def __getitem__(self, rows: Any) -> Codes:
        """The rows of a slice, a boolean mask, positions, or one position, as Codes."""
        if isinstance(rows, (int, np.integer)):
            rows = [rows]

        def pick(values: _Float | None) -> _Float | None:
            return None if values is None else values[rows]

        return Codes(
            self.packed[rows],
            self.scale[rows],
            pick(self.norm),
            pick(self.residual_norm),
            self.dim,
            self.made_by,
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Codes):
            return NotImplemented
        return self.made_by == other.made_by and all(
            np.array_equal(a, b) if a is not None and b is not None else (a is None) == (b is None)
            for a, b in zip(self._arrays(), other._arrays(), strict=True)
        )

    __hash__ = None  # type: ignore[assignment]

    def _arrays(self) -> tuple[NDArray[Any] | None, ...]:
        return self.packed, self.scale, self.norm, self.residual_norm

    @property
    def nbytes(self) -> int:
        """Every stored byte."""
        return sum(array.nbytes for array in self._arrays() if array is not None)

    @property
    def bits_per_dimension(self) -> float:
        """Every stored bit over n·dim; nan for no rows."""
        return 8 * self.nbytes / (len(self) * self.dim) if len(self) else float("nan")

    def __repr__(self) -> str:
        return f"<Codes of {len(self)} rows, {self.nbytes} bytes, by {self.made_by}>"


def concatenate(codes: Sequence[Codes]) -> Codes:
    """Joins codes of the same quantizer.

    Raises
    ------
    ValueError
        If there are none, or they come from different quantizers.

    Examples
    --------
    >>> import blockquant as bq
    >>> codes = bq.Eden(dim=384, bits=1).encode(bq.sample()[0])
    >>> bq.concatenate([codes[:5], codes[5:]]) == codes
    True
    """
    if not codes:
        raise ValueError("no codes to concatenate")
    first = codes[0]
    for place, other in enumerate(codes):
        if other.made_by != first.made_by:
            raise ValueError(
                f"codes {place} were made by {other.made_by}, the first by {first.made_by}"
            )

    def join(name: str) -> Any:
        arrays = [getattr(part, name) for part in codes]
        return None if arrays[0] is None else np.concatenate(arrays)

    return Codes(
        join("packed"), join("scale"), join("norm"), join("residual_norm"), first.dim, first.made_by
    )


class Quantizer:
    """Base of the four methods: encode, decode and inner products on the codes.

    Not made directly: see :class:`BlockQuant`, :class:`Eden`, :class:`TurboQuant`, :class:`RaBitQ`,
    or
    :func:`blockquant.create`.
    """

    _core: _core.Quantizer

    def _make(self, method: str, dim: int, bits: float, **options: Any) -> None:
        for name, value in (("dim", dim), ("seed", options["seed"])):
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 0:
                raise ValueError(f"{name}={value!r}, expected a non-negative whole number")
        self._core = _core.Quantizer(method, int(dim), float(bits), **options)

    @property
    def name(self) -> str:
        """Method and scale rule, as :func:`blockquant.create` takes it."""
        core = self._core
        return core.method if "/" in core.method else f"{core.method}/{core.scale}"

    @property
    def scale(self) -> str:
        """Scale rule: ``none``, ``mse``, ``unbiased``; ``prod`` for TurboQuant's second
        algorithm."""
        return self._core.scale

    @property
    def dim(self) -> int:
        """Coordinates of a row."""
        return self._core.dim

    @property
    def bits(self) -> float:
        """Bits a coordinate."""
        return self._core.bits

    @property
    def block(self) -> int | None:
        """Coordinates of a block, for BlockQuant."""
        return self._core.block

    @property
    def rotation(self) -> str:
        """``hadamard`` or ``haar``."""
        return self._core.rotation

    @property
    def seed(self) -> int:
        """Seed of everything random."""
        return self._core.seed

    @property
    def store_norm(self) -> bool:
        """Whether codes keep ‖x‖."""
        return self._core.store_norm

    def __repr__(self) -> str:
        core = self._core
        given = [f"{core.method!r}" if core.method.startswith("turboquant") else f"{self.name!r}"]
        given += [f"dim={core.dim}", f"bits={core.bits:g}"]
        given += [f"block={core.block}"] if core.block is not None else []
        given += [f"rotation={core.rotation!r}", f"seed={core.seed}"]
        given += ["store_norm=True"] if core.store_norm else []
        return f"create({', '.join(given)})"

    def encode(self, x: Any) -> Codes:
        """Quantizes rows.

        Parameters
        ----------
        x
            (n, dim), or (dim,) for one row; float16, bfloat16, float32 or float64; any strides;
            NumPy, torch
            CPU tensors, or anything with DLPack or ``__array__``.

        Returns
        -------
        Codes
            One code a row; the same bytes for any number of threads, any strides, and for a row
            alone or in
            a batch.

        Raises
        ------
        TypeError
            If the elements are no real floating numbers.
        ValueError
            If the shape is wrong, or a value is NaN, infinite or beyond float32; names row and
            column.

        Examples
        --------
        >>> import blockquant as bq
        >>> bq.Eden(dim=2, bits=1).encode([[1.0, float("nan")]])
        Traceback (most recent call last):
            ...
        ValueError: row 0, column 1 is NaN, expected a finite float32 value
        """
        rows, is_bfloat16 = as_rows(x, self.dim)
        packed, scale, norm, residual_norm = self._core.encode(rows, bfloat16=is_bfloat16)
        return Codes(packed, scale, norm, residual_norm, self.dim, repr(self))

    def decode(self, codes: Codes) -> _Float:
        """Reconstructs the rows.

        Parameters
        ----------
        codes
            Codes that this quantizer, or one with the same parameters, made.

        Returns
        -------
        ndarray
            float32 (n, dim).

        Raises
        ------
        ValueError
            If the codes come from another quantizer.
        """
        self._check(codes)
        return self._core.decode(codes.packed, codes.scale, codes.residual_norm)

    def inner_product(self, codes: Codes, y: Any) -> _Float:
        """Estimates every ⟨x, y⟩ from the packed codes, without decoding the batch.

        Parameters
        ----------
        codes
            n codes.
        y
            (m, dim) or (dim,), as for :meth:`encode`.

        Returns
        -------
        ndarray
            float32 (m, n): ⟨x̂, y⟩, unbiased over rotations where the scale rule is ``unbiased`` or
            the variant
            ``prod``.
        """
        self._check(codes)
        queries = as_float32(y, self.dim, "y")
        return self._core.inner_product(codes.packed, codes.scale, codes.residual_norm, queries)

    def rotate(self, x: Any) -> _Float:
        """R x for each row: float32 (n, dim)."""
        return self._core.rotate(as_float32(x, self.dim))

    def codebook(self) -> _Float:
        """The codewords (K, block), or levels (K, 1), float32, in units of √d·R x/‖x‖."""
        return self._core.codebook()

    def tail_codebook(self) -> _Float | None:
        """The codewords of the last ``dim % block`` coordinates, (K, t), where there are any."""
        return self._core.tail_codebook()

    def indices(self, codes: Codes) -> NDArray[np.uint16]:
        """The unpacked indexes, (n, indexes of a row)."""
        self._check(codes)
        return self._core.indices(codes.packed)

    def _check(self, codes: Codes) -> None:
        if not isinstance(codes, Codes):
            raise TypeError(f"codes is {type(codes).__name__}, expected Codes")
        if codes.made_by != repr(self):
            raise ValueError(f"the codes were made by {codes.made_by}, this is {self!r}")


class BlockQuant(Quantizer):
    """Block-Sphere Vector Quantization (arXiv 2605.19972): the nearest codeword of each block.

    Parameters
    ----------
    dim
        Coordinates of a row, any number from 1 on.
    bits
        Bits a coordinate, fractions included (2.5 is blocks of 2 with 32 codewords).
    block
        Coordinates of a block; by default the largest with at most 256 codewords (at 3 bits 4, with
        4096).
    scale
        ``unbiased`` (inner products), ``mse`` (reconstruction) or ``none``.
    rotation
        ``hadamard`` (fast) or ``haar`` (the dense reference).
    seed
        Fixes the rotation, for ever.
    store_norm
        Whether codes keep ‖x‖ besides the scale.

    Examples
    --------
    >>> import blockquant as bq
    >>> q = bq.BlockQuant(dim=384, bits=2, scale="mse")
    >>> q
    create('blockquant/mse', dim=384, bits=2, block=4, rotation='hadamard', seed=0)
    >>> q.codebook().shape
    (256, 4)
    """

    def __init__(
        self,
        dim: int,
        bits: float,
        block: int | None = None,
        scale: str = "unbiased",
        rotation: str = "hadamard",
        seed: int = 0,
        store_norm: bool = False,
    ) -> None:
        self._make(
            "blockquant",
            dim,
            bits,
            block=block,
            scale=scale,
            rotation=rotation,
            seed=seed,
            store_norm=store_norm,
        )


class Eden(Quantizer):
    """EDEN (arXiv 2105.08339; ICML 2022): the nearest Gaussian Lloyd–Max level of each coordinate.

    Parameters are those of :class:`BlockQuant` without ``block``; ``bits`` 1 to 8, ``scale``
    ``unbiased`` or ``mse``.

    Examples
    --------
    >>> import blockquant as bq
    >>> bq.Eden(dim=128, bits=2).codebook().ravel().round(3).tolist()
    [-1.5099999904632568, -0.453000009059906, 0.453000009059906, 1.5099999904632568]
    """

    def __init__(
        self,
        dim: int,
        bits: float,
        scale: str = "unbiased",
        rotation: str = "hadamard",
        seed: int = 0,
        store_norm: bool = False,
    ) -> None:
        self._make(
            "eden", dim, bits, scale=scale, rotation=rotation, seed=seed, store_norm=store_norm
        )


class RaBitQ(Quantizer):
    """RaBitQ (arXiv 2405.12497, 2409.09913): the grid point with the largest cosine, exactly.

    Parameters are those of :class:`Eden`.

    Examples
    --------
    >>> import blockquant as bq
    >>> bq.RaBitQ(dim=128, bits=2).codebook().ravel().tolist()
    [-1.5, -0.5, 0.5, 1.5]
    """

    def __init__(
        self,
        dim: int,
        bits: float,
        scale: str = "unbiased",
        rotation: str = "hadamard",
        seed: int = 0,
        store_norm: bool = False,
    ) -> None:
        self._make(
            "rabitq", dim, bits, scale=scale, rotation=rotation, seed=seed, store_norm=store_norm
        )


class TurboQuant(Quantizer):
    """TurboQuant (arXiv 2504.19874): ``mse`` (Algorithm 1) or ``prod`` (Algorithm 2, with QJL).

    ``mse`` is EDEN with S = 1 and the exact law of a coordinate. Other parameters are those of
    :class:`Eden`.

    Examples
    --------
    >>> import blockquant as bq
    >>> bq.TurboQuant(dim=128, bits=2, variant="prod").name
    'turboquant/prod'
    """

    def __init__(
        self,
        dim: int,
        bits: float,
        variant: str = "mse",
        rotation: str = "hadamard",
        seed: int = 0,
        store_norm: bool = False,
    ) -> None:
        if variant not in ("mse", "prod"):
            raise ValueError(f"variant={variant!r}, expected 'mse' or 'prod'")
        self._make(
            f"turboquant/{variant}", dim, bits, rotation=rotation, seed=seed, store_norm=store_norm
        )
