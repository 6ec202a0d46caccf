"""A file that is replaced at once or not at all, as :func:`blockquant.save` does."""

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
    """A new file that gets its name when the block ends without an exception, on the disk by then.

    It is made in the folder of `path`. On any exception, Ctrl-C too, it is removed, and a file of
    that name stays as it was. Of a link the file is replaced that it leads to; the permissions of
    a file that is replaced are kept.

    Raises
    ------
    OSError
        If the file cannot be written; it names `path`.

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
