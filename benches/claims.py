"""The papers' claims, checked: `python benches/claims.py [--write docs/claims.md]`.

Each claim is a comparison of two methods under one criterion, on several kinds of rows at 1 to 4
bits per coordinate: the same rows, queries and rotation seeds for both, the difference paired over
the seeds, its 95 % interval Student's t. A cell holds if the interval is on the claim's side of 0,
fails if it is on the other, and is open otherwise. A claim's verdict counts its cells. Nothing is
corrected for their number: of a hundred cells without any difference five would not be open.
"""

from __future__ import annotations

import argparse
import platform
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import time

import numpy as np
from numpy.typing import NDArray

import blockquant as bq
import common
from blockquant import Comparison
from blockquant.measurement import half_interval
from claims_data import datasets

BITS = (1, 2, 3, 4)
#: Block sizes at each rate: codebooks of at most 4,096 words.
BLOCKS = {1: (2, 4, 8, 12), 2: (2, 4, 6), 3: (2, 4), 4: (2, 3)}
SCALAR = (
    *("eden/mse", "eden/unbiased", "turboquant/mse", "turboquant/prod"),
    *("rabitq/mse", "rabitq/unbiased"),
)
TRELLIS = ("trellis/mse", "trellis/unbiased")


def blocked(block: int, rule: str) -> str:
    """The name of BlockQuant with this block."""
    return f"blockquant p={block}/{rule}"


def register_blocks(rotation: str) -> None:
    for block in sorted({p for blocks in BLOCKS.values() for p in blocks}):
        for rule in ("mse", "unbiased"):
            factory = partial(bq.BlockQuant, block=block, scale=rule, rotation=rotation)
            bq.register(blocked(block, rule), factory)


def measured(
    x: NDArray[np.float32], y: NDArray[np.float32], seeds: int, rotation: str
) -> dict[int, Comparison]:
    """A comparison of every method at each rate."""
    out = {}
    for bits in BITS:
        own = [blocked(p, rule) for p in BLOCKS[bits] for rule in ("mse", "unbiased")]
        out[bits] = bq.compare(x, y, [*SCALAR, *own, *TRELLIS], [bits], seeds, rotation)
    return out


Measured = dict[str, dict[int, Comparison]]


@dataclass(frozen=True)
class Cell:
    """One comparison of a claim: a figure, its 95 % interval, and what it must be above."""

    where: str
    what: str
    bits: int
    figure: float
    half: float

    @property
    def verdict(self) -> str:
        if self.figure - self.half > 0:
            return "holds"
        return "fails" if self.figure + self.half < 0 else "open"


@dataclass(frozen=True)
class Claim:
    title: str
    meaning: str
    #: What a cell's figure is, for the head of the table.
    figure: str
    cells: list[Cell]

    def verdict(self) -> str:
        counts = dict.fromkeys(("holds", "open", "fails"), 0)
        for cell in self.cells:
            counts[cell.verdict] += 1
        n = len(self.cells)
        if counts["holds"] == n:
            return f"**Holds** in all {n} cells."
        word = "Holds in most" if 2 * counts["holds"] > n else "Does not hold in most"
        return (
            f"**{word}**: it holds in {counts['holds']} of {n} cells, is open in "
            f"{counts['open']}, fails in {counts['fails']}."
        )

    def table(self) -> Iterable[str]:
        """Rows: what on which data; columns: bits."""
        yield "| rows | compared | " + " | ".join(unit(b) for b in BITS) + " |"
        yield "|---|---|" + "---|" * len(BITS)
        for where, what in dict.fromkeys((cell.where, cell.what) for cell in self.cells):
            at = {c.bits: c for c in self.cells if (c.where, c.what) == (where, what)}
            shown = [show(at[b]) if b in at else "–" for b in BITS]
            yield f"| {where} | {what} | " + " | ".join(shown) + " |"


def unit(bits: int) -> str:
    return "1 bit" if bits == 1 else f"{bits} bits"


def show(cell: Cell) -> str:
    mark = {"holds": "", "open": " (open)", "fails": " (**fails**)"}[cell.verdict]
    return f"{cell.figure:+.2f} ± {cell.half:.2f}{mark}"


def lower(
    found: Measured,
    own: Callable[[int], str],
    other: str,
    field: str,
    what: str,
    bits: Iterable[int] | None = None,
) -> list[Cell]:
    """By how many per cent of the other the method is below it, on all rows."""
    cells = []
    for where, at in found.items():
        for b in BITS if bits is None else bits:
            d = at[b].difference(own(b), other, field, b)
            cells.append(Cell(where, what, b, d.percent, (d.high - d.low) / 2))
    return cells


def scalar_mse(found: Measured) -> Claim:
    cells = []
    for name in ("eden/mse", "turboquant/mse"):
        # At 1 bit all three have the same code but for RaBitQ's scale, which is EDEN's.
        what = f"{name} below rabitq/mse"
        cells += lower(found, lambda _, name=name: name, "rabitq/mse", "nmse", what, BITS[1:])
    return Claim(
        "EDEN and TurboQuant lead the scalar methods in reconstruction",
        "Normalised MSE; RaBitQ with its best scale (`mse`). At 1 bit RaBitQ's code is EDEN's.",
        "per cent below",
        cells,
    )


def scale_rule(found: Measured) -> Claim:
    return Claim(
        "EDEN's scale improves on S = 1",
        "Normalised MSE of eden/mse, whose scale is the least-squares one, against turboquant/mse, "
        "which keeps S = 1 (and has the levels of the exact law in place of the Gaussian ones).",
        "per cent below",
        lower(found, lambda _: "eden/mse", "turboquant/mse", "nmse", "eden/mse, turboquant/mse"),
    )


def rate_of(error: float, errors: NDArray[np.float64]) -> float:
    """The bits at which a method has this error, of its own at BITS; all logarithms."""
    place = int(np.clip(np.searchsorted(-errors, -error) - 1, 0, len(BITS) - 2))
    (a, b), (low, high) = errors[place : place + 2], BITS[place : place + 2]
    return float(low + (high - low) * (a - error) / (a - b))


def prod_in_bits(found: Measured) -> Claim:
    """At how many fewer bits EDEN has the expected error of TurboQuant prod."""
    cells = []
    for where, at in found.items():
        own = np.log([at[b].values(b, "eden/unbiased", "ip_error") for b in BITS])
        for b in BITS[1:]:
            wanted = np.log(at[b].values(b, "turboquant/prod", "ip_error"))
            saved = np.array([b - rate_of(w, own[:, s]) for s, w in enumerate(wanted)])
            half = half_interval(saved)
            cells.append(Cell(where, "bits saved", b, float(saved.mean()), half))
    return Claim(
        "EDEN unbiased beats TurboQuant prod in expected inner-product error",
        "How many bits per coordinate less `eden/unbiased` needs for the d·E[error²] of "
        "`turboquant/prod`, by interpolation of the logarithm of its error between whole bits, and "
        "beyond them on the line through the nearest two: at 2 bits prod's error is about that of "
        "EDEN at 1. At 1 bit it is far beyond: no figure. The four bytes that prod stores more are "
        "not counted.",
        "bits",
        cells,
    )


def tails(found: Measured) -> Claim:
    cells = []
    for field, name in (("q99", "99 %"), ("q9999", "99.99 %")):
        for other in ("eden/unbiased", "turboquant/prod"):
            what = f"rabitq below {other}, {name}"
            bits = BITS[1:] if other.startswith("eden") else BITS
            cells += lower(found, lambda _: "rabitq/unbiased", other, field, what, bits)
        cells += [
            cell
            for b in BITS
            for cell in lower(
                found,
                lambda _: "rabitq/unbiased",
                blocked(default(b), "unbiased"),
                field,
                f"rabitq below blockquant, {name}",
                (b,),
            )
        ]
    return Claim(
        "RaBitQ controls the error with high probability better than the others",
        "Quantiles of |error|. RaBitQ, EDEN and BlockQuant store the same bytes; "
        "`turboquant/prod` stores four more. At 1 bit RaBitQ is EDEN.",
        "per cent below",
        cells,
    )


def default(bits: int) -> int:
    return {1: 8, 2: 4, 3: 4, 4: 2}[bits]


def blocks_lead(
    found: Measured, field: str, rules: tuple[str, ...], rivals: tuple[str, ...], what: str
) -> list[Cell]:
    """The better of these scale rules against the best of these rivals, at each block size."""

    def best(at: Comparison, bits: int, names: Iterable[str]) -> str:
        return min(names, key=lambda name: at.values(bits, name, field).mean())

    cells = []
    for where, at in found.items():
        for p in sorted({p for b in BITS for p in BLOCKS[b]}):
            for b in (b for b in BITS if p in BLOCKS[b]):
                own = best(at[b], b, [blocked(p, rule) for rule in rules])
                d = at[b].difference(own, best(at[b], b, rivals), field, b)
                cells.append(Cell(where, f"p = {p}{what}", b, d.percent, (d.high - d.low) / 2))
    return cells


def mse_by_block(found: Measured) -> Claim:
    return Claim(
        "BlockQuant leads all three in reconstruction, by block size",
        "Normalised MSE of blockquant/mse against the best of all other methods.",
        "per cent below",
        blocks_lead(found, "nmse", ("mse",), SCALAR, ""),
    )


def error_by_block(found: Measured) -> Claim:
    unbiased = ("eden/unbiased", "rabitq/unbiased", "turboquant/prod")
    return Claim(
        "BlockQuant leads all three in expected inner-product error, by block size",
        "d·E[error²] of blockquant/unbiased against the best unbiased method of the others (prod "
        "stores four bytes more than all others); and of "
        "the better scale rule of BlockQuant against the best of all. (Where most inner products "
        "are near 0, as of Gaussian rows, a biased estimate has the less error, of every method.)",
        "per cent below",
        blocks_lead(found, "ip_error", ("unbiased",), unbiased, ", unbiased")
        + blocks_lead(found, "ip_error", ("unbiased", "mse"), SCALAR, ", any scale"),
    )


def trellis_leads(found: Measured) -> Claim:
    """Against the blocks that have the least error of their rate, and against EDEN."""
    criteria = (("nmse", "mse"), ("ip_error", "unbiased"), ("q999", "unbiased"))
    cells = []
    for (field, rule), what in zip(criteria, ("error", "d·E[e²]", "99.9 %"), strict=True):
        for where, at in found.items():
            for b in BITS:
                blocks = (blocked(p, rule) for p in BLOCKS[b])
                block = min(blocks, key=lambda name: at[b].values(b, name, field).mean())
                for other, name in (("blockquant, any block", block), ("eden", f"eden/{rule}")):
                    d = at[b].difference(f"trellis/{rule}", name, field, b)
                    half = (d.high - d.low) / 2
                    cells.append(Cell(where, f"{what}, below {other}", b, d.percent, half))
    return Claim(
        "Trellis leads BlockQuant and EDEN under all three criteria",
        "Of no paper: this library's own. Trellis has 64 states; BlockQuant the block of the least "
        "error, with up to 4,096 codewords. Normalised MSE with the scale `mse`; d·E[error²] and "
        "the 99.9 % quantile of |error| with `unbiased`.",
        "per cent below",
        cells,
    )


CLAIMS = (
    *(scalar_mse, scale_rule, prod_in_bits, tails, mse_by_block, error_by_block),
    trellis_leads,
)


def coverage(found: Measured) -> Iterable[str]:
    """Of the intervals at .99, by method: least and greatest over the rates and rows."""
    methods = ("eden", "rabitq", "blockquant", "trellis")
    yield "| rows | " + " | ".join(f"{method}/unbiased" for method in methods) + " |"
    yield "|---|---|---|---|---|"
    for where, at in found.items():
        cells = []
        for method in methods:
            values = [
                at[b].values(b, name, "coverage").mean()
                for b in BITS
                for name in [f"{method}/unbiased"]
                + [blocked(p, "unbiased") for p in BLOCKS[b] if method == "blockquant"]
                if (b, name) in at[b].runs
            ]
            cells.append(f"{min(values):.4f} to {max(values):.4f}")
        yield f"| {where} | " + " | ".join(cells) + " |"


def costs(found: Measured) -> Iterable[str]:
    """Encoding time against EDEN's: what the lead of blocks and trellis costs."""
    yield "| rows | compared | " + " | ".join(unit(b) for b in BITS) + " |"
    yield "|---|---|" + "---|" * len(BITS)
    for where, at in found.items():
        for method in ("blockquant", "trellis", "rabitq"):
            cells = []
            for b in BITS:
                name = blocked(default(b), "mse") if method == "blockquant" else f"{method}/mse"
                own = at[b].values(b, name, "encode_us").min()
                cells.append(f"{own / at[b].values(b, 'eden/mse', 'encode_us').min():.1f} ×")
            yield f"| {where} | {method}, eden | " + " | ".join(cells) + " |"


def failures(claims: list[Claim]) -> Iterable[str]:
    """What does not hold, by claim and comparison."""
    some = False
    for claim in claims:
        for what in dict.fromkeys(cell.what for cell in claim.cells):
            own = [cell for cell in claim.cells if cell.what == what]
            for word in ("fails", "open"):
                cells = [cell for cell in own if cell.verdict == word]
                if cells:
                    some = True
                    where = ", ".join(dict.fromkeys(cell.where for cell in cells))
                    rates = ", ".join(str(b) for b in sorted({cell.bits for cell in cells}))
                    yield (
                        f"- {claim.title}: {what}: {word} in {len(cells)} of {len(own)} cells "
                        f"({where}; bits {rates})."
                    )
    if not some:
        yield "- Nowhere, in these cells."


def page(found: Measured, shapes: dict[str, str], options: argparse.Namespace) -> list[str]:
    claims = [claim(found) for claim in CLAIMS]
    out = [
        "# The papers' claims, checked",
        "",
        f"Written by `python benches/claims.py --write docs/claims.md`: {options.seeds} rotation "
        f"seeds, rotation `{options.rotation}`, {platform.machine()}, {bq.isa()}, "
        f"{bq.num_threads()} threads, blockquant {bq.__version__}, NumPy {np.__version__}.",
        "",
        *(line.strip() for line in __doc__.partition("\n\n")[2].strip().splitlines()),
        "",
        "The rows:",
        "",
        *(f"- *{name}*: {text}" for name, text in shapes.items()),
        "",
        "## In short",
        "",
        *(f"- {claim.title}. {claim.verdict()}" for claim in claims),
    ]
    for claim in claims:
        head = f"{claim.meaning} {claim.verdict()} Figures: {claim.figure}, ± half of the interval."
        out += ["", f"## {claim.title}", "", head, "", *claim.table()]
    out += ["", "## Where any of it fails", "", *failures(claims)]
    out += ["", "## Do the stated intervals hold?", ""]
    out += ["Coverage of the intervals at confidence .99, over the rates (and block sizes).", ""]
    out += [*coverage(found)]
    out += ["", "## What it costs", "", "Encoding time, all threads, as a multiple of EDEN's.", ""]
    return [*out, *costs(found)]


def wrapped(page: str) -> str:
    """The page with its prose in lines of at most 100 columns; tables stay as they are."""
    lines = []
    for line in page.splitlines():
        hanging = "  " if line.startswith("- ") else ""
        kept = line.startswith(("|", "#")) or not line
        lines += [line] if kept else fill(line, hanging)
    return "\n".join(lines) + "\n"


def fill(line: str, hanging: str) -> list[str]:
    """A line of prose in lines of at most 100 columns."""
    return textwrap.wrap(
        line, 100, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    common.add_data(parser)
    parser.add_argument("--rows", type=int, default=4000, help="of each kind, at most")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--rotation", default="hadamard", choices=("hadamard", "haar"))
    parser.add_argument("--write", type=Path, help="the page")
    options = parser.parse_args()
    start = time()
    register_blocks(options.rotation)
    found, shapes = {}, {}
    for name, about, x, y in datasets(options.data, options.rows):
        shapes[name] = f"{about}; {len(x):,} rows, {len(y)} queries, d = {x.shape[1]}."
        found[name] = measured(x, y, options.seeds, options.rotation)
    text = "\n".join(page(found, shapes, options)) + "\n"
    print(text)
    if options.write is not None:
        options.write.write_text(wrapped(text), encoding="utf-8")
    print(f"{time() - start:.0f} s")


if __name__ == "__main__":
    main()
