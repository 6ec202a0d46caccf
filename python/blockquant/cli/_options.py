"""What several commands take."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from blockquant import registry
from blockquant._checks import counted
from blockquant.cli._errors import Failure, of_system

_Command = TypeVar("_Command", bound=Callable[..., Any])

EXISTING = click.Path(exists=True, dir_okay=False)
#: A file or a folder of codes.
CODES = click.Path(exists=True)
NEW = click.Path(dir_okay=False)

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object, for machines.")
force_option = click.option("--force", is_flag=True, help="Replace the output if it exists.")
verify_option = click.option(
    "--verify/--no-verify",
    default=True,
    help="Whether the codes are read once to compare their checksums.  [default: verify]",
)


def array_option(name: str, what: str) -> Callable[[_Command], _Command]:
    """Which array of a file is taken."""
    return click.option(
        name,
        metavar="NAME",
        help=f"Array or column of {what}; by default the only one of rows of floats.",
    )


class Numbers(click.ParamType):  # type: ignore[type-arg]  # not generic before click 8.4
    """Numbers with commas between them."""

    name = "numbers"

    def __init__(self, kind: Callable[[str], Any], example: str) -> None:
        self._kind = kind
        self._example = example

    def convert(self, value: Any, param: Any, ctx: Any) -> list[Any]:
        """The numbers, or a failure."""
        if isinstance(value, list):
            return value
        try:
            return [self._kind(part) for part in value.split(",")]
        except ValueError:
            name = param.opts[0] if param else "numbers"
            raise Failure(
                f"{name}: {value!r} is not a list of numbers like {self._example}"
            ) from None


class Methods(click.ParamType):  # type: ignore[type-arg]  # not generic before click 8.4
    """Names of methods, with commas between them; a shell completes the last one."""

    name = "methods"

    def __init__(self, full_name: Callable[[str], str] = registry.full_name) -> None:
        self._full_name = full_name

    def convert(self, value: Any, param: Any, ctx: Any) -> list[str]:
        """The names with their scale rules, or a failure."""
        if isinstance(value, list):
            return value
        return [self._full_name(part.strip()) for part in value.split(",")]

    def shell_complete(self, ctx: Any, param: Any, incomplete: str) -> list[CompletionItem[str]]:
        """The names that start so, and are not given yet."""
        before, comma, last = incomplete.rpartition(",")
        return [
            CompletionItem(f"{before}{comma}{name}")
            for name in registry.available()
            if name.startswith(last) and name not in before.split(",")
        ]


class Method(Methods):
    """One name of a method."""

    name = "method"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """The name with its scale rule, or a failure."""
        return self._full_name(value)

    def shell_complete(self, ctx: Any, param: Any, incomplete: str) -> list[CompletionItem[str]]:
        """The names that start so."""
        return [
            CompletionItem(name) for name in registry.available() if name.startswith(incomplete)
        ]


class Span(click.ParamType):  # type: ignore[type-arg]  # not generic before click 8.4
    """Rows ``a:b``, as a slice of Python: either end may be left out, or count from the end."""

    name = "a:b"

    def convert(self, value: Any, param: Any, ctx: Any) -> slice:
        """The slice, or a failure."""
        if isinstance(value, slice):
            return value
        parts = value.split(":")
        try:
            first, last = (int(part) if part.strip() else None for part in parts)
        except ValueError:
            raise Failure(f"--rows: {value!r} is not a span of rows like 0:1000 or :-5") from None
        return slice(first, last)


def within(span: slice | None, rows: int, path: str) -> range:
    """The positions of a span, all of which exist; without a span those of all rows.

    Raises
    ------
    Failure
        If an end is outside of the rows, or the span is empty or reversed.

    Examples
    --------
    >>> within(slice(-3, None), 10, "x")
    range(7, 10)
    >>> within(slice(9, 5), 10, "x")
    Traceback (most recent call last):
        ...
    blockquant.cli._errors.Failure: --rows 9:5 selects none of the 10 rows of x, expected a < b
    """
    if span is None:
        return range(rows)
    for end in (span.start, span.stop):
        if end is not None and not -rows <= end <= rows:
            raise Failure(f"--rows: {end} is outside of the {counted(rows, 'row')} of {path}")
    start, stop, _ = span.indices(rows)
    if start >= stop:
        given = ":".join("" if end is None else str(end) for end in (span.start, span.stop))
        none = f"selects none of the {counted(rows, 'row')} of {path}"
        raise Failure(f"--rows {given} {none}, expected a < b")
    return range(start, stop)


def prepare(
    out: str, inputs: Sequence[str], force: bool, suffixes: Sequence[str] | None = None
) -> None:
    """Refuses an output that cannot or may not be written, before anything is computed."""
    if suffixes is not None and os.path.splitext(out)[1].lower() not in suffixes:
        raise Failure(f"--out {out}: expected a name that ends in {', '.join(suffixes)}")
    path = Path(out)
    if path.exists():
        for given in inputs:
            if os.path.samefile(given, path):
                raise Failure(f"--out {out} is an input; choose another name")
        if not path.is_file():
            raise Failure(f"--out {out} is a pipe or a device, expected a file")
        if not force:
            raise Failure(f"--out {out} exists; --force replaces it")
    try_folder(path.parent, f"--out {out}")


def try_folder(folder: Path, what: str) -> None:
    """Tries that a file can be made in a folder; nothing stays there."""
    try:
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        failure = of_system(OSError(error.errno, error.strerror))
        raise Failure(f"{what}: cannot write there: {failure.message}", failure.exit_code) from None
