"""Bars of progress on a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def bar(total: int, unit: str, what: str = "") -> Iterator[Callable[..., None] | None]:
    """What takes progress and shows it with rate and time left; None without a terminal at stderr.

    It is called with the progress since the last call, and if you like with a text to show.

    Parameters
    ----------
    total : int
        Of all progress.
    unit : str
        Of `total`, as it follows a number: `` rows``.
    what : str
        Stands before the bar.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from tqdm import tqdm

    with tqdm(
        total=total,
        unit=unit,
        unit_scale=total >= 10_000,
        desc=what or None,
        file=sys.stderr,
        leave=False,
        **_width(),
    ) as shown:

        def step(progress: int, text: str | None = None) -> None:
            if text is not None:
                shown.set_postfix_str(text, refresh=False)
            shown.update(progress)
            if not progress:
                shown.refresh()

        yield step


def _width() -> dict[str, Any]:
    """The terminal's size, or a usual one where it does not say: tqdm would show nothing."""
    try:
        is_told = os.get_terminal_size(sys.stderr.fileno()).columns > 0
    except (OSError, ValueError):
        is_told = False
    return {"dynamic_ncols": True} if is_told else {"ncols": 80, "nrows": 24}
