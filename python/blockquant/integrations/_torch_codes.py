"""The library's quantizers in plain torch operations, for rows that live on a torch device.

The codes have the byte layout of the core, which is frozen, so that either side decodes what the
other encodes. The core stays the definition: sums are rounded in another order here, so an index
may differ where two codewords are equally near up to that rounding. That is one row of some
hundreds at 8 bits per coordinate, and most rows at 16.

Needs torch. Matrix products follow the precision that torch is set to: with TF32 products
(``torch.set_float32_matmul_precision("high")``) a decoded row is off by some 5·10⁻⁴ of its norm.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from blockquant.integrations._torch_bits import pack, to_bits, to_bytes, unpack
from blockquant.integrations._torch_words import CHUNK_NUMBERS, assigned, words_of
from blockquant.methods import TurboQuant
from blockquant.quantizer import Quantizer


class TorchQuantizer:
    """A quantizer of the library whose rows and codes are tensors of one torch device.

    The rotation is a dense matrix, so that it suits rows of some thousand coordinates at most,
    such as the keys and values of an attention head.

    Parameters
    ----------
    quantizer : Quantizer
        Any of the library's methods but Trellis, without a center and without stored norms.
    device : torch.device, str or int, optional
        Where the tables are, and the rows must be; torch's default if it is not given.
    integers : bool
        Whether to decode with the codewords of a key-value cache, which are rounded to 127 (to 4.5
        bits per coordinate) or 2047 (to 8) multiples of a step on each side of 0. Codes and scales
        stay those of the library. No effect beyond 8 bits and for TurboQuant ``prod``.

    Raises
    ------
    TypeError
        If the quantizer is not one of the library's.
    ValueError
        If it has a center or stores norms, or is a Trellis.

    Examples
    --------
    >>> import blockquant as bq, torch
    >>> q = bq.BlockQuant(dim=64, bits=2)
    >>> rows = torch.randn(5, 64, generator=torch.Generator().manual_seed(0))
    >>> packed, scale, _ = TorchQuantizer(q).encode(rows)
    >>> packed.shape, torch.equal(packed, torch.from_numpy(q.encode(rows).packed))
    (torch.Size([5, 16]), True)
    """

    def __init__(
        self,
        quantizer: Quantizer,
        device: torch.device | str | int | None = None,
        *,
        integers: bool = False,
    ) -> None:
        if not isinstance(quantizer, Quantizer):
            raise TypeError(f"quantizer is {type(quantizer).__name__}, expected a Quantizer")
        if quantizer.center is not None or quantizer.store_norm:
            raise ValueError(
                f"{quantizer!r} has a center or stores norms, expected neither: subtract the "
                "center from the rows, and keep the norms beside the codes"
            )
        self.quantizer = quantizer
        self.dim = quantizer.dim
        self.device = torch.empty(0, device=device).device
        self._scale = quantizer.scale
        # The rows of this matrix are the rotated unit vectors, so that R x = x @ matrix.
        matrix = quantizer.rotate(np.eye(self.dim, dtype=np.float32))
        self._rotation = torch.from_numpy(matrix).to(self.device)
        self._words = words_of(quantizer, self.device)
        self._fields = list(self._words.fields)
        self._projection: torch.Tensor | None = None
        if self._scale == "prod":
            self._projection = torch.from_numpy(_projection(quantizer)).to(self.device)
            self._fields.append((self.dim, 1))
        self._decoded = self._words
        if integers and self._projection is None and quantizer.bits <= 8:
            self._decoded = self._words.rounded(127 if quantizer.bits <= 4.5 else 2047)
        self._bits = sum(count * width for count, width in self._fields)

    @property
    def row_bytes(self) -> int:
        """Bytes of the packed indexes of a row."""
        return -(-self._bits // 8)

    def __repr__(self) -> str:
        return f"TorchQuantizer({self.quantizer!r}, device={str(self.device)!r})"

    @torch.no_grad()
    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Quantizes rows.

        Parameters
        ----------
        x : Tensor, (..., dim)
            Rows of any floating-point dtype, on the device of the quantizer, finite in float32.

        Returns
        -------
        packed : Tensor of uint8, (..., row_bytes)
        scale : Tensor of float32, (...)
        residual_norm : Tensor of float32, (...), or None
            γ, for TurboQuant ``prod``.

        Raises
        ------
        TypeError
            If the elements are not floating-point numbers.
        ValueError
            If the shape or the device is wrong, or a value or the norm of a row is NaN, infinite or
            beyond float32.
        """
        shape = x.shape[:-1]
        rows = self._rows(x)
        packed = rows.new_empty((len(rows), self.row_bytes), dtype=torch.uint8)
        scale = rows.new_empty(len(rows))
        gamma = rows.new_empty(len(rows)) if self._projection is not None else None
        step = max(1, CHUNK_NUMBERS // (16 * self.dim))
        with torch.autocast(self.device.type, enabled=False):
            for start in range(0, len(rows), step):
                some = slice(start, start + step)
                packed[some], scale[some], residual = self._encode(rows[some])
                if gamma is not None:
                    gamma[some] = residual
        return (
            packed.reshape(*shape, self.row_bytes),
            scale.reshape(shape),
            None if gamma is None else gamma.reshape(shape),
        )

    def _rows(self, x: torch.Tensor) -> torch.Tensor:
        if not x.is_floating_point():
            raise TypeError(f"x is {x.dtype}, expected a floating-point dtype")
        if x.ndim == 0 or x.shape[-1] != self.dim:
            raise ValueError(f"x has shape {tuple(x.shape)}, expected (..., {self.dim})")
        if x.device != self.device:
            raise ValueError(f"x is on {x.device}, expected {self.device} as the quantizer")
        rows = x.detach().to(torch.float32).reshape(-1, self.dim)
        finite = rows.isfinite().all(1)
        if not bool(finite.all()):
            row = int((~finite).nonzero()[0])
            column = int((~rows[row].isfinite()).nonzero()[0])
            value = float(rows[row, column])
            raise ValueError(
                f"row {row}, column {column} is {value}, expected a finite float32 value"
            )
        return rows

    def _encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        # Scaled by a power of two first, which is exact, so that no square overflows or vanishes.
        # The power is limited to those whose inverse is a float32, too.
        exponent = torch.frexp(x.abs().amax(1, keepdim=True)).exponent.clamp(-120, 120)
        x = torch.ldexp(x, -exponent)
        length = torch.linalg.vector_norm(x, dim=1)
        norm = torch.ldexp(length, exponent.squeeze(1))
        inverse = torch.where(length > 0, self.dim**0.5 / length, 0.0)
        u = (x * inverse.unsqueeze(1)) @ self._rotation
        index = assigned(self._words, u, self.quantizer.scale_search)
        scale, gamma = norm, None
        if self._projection is not None:
            residual = u - self._words.codewords(index)
            gamma = torch.linalg.vector_norm(residual, dim=1).masked_fill(norm == 0, 0.0)
            index.append((residual @ self._projection.T >= 0).to(torch.int64))
        elif self._scale != "none":
            c = self._words.codewords(index)
            rho = (u * c).sum(1)
            other = (c * c).sum(1)
            factor = rho / other if self._scale == "mse" else self.dim / rho
            scale = norm * torch.where((rho > 0) & (other > 0), factor, 0.0)
        if not bool(scale.isfinite().all()):
            raise ValueError("the scale of a row is beyond float32, expected rows of smaller norm")
        bits = [pack(i, width) for i, (_, width) in zip(index, self._fields, strict=True)]
        return to_bytes(torch.cat(bits, 1)), scale, gamma

    @torch.no_grad()
    def decode(
        self,
        packed: torch.Tensor,
        scale: torch.Tensor,
        residual_norm: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Reconstructs the rows of what :meth:`encode`, or the core, returned.

        Parameters
        ----------
        packed : Tensor of uint8, (..., row_bytes)
        scale : Tensor of float32, (...)
        residual_norm : Tensor of float32, (...), optional
            γ, for TurboQuant ``prod`` and for no other method.

        Returns
        -------
        Tensor of float32, (..., dim)

        Raises
        ------
        TypeError
            If `packed` is not uint8.
        ValueError
            If the shapes do not fit the quantizer or each other, or γ is missing.
        """
        shape = packed.shape[:-1]
        if packed.dtype != torch.uint8:
            raise TypeError(f"packed is {packed.dtype}, expected torch.uint8")
        if packed.ndim == 0 or packed.shape[-1] != self.row_bytes:
            raise ValueError(
                f"packed has shape {tuple(packed.shape)}, expected (..., {self.row_bytes})"
            )
        has_gamma = self._projection is not None
        if (residual_norm is not None) != has_gamma:
            found, verb = ("missing", "has") if has_gamma else ("given", "has no")
            raise ValueError(f"residual_norm is {found}, but {self.quantizer.name} {verb} one")
        for name, value in (("scale", scale), ("residual_norm", residual_norm)):
            if value is not None and value.shape != shape:
                raise ValueError(
                    f"{name} has shape {tuple(value.shape)}, expected {tuple(shape)} as packed"
                )
        codes, scales = packed.reshape(-1, self.row_bytes), scale.reshape(-1, 1)
        gammas = None if residual_norm is None else residual_norm.reshape(-1, 1)
        out = scales.new_empty((len(codes), self.dim), dtype=torch.float32)
        step = max(1, CHUNK_NUMBERS // (16 * self.dim))
        with torch.autocast(self.device.type, enabled=False):
            for start in range(0, len(codes), step):
                some = slice(start, start + step)
                gamma = None if gammas is None else gammas[some]
                out[some] = scales[some] * self._decode(codes[some], gamma)
        return out.reshape(*shape, self.dim)

    def _decode(self, packed: torch.Tensor, gamma: torch.Tensor | None) -> torch.Tensor:
        """Rᵀ û/√d."""
        fields = to_bits(packed, self._bits).split([n * width for n, width in self._fields], 1)
        index = [unpack(bits, w) for bits, (_, w) in zip(fields, self._fields, strict=True)]
        signs = index.pop() if gamma is not None else None
        c = self._decoded.codewords(index)
        if signs is not None:
            weight = (0.5 * np.pi) ** 0.5 / self.dim
            c = c + weight * gamma * ((2 * signs - 1).to(torch.float32) @ self._projection)
        return c @ self._rotation.T / self.dim**0.5


def _projection(quantizer: Quantizer) -> NDArray[np.float32]:
    """G of TurboQuant ``prod``, (dim, dim).

    The core keeps G to itself; decoding shows √(π/2)/d·γ·Gᵀq for signs q, where at 1 bit nothing
    else stands beside it. Sign vectors that are orthogonal coordinate by coordinate (the first
    columns of a Hadamard matrix) give G back with the rounding of one float32 sum.
    """
    dim, size = quantizer.dim, 1
    signs = np.ones((1, 1))
    while size < dim:
        signs, size = np.block([[signs, signs], [signs, -signs]]), 2 * size
    signs = signs[:, :dim]
    one = TurboQuant(dim, 1, "prod", rotation=quantizer.rotation, seed=quantizer.seed)
    scalars = np.array([dim**0.5, dim / (0.5 * np.pi) ** 0.5], "<f4").tobytes()
    codes = np.packbits(signs > 0, axis=1, bitorder="little")
    seen = one.decode(one.codes_from(b"".join(row.tobytes() + scalars for row in codes), size))
    return (signs.T @ one.rotate(seen).astype(np.float64) / size).astype(np.float32)
