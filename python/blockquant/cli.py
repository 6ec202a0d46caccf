"""The command line."""

from __future__ import annotations

import platform
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np

from blockquant import _core, registry
from blockquant.distortion import METHODS
from blockquant.distortion import compare as run_comparison


def _numbers(_context: Any, _parameter: Any, value: str) -> list[float]:
    try:
        return [float(part) for part in value.split(",")]
    except ValueError:
        raise click.BadParameter(f"{value!r} is no list of numbers like 1,2,4") from None


def _names(_context: Any, _parameter: Any, value: str | None) -> list[str]:
    return list(METHODS) if value is None else [part.strip() for part in value.split(",")]


def _load(path: str) -> Any:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise click.ClickException(f"{path}: {error}") from None


def _machine() -> str:
    return (
        f"{platform.machine()}, {_core.isa()}, {_core.num_threads()} threads, "
        f"Python {platform.python_version()}, NumPy {np.__version__}"
    )


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="blockquant")
def main() -> None:
    """Rotation-based vector quantization, measured."""


@main.command()
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False))
@click.option("--queries", type=click.Path(exists=True, dir_okay=False), help="Queries, .npy.")
@click.option("--bits", default="1,2,3,4", callback=_numbers, show_default=True)
@click.option("--methods", callback=_names, help="Comma-separated; all built-in ones by default.")
@click.option("--seeds", default=5, type=click.IntRange(min=1), show_default=True)
@click.option("--rotation", default="hadamard", type=click.Choice(["hadamard", "haar"]))
@click.option("--out", type=click.Path(file_okay=False), help="Folder for results.csv and a plot.")
def compare(
    file: str | None,
    queries: str | None,
    bits: list[float],
    methods: list[str],
    seeds: int,
    rotation: str,
    out: str | None,
) -> None:
    """Compares the methods on FILE (.npy, rows of floats), by default on the shipped embeddings."""
    unknown = [name for name in methods if name not in registry.available()]
    if unknown:
        known = ", ".join(registry.available())
        raise click.UsageError(f"unknown method {unknown[0]!r}, expected some of {known}")
    if queries is not None and file is None:
        raise click.UsageError("--queries needs a FILE of rows")
    x = None if file is None else _load(file)
    y = None if queries is None else _load(queries)
    total = len(bits) * len(methods) * seeds
    hidden = not sys.stderr.isatty()
    try:
        with click.progressbar(
            length=total, file=sys.stderr, hidden=hidden, show_pos=True, item_show_func=_item
        ) as bar:
            result = run_comparison(
                x, y, methods, bits, seeds, rotation, lambda line: bar.update(1, line)
            )
    except (ValueError, TypeError) as error:
        raise click.ClickException(str(error)) from None
    rows, count, dim = result.shape
    source = file or "the shipped sample of sentence embeddings"
    click.echo(f"{rows} rows, {count} queries, d = {dim}: {source}; rotation {rotation}")
    click.echo(_machine() + "\n")
    click.echo(result.to_text())
    if out is not None:
        written = result.save(Path(out))
        click.echo("\nwritten: " + ", ".join(str(path) for path in written))
        if len(written) == 1:
            click.echo("no plot: it needs matplotlib, pip install 'blockquant[plot]'", err=True)


def _item(line: str | None) -> str:
    return line or ""


@main.command()
def info() -> None:
    """Says what this installation is and which methods it has."""
    click.echo(_machine())
    click.echo("instruction sets: " + ", ".join(_core.available_isa()))
    click.echo("methods: " + ", ".join(registry.available()))
