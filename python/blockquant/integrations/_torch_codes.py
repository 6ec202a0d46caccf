"""The library's quantizers in plain torch operations, for rows that live on a torch device.

The codes have the byte layout of the core, which is frozen, so that either side decodes what the
other encodes. The core stays the definition: sums are rounded in another order here, so an index
may differ where two codewords are equally near up to that rounding. That is one row of some
hundreds at 8 bits per coordinate, and most rows at 16.

Needs torch. Matrix products follow the precision that torch is set to: with TF32 products
(``torch.set_float32_matmul_precision("high")``) a decoded row is off by some 5·10⁻⁴ of its norm.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import NDArray

from blockquant.methods import TurboQuant
from blockquant.quantizer import Quantizer

#: The most numbers of a temporary array, such as the scores of all codewords for some blocks.
CHUNK_NUMBERS = 1 << 24


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


class _Levels:
    """One index per coordinate, that of the nearest of some ascending levels."""

    def __init__(self, levels: NDArray[np.float32], dim: int, device: torch.device) -> None:
        levels = levels.ravel()
        self.fields = [(dim, (len(levels) - 1).bit_length())] if len(levels) > 1 else []
        self.words = torch.from_numpy(levels.copy()).to(device)
        # Midpoints in float32, as the core rounds them.
        cuts = np.float32(0.5) * (levels[:-1] + levels[1:])
        self.cuts = torch.from_numpy(cuts).to(device)

    def assign(self, u: torch.Tensor) -> list[torch.Tensor]:
        """The indexes of each field for u, (n, dim). A value on a boundary goes down."""
        return [torch.bucketize(u, self.cuts)] if self.fields else []

    def codewords(self, index: list[torch.Tensor]) -> torch.Tensor:
        return self.words[index[0]] if index else self.words

    def rounded(self, most: int) -> _Levels:
        other = copy.copy(self)
        (other.words,) = _multiples([self.words], most)
        return other


class _RaBitQ(_Levels):
    """The grid point with the largest cosine to u, exactly (arXiv 2409.09913).

    The best point is ⌊t·|u|⌋ + ½, limited to the grid, for some t. It changes where t passes a
    critical value k/|uᵢ|: all of these are sorted, and the cosine is summed up along them. |u| is
    rounded to multiples of 2⁻²⁴ first, which makes the float64 sums exact, as in the core.
    """

    def __init__(self, levels: NDArray[np.float32], dim: int, device: torch.device) -> None:
        super().__init__(levels, dim, device)
        self.half = len(self.words) // 2

    def assign(self, u: torch.Tensor) -> list[torch.Tensor]:
        most = self.half - 1
        steps = torch.zeros_like(u, dtype=torch.int64)
        if most:
            rows = max(1, CHUNK_NUMBERS // 8 // (u.shape[1] * most))
            torch.cat([self._steps(part, most) for part in u.split(rows)], out=steps)
        return [torch.where(u < 0, most - steps, self.half + steps)]

    def _steps(self, u: torch.Tensor, most: int) -> torch.Tensor:
        v = (u.abs().to(torch.float64) * 2**24).round() / 2**24
        k = torch.arange(1, most + 1, dtype=torch.float64, device=u.device)
        wide = v.unsqueeze(-1)
        t = k / wide  # infinite for v = 0, which no finite factor reaches
        # The smallest float64 with ⌊t·v⌋ ≥ k is the quotient or a neighbor of it.
        t = torch.where(t * wide < k, torch.nextafter(t, t.new_tensor(torch.inf)), t)
        below = torch.nextafter(t, t.new_zeros(()))
        t = torch.where(below * wide >= k, below, t)
        t, order = torch.where(wide > 0, t, torch.inf).flatten(1).sort(dim=1, stable=True)
        a = 0.5 * v.sum(1, keepdim=True)
        n = 0.25 * v.shape[1]
        start = a * a / n
        gain_a = wide.expand(-1, -1, most).flatten(1).gather(1, order)
        gain_n = (2 * k).expand_as(wide.expand(-1, -1, most)).flatten(1).gather(1, order)
        a = a + gain_a.cumsum(1)
        score = a * a / (n + gain_n.cumsum(1))
        # Steps at the same factor are one step.
        same = torch.cat([t[:, 1:] == t[:, :-1], torch.zeros_like(t[:, :1], dtype=torch.bool)], 1)
        score = score.masked_fill(same | t.isinf(), -torch.inf)
        best, place = score.max(1, keepdim=True)
        factor = torch.where(best > start, t.gather(1, place), 0.0)
        return (factor * v).floor().clamp(max=most).to(torch.int64)


class _Blocks:
    """One index per block of coordinates, that of the nearest codeword, and one for the tail."""

    def __init__(self, q: Quantizer, device: torch.device) -> None:
        self.parts: list[tuple[int, torch.Tensor, torch.Tensor]] = []
        self.fields = []
        for words, blocks in ((q.codebook(), q.dim // (q.block or 1)), (q.tail_codebook(), 1)):
            if words is None:
                continue
            half = 0.5 * (words.astype(np.float64) ** 2).sum(1)
            table = torch.from_numpy(words.copy()).to(device)
            norms = torch.from_numpy(half.astype(np.float32)).to(device)
            self.parts.append((blocks, table, norms))
            self.fields.append((blocks, (len(words) - 1).bit_length()))

    def assign(self, u: torch.Tensor) -> list[torch.Tensor]:
        """The word with the largest ⟨u, c⟩ − ‖c‖²/2, of equals the first."""
        found, start = [], 0
        for blocks, words, half_norms in self.parts:
            block = words.shape[1]
            part = u[:, start : start + blocks * block]
            start += blocks * block
            # Coordinate j of block i is u[i + j·blocks].
            points = part.unflatten(1, (block, blocks)).transpose(1, 2).reshape(-1, block)
            index = [
                torch.addmm(-half_norms, some, words.T).argmax(1)
                for some in points.split(max(1, CHUNK_NUMBERS // len(words)))
            ]
            found.append(torch.cat(index).unflatten(0, (-1, blocks)))
        return found

    def codewords(self, index: list[torch.Tensor]) -> torch.Tensor:
        parts = zip(index, self.parts, strict=True)
        return torch.cat([words[i].transpose(1, 2).flatten(1) for i, (_, words, _) in parts], 1)

    def rounded(self, most: int) -> _Blocks:
        other = copy.copy(self)
        tables = _multiples([words for _, words, _ in self.parts], most)
        parts = zip(self.parts, tables, strict=True)
        other.parts = [(blocks, words, norms) for (blocks, _, norms), words in parts]
        return other


def _multiples(tables: list[torch.Tensor], most: int) -> list[torch.Tensor]:
    """Codewords as multiples of one step, `most` of which are the largest number of all tables."""
    exact = [table.cpu().numpy().astype(np.float64) for table in tables]
    step = max(float(abs(table).max()) for table in exact) / most
    rounded = [(np.rint(table / step) * np.float32(step)).astype(np.float32) for table in exact]
    return [torch.from_numpy(r).to(table.device) for r, table in zip(rounded, tables, strict=True)]


class TorchQuantizer:
    """A quantizer of the library whose rows and codes are tensors of one torch device.

    The rotation is a dense matrix, so that it suits rows of some thousand coordinates at most,
    such as the keys and values of an attention head.

    Parameters
    ----------
    quantizer : Quantizer
        Any of the library's methods, without a center and without stored norms.
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
        If it has a center or stores norms.

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
        method = quantizer.name.partition("/")[0]
        # The rows of this matrix are the rotated unit vectors, so that R x = x @ matrix.
        matrix = quantizer.rotate(np.eye(self.dim, dtype=np.float32))
        self._rotation = torch.from_numpy(matrix).to(self.device)
        self._words: _Levels | _Blocks
        if method == "blockquant":
            self._words = _Blocks(quantizer, self.device)
        else:
            kind = _RaBitQ if method == "rabitq" else _Levels
            self._words = kind(quantizer.codebook(), self.dim, self.device)
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
        index = self._words.assign(u)
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
