"""The codewords of each method in torch operations: their choice, and the way back.

Each class has the fields of a row as (count, bits) and turns rotated rows u, (n, dim), into the
indexes of each field and these into the codeword vectors, (n, dim).
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import NDArray

from blockquant.quantizer import Quantizer

#: The most numbers of a temporary array, such as the scores of all codewords for some blocks.
CHUNK_NUMBERS = 1 << 24


class Levels:
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

    def rounded(self, most: int) -> Levels:
        other = copy.copy(self)
        (other.words,) = _multiples([self.words], most)
        return other


class RaBitQ(Levels):
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


class Blocks:
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

    def rounded(self, most: int) -> Blocks:
        other = copy.copy(self)
        tables = _multiples([words for _, words, _ in self.parts], most)
        parts = zip(self.parts, tables, strict=True)
        other.parts = [(blocks, words, norms) for (blocks, _, norms), words in parts]
        return other


def words_of(quantizer: Quantizer, device: torch.device) -> Levels | Blocks:
    """The codewords of a quantizer, which know how its method chooses them.

    Raises
    ------
    ValueError
        If it codes a row as one path.
    """
    if quantizer.states is not None:
        raise ValueError(f"{quantizer.name} has no torch operations: a path codes the whole row")
    method = quantizer.name.partition("/")[0]
    if method == "blockquant":
        return Blocks(quantizer, device)
    kind = RaBitQ if method == "rabitq" else Levels
    return kind(quantizer.codebook(), quantizer.dim, device)


def assigned(words: Levels | Blocks, u: torch.Tensor, count: int | None) -> list[torch.Tensor]:
    """The indexes of each field for u, (n, dim), with the search over scales of the core."""
    index = words.assign(u)
    if count is None:
        return index
    least = _sine_square(u, float(u.shape[1]), words.codewords(index))
    for scale in _scales(count):
        y = u * scale
        other = words.assign(y)
        found = _sine_square(y, scale * scale * u.shape[1], words.codewords(other))
        better = (found < least).unsqueeze(1)
        least = torch.minimum(least, found)
        index = [torch.where(better, new, old) for new, old in zip(other, index, strict=True)]
    return index


def _scales(count: int) -> list[float]:
    """The scales besides 1, as the core has them (``rust/quantizer/scale_search.rs``)."""
    steps = count // 2
    offsets = np.arange(1, steps + 1) * min(0.08, 0.16 / steps)
    scales: list[float] = (
        np.stack([1 - offsets, 1 + offsets], 1).astype(np.float32).ravel().tolist()
    )
    return scales


def _sine_square(y: torch.Tensor, square: float, c: torch.Tensor) -> torch.Tensor:
    """sin²θ of rows y with ‖y‖² = square and their codewords c."""
    e = y - c
    along, error = (y * e).sum(1), (e * e).sum(1)
    norm = square - 2 * along + error
    sine = (square * error - along * along) / (square * norm)
    return torch.where((along < square) & (norm > 0), sine, 1.0)


def _multiples(tables: list[torch.Tensor], most: int) -> list[torch.Tensor]:
    """Codewords as multiples of one step, `most` of which are the largest number of all tables."""
    exact = [table.cpu().numpy().astype(np.float64) for table in tables]
    step = max(float(abs(table).max()) for table in exact) / most
    rounded = [(np.rint(table / step) * np.float32(step)).astype(np.float32) for table in exact]
    return [torch.from_numpy(r).to(table.device) for r, table in zip(rounded, tables, strict=True)]
