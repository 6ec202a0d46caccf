"""The threads that batches run on."""

from __future__ import annotations

from blockquant import _core
from blockquant._checks import whole


def set_num_threads(n: int) -> None:
    """Uses n threads from now on; the bytes do not depend on it.

    Parameters
    ----------
    n : int
        1 to 1024. Batches that are running keep the threads they have. With 1 each call runs on
        the thread that makes it. A forked child keeps n and starts threads of its own.

    Raises
    ------
    TypeError
        If it is no whole number.
    ValueError
        If it is out of range.

    Examples
    --------
    >>> import blockquant as bq
    >>> before = bq.num_threads()
    >>> bq.set_num_threads(1)
    >>> bq.num_threads()
    1
    >>> bq.set_num_threads(before)
    """
    _core.set_num_threads(whole(n, "threads", 1, _core.MAX_THREADS))
