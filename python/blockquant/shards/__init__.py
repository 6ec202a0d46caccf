"""Many files on many machines: a folder with a file of codes per about a million rows.

:func:`encode` reads files of rows and writes shards, in processes of this machine or on a cluster.
A worker that dies is replaced, and a job that is killed goes on where it was. :func:`open` gives
the shards of a folder as one batch of rows, which is searched as if it were in one piece.
"""

from __future__ import annotations

import os
from concurrent.futures import Executor
from typing import Any

from blockquant._checks import flag
from blockquant.quantizer import Quantizer
from blockquant.shards import _manifest
from blockquant.shards._engines import Engine
from blockquant.shards._job import RETRIES, SHARD_ROWS, Job
from blockquant.shards._shards import Damage, Shards
from blockquant.shards._sources import Options, RowGroups

__all__ = ["RETRIES", "SHARD_ROWS", "Damage", "RowGroups", "Shards", "encode", "open"]


def encode(
    sources: Any,
    out: str | os.PathLike[str],
    spec: Quantizer | dict[str, Any],
    *,
    engine: str | Executor = "local",
    workers: int | None = None,
    address: str | None = None,
    retries: int = RETRIES,
    shard_rows: int = SHARD_ROWS,
    array: str | None = None,
    skip_bad: bool = False,
    progress: bool = True,
) -> Shards:
    """Encodes files of rows to a folder of shards.

    If the folder exists, the job goes on: a shard is kept if its file is undamaged and was made
    with this `spec` from these rows of a source whose path, size and time of modification are the
    same. Sources that have changed are encoded again, and new ones may follow those that are there.
    One job at a time may write to a folder.

    Parameters
    ----------
    sources : path-like, RowGroups, or iterable of these
        Files of rows (:data:`blockquant.files.SUFFIXES`), globs, folders with all folders in them,
        and row groups of Parquet files. The rows are numbered in this order; globs and folders give
        their files in the order of their names.
    out : path-like
        The folder. It is made if it does not exist.
    spec : Quantizer or dict
        What :func:`blockquant.create` takes: ``name``, ``bits`` and options, and ``dim`` if it is
        to be checked. With ``center="mean"`` the rows are read twice, first for their mean.
    engine : str or Executor
        ``local``, processes of this machine; ``ray``, core tasks of Ray (``blockquant[ray]``); or a
        ``concurrent.futures.Executor``, such as Dask's ``Client(…).get_executor()``. The files do
        not depend on it. Workers on other machines see sources and `out` under the same paths.
    workers : int, optional
        Shards that are encoded at once. The default is the number of threads, or for Ray what the
        cluster has room for. One local worker is this process.
    address : str, optional
        Of a Ray cluster, as ``ray.init`` takes it, such as ``"auto"``. Without it a connection that
        the process has is used, or else Ray is started on this machine.
    retries : int
        How often workers may die before the job gives up: one after the other without a finished
        shard (local), or on one shard (Ray).
    shard_rows : int
        The most rows of a shard. A shard has rows of one source.
    array : str, optional
        Name of the array or column of all sources, as for :func:`blockquant.files.open_rows`.
    skip_bad : bool
        Whether rows that are not finite, null or of another length, and files that are damaged, are
        left out. The manifest lists them, and :meth:`Shards.locate` counts them. If a file is
        damaged in the middle, the rest of that shard's rows are left out. Errors of the system,
        such as a missing permission, always stop the job.
    progress : bool
        Whether a bar is shown on stderr, if that is a terminal.

    Returns
    -------
    Shards
        All rows, as :func:`open` gives them.

    Raises
    ------
    TypeError
        If a parameter has the wrong type.
    ValueError
        If a parameter is wrong, a row or a file is bad (named with row and column), the folder was
        made with another `spec` or from other sources, or Ray is missing.
    ChildProcessError
        If workers die again and again.
    OSError
        If a file cannot be read or written.

    Examples
    --------
    >>> import tempfile, numpy as np, blockquant as bq
    >>> x, _ = bq.sample()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for part in range(4):
    ...         np.save(f"{folder}/part-{part}.npy", x[500 * part : 500 * part + 500])
    ...     spec = {"name": "blockquant", "bits": 2}
    ...     shards = bq.shards.encode(f"{folder}/*.npy", f"{folder}/codes", spec, workers=1)
    ...     len(shards), len(shards.files), shards.decode(10, 20).shape
    (2000, 4, (10, 384))
    """
    job = Job(
        os.path.abspath(os.fsdecode(out)),
        Options(shard_rows, array, skip_bad),
        Engine.of(engine, workers, retries, address),
        flag(progress, "progress"),
    )
    return Shards(job.folder, job.encode(sources, spec), True)


def open(folder: str | os.PathLike[str], verify: bool = True) -> Shards:
    """Opens a folder that :func:`encode` wrote.

    Parameters
    ----------
    folder : path-like
        The folder. Only its manifest is read now.
    verify : bool
        Whether each shard is read once to compare its checksums, when it is first used.

    Returns
    -------
    Shards

    Raises
    ------
    TypeError
        If `verify` is not a bool.
    ValueError
        If the folder is not one of shards, its job has not finished, or its manifest is damaged.
    OSError
        If it cannot be read.

    Examples
    --------
    >>> import tempfile, blockquant as bq
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     bq.shards.open(folder)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    ValueError: ... has no manifest.json, expected a folder that blockquant.shards.encode finished
    """
    verify = flag(verify, "verify")
    where = os.path.abspath(os.fsdecode(folder))
    os.listdir(where)  # The error gives the reason, if this is not a folder that can be read.
    if not os.path.exists(os.path.join(where, _manifest.NAME)):
        expected = "expected a folder that blockquant.shards.encode finished"
        raise ValueError(f"{folder} has no {_manifest.NAME}, {expected}")
    return Shards(where, _manifest.read(where), verify)
