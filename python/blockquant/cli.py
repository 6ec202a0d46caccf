"""The command line."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import click
import numpy as np

from blockquant import _core, registry
from blockquant._arrays import as_rows
from blockquant.distortion import METHODS
from blockquant.distortion import compare as run_comparison


class _Failure(click.ClickException):
    """One line, exit code 2."""

    exit_code = 2


@contextmanager
def _one_line(command: Callable[[], str]) -> Iterator[None]:
    """What the caller did wrong as a failure, without the usage that click prints above it.

    `command` is asked where click does not say which command failed.
    """
    try:
        yield
    except click.UsageError as error:
        where = command() if error.ctx is None else error.ctx.command_path
        raise _Failure(f"{error.format_message()} (see {where} --help)") from None
    except (ValueError, TypeError) as error:
        raise _Failure(str(error)) from None


class _Group(click.Group):
    """Commands of which each error is one line."""

    def make_context(self, info_name: str | None, *rest: Any, **options: Any) -> click.Context:
        with _one_line(lambda: info_name or "blockquant"):
            return super().make_context(info_name, *rest, **options)

    def invoke(self, ctx: click.Context) -> Any:
        with _one_line(lambda: f"{ctx.command_path} {ctx.invoked_subcommand}"):
            return super().invoke(ctx)


def _numbers(_context: Any, _parameter: Any, value: str) -> list[float]:
    try:
        return [float(part) for part in value.split(",")]
    except ValueError:
        raise _Failure(f"--bits: {value!r} is no list of numbers like 1,2,4") from None


def _names(_context: Any, _parameter: Any, value: str | None) -> list[str]:
    return list(METHODS) if value is None else [part.strip() for part in value.split(",")]


def _load(path: str) -> Any:
    """The rows of a file, left on the disk until they are read."""
    magic = np.lib.format.MAGIC_PREFIX
    try:
        with open(path, "rb") as file:
            start = file.read(len(magic))
        if start != magic:  # NumPy would take it for a pickle
            raise ValueError(f"it starts with {start!r}, expected {magic!r}")
        return as_rows(np.load(path, mmap_mode="r", allow_pickle=False), None, "it")[0]
    except OSError as error:
        raise _Failure(f"{path}: {error.strerror}") from None
    except (EOFError, ValueError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise _Failure(f"{path} is not a .npy file of floats: {reason}") from None


def _prepare(out: str) -> Path:
    """The folder of the results, made and tried before anything is measured."""
    try:
        Path(out).mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=out):
            return Path(out)
    except OSError as error:
        raise _Failure(f"--out {out}: cannot write there: {error.strerror}") from None


def _machine() -> str:
    return (
        f"{platform.machine()}, {_core.isa()}, {_core.num_threads()} threads, "
        f"Python {platform.python_version()}, NumPy {np.__version__}"
    )


@click.group(
    cls=_Group,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="blockquant")
@click.pass_context
def main(context: click.Context) -> None:
    """Rotation-based vector quantization, measured."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


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
    """Compares the methods on FILE (.npy, rows of floats), by default on the shipped embeddings.

    Without --queries the last tenth of the rows, at most 200, are the queries.
    """
    if queries is not None and file is None:
        raise click.UsageError("--queries needs a FILE of rows")
    x = None if file is None else _load(file)
    y = None if queries is None else _load(queries)
    folder = None if out is None else _prepare(out)
    with _progress(len(set(bits)) * len(set(methods)) * seeds) as bar:
        result = run_comparison(
            x,
            y,
            methods,
            bits,
            seeds,
            rotation,
            None if bar is None else lambda line: bar.update(1, line),
        )
    rows, count, dim = result.shape
    source = file or "the shipped sample of sentence embeddings"
    click.echo(f"{rows} rows, {count} queries, d = {dim}: {source}; rotation {rotation}")
    click.echo(_machine() + "\n")
    click.echo(result.to_text())
    if folder is not None:
        try:
            written = result.save(folder)
        except OSError as error:
            raise _Failure(f"--out {out}: {error}") from None
        click.echo("\nwritten: " + ", ".join(str(path) for path in written))
        if len(written) == 1:
            click.echo("no plot: it needs matplotlib, pip install 'blockquant[plot]'", err=True)


def _progress(total: int) -> Any:
    """A bar on a terminal, None elsewhere."""
    if not sys.stderr.isatty():
        return nullcontext()
    return click.progressbar(
        length=total, file=sys.stderr, show_pos=True, item_show_func=lambda line: line or ""
    )


@main.command()
def info() -> None:
    """Says what this installation is and which methods it has."""
    click.echo(_machine())
    click.echo("instruction sets: " + ", ".join(_core.available_isa()))
    click.echo("methods: " + ", ".join(registry.available()))
