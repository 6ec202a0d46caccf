"""The five methods: what each takes, with its defaults and papers."""

from __future__ import annotations

from typing import Any

from blockquant.axes import Axes
from blockquant.quantizer import Quantizer


class BlockQuant(Quantizer):
    """Block-Sphere Vector Quantization (arXiv 2605.19972): the nearest codeword of each block.

    Parameters
    ----------
    dim : int
        Coordinates of a row, 1 to 2^24, with a dense matrix (``haar``, ``prod``) to 2^15.
    bits : float
        Bits per coordinate, fractions included (2.5 is blocks of 2 with 32 codewords).
    block : int, optional
        Coordinates of a block; by default the largest with at most 256 codewords (at 3 bits: 4,
        with 4096).
    scale : str
        ``unbiased`` (inner products), ``mse`` (reconstruction) or ``none``.
    rotation : str
        ``hadamard`` (fast) or ``haar`` (the dense reference).
    seed : int
        Fixes the rotation, which is the same in every version.
    store_norm : bool
        Whether codes keep norms besides the scale: intervals and search by l2 and cosine need
        them. Four bytes per row more; with a center too, which gives ‖x‖ and ‖x − center‖.
    center : array_like, (dim,) or (n, dim), optional
        A vector, or a sample of rows whose mean is taken. The residual x − center is quantized,
        and with an unbiased scale rule queries are centered too (see
        :meth:`Quantizer.inner_product`), for four bytes per row without stored norms. Helps where
        rows and queries share a mean that is not small beside their spread.
    scale_search : int, optional
        How many scales of each row are searched for the best codewords: an odd number to 33; from
        3 bits on, not for ``none``. With 9 the squared error of 64 coordinates is 8 % less at 3
        bits and 15 % less at 4, that of 1536 is 1 and 2 % less, and encoding takes 5 to 8 times as
        long. Codes are read alike with and without it.
    axes : Axes, optional
        What :func:`blockquant.fit` returns for rows like these: rows are then coded along fitted
        axes, each group of which gets bits of its own, and the center is theirs. `bits` says what
        a row takes in all: at most ⌊dim·bits/8⌋ + 8 bytes, the scale included. Norms need no
        `store_norm` then, only intervals do, for some four bytes per row.
    criterion : str, optional
        What the bits of fitted axes are given for: ``recall`` (default), ``reconstruction`` or
        ``inner_product``.
    reserve : float, optional
        The part of the variance that is expected along all axes alike when bits are given, 0
        (default) to 1: the more, the less is lost by rows that are not like the sample, and the
        less is gained by rows that are. What follows from it is kept as `groups`.

    Raises
    ------
    TypeError
        If a parameter has the wrong type.
    ValueError
        If a parameter is out of range, or the codebook would exceed 2^16 words or 2^22
        numbers.

    Examples
    --------
    >>> import blockquant as bq
    >>> q = bq.BlockQuant(dim=384, bits=2, scale="mse")
    >>> q
    create('blockquant/mse', dim=384, bits=2, block=4, rotation='hadamard', seed=0)
    >>> q.codebook().shape
    (256, 4)
    >>> bq.BlockQuant(dim=64, bits=4, scale_search=9)
    create('blockquant/unbiased', dim=64, bits=4, block=2, rotation='hadamard', seed=0, \
scale_search=9)
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
        center: Any = None,
        scale_search: int | None = None,
        axes: Axes | None = None,
        criterion: str | None = None,
        reserve: float | None = None,
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
            center=center,
            scale_search=scale_search,
            axes=axes,
            criterion=criterion,
            reserve=reserve,
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
        center: Any = None,
        scale_search: int | None = None,
        axes: Axes | None = None,
        criterion: str | None = None,
        reserve: float | None = None,
    ) -> None:
        self._make(
            "eden",
            dim,
            bits,
            scale=scale,
            rotation=rotation,
            seed=seed,
            store_norm=store_norm,
            center=center,
            scale_search=scale_search,
            axes=axes,
            criterion=criterion,
            reserve=reserve,
        )


class RaBitQ(Quantizer):
    """RaBitQ (arXiv 2405.12497, 2409.09913): the grid point with the largest cosine, exactly.

    Parameters are those of :class:`Eden` without ``scale_search``: every scale is tried.

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
        center: Any = None,
        axes: Axes | None = None,
        criterion: str | None = None,
        reserve: float | None = None,
    ) -> None:
        self._make(
            "rabitq",
            dim,
            bits,
            scale=scale,
            rotation=rotation,
            seed=seed,
            store_norm=store_norm,
            center=center,
            axes=axes,
            criterion=criterion,
            reserve=reserve,
        )


class TurboQuant(Quantizer):
    """TurboQuant (arXiv 2504.19874): ``mse`` (Algorithm 1) or ``prod`` (Algorithm 2, with QJL).

    ``mse`` is EDEN with S = 1 and the exact law of a coordinate. Other parameters are those of
    :class:`Eden` without ``scale_search``.

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
        center: Any = None,
        axes: Axes | None = None,
        criterion: str | None = None,
        reserve: float | None = None,
    ) -> None:
        if variant not in ("mse", "prod"):
            raise ValueError(f"variant={variant!r}, expected 'mse' or 'prod'")
        self._make(
            f"turboquant/{variant}",
            dim,
            bits,
            rotation=rotation,
            seed=seed,
            store_norm=store_norm,
            center=center,
            axes=axes,
            criterion=criterion,
            reserve=reserve,
        )


class Trellis(Quantizer):
    """Trellis codes: one path through a shift register chooses the codewords of a whole row.

    Trellis-coded quantization (IEEE Transactions on Communications 38, 1990) with trained
    codewords: less error per byte than the blocks of :class:`BlockQuant`, in a time that is linear
    in ``dim`` and the same at every rate. A row takes ⌈dim·bits/8⌉ bytes besides its scale.

    Other parameters are those of :class:`BlockQuant` without ``block``.

    Parameters
    ----------
    bits : float
        Bits per coordinate, a multiple of .5 from .5 to 4.
    states : int
        States of the path: 16, 32, 64, 128 or 256. More take longer to encode, for less error.
        Decoding takes the same time.

    Examples
    --------
    >>> import blockquant as bq
    >>> bq.Trellis(dim=384, bits=2)
    create('trellis/unbiased', dim=384, bits=2, states=64, rotation='hadamard', seed=0)
    """

    def __init__(
        self,
        dim: int,
        bits: float,
        states: int = 64,
        scale: str = "unbiased",
        rotation: str = "hadamard",
        seed: int = 0,
        store_norm: bool = False,
        center: Any = None,
        axes: Axes | None = None,
        criterion: str | None = None,
        reserve: float | None = None,
    ) -> None:
        self._make(
            "trellis",
            dim,
            bits,
            states=states,
            scale=scale,
            rotation=rotation,
            seed=seed,
            store_norm=store_norm,
            center=center,
            axes=axes,
            criterion=criterion,
            reserve=reserve,
        )


#: The face of each method, by its name without a variant.
FACES: dict[str, type[Quantizer]] = {
    "blockquant": BlockQuant,
    "eden": Eden,
    "rabitq": RaBitQ,
    "trellis": Trellis,
    "turboquant": TurboQuant,
}

#: What a comparison measures if no methods are named.
COMPARED = (
    "blockquant/mse",
    "blockquant/unbiased",
    "eden/mse",
    "eden/unbiased",
    "turboquant/mse",
    "turboquant/prod",
    "rabitq/unbiased",
    "trellis/mse",
    "trellis/unbiased",
)

#: The method that it measures on fitted axes, where there is a sample.
FITTED = "trellis"
