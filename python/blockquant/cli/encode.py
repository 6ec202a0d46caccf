"""``blockquant encode``: rows to codes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import chain
from time import perf_counter
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from blockquant import registry
from blockquant._checks import counted
from blockquant._methods import DEFAULT, PARTS, TABLE
from blockquant.axes import Axes
from blockquant.cli import _fitted, _folder, _options
from blockquant.cli._output import bar, building, cost, emit, measures
from blockquant.codes import Codes
from blockquant.files import Rows, open_rows
from blockquant.files.codes import save
from blockquant.files.parquet import is_parquet
from blockquant.files.tables import kept_fields, write_codes
from blockquant.quantizer import Quantizer

#: The methods with blocks, for texts.
_BLOCKED = ", ".join(name for name, method in TABLE.items() if method.has_blocks)
#: The methods with states and the numbers that there are, for texts.
_STATES = {name: method.states for name, method in TABLE.items() if method.states}
_WITH_STATES = ", ".join(_STATES)
_NUMBERS = ", ".join(map(str, sorted(set(chain.from_iterable(_STATES.values())))))
#: The methods that search over scales, for texts.
_SEARCHED = ", ".join(name for name, method in TABLE.items() if method.has_scale_search)
#: What codes are written as.
_SUFFIXES = (".safetensors", ".parquet")


@click.command("encode", short_help="Encodes rows to a file or a folder of codes.")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path())
@click.option(
    "--out",
    required=True,
    type=click.Path(),
    help="The codes, .safetensors, .parquet or a folder.",
)
@_options.array_option("--array", "FILE")
@click.option("--method", default=DEFAULT, type=_options.Method(), show_default=True)
@click.option("--bits", default=2.0, type=float, show_default=True, help="Bits per coordinate.")
@click.option("--block", type=int, help=f"Coordinates per block, for {_BLOCKED}.")
@click.option("--states", type=int, help=f"States of the path, for {_WITH_STATES}: {_NUMBERS}.")
@click.option(
    "--scale-search",
    metavar="SCALES",
    type=int,
    help=f"Scales searched for the best codewords, such as 9, for {_SEARCHED}.",
)
@click.option(
    "--rotation",
    default="hadamard",
    type=click.Choice(["hadamard", "haar"]),
    show_default=True,
)
@click.option("--seed", default=0, type=int, show_default=True, help="Seed of the rotation.")
@click.option("--store-norm", is_flag=True, help="Keep norms: for l2, cosine and certificates.")
@click.option(
    "--center-mean", is_flag=True, help="Subtract the mean of FILE, which is read once more."
)
@click.option(
    "--center", type=_options.EXISTING, help="Subtract the mean of the rows of this file."
)
@click.option("--axes", type=_options.EXISTING, help="Axes that `blockquant fit` wrote.")
@click.option(
    "--criterion",
    type=click.Choice(["recall", "reconstruction", "inner_product"]),
    help="What the bits of axes are given for.  [default: recall]",
)
@click.option(
    "--reserve",
    metavar="PART",
    type=float,
    help="Of the variance that all axes are expected to have alike, 0 to 1.  [default: 0]",
)
@click.option(
    "--keep", metavar="NAMES", help="Columns of FILE, a Parquet file, that --out has too: id,text."
)
@click.option("--name", default="codes", show_default=True, help="Of the column in a .parquet.")
@_folder.job_options
@_options.force_option
@_options.json_option
@click.pass_context
def command(
    context: click.Context,
    /,
    files: tuple[str, ...],
    out: str,
    array: str | None,
    method: str,
    bits: float,
    block: int | None,
    states: int | None,
    scale_search: int | None,
    rotation: str,
    seed: int,
    store_norm: bool,
    center_mean: bool,
    center: str | None,
    axes: str | None,
    criterion: str | None,
    reserve: float | None,
    keep: str | None,
    name: str,
    force: bool,
    as_json: bool,
    **job: Any,
) -> None:
    """Encodes the rows of FILE, a chunk at a time: it may be larger than memory.

    The codes stay in memory until all are there, then --out is written at once or not at all. A
    .parquet is written as the codes come, beside the columns of --keep, and appears at the end.

    If --out is a folder, FILE may be many files, globs and folders. Each worker writes a file of
    codes per about a million rows, and a job that was killed goes on when it is called again.
    """
    options: dict[str, Any] = {"rotation": rotation, "store_norm": store_norm}
    if block is not None:
        if method in PARTS and not PARTS[method][0].has_blocks:
            raise click.UsageError(f"--block is for {_BLOCKED}, not for {method}", context)
        options["block"] = block
    if states is not None:
        if method in PARTS and not PARTS[method][0].states:
            raise click.UsageError(f"--states is for {_WITH_STATES}, not for {method}", context)
        options["states"] = states
    if scale_search is not None:
        if method in PARTS and not PARTS[method][0].has_scale_search:
            raise click.UsageError(f"--scale-search is for {_SEARCHED}, not for {method}", context)
        options["scale_search"] = scale_search
    if center_mean and center is not None:
        raise click.UsageError("--center and --center-mean exclude each other", context)
    for option, value in (("criterion", criterion), ("reserve", reserve)):
        if value is not None and axes is None:
            raise click.UsageError(f"--{option} is for --axes", context)
        if value is not None:
            options[option] = value
    model = None
    if axes is not None:
        if center_mean or center is not None:
            raise click.UsageError("--axes have a center of their own", context)
        model = options["axes"] = Axes.load(axes)
    if _folder.is_folder(out):
        spec = {"name": method, "bits": bits, "seed": seed, **options}
        if model is not None:
            spec["dim"] = model.dim
        if center_mean:
            spec["center"] = "mean"
        elif center is not None:
            with open_rows(center) as sample:
                spec["center"] = _mean(sample)
        if keep is not None:
            raise click.UsageError("--keep is for an --out that is a .parquet", context)
        _folder.encode(files, out, spec, array, force, job, as_json, axes)
        return
    file = _folder.one_file(context, files, out, job)
    kept = [] if keep is None else [part.strip() for part in keep.split(",")]
    is_table = os.path.splitext(out)[1].lower() == ".parquet"
    if kept and not (is_table and is_parquet(file)):
        raise click.UsageError("--keep is for a FILE and an --out that are .parquet", context)
    if is_table and model is not None:
        # A column says which quantizer made it, and a model does not fit in there.
        raise click.UsageError("--axes is for an --out that is a .safetensors or a folder", context)
    if kept:
        kept_fields(file, kept, name)
    with open_rows(file, array=array, option="--array ") as rows:
        inputs = [path for path in (file, center, axes) if path is not None]
        _options.prepare(out, inputs, force, _SUFFIXES)
        dim = rows.shape[1]
        if model is not None and model.dim != dim:
            raise ValueError(f"{axes} has d = {model.dim}, {file} has {dim}")
        # Wrong parameters are found before the file is read for its mean.
        with building():
            q = registry.create(method, dim=dim, bits=bits, seed=seed, **options)
        if center_mean:
            options["center"] = _mean(rows)
        elif center is not None:
            with open_rows(center) as sample:
                if sample.shape[1] != dim:
                    raise ValueError(f"{center} has d = {sample.shape[1]}, {file} has {dim}")
                options["center"] = _mean(sample)
        if "center" in options:
            with building():
                q = registry.create(method, dim=dim, bits=bits, seed=seed, **options)
        start = perf_counter()
        if is_table:
            with write_codes(out, q, name=name, source=file, keep=kept) as table:
                for codes in encoded(q, rows):
                    table.write(codes)
            count, nbytes, drift = table.rows, table.nbytes, None
        else:
            codes = encode_rows(q, rows)
            count, nbytes, drift = len(codes), codes.nbytes, q.drift(codes)
        seconds = perf_counter() - start
    if not is_table:
        save(out, q, codes)
    found = {**measures(out, q, count, nbytes), **_fitted.measures(q, drift)}
    _fitted.warn(drift, axes)
    rate = count / seconds
    if as_json:
        named = {"file": file, "array": rows.array, "stored": rows.stored, "out": out}
        speed = {"seconds": seconds, "rows_per_second": rate}
        emit({"command": "encode", **named, **found, **speed})
        return
    click.echo(f"{out}: {counted(count, 'row')}, d = {dim}, of {file} ({rows.stored})")
    click.echo(f"{q!r}")
    click.echo(cost(found))
    if model is not None:
        click.echo(_fitted.summary(q, drift))
    click.echo(f"{seconds:.2f} s, {rate:,.0f} rows/s")


def encode_rows(q: Quantizer, rows: Rows) -> Codes:
    """The codes of all rows of a file, of which one chunk is in memory at a time.

    Raises
    ------
    ValueError
        If a value is not finite; its row in the file is named.
    """
    codes = q.encode(np.empty((0, rows.shape[1]), np.float32))
    for part in encoded(q, rows):
        codes.append(part)
    return codes


def encoded(q: Quantizer, rows: Rows) -> Iterator[Codes]:
    """The codes of the rows of a file, one chunk after the other, as :func:`encode_rows`."""
    with bar(len(rows), " rows", "encode") as step:
        for start, chunk in rows.chunks():
            try:
                part = q.encode(chunk)
            except ValueError as error:
                raise rows.not_finite(start, chunk) or error from None
            yield part
            if step is not None:
                step(len(chunk))


def _mean(rows: Rows) -> NDArray[np.float64]:
    """The mean row of a file."""
    if not len(rows):
        raise ValueError(f"{rows.path} has 0 rows, which have no mean")
    total = np.zeros(rows.shape[1], np.float64)
    with bar(len(rows), " rows", "mean") as step:
        for start, chunk in rows.chunks():
            error = rows.not_finite(start, chunk)
            if error is not None:
                raise error
            total += chunk.sum(axis=0, dtype=np.float64)
            if step is not None:
                step(len(chunk))
    return total / len(rows)
