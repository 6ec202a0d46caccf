"""The bits of indexes in torch operations, in the layout of the core, which is frozen."""

from __future__ import annotations

import torch


def pack(index: torch.Tensor, width: int) -> torch.Tensor:
    """The bits of indexes, least significant first.

    Parameters
    ----------
    index : Tensor of int64, (n, count)
        Indexes below 2^width.
    width : int
        Bits per index, 1 to 16.

    Returns
    -------
    Tensor of uint8, (n, count·width)
        One bit per element.

    Examples
    --------
    >>> import torch
    >>> pack(torch.tensor([[1, 6]]), width=3).tolist()
    [[1, 0, 0, 0, 1, 1]]
    """
    shifts = torch.arange(width, device=index.device)
    return ((index.unsqueeze(-1) >> shifts) & 1).to(torch.uint8).flatten(1)


def unpack(bits: torch.Tensor, width: int) -> torch.Tensor:
    """The inverse of :func:`pack`: int64 (n, count)."""
    shifts = torch.arange(width, device=bits.device)
    return (bits.unflatten(-1, (-1, width)).to(torch.int64) << shifts).sum(-1)


def to_bytes(bits: torch.Tensor) -> torch.Tensor:
    """Bits (n, count) as bytes (n, ⌈count/8⌉), the first bit lowest, zeros after the last.

    Examples
    --------
    >>> import torch
    >>> to_bytes(torch.tensor([[1, 0, 0, 0, 1, 1]], dtype=torch.uint8)).tolist()
    [[49]]
    """
    bits = torch.nn.functional.pad(bits, (0, -bits.shape[-1] % 8)).unflatten(-1, (-1, 8))
    return (bits << torch.arange(8, device=bits.device, dtype=torch.uint8)).sum(
        -1, dtype=torch.uint8
    )


def to_bits(packed: torch.Tensor, count: int) -> torch.Tensor:
    """The first bits (n, count) of bytes (n, ⌈count/8⌉), uint8."""
    shifts = torch.arange(8, device=packed.device, dtype=torch.uint8)
    return ((packed.unsqueeze(-1) >> shifts) & 1).flatten(-2)[..., :count]
