"""Files of rows: .npy, .npz, .safetensors, .fvecs and, with pyarrow, .parquet.

Rows are read in slices and written in chunks, so a file may be larger than memory.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from blockquant._checks import expected_rows
from blockquant.files import fvecs, npy, parquet, tensors
from blockquant.files.rows import CHUNK_BYTES, FLOATS, Entry, Rows, chunk_rows, regular
from blockquant.files.writers import RowsWriter, write_rows

__all__ = [
    "CHUNK_BYTES",
    "SUFFIXES",
    "Entry",
    "Rows",
    "RowsWriter",
    "chunk_rows",
    "files_at",
    "list_arrays",
    "open_entry",
    "open_rows",
    "write_rows",
]

#: For each format, the function that lists the arrays of a file and the one that opens an array.
_FORMATS: dict[str, tuple[Callable[[str], list[Entry]], Callable[[str, Entry], Rows]]] = {
    ".npy": (npy.entries, npy.open_entry),
    ".npz": (npy.archive_entries, npy.archive_open_entry),
    ".safetensors": (tensors.entries, tensors.open_entry),
    ".parquet": (parquet.entries, parquet.open_entry),
    ".fvecs": (fvecs.entries, fvecs.open_entry),
}

#: The suffixes of the formats that can be read.
SUFFIXES = tuple(_FORMATS)


def _suffix(path: str) -> str:
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in _FORMATS:
        raise ValueError(f"{path}: expected a name that ends in {', '.join(SUFFIXES)}")
    return suffix


@contextmanager
def _named(path: str) -> Iterator[None]:
    """Puts the name of the file in front of an error, which it shortens to one line."""
    try:
        yield
    except (EOFError, ValueError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{path}: {reason}") from None


def list_arrays(path: str | os.PathLike[str]) -> list[Entry]:
    """Lists the arrays of a file with shape and type, including those that are not rows of floats.

    Parameters
    ----------
    path : path-like
        A file whose name ends in one of :data:`SUFFIXES`.

    Raises
    ------
    ValueError
        If the file is damaged, has another suffix, or needs a library that is not installed.
    OSError
        If the file cannot be read.

    See Also
    --------
    open_entry : Opens one of the arrays.
    open_rows : Opens the array that holds the rows.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/x.npz", a=np.ones((5, 8)), label=np.arange(5))
    ...     print(*list_arrays(f"{folder}/x.npz"), sep=", ")
    'a': float64 of shape (5, 8), 'label': int64 of shape (5,)
    """
    where = regular(path)
    suffix = _suffix(where)
    with _named(where):
        return _FORMATS[suffix][0](where)


def open_entry(path: str | os.PathLike[str], entry: Entry) -> Rows:
    """Opens one of the arrays that :func:`list_arrays` gives.

    Parameters
    ----------
    path : path-like
        The file that holds the array.
    entry : Entry
        The array.

    Returns
    -------
    Rows
        A context manager that closes the file.

    Raises
    ------
    ValueError
        If the array does not hold rows of floats, or the file is damaged.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/x.npy", np.ones((5, 8)))
    ...     (entry,) = list_arrays(f"{folder}/x.npy")
    ...     with open_entry(f"{folder}/x.npy", entry) as rows:
    ...         rows.shape
    (5, 8)
    """
    where = os.fspath(path)
    with _named(where):
        return _FORMATS[_suffix(where)][1](where, entry)


def open_rows(
    path: str | os.PathLike[str], *, array: str | None = None, option: str = "array="
) -> Rows:
    """Opens a file of rows. A slice reads only its own rows.

    Parameters
    ----------
    path : path-like
        A file whose name ends in one of :data:`SUFFIXES`.
    array : str, optional
        Name of the array or top-level column. The default is the only array of floats that has two
        dimensions. If several arrays have the name, the only one of floats with two dimensions is
        opened. A one-dimensional array is one row if it is named or alone in a .npy file.
    option : str
        The option that errors suggest for the choice of an array.

    Returns
    -------
    Rows
        A context manager that closes the file. Its dtype is float16, float32 or float64.

    Raises
    ------
    ValueError
        If the file is damaged, has another suffix, does not hold such an array, or holds several
        and `array` is not given.
    OSError
        If the file cannot be read.

    See Also
    --------
    list_arrays : Lists the arrays of a file.
    write_rows : Writes rows to a file.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/x.npz", a=np.ones((5, 8)), label=np.arange(5))
    ...     with open_rows(f"{folder}/x.npz") as rows:
    ...         rows.shape, rows[1:3].shape, [start for start, _ in rows.chunks(2)]
    ((5, 8), (2, 8), [0, 2, 4])
    """
    held = list_arrays(path)
    where = os.fspath(path)
    return open_entry(where, _choose(where, held, array, option))


def files_at(path: str, out: str = "") -> list[str]:
    """The files of rows that a path, a glob or a folder means.

    Globs and folders give their files in the order of their names. A folder gives the files in it,
    and in folders below it, whose names end in one of :data:`SUFFIXES`; names that begin with a dot
    or an underscore are left out, as other programs do.

    Parameters
    ----------
    path : str
        A file, which need not exist, a glob or a folder.
    out : str
        The absolute path of a folder that is left out.

    Raises
    ------
    ValueError
        If a glob or folder has no files.
    OSError
        If a folder cannot be read.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in "ba":
    ...         np.save(f"{folder}/{name}.npy", np.ones((2, 3)))
    ...     [os.path.basename(file) for file in files_at(folder)]
    ['a.npy', 'b.npy']
    """
    found = [path]
    if os.path.isdir(path):
        found = _inside(path, out)
    elif not os.path.exists(path) and glob.has_magic(path):
        matched = glob.glob(path, recursive=True)
        found = sorted(file for file in matched if not os.path.isdir(file))
    if not found:
        raise ValueError(f"{path}: no files of rows found there ({', '.join(SUFFIXES)})")
    return found


def _inside(folder: str, out: str) -> list[str]:
    found = []
    for where, folders, files in os.walk(folder):
        is_shown = [name for name in folders if name[0] not in "._"]
        folders[:] = [name for name in is_shown if os.path.abspath(Path(where, name)) != out]
        for name in files:
            if name[0] not in "._" and os.path.splitext(name)[1].lower() in SUFFIXES:
                found.append(Path(where, name))
    return [str(path) for path in sorted(found, key=lambda path: path.parts)]


def _choose(path: str, held: list[Entry], wanted: str | None, option: str) -> Entry:
    names = ", ".join(map(str, held)) or "nothing"
    if len(held) == 1 and held[0].name is None:
        if wanted is not None:
            raise ValueError(f"{path} holds one array without a name; leave {option}{wanted} out")
        return held[0]
    asked = held if wanted is None else [entry for entry in held if entry.name == wanted]
    if wanted is not None and not asked:
        raise ValueError(f"{path} holds no array {wanted!r}, only {names}")
    fit = [entry for entry in asked if entry.holds_rows]
    if wanted is not None and len(asked) == 1:
        return asked[0]
    if not fit:
        names = ", ".join(map(str, asked)) or "nothing"
        hint = _reshape(asked)
        raise ValueError(f"{path} holds no rows of floats (n, dim), only {names}{hint}")
    if len(fit) > 1:
        names = ", ".join(map(str, fit))
        if len({entry.name for entry in fit}) == 1:
            alike = f"{len(fit)} arrays of the name {fit[0].name!r}"
            raise ValueError(f"{path} holds {alike}; rename all but one: {names}")
        raise ValueError(f"{path} holds {len(fit)} arrays; pick one with {option}NAME: {names}")
    return fit[0]


def _reshape(held: list[Entry]) -> str:
    """Advice on how to reshape the first array of floats with more than two dimensions."""
    for entry in held:
        if len(entry.shape) > 2 and entry.stored in FLOATS:
            return f": {entry.name!r} has {expected_rows(entry.shape, 'save')}"
    return ""
