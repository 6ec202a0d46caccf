"""Files that are replaced completely or not at all, as :func:`blockquant.save` replaces them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Writes to a temporary file, which replaces `path` when the block ends.

    The temporary file is in the folder of `path` and is flushed to the disk before it gets its
    name. On any exception, including Ctrl-C, it is removed, and an existing file stays as it was.
    A symlink is followed: its target is replaced. The permissions of a replaced file are kept.

    Parameters
    ----------
    path : path-like
        The file to write.

    Yields
    ------
    file
        The temporary file, open for binary writing.

    Raises
    ------
    OSError
        If the file cannot be written. The error names `path`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(f"{folder}/a") as file:
    ...         _ = file.write(b"abc")
    ...     os.listdir(folder)
    ['a']
    """
    target = Path(os.path.realpath(path))
    temporary = target.parent / f".blockquant-{token_hex(8)}.tmp"
    try:
        with open(temporary, "xb") as file:
            if target.exists():
                os.chmod(temporary, stat.S_IMODE(target.stat().st_mode))
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.filename in (None, str(temporary)):
            raise OSError(error.errno, error.strerror, os.fspath(path)) from None
        raise
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
