"""The number of threads that batches run on."""

from __future__ import annotations

from blockquant import _core
from blockquant._checks import whole

#: Tens of thousands of threads take minutes to start and do not make any machine faster.
_MOST = 1024


def set_num_threads(n: int) -> None:
    """Sets the number of threads for all later calls. Results do not depend on it.

    Parameters
    ----------
    n : int
        The number of threads, 1 to 1024. Running batches keep their threads. With 1 each call runs
        on the thread that makes it. A forked child keeps n and starts its own threads.

    Raises
    ------
    TypeError
        If `n` is not a whole number.
    ValueError
        If `n` is out of range.

    See Also
    --------
    num_threads : The current number of threads.

    Examples
    --------
    >>> import blockquant as bq
    >>> before = bq.num_threads()
    >>> bq.set_num_threads(1)
    >>> bq.num_threads()
    1
    >>> bq.set_num_threads(before)
    """
    _core.set_num_threads(whole(n, "threads", 1, _MOST))
