"""``blockquant info``: what a file is, or this installation."""

from __future__ import annotations

import os
import platform
from typing import Any

import click
import numpy as np

from blockquant import _core, registry
from blockquant._checks import counted
from blockquant.axes import Axes
from blockquant.cli import _fitted, _folder, _options
from blockquant.cli._fitted import described
from blockquant.cli._output import building, cost, emit, measures, size, version
from blockquant.files import list_arrays, open_entry
from blockquant.files.codes import holds_codes, load
from blockquant.files.parquet import is_parquet
from blockquant.files.rows import regular
from blockquant.files.tensors import is_axes


@click.command("info", short_help="Says what a file is, or this installation.")
@click.argument("file", required=False, type=_options.CODES)
@_options.verify_option
@_options.json_option
def command(file: str | None, verify: bool, as_json: bool) -> None:
    """Says what FILE is: codes, axes, rows, or a folder of codes. Without FILE it describes this
    installation.

    Of codes the checksums are compared, unless --no-verify is given: a damaged file is an error.
    """
    if file is None:
        _installation(as_json)
    elif os.path.isdir(file):
        _folder.info(file, verify, as_json)
    elif holds_codes(regular(file)):
        _codes(file, verify, as_json)
    elif is_axes(file):
        _axes(file, as_json)
    else:
        _rows(file, as_json)


def machine() -> str:
    """What runs here, in one line."""
    return (
        f"{platform.machine()}, {_core.isa()}, {counted(_core.num_threads(), 'thread')}, "
        f"Python {platform.python_version()}, NumPy {np.__version__}"
    )


def _installation(as_json: bool) -> None:
    if not as_json:
        click.echo(machine())
        click.echo("instruction sets: " + ", ".join(_core.available_isa()))
        click.echo("methods: " + ", ".join(registry.available()))
        return
    emit(
        {
            "command": "info",
            "kind": "installation",
            "version": version(),
            "machine": platform.machine(),
            "isa": _core.isa(),
            "available_isa": _core.available_isa(),
            "threads": _core.num_threads(),
            "python": platform.python_version(),
            "numpy": np.__version__,
            "methods": registry.available(),
        }
    )


def _codes(file: str, verify: bool, as_json: bool) -> None:
    with building():
        q, codes = load(file, verify)
    # It reads the codes, as comparing the checksums does.
    drift = q.drift(codes) if verify else None
    found = {**measures(file, q, len(codes), codes.nbytes), **_fitted.measures(q, drift)}
    if as_json:
        emit({"command": "info", "kind": "codes", "file": file, **found, "verified": verify})
        return
    click.echo(f"{file}: codes of {counted(len(codes), 'row')}, d = {q.dim}")
    click.echo(f"{q!r}")
    click.echo(cost(found))
    if q.predicted is not None:
        click.echo(_fitted.summary(q, drift))
        click.echo(q.predicted.describe())
    compared = "compared, of the pages that have one" if is_parquet(file) else "verified"
    click.echo(f"checksums: {compared if verify else 'not compared (--no-verify)'}")


def _axes(file: str, as_json: bool) -> None:
    axes, total = Axes.load(file), os.stat(file).st_size
    if not as_json:
        click.echo(f"{file}: {axes.describe()}")
        click.echo(f"{size(total)}; digest {axes.digest}")
        return
    emit({"command": "info", "kind": "axes", "file": file, **described(axes), "file_bytes": total})


def _rows(file: str, as_json: bool) -> None:
    held = list_arrays(file)
    for entry in held:
        if entry.holds_rows:  # a file that is truncated says so here
            open_entry(file, entry).close()
    total = os.stat(file).st_size
    if as_json:
        arrays: list[dict[str, Any]] = [
            {
                "name": entry.name,
                "shape": entry.shape,
                "dtype": entry.stored,
                "is_rows": entry.holds_rows,
            }
            for entry in held
        ]
        emit(
            {"command": "info", "kind": "rows", "file": file, "file_bytes": total, "arrays": arrays}
        )
        return
    click.echo(f"{file}: {size(total)}")
    for entry in held:
        n, dim = (*entry.shape, 0, 0)[:2]
        rows = f"; {counted(n, 'row')}, d = {dim}" if entry.holds_rows else ""
        click.echo(f"{entry}{rows}")
