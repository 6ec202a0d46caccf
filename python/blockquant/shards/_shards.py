"""The codes of a folder as one batch of rows."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import Executor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from blockquant import _core
from blockquant._arrays import as_float32, as_mask
from blockquant._checks import counted, flag, whole
from blockquant._locks import give_lock
from blockquant.codes import Codes, concatenate
from blockquant.files.codes import load
from blockquant.files.tensors import metadata
from blockquant.quantizer import Quantizer
from blockquant.shards import _manifest
from blockquant.shards._engines import Engine
from blockquant.shards._job import RETRIES, Job
from blockquant.shards._manifest import Manifest, Shard
from blockquant.shards._sources import Options

_Float = NDArray[np.float32]
_Rows = NDArray[np.int64]

#: Shards that stay open; a mapped file costs a file descriptor.
_OPEN = 256
#: The core counts rows with 32 bits when it merges what shards found.
_MOST_ROWS = 2**32


class Damage(NamedTuple):
    """A shard that is not as it was written."""

    file: str
    #: Where its rows are among all, and their source.
    rows: str
    error: str


class Shards:
    """The codes of a folder that :func:`blockquant.shards.encode` wrote, as one batch of rows.

    :func:`blockquant.shards.open` makes it. Files are mapped when they are first used, and read
    once to compare their checksums, unless `verify` is false. The object can be pickled, and used
    by many threads: each call sees the rows of one moment.

    Attributes
    ----------
    folder : str
        The folder, absolute.
    """

    #: Protects what is open; the shards that a forked child lacks, it opens again.
    _lock: threading.Lock

    def __init__(self, folder: str, manifest: Manifest, verify: bool) -> None:
        self.folder = folder
        self._verify = verify
        self._manifest = manifest
        self._quantizer: Quantizer | None = None
        self._held: OrderedDict[Shard, Codes] = OrderedDict()
        self._verified: set[Shard] = set()
        give_lock(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return Shards, (self.folder, self._manifest, self._verify)

    def __len__(self) -> int:
        return self._manifest.rows

    def __repr__(self) -> str:
        manifest = self._manifest
        held = f"{counted(manifest.rows, 'row')} in {counted(len(manifest.shards), 'shard')}"
        return f"<Shards of {held}, {_manifest.spelled(manifest.quantizer)}, in {self.folder}>"

    @property
    def quantizer(self) -> Quantizer:
        """The quantizer that made the codes."""
        if self._quantizer is None:
            manifest = self._manifest
            self._quantizer, _ = self._load(manifest, manifest.shards[0], False)
        return self._quantizer

    @property
    def nbytes(self) -> int:
        """Every stored byte of the codes, as :attr:`Codes.nbytes`."""
        manifest = self._manifest
        held = self._codes(manifest, manifest.shards[0])._held()
        each = sum(array.itemsize * int(np.prod(array.shape[1:])) for array in held.values())
        return each * manifest.rows

    @property
    def bits_per_dimension(self) -> float:
        """Every stored bit over n·dim; NaN for no rows."""
        rows = len(self)
        return 8 * self.nbytes / (rows * self.quantizer.dim) if rows else float("nan")

    @property
    def sources(self) -> list[str]:
        """The files that the rows come from, in order, those without rows and bad ones included."""
        return [source.file for source in self._manifest.sources]

    @property
    def files(self) -> list[str]:
        """The files of codes, in order."""
        return [os.path.join(self.folder, shard.file) for shard in self._manifest.shards]

    @property
    def skipped(self) -> list[tuple[str, int | None, int, str]]:
        """What was left out because it is bad: file, first row, rows, and the reason.

        A file that was left out as a whole has None as its first row, and 0 rows.
        """
        manifest = self._manifest
        found: list[tuple[str, int | None, int, str]] = [
            (source.file, None, 0, source.error)
            for source in manifest.sources
            if source.error is not None
        ]
        for shard in manifest.shards:
            file = manifest.sources[shard.source].file
            found += [(file, each.row, each.rows, each.error) for each in shard.skipped]
        return found

    def search(
        self, y: Any, k: int = 10, metric: str = "ip", mask: Any = None, *, exact: bool = False
    ) -> tuple[_Float, _Rows]:
        """Finds the k rows with the best estimates for each query.

        The result is that of :meth:`Quantizer.search` on all codes in one batch, to the bit.

        Parameters
        ----------
        y : array_like, (m, dim) or (dim,)
            Queries. A call reads every shard once, so many queries in one call are cheaper.
        k : int
            Rows to find, at least 1.
        metric : str
            ``ip``, ``cosine`` or ``l2``, as for :meth:`Quantizer.search`.
        mask : array_like, optional
            Which rows may be found: a boolean for each, or their positions.
        exact : bool
            Whether every allowed row is estimated and no bound is used.

        Returns
        -------
        score : ndarray of float32, (m, min(k, allowed rows))
            Estimated, best first, ties to the lower position.
        index : ndarray of int64, same shape
            Positions of the rows, counted over all shards; :meth:`locate` gives their sources.

        Raises
        ------
        TypeError
            If a parameter has the wrong type.
        ValueError
            If a parameter is wrong, or a shard is damaged.
        OSError
            If a shard cannot be read.

        Examples
        --------
        >>> import tempfile, numpy as np, blockquant as bq
        >>> x, queries = bq.sample()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/x.npy", x)
        ...     spec = bq.Eden(dim=384, bits=2)
        ...     rows, out = f"{folder}/x.npy", f"{folder}/codes"
        ...     shards = bq.shards.encode(rows, out, spec, shard_rows=700)
        ...     score, index = shards.search(queries, k=5)
        >>> np.array_equal(index, spec.search(spec.encode(x), queries, k=5)[1])
        True
        """
        k, exact = whole(k, "k"), flag(exact, "exact")
        manifest, q = self._manifest, self.quantizer
        if manifest.rows > _MOST_ROWS:
            raise ValueError(f"a search takes at most {_MOST_ROWS} rows, found {manifest.rows}")
        queries = as_float32(y, q.dim, "y")
        allowed = None if mask is None else as_mask(mask, manifest.rows)
        if not len(queries):  # of which the shards do not tell how many rows each would find
            each = min(k, manifest.rows if allowed is None else int(allowed.sum()))
            return np.empty((0, each), np.float32), np.empty((0, each), np.int64)
        best: tuple[_Float, _Float, _Rows] | None = None
        for shard in manifest.shards:
            codes = self._codes(manifest, shard)
            rows = slice(shard.first_row, shard.first_row + shard.rows)
            some = None if allowed is None else allowed[rows]
            found = q._search_ranked(codes, queries, k, metric, some, exact=exact)
            parts = [(shard.first_row, *found)]
            if best is not None:
                parts.insert(0, (0, *best))
            best = _core.merge(parts, k, metric)
        assert best is not None  # Every folder has a shard.
        return best[0], best[2]

    def __getitem__(self, rows: slice) -> Codes:
        """The codes of a range of rows, in memory; a slice of step 1."""
        if not isinstance(rows, slice):
            raise TypeError(f"rows of shards are taken by a slice, not by {type(rows).__name__}")
        manifest = self._manifest
        start, stop, step = rows.indices(manifest.rows)
        if step != 1:
            raise ValueError(f"rows of shards are taken in slices of step 1, not {step}")
        parts = []
        for shard in manifest.shards:
            first, last = (max(0, row - shard.first_row) for row in (start, stop))
            if first < min(last, shard.rows):
                parts.append(self._codes(manifest, shard)[first:last])
        return concatenate(parts or [self._codes(manifest, manifest.shards[0])[:0]])

    def decode(self, start: int = 0, stop: int | None = None) -> _Float:
        """Reconstructs a range of rows.

        Parameters
        ----------
        start, stop : int
            The rows, as in a slice.

        Returns
        -------
        ndarray of float32, (rows, dim)

        Raises
        ------
        ValueError
            If a shard is damaged.
        OSError
            If a shard cannot be read.
        """
        return self.quantizer.decode(self[start:stop])

    def locate(self, index: Any) -> tuple[_Rows, _Rows]:
        """Where rows come from: the file, and the row in it.

        Parameters
        ----------
        index : array_like of int
            Positions of rows, as :meth:`search` gives them, in any shape.

        Returns
        -------
        source : ndarray of int64, same shape
            Positions in :attr:`sources`.
        row : ndarray of int64, same shape
            Rows of these files; bad rows that were left out are counted.

        Raises
        ------
        TypeError
            If the positions are not integers.
        IndexError
            If a position is out of range.

        Examples
        --------
        >>> import tempfile, numpy as np, blockquant as bq
        >>> x, _ = bq.sample()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/a.npy", x[:500])
        ...     np.save(f"{folder}/b.npy", x[500:])
        ...     spec = {"name": "eden", "bits": 2}
        ...     shards = bq.shards.encode(f"{folder}/*.npy", f"{folder}/codes", spec)
        ...     source, row = shards.locate([3, 700])
        >>> source.tolist(), row.tolist()
        ([0, 1], [3, 200])
        """
        manifest = self._manifest
        rows = np.asarray(index)
        if rows.dtype.kind not in "iu" and rows.size:
            raise TypeError(f"index has dtype {rows.dtype}, expected integer positions")
        rows = rows.astype(np.int64)
        outside = (rows < 0) | (rows >= manifest.rows)
        if outside.any():
            found = rows[outside].flat[0]
            raise IndexError(f"row {found} is outside of the {counted(manifest.rows, 'row')}")
        ends = np.array([shard.first_row + shard.rows for shard in manifest.shards])
        places = np.searchsorted(ends, rows, side="right")
        source, row = np.empty_like(rows), np.empty_like(rows)
        for place in np.unique(places).tolist():
            shard, here = manifest.shards[place], places == place
            source[here] = shard.source
            row[here] = shard.in_source(rows[here] - shard.first_row)
        return source, row

    def append(
        self,
        sources: Any,
        *,
        engine: str | Executor = "local",
        workers: int | None = None,
        address: str | None = None,
        retries: int = RETRIES,
        array: str | None = None,
        skip_bad: bool = False,
        progress: bool = True,
    ) -> None:
        """Encodes more sources, whose rows follow those that are there.

        The quantizer stays, with its center. The manifest is replaced when all is done; a job that
        is killed is gone on with when it is called again.

        Parameters
        ----------
        sources, engine, workers, address, retries, array, skip_bad, progress
            As for :func:`blockquant.shards.encode`.

        Raises
        ------
        ValueError
            If a source is there already, or another job has changed the folder, or as for
            :func:`blockquant.shards.encode`.
        OSError
            If a file cannot be read or written.
        """
        held = self._manifest
        options = Options(held.shard_rows, array, skip_bad)
        engines = Engine.of(engine, workers, retries, address)
        job = Job(self.folder, options, engines, flag(progress, "progress"))
        self._manifest = job.append(sources, held, self.quantizer)

    def verify(self) -> list[Damage]:
        """Reads all files and compares them with their checksums and with the manifest.

        Returns
        -------
        list of Damage
            The shards that are damaged, missing or others, with the reason; empty if all is well.

        Examples
        --------
        >>> import tempfile, os, numpy as np, blockquant as bq
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/x.npy", bq.sample()[0])
        ...     spec = {"name": "eden", "bits": 2}
        ...     shards = bq.shards.encode(f"{folder}/x.npy", f"{folder}/codes", spec)
        ...     os.truncate(shards.files[0], 1000)
        ...     [damage.rows for damage in shards.verify()]
        ['rows 0 to 1999, of x.npy']
        """
        return [damage for damage in self._damages() if damage is not None]

    def info(self) -> dict[str, Any]:
        """Rows, sizes, parameters and sources, as JSON can hold them.

        Returns
        -------
        dict
            ``rows``, ``shards``, ``shard_rows``, ``quantizer``, ``digest``, ``bytes`` (of the
            files) and ``sources``, each with its file, rows and what was left out.
        """
        manifest = self._manifest
        sources = [
            {"file": source.file, "rows": source.rows, "skipped": 0, "error": source.error}
            for source in manifest.sources
        ]
        for shard in manifest.shards:
            sources[shard.source]["skipped"] += sum(each.rows for each in shard.skipped)  # type: ignore[operator]
        return {
            "rows": manifest.rows,
            "shards": len(manifest.shards),
            "shard_rows": manifest.shard_rows,
            "quantizer": dict(manifest.quantizer),
            "digest": manifest.digest,
            "bytes": sum(os.stat(file).st_size for file in self.files),
            "sources": sources,
        }

    def _damages(self) -> Iterator[Damage | None]:
        """The damage of each shard, or None, one after the other."""
        manifest = self._manifest
        for shard in manifest.shards:
            try:
                self._load(manifest, shard, True)
                yield None
            except (ValueError, OSError) as error:
                reason = error.strerror if isinstance(error, OSError) else None
                yield Damage(shard.file, manifest.rows_of(shard), reason or str(error))

    def _codes(self, manifest: Manifest, shard: Shard) -> Codes:
        """The codes of a shard, which stay open for later calls."""
        with self._lock:
            codes = self._held.pop(shard, None)
            if codes is not None:
                self._held[shard] = codes
                return codes
        verify = self._verify and shard not in self._verified
        _, codes = self._load(manifest, shard, verify)
        with self._lock:
            # Another thread may have opened it as well; the signs of its searches are kept.
            codes = self._held.setdefault(shard, codes)
            self._verified.add(shard)
            while len(self._held) > _OPEN:
                self._held.popitem(last=False)
        return codes

    def _load(self, manifest: Manifest, shard: Shard, verify: bool) -> tuple[Quantizer, Codes]:
        """A file of codes, if it is the one that the manifest means."""
        path = os.path.join(self.folder, shard.file)
        try:
            q, codes = load(path, verify)
            found = metadata(path)["header_checksum"]
            if found != shard.checksum or len(codes) != shard.rows:
                raise ValueError(
                    f"{path}: it is not the file that the manifest names: checksum {found} and"
                    f" {counted(len(codes), 'row')}, expected {shard.checksum} and {shard.rows}"
                )
            if _manifest.describe(q) != manifest.quantizer:
                raise ValueError(f"{path}: it was made by {q!r}")
        except ValueError as error:
            raise ValueError(f"{error} ({manifest.rows_of(shard)})") from None
        return q, codes
