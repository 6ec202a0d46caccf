"""``blockquant search``: the nearest rows of codes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from blockquant._checks import counted
from blockquant.cli import _options
from blockquant.cli._errors import Failure
from blockquant.cli._folder import load_codes
from blockquant.cli._output import bar, building, emit
from blockquant.files import Rows, open_rows
from blockquant.files.atomic import replacing
from blockquant.shards import Shards

#: Queries that are searched for in one call.
_QUERIES = 1024


@click.command("search", short_help="Searches codes for the best rows of queries.")
@click.argument("codes", type=_options.CODES)
@click.option("--queries", required=True, type=_options.EXISTING, help="A file of rows.")
@_options.array_option("--queries-array", "--queries")
@click.option("-k", default=10, type=click.IntRange(min=1), show_default=True, help="Rows to find.")
@click.option(
    "--metric",
    default="ip",
    type=click.Choice(["ip", "l2", "cosine"]),
    show_default=True,
    help="l2 (squared) and cosine need codes with norms.",
)
@click.option(
    "--exact", is_flag=True, help="Estimate every row: nothing is overlooked, but slower."
)
@click.option("--certified", is_flag=True, help="Also tell how many of those found are certain.")
@click.option(
    "--confidence",
    default=0.99,
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    show_default=True,
    help="Of the certificate of a query.",
)
@click.option(
    "--out", type=_options.NEW, help="A .npz of score and index, (m, k), and certain, (m,)."
)
@_options.verify_option
@_options.force_option
@_options.json_option
def command(
    codes: str,
    queries: str,
    queries_array: str | None,
    k: int,
    metric: str,
    exact: bool,
    certified: bool,
    confidence: float,
    out: str | None,
    verify: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Searches CODES, a file or folder of `blockquant encode`, for the best rows of each query.

    Prints a table, a line for each row found; with --json the results are in the object; with --out
    they are in the file alone. Where CODES has fewer than k rows, each query gets all of them, and
    a note on stderr says so.
    """
    if out is not None:
        _options.prepare(out, [codes, queries], force, [".npz"])
    with open_rows(queries, array=queries_array, option="--queries-array ") as rows:
        with building():
            q, held = load_codes(codes, verify)
        if rows.shape[1] != q.dim:
            raise ValueError(f"{queries} has d = {rows.shape[1]}, {codes} has d = {q.dim}")
        options: dict[str, Any] = {"k": k, "metric": metric, "exact": exact}
        if certified:
            options |= {"certified": True, "confidence": confidence}
        if not isinstance(held, Shards):
            search = partial(q.search, held, **options)
        elif certified:
            raise Failure(f"--certified is for a file of codes, and {codes} is a folder")
        else:
            search = partial(held.search, **options)
        start = perf_counter()
        found = _search(search, rows)
        seconds = perf_counter() - start
    each = found["index"].shape[1]
    if each < k:
        click.echo(
            f"k = {k}, but {codes} has {counted(each, 'row')}: each query gets all", err=True
        )
    if out is not None:
        with replacing(out) as file:
            np.savez(file, **found)  # type: ignore[arg-type]  # no array is called allow_pickle
    if as_json:
        values = {
            "command": "search",
            "codes": codes,
            "queries": queries,
            "query_count": len(rows),
            "rows": len(held),
            "k": k,
            "rows_per_query": each,
            "metric": metric,
            "exact": exact,
            "certified": certified,
            "seconds": seconds,
        }
        emit({**values, **({"results": _records(found)} if out is None else {"out": out})})
    elif out is None:
        _table(found)
    else:
        asked = counted(len(rows), "query", "queries")
        line = f"{out}: {' and '.join(found)} of {asked} among {counted(len(held), 'row')}"
        click.echo(f"{line}; {seconds:.2f} s, {len(rows) / seconds:,.0f} queries/s")


def _search(search: Callable[..., Any], rows: Rows) -> dict[str, NDArray[Any]]:
    """Score, index and, if certified, certain, of all queries."""
    names = ("score", "index", "certain")
    parts: list[tuple[NDArray[Any], ...]] = []
    with bar(len(rows), " queries", "search") as step:
        for start in range(0, max(len(rows), 1), _QUERIES):
            chunk = rows[start : start + _QUERIES]
            error = rows.not_finite(start, chunk)
            if error is not None:
                raise error
            parts.append(search(chunk))
            if step is not None:
                step(len(chunk))
    joined = map(np.concatenate, zip(*parts, strict=True))
    return dict(zip(names, joined, strict=False))


def _records(found: dict[str, NDArray[Any]]) -> list[dict[str, Any]]:
    return [
        {"query": query, **{name: values[query] for name, values in found.items()}}
        for query in range(len(found["score"]))
    ]


def _table(found: dict[str, NDArray[Any]]) -> None:
    certain = found.get("certain")
    last = "" if certain is None else f" {'certain':>11}"
    click.echo(f"{'query':>8} {'rank':>5} {'row':>10} {'score':>13}{last}")
    for query, (scores, rows) in enumerate(zip(found["score"], found["index"], strict=True)):
        mark = "" if certain is None else f" {f'{certain[query]} of {len(rows)}':>11}"
        for rank, (score, row) in enumerate(zip(scores, rows, strict=True)):
            click.echo(f"{query:>8} {rank + 1:>5} {row:>10} {score:>13.7g}{mark}")
