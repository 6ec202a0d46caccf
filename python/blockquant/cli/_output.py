"""What commands print: figures, JSON and, from below, bars."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

import blockquant
from blockquant._checks import counted
from blockquant._json import plain
from blockquant._progress import bar as bar
from blockquant.quantizer import Quantizer
from blockquant.shards._manifest import describe


@contextmanager
def building() -> Iterator[None]:
    """Says on stderr, where that is a terminal, that a quantizer is being built.

    A codebook of 65,536 words takes two minutes; most are built before the line can be read.
    """
    shown = "building codebook" if sys.stderr.isatty() else ""
    sys.stderr.write(shown)
    sys.stderr.flush()
    try:
        yield
    finally:
        # The next line is written over this one, of which nothing is left.
        sys.stderr.write(f"\r{' ' * len(shown)}\r" if shown else "")
        sys.stderr.flush()


def emit(values: dict[str, Any]) -> None:
    """Prints one JSON object on one line; what is not finite becomes null."""
    click.echo(json.dumps(plain(values), allow_nan=False))


def size(count: float) -> str:
    """Bytes in a unit that suits them.

    Examples
    --------
    >>> size(1), size(999), size(5.2e6)
    ('1 byte', '999 bytes', '5.20 MB')
    """
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= unit:
            return (
                f"{count / unit:.3g} {name}"
                if count >= 100 * unit
                else f"{count / unit:.2f} {name}"
            )
    return counted(round(count), "byte")


def parameters(q: Quantizer) -> dict[str, Any]:
    """What a quantizer was made with, for JSON."""
    return {**describe(q), "center": q.center is not None}


def measures(path: str, q: Quantizer, rows: int, nbytes: int) -> dict[str, Any]:
    """What codes of so many rows and bytes cost, for JSON: null without rows."""
    each = nbytes / rows if rows else None
    return {
        "rows": rows,
        "dim": q.dim,
        "quantizer": parameters(q),
        "bytes": nbytes,
        "file_bytes": os.stat(path).st_size,
        "bytes_per_vector": each,
        "bits_per_dimension": 8 * nbytes / (rows * q.dim) if rows else None,
        "ratio_float32": None if each is None else 4 * q.dim / each,
        "ratio_float16": None if each is None else 2 * q.dim / each,
    }


def cost(found: dict[str, Any]) -> str:
    """The line about what codes cost."""
    if found["bytes_per_vector"] is None:
        return f"no rows; the file has {size(found['file_bytes'])}"
    return (
        f"{found['bytes_per_vector']:g} bytes per vector,"
        f" {found['bits_per_dimension']:.3f} bits per dimension,"
        f" {found['ratio_float32']:.1f}× smaller than float32"
        f" ({found['ratio_float16']:.1f}× than float16), {size(found['file_bytes'])} in all"
    )


def version() -> str:
    """The version of this package."""
    return blockquant.__version__
