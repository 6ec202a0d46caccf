"""Errors of the command line: one line each, with an exit code that says whose they are."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from blockquant._core import MissingNorms

#: What the machine did, not the caller.
_MACHINE = {
    getattr(errno, name)
    for name in ("ENOSPC", "EDQUOT", "EIO", "ENOMEM", "EMFILE", "ENFILE", "EFBIG")
    if hasattr(errno, name)
}


class Failure(click.ClickException):
    """One line; by default what the caller did wrong."""

    exit_code: int  # type: ignore[misc]  # click's is of the class

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(" ".join(message.split("\n")))
        self.exit_code = exit_code


def of_system(error: OSError, what: str | None = None) -> Failure:
    """An error of the operating system, with the file it is about."""
    reason = error.strerror or str(error)
    names = (what, error.filename if isinstance(error.filename, str) else None)
    where = "".join(f"{name}: " for name in dict.fromkeys(names) if name)
    is_machine = error.errno in _MACHINE or isinstance(error, ChildProcessError)
    return Failure(where + reason, 1 if is_machine else 2)


@contextmanager
def _one_line(command: Callable[[], str]) -> Iterator[None]:
    """What went wrong as a failure, without the usage that click prints above it.

    `command` is asked where click does not say which command failed.
    """
    try:
        yield
    except click.UsageError as error:
        where = command() if error.ctx is None else error.ctx.command_path
        raise Failure(f"{error.format_message()} (see {where} --help)") from None
    except MissingNorms as error:
        raise Failure(
            f"{error.what} the norms of the rows: encode them with --store-norm"
        ) from None
    except (ValueError, TypeError) as error:
        raise Failure(str(error)) from None
    except OSError as error:
        if error.errno == errno.EPIPE:  # whoever read the output has enough: click ends quietly
            raise
        raise of_system(error) from None
    except MemoryError as error:
        raise Failure(f"not enough memory: {error}", 1) from None
    except KeyboardInterrupt:
        raise Failure("interrupted", 130) from None


class Group(click.Group):
    """Commands of which each error is one line."""

    def make_context(self, info_name: str | None, *rest: Any, **options: Any) -> click.Context:
        """The context, or a failure."""
        with _one_line(lambda: info_name or "blockquant"):
            return super().make_context(info_name, *rest, **options)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs a command."""
        with _one_line(lambda: f"{ctx.command_path} {ctx.invoked_subcommand}"):
            return super().invoke(ctx)
