"""Which files are encoded, and how their rows are divided into shards.

The division depends on the sources and on the most rows of a shard alone. A file without row groups
is cut into the fewest equal parts. A Parquet file is cut between row groups, as many to a shard as
fit; a row group that is larger than a shard is cut into equal parts, and a worker that encodes one
of them decodes the group up to its end.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from blockquant._checks import brief, flag, whole
from blockquant.files import Rows, files_at, open_rows

_Path = str | os.PathLike[str]


@dataclass(frozen=True)
class RowGroups:
    """Some of the row groups of a Parquet file, as a source of :func:`encode`.

    Parameters
    ----------
    path : path-like
        The file.
    groups : sequence of int
        Positions of row groups, from 0, in ascending order.

    Examples
    --------
    >>> RowGroups("rows.parquet", range(0, 4))
    RowGroups(path='rows.parquet', groups=range(0, 4))
    """

    path: _Path
    groups: Sequence[int]


@dataclass(frozen=True)
class Source:
    """A file of rows as it was when the job was planned."""

    #: Its absolute path, so that workers in other folders find it.
    file: str
    bytes: int
    modified_ns: int
    #: The name that was asked for, if one was.
    array: str | None
    #: The row groups that were asked for, if not all.
    row_groups: tuple[int, ...] | None
    #: The rows that were asked for, the bad ones included.
    rows: int
    #: Why it was left out, if it was.
    error: str | None = None

    @property
    def identity(self) -> tuple[Any, ...]:
        """What tells that it is the same source, even if its content has changed."""
        return self.file, self.array, self.row_groups

    def check(self) -> None:
        """Raises ValueError if the file is another one by now."""
        found = os.stat(self.file)
        if (found.st_size, found.st_mtime_ns) != (self.bytes, self.modified_ns):
            sizes = f"it had {self.bytes} bytes, and has {found.st_size}"
            if found.st_size == self.bytes:
                sizes = "its time of modification differs"
            raise ValueError(f"{self.file} has changed since the job began: {sizes}; run it again")


@dataclass(frozen=True)
class Part:
    """Rows of a source that make one shard."""

    #: The position of the source among those of the job.
    source: int
    start: int
    stop: int
    #: The first and the last of the row groups that they are in.
    row_groups: tuple[int, int] | None

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Options:
    """How sources are read and divided."""

    #: The most rows of a shard.
    rows: int
    array: str | None = None
    skip_bad: bool = False
    #: What errors suggest for the choice of an array.
    option: str = "array="

    def __post_init__(self) -> None:
        """Checks the types and the range."""
        whole(self.rows, "shard_rows", 1)
        flag(self.skip_bad, "skip_bad")
        if self.array is not None and not isinstance(self.array, str):
            raise TypeError(f"array is {type(self.array).__name__}, expected str")


@dataclass
class Plan:
    """The sources of a job with the parts that become shards, in order."""

    #: Coordinates of a row.
    dim: int | None = None
    sources: list[Source] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)

    def add(self, path: str, groups: tuple[int, ...] | None, options: Options) -> None:
        """Adds a file.

        Raises
        ------
        ValueError
            If it holds no rows of this dimension, unless bad files are left out.
        OSError
            If it cannot be read.
        """
        found = os.stat(path)
        error, rows, parts = None, 0, []
        try:
            with open_rows(path, array=options.array, option=options.option) as opened:
                if self.dim is not None and opened.shape[1] != self.dim:
                    raise ValueError(f"{path} has d = {opened.shape[1]}, expected {self.dim}")
                spans = [(0, len(opened))] if groups is None else _spans(opened, groups)
                parts = [cut for span in spans for cut in cuts(*span, opened.groups, options.rows)]
                rows = sum(stop - start for start, stop in parts)
                within = [_groups(opened, *part) for part in parts]
                self.dim = opened.shape[1]
        except ValueError as reason:
            if not options.skip_bad:
                raise
            error, parts, within = str(reason), [], []
        place = len(self.sources)
        self.sources.append(
            Source(path, found.st_size, found.st_mtime_ns, options.array, groups, rows, error)
        )
        self.parts += [Part(place, *part, g) for part, g in zip(parts, within, strict=True)]


def plan(sources: Any, out: str, options: Options, dim: int | None = None) -> Plan:
    """The plan of a job on these sources.

    Parameters
    ----------
    sources : path-like, RowGroups, or iterable of these
        Files, globs, folders and row groups.
    out : str
        The folder of the job, whose files are not sources.
    options : Options
        How they are divided.
    dim : int, optional
        Coordinates of a row; without it those of the first file.

    Raises
    ------
    TypeError
        If a source is not a path.
    ValueError
        If no file is found, one is given twice, or one is bad.
    OSError
        If a file or folder cannot be read.
    """
    made = Plan(dim)
    taken: dict[str, tuple[int, ...] | None] = {}
    for path, groups in find(sources, os.path.abspath(out)):
        before = taken.get(path, ())
        if before is None or (before and groups is None) or set(before) & set(groups or ()):
            raise ValueError(f"{path} is given twice, expected each row once")
        taken[path] = None if groups is None else (*before, *groups)
        made.add(path, groups, options)
    if not made.parts:
        bad = [source for source in made.sources if source.error is not None]
        reason = f": {bad[0].error}" if bad else ""
        raise ValueError(f"the {len(made.sources)} files of the sources hold no rows{reason}")
    return made


def find(sources: Any, out: str) -> Iterator[tuple[str, tuple[int, ...] | None]]:
    """The files of sources, as absolute paths with their row groups."""
    single = isinstance(sources, (str, os.PathLike, RowGroups))
    given: Iterable[Any] = [sources] if single else sources
    for source in given:
        if isinstance(source, RowGroups):
            yield os.path.abspath(_text(source.path)), _checked(source)
            continue
        found = files_at(_text(source), out)
        for file in found:
            yield os.path.abspath(file), None


def _text(path: Any) -> str:
    if not isinstance(path, (str, os.PathLike)):
        expected = "expected a path, RowGroups, or a list of them"
        raise TypeError(f"a source is {type(path).__name__} {brief(path)}, {expected}")
    return os.fsdecode(path)


def _checked(source: RowGroups) -> tuple[int, ...]:
    groups = tuple(whole(group, "a row group", 0) for group in source.groups)
    if not groups or any(b <= a for a, b in pairwise(groups)):
        shown = f"{_text(source.path)}: row groups {brief(list(groups))}"
        raise ValueError(f"{shown}, expected at least one, in ascending order")
    return groups


def _spans(rows: Rows, groups: Sequence[int]) -> list[tuple[int, int]]:
    """The rows of these row groups; groups that follow each other make one span."""
    if not rows.groups:
        raise ValueError(f"{rows.path} has no row groups, expected a Parquet file")
    ends = [*rows.groups[1:], len(rows)]
    if groups[-1] >= len(ends):
        raise ValueError(f"{rows.path} has no row group {groups[-1]}, it has {len(ends)}")
    found: list[tuple[int, int]] = []
    for group in groups:
        start, stop = rows.groups[group], ends[group]
        if found and found[-1][1] == start:
            start = found.pop()[0]
        found.append((start, stop))
    return found


def cuts(start: int, stop: int, groups: Sequence[int], most: int) -> list[tuple[int, int]]:
    """Divides rows into parts of at most `most`; `groups` are the first rows of row groups.

    Examples
    --------
    >>> cuts(0, 10, (), 4)
    [(0, 3), (3, 6), (6, 10)]
    >>> cuts(0, 10, (0, 3, 5), 5)
    [(0, 5), (5, 10)]
    >>> cuts(0, 10, (0, 2, 9), 4)
    [(0, 2), (2, 5), (5, 9), (9, 10)]
    """
    edges = [start, *(row for row in groups if start < row < stop), stop]
    found: list[tuple[int, int]] = []
    first = start
    for a, b in pairwise(edges):
        if b - first > most:
            if first < a:
                found.append((first, a))
            first = a
        if b - first > most:
            pieces = -(-(b - a) // most)
            bounds = [a + (b - a) * piece // pieces for piece in range(pieces + 1)]
            found += pairwise(bounds)
            first = b
    return [*found, (first, stop)] if first < stop else found


def _groups(rows: Rows, start: int, stop: int) -> tuple[int, int] | None:
    if not rows.groups:
        return None
    return bisect_right(rows.groups, start) - 1, bisect_right(rows.groups, stop - 1) - 1
