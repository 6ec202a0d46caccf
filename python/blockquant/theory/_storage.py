"""What a row costs, side information included."""

from __future__ import annotations

from blockquant import _core
from blockquant._methods import DEFAULTS, PARTS


def bytes_per_vector(
    name: str,
    bits: float,
    dim: int,
    block: int | None = None,
    store_norm: bool = False,
    center: bool = False,
    *,
    states: int | None = None,
) -> int:
    """Every stored byte of a row: ⌈code bits/8⌉ and 4 for each scalar.

    The scalars are the scale s, γ for TurboQuant ``prod`` (arXiv 2504.19874) and the norm where it
    is stored. With a center μ a row stores ⟨μ, x − μ⟩ where estimates are unbiased, so that queries
    are centered too, and with norms ‖x − μ‖ and ⟨μ, x − μ⟩, from which ‖x‖ follows. No dimension is
    padded, and the code bits are ⌈d·bits⌉; for BlockQuant ⌊d/p⌋ indexes of w = round(bits·p) bits
    and ⌈t·w/p + ¼⌉ bits for a tail of t.

    Parameters
    ----------
    name : str
        As for :func:`blockquant.create`.
    bits : float
        Bits per coordinate.
    dim : int
        Coordinates of a row.
    block : int, optional
        Coordinates of a block, for BlockQuant.
    states : int, optional
        States of the path, for Trellis.
    store_norm : bool
        Whether norms are stored.
    center : bool
        Whether rows are centered.

    Raises
    ------
    ValueError
        If there is no such method, or it cannot have such bits.

    Examples
    --------
    >>> bytes_per_vector("eden/unbiased", 2, 384), bytes_per_vector("turboquant/prod", 2, 384)
    (100, 104)
    >>> bytes_per_vector("eden/unbiased", 2, 384, store_norm=True, center=True)
    108
    """
    # The core names what is wrong with a name that is not in the table.
    known = PARTS.get(DEFAULTS.get(name, name))
    method, scale = (name, None) if known is None else (known[0].name, known[1])
    return _core.bytes_per_vector(
        method,
        dim,
        bits,
        scale=scale,
        block=block,
        states=states,
        store_norm=store_norm,
        centered=center,
    )


def bits_per_dimension(
    name: str,
    bits: float,
    dim: int,
    block: int | None = None,
    store_norm: bool = False,
    center: bool = False,
    *,
    states: int | None = None,
) -> float:
    """Every stored bit of a row over its coordinates: 8·:func:`bytes_per_vector`/d.

    Parameters and errors are those of :func:`bytes_per_vector`.

    Examples
    --------
    >>> bits_per_dimension("eden/unbiased", 2, 1024)
    2.03125
    """
    return 8 * bytes_per_vector(name, bits, dim, block, store_norm, center, states=states) / dim
