"""Folders of shards: what the commands do where a folder stands in place of a file of codes."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, TypeVar

import click

from blockquant import shards
from blockquant._checks import counted
from blockquant.cli import _fitted, _options
from blockquant.cli._errors import Failure
from blockquant.cli._output import cost, emit, measures
from blockquant.codes import Codes
from blockquant.files.codes import load
from blockquant.quantizer import Quantizer
from blockquant.shards import Shards
from blockquant.shards._engines import Engine
from blockquant.shards._job import Job
from blockquant.shards._sources import Options

_Command = TypeVar("_Command", bound=Callable[..., Any])

#: The options of a job, with what each is if it is not given.
_DEFAULTS = {
    "engine": "local",
    "workers": None,
    "address": None,
    "shard_rows": shards.SHARD_ROWS,
    "skip_bad": False,
}


def job_options(command: _Command) -> _Command:
    """Adds the options of a job to a command, which takes them as more keywords."""
    options = (
        click.option(
            "--engine",
            type=click.Choice(["local", "ray"]),
            default=_DEFAULTS["engine"],
            show_default=True,
            help="What encodes a folder: processes of this machine, or a cluster of Ray.",
        ),
        click.option(
            "--workers",
            type=click.IntRange(min=1),
            help="Shards that are encoded at once.  [default: the threads, or the cluster's room]",
        ),
        click.option(
            "--address", metavar="ADDRESS", help="Of the Ray cluster, as `ray.init` takes it: auto."
        ),
        click.option(
            "--shard-rows",
            type=click.IntRange(min=1),
            default=_DEFAULTS["shard_rows"],
            show_default=True,
            help="The most rows of a shard of a folder.",
        ),
        click.option(
            "--skip-bad",
            is_flag=True,
            help="Leave bad rows and files out, and list them in the manifest of the folder.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def is_folder(out: str) -> bool:
    """Whether a name is meant as that of a folder: it is one, or has no suffix.

    Examples
    --------
    >>> is_folder("codes/"), is_folder("new-codes"), is_folder("codes.safetensors")
    (True, True, False)
    """
    return os.path.isdir(out) or not os.path.splitext(out)[1]


def one_file(context: click.Context, files: Sequence[str], out: str, job: dict[str, Any]) -> str:
    """The only FILE of a command that writes one file; options of a job are refused."""
    given = [name for name, value in job.items() if value != _DEFAULTS[name]]
    if given:
        option = f"--{given[0].replace('_', '-')}"
        raise Failure(f"{option} is for a folder of codes, but --out {out} is a file")
    (first, *more) = files
    takes = f"--out {out} is a file, which takes one FILE; for more name a folder: codes/"
    if os.path.isdir(first):
        raise Failure(f"{first} is a directory, and {takes}")
    if more or (glob.has_magic(first) and not os.path.exists(first)):
        raise Failure(takes)
    _options.EXISTING.convert(first, None, context)
    return first


def encode(
    files: Sequence[str],
    out: str,
    spec: dict[str, Any],
    array: str | None,
    force: bool,
    job: dict[str, Any],
    as_json: bool,
    axes: str | None,
) -> None:
    """Encodes files to a folder of shards; `axes` names the file of the axes in `spec`."""
    if force:
        raise Failure(f"--force is for files; a job goes on in its folder, and {out} is one")
    start = perf_counter()
    made = Job(
        os.path.abspath(out),
        Options(job["shard_rows"], array, job["skip_bad"], "--array "),
        Engine.of(job["engine"], job["workers"], shards.RETRIES, job["address"]),
        progress=True,
    )
    found = Shards(made.folder, made.encode(list(files), spec), True)
    seconds = perf_counter() - start
    values = _measures(out, found)
    _fitted.warn(values.get("drift"), axes)
    rate = len(found) / seconds
    if as_json:
        speed = {"seconds": seconds, "rows_per_second": rate}
        emit({"command": "encode", "files": found.sources, "out": out, **values, **speed})
        return
    _describe(out, found, values)
    click.echo(f"{seconds:.2f} s, {rate:,.0f} rows/s")


def info(folder: str, verify: bool, as_json: bool) -> None:
    """Says what a folder holds, or fails where a shard is damaged."""
    found = shards.open(folder, verify)
    damages = found.verify() if verify else []
    if damages:
        each = "; ".join(f"{damage.file} ({damage.rows}): {damage.error}" for damage in damages)
        of = counted(len(found.files), "shard")
        verb = "is" if len(damages) == 1 else "are"
        raise Failure(f"{folder}: {len(damages)} of {of} {verb} damaged: {each}")
    values = _measures(folder, found, verify)
    if as_json:
        held = found.info()
        more = {name: held[name] for name in ("shards", "shard_rows", "sources")}
        skipped = [
            dict(zip(("file", "row", "rows", "error"), each, strict=True)) for each in found.skipped
        ]
        kind = {"command": "info", "kind": "shards", "folder": folder}
        emit({**kind, **values, **more, "skipped": skipped, "verified": verify})
        return
    _describe(folder, found, values)
    click.echo(f"checksums: {'verified' if verify else 'not compared (--no-verify)'}")


def load_codes(path: str, verify: bool) -> tuple[Quantizer, Codes | Shards]:
    """The codes of a file or of a folder."""
    if not os.path.isdir(path):
        return load(path, verify)
    found = shards.open(path, verify)
    return found.quantizer, found


def _measures(folder: str, found: Shards, reads: bool = True) -> dict[str, Any]:
    """What the codes cost and, if they may be read, how far their rows are from fitted axes."""
    total, q = found.info()["bytes"], found.quantizer
    step = max(1, found.info()["shard_rows"])
    parts = (found[first : first + step] for first in range(0, len(found), step))
    drift = q.drift(parts) if reads and q.axes is not None else None
    values = {**measures(folder, q, len(found), found.nbytes), "file_bytes": total}
    return {**values, **_fitted.measures(q, drift)}


def _describe(folder: str, found: Shards, values: dict[str, Any]) -> None:
    held = found.info()
    rows, files = counted(len(found), "row"), counted(len(held["sources"]), "file")
    parts = counted(held["shards"], "shard")
    click.echo(f"{folder}: {rows}, d = {found.quantizer.dim}, in {parts}, of {files}")
    click.echo(f"{found.quantizer!r}")
    click.echo(cost(values))
    if found.quantizer.axes is not None:
        click.echo(_fitted.summary(found.quantizer, values["drift"]))
    if found.skipped:
        whole = sum(row is None for _, row, *_ in found.skipped)
        some = sum(rows for _, _, rows, _ in found.skipped)
        left = f"{counted(some, 'row')} and {counted(whole, 'file')}"
        click.echo(f"left out as bad: {left}, the first: {found.skipped[0][3]}")
