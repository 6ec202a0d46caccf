"""``blockquant compare``: methods side by side."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from blockquant import report
from blockquant._checks import between, counted
from blockquant.cli import _options
from blockquant.cli._errors import Failure, of_system
from blockquant.cli._output import bar, emit
from blockquant.cli.info import machine
from blockquant.files import open_rows
from blockquant.measurement import chosen, full_name
from blockquant.report import Comparison
from blockquant.report import compare as run_comparison


@click.command("compare", short_help="Compares methods on rows: error, recall, bytes, time.")
@click.argument("file", required=False, type=_options.EXISTING)
@click.option("--queries", type=_options.EXISTING, help="Queries, a file as FILE.")
@_options.array_option("--array", "FILE")
@_options.array_option("--queries-array", "--queries")
@click.option(
    "--bits",
    default="1,2,3,4",
    type=_options.Numbers(float, "1,2,4"),
    show_default=True,
    help="Bits per coordinate; methods that cannot have them are listed as left out.",
)
@click.option(
    "--bytes",
    "sizes",
    type=_options.Numbers(int, "64,128"),
    help="Bytes per vector in place of bits, every stored byte counted.",
)
@click.option(
    "--methods",
    type=_options.Methods(full_name),
    help="Comma-separated; by default all built-in ones in their usual scale rules.",
)
@click.option(
    "--sample",
    metavar="FILE|SHARE",
    help="Rows to fit axes to, or a share of FILE, such as .5, that is not measured then.",
)
@_options.array_option("--sample-array", "--sample")
@click.option("--seeds", default=5, type=click.IntRange(min=1), show_default=True)
@click.option("--rotation", default="hadamard", type=click.Choice(["hadamard", "haar"]))
@click.option(
    "--confidence",
    default=0.99,
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    show_default=True,
    help="Of the bounds whose coverage is measured.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False),
    help="Folder for report, tables and plots; each file appears whole or not at all.",
)
@_options.force_option
@_options.json_option
@click.pass_context
def command(
    context: click.Context,
    file: str | None,
    queries: str | None,
    array: str | None,
    queries_array: str | None,
    bits: list[float],
    sizes: list[int] | None,
    methods: list[str] | None,
    sample: str | None,
    sample_array: str | None,
    seeds: int,
    rotation: str,
    confidence: float,
    out: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Compares the methods on FILE, rows of floats, by default on the shipped embeddings.

    Without --queries the last tenth of the rows, at most 200, are the queries. Zero rows are left
    out and counted. With --sample, methods on axes fitted to it are compared too: trellis+axes, or
    those that --methods names.
    """
    if queries is not None and file is None:
        raise click.UsageError("--queries needs a FILE of rows", context)
    if array is not None and file is None:
        raise click.UsageError("--array needs a FILE of rows", context)
    if queries_array is not None and queries is None:
        raise click.UsageError("--queries-array needs --queries", context)
    share = None if sample is None else _share(sample)
    if sample_array is not None and (sample is None or share is not None):
        raise click.UsageError("--sample-array needs a FILE as --sample", context)
    options: dict[str, Any] = {}
    if sizes is not None:
        if context.get_parameter_source("bits") is ParameterSource.COMMANDLINE:
            raise click.UsageError("--bits and --bytes exclude each other", context)
        options["bytes_per_vector"] = sizes
    if context.get_parameter_source("confidence") is ParameterSource.COMMANDLINE:
        options["confidence"] = confidence
    names = chosen(methods, sample)
    with ExitStack() as stack:
        x = y = None
        if file is not None:
            x = stack.enter_context(open_rows(file, array=array, option="--array "))
        if queries is not None:
            option = "--queries-array "
            y = stack.enter_context(open_rows(queries, array=queries_array, option=option))
        if share is not None:
            options["sample"] = share
        elif sample is not None:
            option = "--sample-array "
            options["sample"] = stack.enter_context(
                open_rows(sample, array=sample_array, option=option)
            )
        # A name that is not UTF-8 text cannot be written to the report as it is.
        source = None if file is None else click.format_filename(file)
        folder = None if out is None else _prepare(out, force)
        total = len(set(bits if sizes is None else sizes)) * len(names) * seeds
        total += sample is not None
        step = stack.enter_context(bar(total, "run", "compare"))
        progress = None if step is None else _progress(step)
        try:
            result = run_comparison(
                x, y, names, bits, seeds, rotation, progress, source=source, **options
            )
        except ValueError as error:
            raise ValueError(_with_files(str(error), file, queries, sample)) from None
    if as_json:
        _emit(result, folder, force)
        return
    rows, count, dim = result.shape
    about = result.about["source"]
    sizes_of = f"{counted(rows, 'row')}, {counted(count, 'query', 'queries')}, d = {dim}"
    # The figures first: a disk that is full must not cost them.
    click.echo(report.wrapped(f"{sizes_of}: {about}; rotation {rotation}"))
    click.echo(machine() + "\n")
    click.echo(result.to_text())
    if folder is not None:
        written = _save(result, folder, force)
        files = " ".join(path.name for path in written)
        click.echo("\n" + report.wrapped(f"written to {folder}: {files}"))


def _emit(result: Comparison, folder: Path | None, force: bool) -> None:
    """Prints one JSON object, also where the report cannot be saved."""
    written: list[Path] = []
    try:
        if folder is not None:
            written = _save(result, folder, force)
    finally:
        emit(result.to_dict() | ({} if folder is None else {"written": written}))


def _share(sample: str) -> float | None:
    """The number, or None if it is the name of a file."""
    if os.path.exists(sample):
        return None
    try:
        return between(float(sample), "--sample")
    except ValueError as error:
        if "expected" in str(error):
            raise Failure(str(error)) from None
        raise Failure(f"--sample {sample}: neither a file nor a share of the rows") from None


def _progress(step: Callable[..., None]) -> Callable[[str], None]:
    """What is told the line of each run before it: the run before that is done."""
    lines: list[str] = []

    def line(text: str) -> None:
        step(1 if lines else 0, text)
        lines[:] = [text]

    return line


def _with_files(message: str, *paths: str | None) -> str:
    """An error that names the files in place of x, y and the sample."""
    for name, path in zip(("x", "y", "sample"), paths, strict=True):
        if path is not None and re.match(rf"{name}\b", message):
            return path + message[len(name) :]
    return message


def _prepare(out: str, force: bool) -> Path:
    """The folder of the results, looked at before anything is measured; nothing is made yet."""
    folder = Path(out)
    what = f"--out {out}"
    try:
        there = report.existing(folder)
        above = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    except OSError as error:
        raise of_system(error, f"{what}: cannot write there") from None
    for path in there:
        if not path.is_file():
            raise Failure(f"{what}: {path.name} there is not a file, it cannot be replaced")
    if there and not force:
        raise Failure(f"{what} has a report ({there[0].name}); --force replaces it")
    _options.try_folder(above, what)
    return folder


def _save(result: Comparison, folder: Path, force: bool) -> list[Path]:
    try:
        written = report.save(result, folder, force)
    except OSError as error:
        raise of_system(error, f"--out {folder}") from None
    if not report.has_plots():
        click.echo(report.NO_PLOTS, err=True)
    return written
