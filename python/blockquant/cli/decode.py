"""``blockquant decode``: codes to rows."""

from __future__ import annotations

import os
from time import perf_counter

import click

from blockquant._checks import counted
from blockquant.cli import _options
from blockquant.cli._folder import load_codes
from blockquant.cli._output import bar, building, emit, parameters, size
from blockquant.files import chunk_rows, write_rows
from blockquant.files.writers import WRITTEN, written_suffix


@click.command("decode", short_help="Decodes codes to rows.")
@click.argument("codes", type=_options.CODES)
@click.option("--out", required=True, type=_options.NEW, help=f"The rows: {', '.join(WRITTEN)}.")
@click.option(
    "--rows", "span", type=_options.Span(), help="Only these: a to b - 1, from the end if negative."
)
@click.option("--name", default="rows", show_default=True, help="Of the tensor or column.")
@_options.verify_option
@_options.force_option
@_options.json_option
def command(
    codes: str, out: str, span: slice | None, name: str, verify: bool, force: bool, as_json: bool
) -> None:
    """Decodes CODES of `blockquant encode`, a file or a folder, to rows of float32 by the chunk.

    The file appears when all rows are written, or not at all.
    """
    _options.prepare(out, [codes], force, WRITTEN)
    written_suffix(out)
    with building():
        q, held = load_codes(codes, verify)
    wanted = _options.within(span, len(held), codes)
    start = perf_counter()
    chunk = chunk_rows(q.dim)
    with (
        write_rows(out, len(wanted), q.dim, name) as writer,
        bar(len(wanted), " rows", "decode") as step,
    ):
        for first in range(wanted.start, wanted.stop, chunk):
            rows = q.decode(held[first : min(first + chunk, wanted.stop)])
            writer.write(rows)
            if step is not None:
                step(len(rows))
    seconds = perf_counter() - start
    total = os.stat(out).st_size
    rate = len(wanted) / seconds
    if as_json:
        emit(
            {
                "command": "decode",
                "codes": codes,
                "out": out,
                "first_row": wanted.start,
                "rows": len(wanted),
                "dim": q.dim,
                "quantizer": parameters(q),
                "file_bytes": total,
                "seconds": seconds,
                "rows_per_second": rate,
            }
        )
        return
    click.echo(f"{out}: {counted(len(wanted), 'row')}, d = {q.dim}, float32, {size(total)}")
    click.echo(f"{seconds:.2f} s, {rate:,.0f} rows/s")
