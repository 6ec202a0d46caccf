"""What a worker does: the codes of one shard, or the sum of its rows.

A task holds everything that it needs, so that any worker on any machine can do it, twice if one
dies. Rows are read a chunk at a time, and the codes of one shard are in memory: what a worker needs
does not grow with the rows of the job. The result depends on the task alone.
"""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from blockquant import _core
from blockquant.files import Rows, chunk_rows, open_rows
from blockquant.files.codes import load, save
from blockquant.files.rows import Array
from blockquant.files.tensors import metadata
from blockquant.quantizer import Quantizer
from blockquant.shards._manifest import Skipped, skips, write_json
from blockquant.shards._sources import Part, Source


@dataclass(frozen=True)
class Task:
    """A shard to make."""

    #: The pickled quantizer; b"" for a sum.
    quantizer: bytes
    source: Source
    part: Part
    #: The file of codes to write.
    target: str
    skip_bad: bool
    #: The threads of the core in the worker; None leaves them as they are.
    threads: int | None


class Encoded(NamedTuple):
    """A shard that is done."""

    rows: int
    checksum: str
    digest: str
    skipped: tuple[Skipped, ...]


class Summed(NamedTuple):
    """The sum of the rows of a shard, in float64."""

    rows: int
    total: NDArray[np.float64]


@lru_cache(maxsize=4)
def _unpickled(quantizer: bytes) -> Quantizer:
    """A quantizer; a worker builds it once for all tasks."""
    found = pickle.loads(quantizer)
    assert isinstance(found, Quantizer)
    return found


def encode_part(task: Task) -> Encoded:
    """Writes the codes of a shard, if they are not there already.

    Raises
    ------
    ValueError
        If a row is bad, or the file has changed since the job was planned.
    OSError
        If a file cannot be read or written.
    """
    _set_threads(task)
    q = _unpickled(task.quantizer)
    found = _kept(task, q)
    if found is not None:
        return found
    codes = q.encode(np.empty((0, q.dim), np.float32))
    skipped: list[Skipped] | None = [] if task.skip_bad else None
    with _opened(task) as rows:
        for start, chunk in _chunks(rows, task.part, skipped):
            try:
                part = q.encode(chunk)
            except ValueError as error:
                good = _finite(rows, start, chunk, skipped)
                if len(good) == len(chunk):
                    raise error from None
                part = q.encode(good)
            codes.append(part)
    task.source.check()
    if skipped:
        # Written before the codes: where these are, the list of what they lack is there too.
        write_json(_list_of_skipped(task), [asdict(each) for each in skipped])
    save(task.target, q, codes)
    return _described(task.target, len(codes), tuple(skipped or ()))


def sum_part(task: Task) -> Summed:
    """The sum of the good rows of a shard, chunk by chunk in order.

    Raises
    ------
    ValueError
        If a row is bad, or the file has changed since the job was planned.
    OSError
        If a file cannot be read.
    """
    skipped: list[Skipped] | None = [] if task.skip_bad else None
    count = 0
    with _opened(task) as rows:
        total = np.zeros(rows.shape[1], np.float64)
        for start, chunk in _chunks(rows, task.part, skipped):
            good = _finite(rows, start, chunk, skipped)
            total += good.sum(axis=0, dtype=np.float64)
            count += len(good)
    task.source.check()
    return Summed(count, total)


def _set_threads(task: Task) -> None:
    if task.threads is not None and task.threads != _core.num_threads():
        _core.set_num_threads(task.threads)


def _opened(task: Task) -> Rows:
    task.source.check()
    rows = open_rows(task.source.file, array=task.source.array)
    if task.skip_bad:
        rows.bad = {}
    return rows


def _chunks(rows: Rows, part: Part, skipped: list[Skipped] | None) -> Iterator[tuple[int, Array]]:
    """The rows of a part, a chunk at a time, each with the position of its first row in the file.

    Where bad rows are left out and the file is damaged, so are all rows from there to the end of
    the row group or, in files without row groups, of the part.
    """
    step = chunk_rows(rows.shape[1])
    start = part.start
    while start < part.stop:
        stop = min(start + step, part.stop)
        end = min((row for row in rows.groups if row > start), default=part.stop)
        try:
            chunk = rows[start:stop]
        except ValueError as error:
            if skipped is None:
                raise
            try:
                # The damage may be in a later row group.
                stop = min(stop, end)
                chunk = rows[start:stop]
            except ValueError:
                stop = min(part.stop, end)
                skipped.append(Skipped(start, stop - start, str(error)))
                start = stop
                continue
        yield start, chunk
        start = stop


def _finite(rows: Rows, start: int, chunk: Array, skipped: list[Skipped] | None) -> Array:
    """The rows of a chunk that are finite; the others are put in the list, or are errors."""
    error = rows.not_finite(start, chunk)
    if error is None:
        return chunk
    if skipped is None:
        raise error
    with np.errstate(over="ignore"):
        good = np.isfinite(chunk.astype(np.float32, copy=False)).all(axis=1)
    known = rows.bad or {}
    for place in np.flatnonzero(~good).tolist():
        row = start + place
        reason = known.get(row) or rows.not_finite(row, chunk[place : place + 1])
        skipped.append(Skipped(row, 1, str(reason)))
    return chunk[good]


def _list_of_skipped(task: Task) -> str:
    return f"{task.target}.skipped.json"


def _kept(task: Task, q: Quantizer) -> Encoded | None:
    """The shard as it is on the disk, if it is undamaged."""
    try:
        held, codes = load(task.target)
        skipped: tuple[Skipped, ...] = ()
        if task.skip_bad and os.path.exists(_list_of_skipped(task)):
            with open(_list_of_skipped(task), "rb") as file:
                skipped = skips(json.load(file))
    except (ValueError, TypeError, FileNotFoundError):
        return None
    missing = sum(each.rows for each in skipped)
    if held != q or len(codes) + missing != len(task.part):
        return None
    return _described(task.target, len(codes), skipped)


def _described(path: str, rows: int, skipped: tuple[Skipped, ...]) -> Encoded:
    held = metadata(path)
    return Encoded(rows, held["header_checksum"], held["digest"], skipped)
