"""Quantizers: thin faces of the core's."""

from __future__ import annotations

from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from blockquant._arrays import as_float32, as_rows
from blockquant._certainty import certain
from blockquant._checks import between, flag, whole
from blockquant._fitted import Fitted
from blockquant._search import search
from blockquant.codes import Codes

_Float = NDArray[np.float32]
_Rows = NDArray[np.int64]


class Quantizer(Fitted):
    """Base of the five methods: encode, decode and inner products on the codes.

    Not made directly: see :class:`BlockQuant`, :class:`Eden`, :class:`TurboQuant`,
    :class:`RaBitQ`, :class:`Trellis`, or :func:`blockquant.create`.
    """

    def encode(self, x: Any) -> Codes:
        """Quantizes rows.

        Parameters
        ----------
        x : array_like, (n, dim) or (dim,)
            Rows of float16, bfloat16, float32 or float64 with any strides: NumPy, torch CPU
            tensors, or anything with DLPack, ``__array__`` or the Arrow PyCapsule interface (a
            column of lists of one length, without nulls).

        Returns
        -------
        Codes
            One code a row; the same bytes for any number of threads, any strides, and for a row
            alone or in a batch.

        Raises
        ------
        TypeError
            If the elements are not real floating-point numbers.
        ValueError
            If the shape is wrong, or a value is NaN, infinite or beyond float32 (row and column
            named).

        Examples
        --------
        >>> import blockquant as bq
        >>> bq.Eden(dim=2, bits=1).encode([[1.0, float("nan")]])
        Traceback (most recent call last):
            ...
        ValueError: row 0, column 1 is NaN, expected a finite float32 value
        """
        rows, is_bfloat16 = as_rows(x, self.dim)
        arrays = self._core.encode(rows, bfloat16=is_bfloat16)
        return Codes._of(arrays, self.dim, repr(self))

    def decode(self, codes: Codes) -> _Float:
        """Reconstructs the rows.

        Parameters
        ----------
        codes : Codes
            Codes that this quantizer, or one with the same parameters, made. `scale_search` may
            differ here and wherever codes are read: only encoding depends on it.

        Returns
        -------
        ndarray of float32, (n, dim)

        Raises
        ------
        ValueError
            If the codes come from another quantizer.

        Examples
        --------
        >>> import blockquant as bq
        >>> q = bq.Eden(dim=2, bits=8)
        >>> q.decode(q.encode([3.0, -4.0])).round().tolist()
        [[3.0, -4.0]]
        """
        self._check(codes)
        return self._core.decode(codes._arrays())

    def inner_product(self, codes: Codes, y: Any) -> _Float:
        """Estimates every ⟨x, y⟩ from the packed codes, without decoding the batch.

        Parameters
        ----------
        codes : Codes
            n codes.
        y : array_like, (m, dim) or (dim,)
            Queries, as for :meth:`encode`.

        Returns
        -------
        ndarray of float32, (m, n)
            ⟨x̂, y⟩; unbiased over rotations where the scale rule is ``unbiased`` (arXiv 2605.19972)
            or the variant ``prod`` (arXiv 2504.19874). With a center μ these two center the query
            as well: ⟨y, μ⟩ + a⟨μ, r⟩ + ⟨y − a·μ, r̂⟩ with r = x − μ and a = ⟨y, μ⟩/‖μ‖², of which
            only the last term has an error, proportional to ‖r‖ and to the part of y across μ. The
            scale rules ``mse`` and ``none`` shrink that term, so it cannot stand beside an exact
            one: with them the result is ⟨y, μ⟩ + ⟨y, r̂⟩, that of the decoded row.

        Raises
        ------
        TypeError
            If the queries are not real floating-point numbers.
        ValueError
            If the codes come from another quantizer, or the queries have a wrong shape or a value
            that is not finite in float32 (row and column named).

        Examples
        --------
        >>> import blockquant as bq
        >>> q = bq.Eden(dim=2, bits=8)
        >>> q.inner_product(q.encode([[3.0, -4.0]]), [1.0, 1.0]).shape
        (1, 1)
        """
        self._check(codes)
        queries = as_float32(y, self.dim, "y")
        out = np.empty((len(queries), len(codes)), np.float32)
        self._core.inner_product(codes._arrays(), queries, out)
        return out

    def interval(self, codes: Codes, y: Any, confidence: float = 0.99) -> tuple[_Float, _Float]:
        """Bounds that contain the true ⟨x, y⟩ with a stated probability, each pair separately.

        Parameters
        ----------
        codes : Codes
            n codes, with stored norms.
        y : array_like, (m, dim) or (dim,)
            Queries, as for :meth:`encode`.
        confidence : float
            Probability over rotations that one pair of bounds holds, above 0 and below 1. For all
            of k at once ask for 1 − (1 − confidence)/k.

        Returns
        -------
        low, high : ndarray of float32, (m, n)
            Rounded outward. From the exact law of the error (arXiv 2405.12497, 2605.19972), with
            the angle between row and code that the scalars of each row tell: no constant is fitted.

        Raises
        ------
        TypeError
            If the queries are not real floating-point numbers.
        ValueError
            If the scale rule is neither ``unbiased`` nor ``mse`` (no other keeps the angle), the
            quantizer stores no norms, the confidence is out of range, or as for
            :meth:`inner_product`.

        Examples
        --------
        >>> import blockquant as bq
        >>> x, queries = bq.sample()
        >>> q = bq.BlockQuant(dim=384, bits=2, store_norm=True)
        >>> low, high = q.interval(q.encode(x), queries, confidence=0.9)
        >>> true = queries.astype("float32") @ x.T.astype("float32")
        >>> round(float(((low <= true) & (true <= high)).mean()), 1)
        0.9
        """
        self._check(codes)
        confidence = between(confidence, "confidence")
        queries = as_float32(y, self.dim, "y")
        return self._core.interval(codes._arrays(), queries, confidence)

    def norms(self, codes: Codes) -> _Float | None:
        """The norms ‖x‖ of the rows, where the codes keep norms.

        Parameters
        ----------
        codes : Codes
            n codes.

        Returns
        -------
        ndarray of float32, (n,), or None
            As stored or, with a center μ, √(‖μ‖² + 2⟨μ, x − μ⟩ + ‖x − μ‖²) from the two scalars
            that are stored then; 0 where that is zero up to its rounding, some 5·10⁻⁴·‖μ‖.

        Raises
        ------
        ValueError
            If the codes come from another quantizer.

        Examples
        --------
        >>> import blockquant as bq
        >>> q = bq.Eden(dim=2, bits=8, store_norm=True, center=[1.0, 1.0])
        >>> q.norms(q.encode([[3.0, -4.0]])).tolist()
        [5.0]
        """
        self._check(codes)
        return self._core.norms(codes._arrays())

    @overload
    def search(
        self,
        codes: Codes,
        y: Any,
        k: int = 10,
        metric: str = "ip",
        mask: Any = None,
        *,
        exact: bool = False,
        certified: Literal[False] = False,
        confidence: float = 0.99,
    ) -> tuple[_Float, _Rows]: ...
    @overload
    def search(
        self,
        codes: Codes,
        y: Any,
        k: int = 10,
        metric: str = "ip",
        mask: Any = None,
        *,
        exact: bool = False,
        certified: Literal[True],
        confidence: float = 0.99,
    ) -> tuple[_Float, _Rows, _Rows]: ...
    def search(
        self,
        codes: Codes,
        y: Any,
        k: int = 10,
        metric: str = "ip",
        mask: Any = None,
        *,
        exact: bool = False,
        certified: bool = False,
        confidence: float = 0.99,
    ) -> tuple[_Float, _Rows] | tuple[_Float, _Rows, _Rows]:
        """Finds the k rows with the best estimates for each query.

        Upper bounds from the signs and from the integers of the codes leave few rows, which are
        estimated as by :meth:`inner_product`. Rows are chosen by the least of the estimate and its
        bounds and sorted by their estimates. Batches keep nothing beside the codes; from the second
        search with few queries on, the signs are kept with them (``codes.search_nbytes``). Every
        allowed row is estimated for ``turboquant/prod`` and with `exact`.

        Both bounds are statistical, so rows can be overlooked, and the next best ones are then
        found in their place. The bounds of the signs allow for 3 standard deviations over
        rotations, those of the integers for 4 of the largest rounding error. Of 10,000 places of
        the ten best, at most 6 were lost on embeddings, 8 on hidden states, 9 on image descriptors,
        and 36 on Gaussian, one-hot and equal rows. Where a mean of 10 deviations dominates rows and
        queries, the errors of all rows are alike: with 1 bit at most 154 places were lost, from 2
        bits on none; quantize them with a `center`. For rows that are made from the seed's own
        rotation nothing is promised: up to 11 places were lost of two-hot rows in its basis.
        ``benches/overlooked.py`` counts all this, over several methods and seeds
        (``benches/results/overlooked.txt``). Take `exact` where no row may be overlooked.

        Parameters
        ----------
        codes : Codes
            n codes.
        y : array_like, (m, dim) or (dim,)
            Queries, as for :meth:`encode`.
        k : int
            Rows to find, at least 1.
        metric : str
            ``ip``: ⟨x, y⟩, greatest first; ``cosine``: ⟨x, y⟩/(‖x‖‖y‖), greatest first;
            ``l2``: ‖x − y‖² = ‖x‖² + ‖y‖² − 2⟨x, y⟩, never below 0, least first. The last two need
            ``store_norm``; ``ip`` and ``cosine`` are refused for a quantizer with a center whose
            estimates are not unbiased (the scale rules ``mse`` and ``none``): it would find fewer
            rows than without the center.
        mask : array_like, optional
            Which rows may be found: a boolean for each, or their positions. n integers that are
            all 0 or 1 can be both and are refused: pass a boolean array.
        exact : bool
            Whether every allowed row is estimated and no bound is used: the result is then the
            order of the estimates of :meth:`inner_product`, ties to the lower position.
        certified : bool
            Whether to tell how many of the rows found are certain, from :meth:`interval` of every
            allowed row: some hundred times the cost of the search. Needs what intervals need. It
            says what is certain of the true products; `exact` is about the estimates.
        confidence : float
            Of the certificate, for all rows of a query together.

        Returns
        -------
        score : ndarray of float32, (m, min(k, allowed rows))
            Estimated in the metric's units, best first, ties to the lower position.
        index : ndarray of int64, same shape
            Positions of the rows in `codes`.
        certain : ndarray of int64, (m,)
            If `certified`: how many of the rows found are among the truly best as many, each with
            the rest of them, with probability `confidence` at least (union bound over the rows).

        Raises
        ------
        TypeError
            If a parameter has the wrong type.
        ValueError
            If the codes come from another quantizer, a query is not finite or has a wrong shape,
            the metric is unknown or needs norms that the codes do not have, or the mask does not
            fit.

        Examples
        --------
        >>> import blockquant as bq
        >>> x, y = bq.sample()
        >>> q = bq.BlockQuant(dim=384, bits=4)
        >>> codes = q.encode(x)
        >>> score, index = q.search(codes, x[:3], k=5)
        >>> index.shape, index[:, 0].tolist()
        ((3, 5), [0, 1, 2])
        """
        exact, certified = flag(exact, "exact"), flag(certified, "certified")
        self._check(codes)
        found = search(self._core, codes, y, k, metric, mask, exact=exact)
        if not certified:
            return found.score, found.position
        searched = codes._with(found.filled)
        certain_rows = certain(
            self, searched, found.queries, found.position, metric, found.allowed, confidence
        )
        return found.score, found.position, certain_rows

    def _search_ranked(
        self,
        codes: Codes,
        y: Any,
        k: int = 10,
        metric: str = "ip",
        mask: Any = None,
        *,
        exact: bool = False,
    ) -> tuple[_Float, _Float, _Rows]:
        """The score, rank and position of the rows that :meth:`search` finds.

        ``_core.merge`` merges those of parts of the codes to those of all, by rank.
        """
        self._check(codes)
        found = search(self._core, codes, y, k, metric, mask, exact=exact, ranked=True)
        return found.score, found.rank, found.position

    def codes_from(self, data: bytes | bytearray | memoryview, rows: int) -> Codes:
        """Codes of the bytes that :meth:`Codes.to_bytes` returned.

        Parameters
        ----------
        data : bytes-like
            Contiguous bytes of so many rows, made by this quantizer or one with the same
            parameters. Bytes of several calls can be joined.
        rows : int
            How many rows they are, at least 0.

        Returns
        -------
        Codes
            In memory of its own; `data` is not kept.

        Raises
        ------
        TypeError
            If the data are not bytes.
        ValueError
            If they are not exactly so many rows of this quantizer's codes, or a scalar in them is
            not finite. Other damage is not noticed: :func:`save` writes checksums.

        Examples
        --------
        >>> import blockquant as bq
        >>> q = bq.Eden(dim=384, bits=1)
        >>> column = [q.encode(row).to_bytes() for row in bq.sample()[0][:5]]
        >>> q.codes_from(b"".join(column), rows=5) == q.encode(bq.sample()[0][:5])
        True
        """
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"data is {type(data).__name__}, expected bytes")
        rows = whole(rows, "rows", 0)
        return self.encode(np.empty((0, self.dim), np.float32))._from_bytes(data, rows)

    def to_arrow(self, codes: Codes, name: str = "codes") -> Any:
        """The column of :meth:`Codes.to_arrow`, with the center in its metadata.

        So :func:`blockquant.from_arrow` makes the quantizer again; without a center the column of
        the codes alone is enough. In the metadata a center takes 16/3 bytes per coordinate. With
        fitted axes the metadata holds their groups, and the model has to be kept beside the column.

        Parameters
        ----------
        codes : Codes
            Of this quantizer, or of one with the same parameters; a ValueError says if not.
        name : str
            The name of the column.
        """
        self._check(codes)
        groups = None if self.groups is None else tuple(self.groups)
        center = self.center if groups is None else None
        return codes._to_arrow(name, center=center, groups=groups)

    def rotate(self, x: Any) -> _Float:
        """R x for each row: float32 (n, dim). A ValueError along fitted axes."""
        return self._without_axes("a rotation").rotate(as_float32(x, self.dim))

    def codebook(self) -> _Float:
        """Codewords (K, block), or levels (K, 1), in units of √d·R x/‖x‖; none along axes."""
        return self._without_axes("a codebook").codebook()

    def tail_codebook(self) -> _Float | None:
        """The codewords of the last ``dim % block`` coordinates, (K, t), where there are any."""
        return self._without_axes("a codebook").tail_codebook()

    def indices(self, codes: Codes) -> NDArray[np.uint16]:
        """The unpacked indexes, (n, indexes of a row). A ValueError along fitted axes."""
        self._check(codes)
        return self._without_axes("a layout of indexes").indices(codes.packed)
