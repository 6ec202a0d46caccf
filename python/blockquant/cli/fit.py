"""``blockquant fit``: the mean and the principal axes of a sample."""

from __future__ import annotations

import os
import warnings
from time import perf_counter

import click

from blockquant.cli import _options
from blockquant.cli._fitted import described
from blockquant.cli._output import emit, size
from blockquant.fitting import few, fitted


@click.command("fit", short_help="Fits the mean and principal axes of a sample to a file.")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path())
@click.option("--out", required=True, type=_options.NEW, help="The file of the axes.")
@_options.array_option("--array", "FILE and of --queries")
@click.option(
    "--queries", metavar="FILE", type=click.Path(), help="Queries, for their variances on the axes."
)
@click.option(
    "--shrinkage",
    metavar="PART",
    type=float,
    help="Of the way to their mean that variances are moved, 0 to 1.  [default: estimated]",
)
@_options.force_option
@_options.json_option
def command(
    files: tuple[str, ...],
    out: str,
    array: str | None,
    queries: str | None,
    shrinkage: float | None,
    force: bool,
    as_json: bool,
) -> None:
    """Fits the mean and the principal axes of the rows of FILE, a chunk at a time.

    FILE may be many files, globs and folders, larger than memory. 16 rows per coordinate are
    enough, and with fewer than 4 the axes follow the noise of the sample.
    """
    inputs = [path for path in (*files, queries) if path is not None and os.path.exists(path)]
    _options.prepare(out, inputs, force)
    start = perf_counter()
    with warnings.catch_warnings():
        # Said below, where it is not one line among those of Python.
        warnings.simplefilter("ignore", UserWarning)
        axes = fitted(list(files), queries, shrinkage, array, "--array ")
    seconds = perf_counter() - start
    axes.save(out)
    warning = few(axes.rows, axes.dim)
    if warning is not None:
        click.echo(f"Warning: {warning}", err=True)
    nbytes = os.stat(out).st_size
    if as_json:
        emit(
            {
                "command": "fit",
                "files": list(files),
                "out": out,
                **described(axes),
                "few_rows": warning is not None,
                "file_bytes": nbytes,
                "seconds": seconds,
            }
        )
        return
    click.echo(f"{out}: {axes.describe()}")
    click.echo(f"{size(nbytes)}; {seconds:.2f} s, {axes.rows / seconds:,.0f} rows/s")
