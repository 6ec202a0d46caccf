"""The class :class:`Index`."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from blockquant._arrays import as_float32
from blockquant._checks import brief, counted, flag, whole
from blockquant.codes import Codes, check_alike
from blockquant.index import _query
from blockquant.index._ids import Column, Ids, Kind, Numbers, column, other_kind
from blockquant.index._moment import Moment, ascending, nothing
from blockquant.index._rerank import Originals, reranked
from blockquant.index._rows import Rows
from blockquant.quantizer import Quantizer
from blockquant.registry import create

_Float = NDArray[np.float32]
_Self = TypeVar("_Self", bound="Index")

#: Candidates per row that is asked for, where a search reranks.
_CANDIDATES = 4
#: The first number beyond int64.
_END = 2**63


class Index(Rows):
    """Quantized rows with ids: added, removed, searched and saved while threads use them.

    Parameters
    ----------
    dim : int
        Coordinates of a row.
    bits : float
        Bits per coordinate.
    method : str
        The method, as :func:`create` takes it.
    ids : str, optional
        The kind of the ids: ``int64`` or ``str``. Without it, the first rows that are added decide.
    **options
        Every other option of :func:`create`, such as ``store_norm``, ``seed`` or ``center``.

    Raises
    ------
    TypeError
        If a parameter has the wrong type, or the method was registered and makes no
        :class:`Quantizer`.
    ValueError
        If a parameter is out of range.

    See Also
    --------
    Index.of : An index of a quantizer that is there already.

    Notes
    -----
    **Ids** are int64 numbers other than -1, or strings, one kind per index. No two rows have the
    same id.

    **Order.** Rows keep the order in which they were added. Where scores are equal, the row that
    was added first comes first. So scores and ids do not depend on which other rows were there
    before: they are those of a search of the codes of the rows that are left, in their order.

    **Cost.** A row that is removed is marked and its memory stays. Once more than a quarter of the
    rows are marked, the others are copied together. So adding and removing cost O(1) on average per
    row, and no more than a quarter of the rows is kept in vain. Beside codes and ids, memory holds
    4 bytes per row, 12 more once rows are looked up by id, and the signs of
    :attr:`Codes.search_nbytes`.

    **Threads.** Any number of threads can use one index. A search sees the rows of one moment: all
    rows of a call of :meth:`add` that has returned before the search began, all or none of the rows
    of one that runs meanwhile, and likewise for :meth:`remove`. Searches never wait for calls that
    change the index. Those wait for each other, but rows are encoded before that.
    ``copy.copy(index)`` keeps a moment, for several calls that shall see the same rows.

    Examples
    --------
    >>> import blockquant as bq
    >>> x, queries = bq.sample()
    >>> index = bq.Index(dim=384, bits=4, store_norm=True)
    >>> ids = index.add(x[:1000])
    >>> index.add(x[1000:1002], ids=[5000, 6000]).tolist()
    [5000, 6000]
    >>> scores, ids = index.search(x[[7, 1001]], k=3, metric="cosine")
    >>> ids.shape, ids[:, 0].tolist()
    ((2, 3), [7, 6000])
    >>> index.remove([7, 6000])
    2
    >>> len(index), 7 in index, 5000 in index
    (1000, False, True)
    """

    def __init__(
        self,
        dim: int,
        bits: float,
        method: str = "blockquant",
        *,
        ids: Kind | None = None,
        **options: Any,
    ) -> None:
        self._take(create(method, dim=dim, bits=bits, **options), ids)

    @classmethod
    def of(cls: type[_Self], quantizer: Quantizer, *, ids: Kind | None = None) -> _Self:
        """Makes an empty index of the rows that a quantizer encodes.

        Parameters
        ----------
        quantizer : Quantizer
            It is not copied.
        ids : str, optional
            As for the class.

        Raises
        ------
        TypeError
            If it is not a quantizer of this package.

        Examples
        --------
        >>> import blockquant as bq
        >>> bq.Index.of(bq.Eden(dim=384, bits=2), ids="str")
        <Index of 0 rows with strings as ids, 0 bytes, by create('eden/unbiased', dim=384, bits=2, \
rotation='hadamard', seed=0)>
        """
        index = cls.__new__(cls)
        index._take(quantizer, ids)
        return index

    def _take(self, quantizer: Any, kind: Any) -> None:
        if not isinstance(quantizer, Quantizer):
            raise TypeError(
                f"an index needs a Quantizer of this package, found {type(quantizer).__name__}"
            )
        if kind not in (None, "int64", "str"):
            raise ValueError(f"ids={brief(kind)}, expected 'int64' or 'str'")
        empty = quantizer.encode(np.empty((0, quantizer.dim), np.float32))
        self._begin(quantizer, empty, nothing(empty._filled, kind))

    # ---- changes

    def add(self, x: Any, ids: Any = None, *, replace: bool = False) -> Ids:
        """Adds rows.

        Parameters
        ----------
        x : array_like (n, dim) or (dim,), or Codes
            Rows as for :meth:`Quantizer.encode`, or codes that the quantizer of this index made.
        ids : int, str or array_like (n,), optional
            Their ids, integers or strings. Without them, the numbers that follow the greatest id
            that the index ever had, from 0 on.
        replace : bool
            Whether rows that have these ids are replaced. Their new rows count as added last. No
            search sees neither or both of them.

        Returns
        -------
        ndarray of int64 or object (n,)
            The ids of the rows.

        Raises
        ------
        TypeError
            If rows or ids have the wrong type, or ids are of another kind than those of the index.
        ValueError
            If the rows are not finite (row and column named) or have another shape, the codes come
            from another quantizer, or an id is there already or stands twice (id and position
            named). Nothing is added then.

        Examples
        --------
        >>> import blockquant as bq
        >>> x, _ = bq.sample()
        >>> index = bq.Index(dim=384, bits=2)
        >>> index.add(x[:2], ids=["a", "b"]).tolist()
        ['a', 'b']
        >>> index.add(x[2:4], ids=["c", "a"])
        Traceback (most recent call last):
            ...
        ValueError: ids: position 1 is 'a', which the index has already; remove it or pass ...
        >>> index.add(x[2:4], ids=["c", "a"], replace=True).tolist(), list(index)
        (['c', 'a'], ['b', 'c', 'a'])
        """
        replace = flag(replace, "replace")
        if isinstance(x, Codes):
            self._quantizer._check(x)
            check_alike(x, self._empty, "the codes to add", "this index has")
            codes = x
        else:
            codes = self._quantizer.encode(x)
        given = None if ids is None else self._new_ids(ids, len(codes))
        with self._lock:
            now = self._settled()
            if given is None:
                given = self._next_ids(now, len(codes))
            elif now.kind not in (None, given.kind) and len(given):  # since they were checked
                raise other_kind("ids", given.kind, now.kind)
            if not len(given):
                return given.all()
            known = np.empty(0, np.int64) if ids is None else now.find(given)
            places = np.flatnonzero(known >= 0)
            if len(places) and not replace:
                raise ValueError(
                    f"ids: position {places[0]} is {brief(given.item(places[0]))}, which the index "
                    "has already; remove it or pass replace=True"
                )
            leaving = known[places]
            after = now.without(len(leaving)) if len(leaving) else now
            self._publish(after.added(codes._filled, given), leaving)
        return given.all()

    def _new_ids(self, ids: Any, rows: int) -> Column:
        given = column(ids, "ids", self._now.kind)
        if len(given) != rows:
            raise ValueError(f"ids has {counted(len(given), 'id')}, expected {rows}, one per row")
        if isinstance(given, Numbers) and (given.values == Numbers.padding).any():
            place = int(np.argmax(given.values == Numbers.padding))
            raise ValueError(f"ids: position {place} is {Numbers.padding}, which stands for no row")
        if (twice := given.twice()) is not None:
            first, second = twice
            raise ValueError(
                f"ids: position {second} is {brief(given.item(second))}, as position {first}"
            )
        return given

    def _next_ids(self, now: Moment, count: int) -> Column:
        if now.kind == "str" and count:
            raise TypeError("this index has strings as ids: pass ids, one per row")
        if now.next_id + count > _END:
            raise ValueError(
                f"the greatest id so far is {now.next_id - 1}, after which {count} do not fit "
                "int64: pass ids"
            )
        return Numbers(np.arange(now.next_id, now.next_id + count, dtype=np.int64))

    def remove(self, ids: Any, *, missing_ok: bool = False) -> int:
        """Removes rows.

        Parameters
        ----------
        ids : int, str or array_like (n,)
            Their ids, in any order; one may stand twice.
        missing_ok : bool
            Whether ids that the index does not have are ignored.

        Returns
        -------
        int
            The number of rows that were removed.

        Raises
        ------
        KeyError
            If the index does not have an id (id and position named). Nothing is removed then.
        TypeError
            If the ids are of another kind than those of the index.

        Examples
        --------
        >>> import blockquant as bq
        >>> index = bq.Index(dim=384, bits=2)
        >>> ids = index.add(bq.sample()[0])
        >>> index.remove(range(5)), index.remove([4, 5], missing_ok=True), len(index)
        (5, 1, 1994)
        >>> index.remove([7, 4])
        Traceback (most recent call last):
            ...
        KeyError: 'ids: position 1 is 4, which the index does not have'
        """
        missing_ok = flag(missing_ok, "missing_ok")
        with self._lock:
            now = self._settled()
            given = column(ids, "ids", now.kind, ordered=False)
            found = self._rows(now, given, missing_ok)
            rows = ascending(found[found >= 0])
            if len(rows):
                self._publish(now.without(len(rows)), rows)
        return len(rows)

    def compact(self) -> None:
        """Copies the rows that are left together, as removals do now and then by themselves.

        It saves the memory of removed rows, and the part of a search that passes over them: some
        2 ns for each row of the index, removed or not. Ids and results stay the same.

        Examples
        --------
        >>> import blockquant as bq
        >>> index = bq.Index(dim=384, bits=2)
        >>> ids = index.add(bq.sample()[0])
        >>> index.remove([0, 1])
        2
        >>> index.compact()
        >>> len(index), list(index)[:2]
        (1998, [2, 3])
        """
        with self._lock:
            now = self._settled()
            if now.removed:
                self._now = now.alone()

    # ---- searches

    def search(
        self,
        y: Any,
        k: int = 10,
        metric: str = "ip",
        *,
        allow: Any = None,
        deny: Any = None,
        exact: bool = False,
        rerank: Any = None,
        candidates: int | None = None,
    ) -> tuple[_Float, Ids]:
        """Finds the k rows with the best scores for each query.

        Parameters
        ----------
        y : array_like, (m, dim) or (dim,)
            Queries, as for :meth:`Quantizer.search`.
        k : int
            Rows to find, at least 1.
        metric : str
            ``ip``, ``cosine`` or ``l2``, as for :meth:`Quantizer.search`.
        allow : array_like, optional
            The ids of the rows that may be found, for all queries; or a list of m of these, one per
            query, in which None allows every row. Ids that the index does not have are ignored: a
            table of metadata may know more rows than the index, or fewer.
        deny : array_like, optional
            Likewise the ids of the rows that may not be found; not together with `allow`.
        exact : bool
            Whether every allowed row is estimated, so that none is overlooked.
        rerank : array_like, mapping or callable, optional
            The original rows, by which the best `candidates` are ranked again. An array, which may
            be mapped from a file, has the row of id i at position i. A mapping has ids as keys. A
            function takes the ids, an ndarray of int64 or object in which none stands twice, and
            returns their rows (n, dim) in the same order; it is called once per part of the
            queries.
        candidates : int, optional
            How many rows are reranked per query, at least k. The default is 4·k.

        Returns
        -------
        scores : ndarray of float32, (m, k)
            Best first; estimates, or with `rerank` the scores of the original rows. Of equal ones
            the row that was added first comes first. Where fewer than k rows are allowed, the other
            places hold -inf, or inf for ``l2``.
        ids : ndarray of int64 or object, (m, k)
            The ids of the rows. The other places hold -1, or None if ids are strings.

        Raises
        ------
        TypeError
            If a parameter has the wrong type, or ids are of another kind than those of the index.
        ValueError
            If a query or an original row is not finite or has a wrong shape, the metric is unknown
            or needs norms that the codes do not have, filters are not one per query, or `rerank`
            has no row of an id.

        Examples
        --------
        >>> import blockquant as bq
        >>> x, y = bq.sample()
        >>> index = bq.Index(dim=384, bits=2)
        >>> ids = index.add(x)
        >>> index.search(y[:2], k=3, allow=[[4, 5], None])[1].tolist()
        [[5, 4, -1], [1830, 640, 97]]
        >>> index.search(y[:2], k=3, rerank=x)[1].tolist()
        [[1449, 1559, 1199], [1830, 97, 767]]
        """
        now = self._now
        k, exact = whole(k, "k"), flag(exact, "exact")
        queries = as_float32(y, self.dim, "y")
        chosen = _query.as_filter(allow, deny, now, len(queries))
        core = self._quantizer._core
        if rerank is None:
            if candidates is not None:
                raise ValueError("candidates is given without rerank")
            scores, rows = _query.search(core, now, queries, k, metric, chosen, exact)
        else:
            candidates = _CANDIDATES * k if candidates is None else candidates
            depth = min(whole(candidates, "candidates", k), max(1, len(now)))
            originals = Originals(rerank, self.dim, now.kind)
            _, rows = _query.search(core, now, queries, depth, metric, chosen, exact)
            scores, rows = reranked(originals, now.ids, queries, rows, k, metric)
        return scores, _named(now.ids, rows)


def _named(ids: Column, rows: NDArray[np.int64]) -> Ids:
    """The ids of rows, and the padding of their kind where there is none."""
    flat = rows.ravel()
    found = flat >= 0
    if found.all():
        return ids.take(flat).reshape(rows.shape)
    named: Ids = np.full(rows.shape, ids.padding, object if ids.padding is None else np.int64)
    named[rows >= 0] = ids.take(flat[found])
    return named
