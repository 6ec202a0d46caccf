"""Late interaction on codes: documents of several vectors each, and their MaxSim with queries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockquant._arrays import as_float32, as_floats, widened
from blockquant._checks import counted, expected_rows, flag, whole
from blockquant.codes import Codes, concatenate
from blockquant.quantizer import Quantizer
from blockquant.registry import create

_Float = NDArray[np.float32]
_Int64 = NDArray[np.int64]

#: The score of a document without vectors, that of sentence-transformers.
EMPTY = -1e9
#: Vectors of documents that are encoded at a time.
_ENCODED = 1 << 16
#: Vectors of queries, and products, that are computed at a time.
_QUERIED, _PRODUCTS = 1 << 12, 1 << 24


class MultiVectorCodes:
    """Documents of several vectors each, as late-interaction models make them, in codes.

    :meth:`encode` makes them. To read them from files, give the quantizer, the codes of all vectors
    one document after the other, and the offsets.

    Parameters
    ----------
    quantizer : Quantizer
        What made the codes.
    codes : Codes
        The codes of all vectors.
    offsets : array_like of int64, (n + 1,)
        Where the vectors of each document begin in the codes, and where the last ones end.

    Raises
    ------
    TypeError
        If the quantizer or the codes are not those of this package.
    ValueError
        If the codes come from another quantizer, or the offsets do not begin with 0, descend, or do
        not end with the number of the codes.

    Attributes
    ----------
    quantizer, codes, offsets
        As above.

    Examples
    --------
    >>> import blockquant as bq
    >>> x, queries = bq.sample()
    >>> documents = MultiVectorCodes.encode([x[:30], x[30:50]], bits=4)
    >>> documents
    <2 documents of 50 vectors, 9800 bytes, by create('blockquant/unbiased', dim=384, bits=4, \
block=2, rotation='hadamard', seed=0)>
    >>> maxsim([queries[:8]], documents).shape
    (1, 2)
    """

    def __init__(self, quantizer: Quantizer, codes: Codes, offsets: Any) -> None:
        if not isinstance(quantizer, Quantizer):
            raise TypeError(f"quantizer is {type(quantizer).__name__}, expected a Quantizer")
        if not isinstance(codes, Codes):
            raise TypeError(f"codes is {type(codes).__name__}, expected Codes")
        quantizer._check(codes)
        places = np.asarray(offsets)
        if places.ndim != 1 or not len(places) or places.dtype.kind not in "iu":
            raise ValueError(
                f"offsets has shape {places.shape} and dtype {places.dtype}, expected integers "
                "(n + 1,) for n documents"
            )
        if places[0] != 0 or places[-1] != len(codes) or (places[1:] < places[:-1]).any():
            raise ValueError(
                f"offsets go from {places[0]} to {places[-1]}, expected from 0 to {len(codes)}, "
                "the number of codes, none below the one before"
            )
        self.quantizer = quantizer
        self.codes = codes
        self.offsets: _Int64 = places.astype(np.int64)

    @classmethod
    def encode(
        cls,
        documents: Any,
        mask: Any = None,
        *,
        quantizer: Quantizer | None = None,
        bits: float = 4,
        method: str = "blockquant",
        **options: Any,
    ) -> MultiVectorCodes:
        """Encodes documents.

        Parameters
        ----------
        documents : iterable of (tokens, dim), or array_like or tensor (n, tokens, dim)
            The vectors of each document. Of an iterable few documents are held at a time. In an
            array of three dimensions rows of zeros are padding, unless there is a mask.
        mask : array_like, (n, tokens), or a sequence of (tokens,), optional
            Which vectors count.
        quantizer : Quantizer, optional
            What encodes them, instead of one of the following options.
        bits, method, **options
            What `blockquant.create` takes besides the dimension.

        Raises
        ------
        TypeError
            If vectors are not floating-point numbers.
        ValueError
            If vectors are not finite or differ in dimension, a mask has another shape, or there is
            neither a document nor a quantizer.

        Examples
        --------
        >>> import numpy as np, blockquant as bq
        >>> x, _ = bq.sample()
        >>> padded = np.zeros((2, 3, 384), np.float32)
        >>> padded[0], padded[1, :1] = x[:3], x[3]
        >>> MultiVectorCodes.encode(padded).offsets.tolist()
        [0, 3, 4]
        """
        parts: list[Codes] = []
        lengths: list[int] = []
        held: list[_Float] = []
        count = 0
        dim = None if quantizer is None else quantizer.dim
        for tokens in _items(documents, mask, "documents", dim):
            if quantizer is None:
                quantizer = create(method, dim=tokens.shape[1], bits=bits, **options)
            held.append(tokens)
            lengths.append(len(tokens))
            count += len(tokens)
            if count >= _ENCODED:
                parts.append(quantizer.encode(np.concatenate(held)))
                held, count = [], 0
        if quantizer is None:
            raise ValueError("found 0 documents, of which the first decides dim: pass quantizer=")
        if held or not parts:
            empty = np.empty((0, quantizer.dim), np.float32)
            parts.append(quantizer.encode(np.concatenate([empty, *held])))
        offsets = np.concatenate([[0], np.cumsum(np.array(lengths, np.int64))])
        return cls(quantizer, concatenate(parts), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def nbytes(self) -> int:
        """Bytes of the codes."""
        return self.codes.nbytes

    def __repr__(self) -> str:
        vectors = counted(len(self.codes), "vector")
        documents = counted(len(self), "document")
        return f"<{documents} of {vectors}, {self.nbytes} bytes, by {self.quantizer!r}>"

    def search(
        self, queries: Any, top_k: int = 10, a_mask: Any = None, *, length_normalize: bool = False
    ) -> list[list[dict[str, Any]]]:
        """Finds the documents with the greatest MaxSim, of which all are computed.

        Parameters
        ----------
        queries, a_mask, length_normalize
            As for :func:`maxsim`.
        top_k : int
            Documents to find per query.

        Returns
        -------
        list of list of dict
            For each query at most `top_k` dicts with ``corpus_id``, the position of the document,
            and ``score``; best first, of equal ones the lower position.

        Examples
        --------
        >>> import blockquant as bq
        >>> x, queries = bq.sample()
        >>> documents = MultiVectorCodes.encode([x[:30], x[30:50]], bits=4)
        >>> [hit["corpus_id"] for hit in documents.search([x[40:44]])[0]]
        [1, 0]
        """
        top_k = whole(top_k, "top_k")
        scores = maxsim(queries, self, a_mask, length_normalize=length_normalize)
        best = np.argsort(-scores, axis=1, kind="stable")[:, :top_k]
        return hits_of(np.take_along_axis(scores, best, axis=1), best)


def maxsim(
    a: Any, b: MultiVectorCodes, a_mask: Any = None, *, length_normalize: bool = False
) -> _Float:
    """The MaxSim of queries and documents, from the codes: Σᵢ maxⱼ ⟨aᵢ, bⱼ⟩.

    It is what `sentence_transformers.util.maxsim` computes, with estimates of the inner products in
    place of the exact ones. The greatest of estimates tends to be too great, alike for documents of
    alike length; 4 bits or more keep that small.

    Parameters
    ----------
    a : sequence of (tokens, dim), or array_like or tensor (m, tokens, dim) or (tokens, dim)
        The vectors of each query; of one query, if there are two dimensions. In an array of three
        dimensions rows of zeros are padding, unless there is a mask.
    b : MultiVectorCodes
        n documents.
    a_mask : array_like, (m, tokens), or a sequence of (tokens,), optional
        Which vectors of the queries count.
    length_normalize : bool
        Whether to divide by the number of vectors of the query that count (MeanMaxSim).

    Returns
    -------
    ndarray of float32, (m, n)
        A document without vectors has −1e9, before any division, as in that library.

    Raises
    ------
    TypeError
        If the documents are not `MultiVectorCodes`, or vectors are not floating-point numbers.
    ValueError
        If vectors are not finite or have another dimension, or a mask has another shape.

    Examples
    --------
    >>> import blockquant as bq
    >>> x, queries = bq.sample()
    >>> documents = MultiVectorCodes.encode([x[:30], x[30:50]], bits=8)
    >>> exact = [(queries[:8] @ x[part].T).max(axis=1).sum() for part in (slice(30), slice(30, 50))]
    >>> bool(abs(maxsim(queries[:8], documents)[0] - exact).max() < 0.02)
    True
    """
    if not isinstance(b, MultiVectorCodes):
        raise TypeError(
            f"b is {type(b).__name__}, expected MultiVectorCodes, which MultiVectorCodes.encode "
            "makes"
        )
    if len(getattr(a, "shape", ())) == 2:
        a, a_mask = a[None], a_mask if a_mask is None else [a_mask]
    queries = list(_items(a, a_mask, "a", b.quantizer.dim))
    lengths = np.array([len(query) for query in queries], np.int64)
    scores = np.zeros((len(queries), len(b)), np.float32)
    for first, last in _parts(lengths, _QUERIED):
        tokens = np.concatenate(queries[first:last])
        sums = _starts(lengths[first:last])
        filled = lengths[first:last] > 0
        if not len(tokens):
            continue
        for start, stop in _parts(np.diff(b.offsets), max(1, _PRODUCTS // len(tokens))):
            best = _greatest(b, start, stop, tokens)
            part = np.add.reduceat(best, sums[filled], axis=0, dtype=np.float64)
            scores[first:last][filled, start:stop] = part
    scores[:, np.diff(b.offsets) == 0] = EMPTY
    if flag(length_normalize, "length_normalize"):
        scores /= np.maximum(lengths, 1)[:, None].astype(np.float32)
    return scores


def _greatest(documents: MultiVectorCodes, start: int, stop: int, tokens: _Float) -> _Float:
    """The greatest product of each query vector with the vectors of each of some documents."""
    offsets = documents.offsets[start : stop + 1]
    best = np.zeros((len(tokens), stop - start), np.float32)
    filled = np.diff(offsets) > 0
    if filled.any():
        codes = documents.codes[int(offsets[0]) : int(offsets[-1])]
        products = documents.quantizer.inner_product(codes, tokens)
        best[:, filled] = np.maximum.reduceat(products, (offsets - offsets[0])[:-1][filled], axis=1)
    return best


def _starts(lengths: _Int64) -> _Int64:
    starts: _Int64 = np.cumsum(lengths) - lengths
    return starts


def _parts(lengths: _Int64, most: int) -> Iterator[tuple[int, int]]:
    """Ranges of items that together have at most so many vectors, or of one item."""
    start, held = 0, 0
    for place, length in enumerate(lengths.tolist()):
        if held and held + length > most:
            yield start, place
            start, held = place, 0
        held += length
    if start < len(lengths):
        yield start, len(lengths)


def _items(given: Any, mask: Any, what: str, dim: int | None) -> Iterator[_Float]:
    """The vectors of each item that count, (tokens, dim) each."""
    if isinstance(given, (list, tuple)) or not hasattr(given, "shape"):
        if not isinstance(given, Iterable):
            raise TypeError(f"{what} is {type(given).__name__}, expected a list of arrays")
        yield from _ragged(given, mask, what, dim)
        return
    array = widened(*as_floats(on_cpu(given), what))
    if array.ndim != 3:
        raise ValueError(f"{what} has shape {array.shape}, expected (items, tokens, dim)")
    if mask is None:
        mask = array.any(axis=2)
    yield from _ragged(array, mask, what, dim)


def _ragged(given: Iterable[Any], mask: Any, what: str, dim: int | None) -> Iterator[_Float]:
    masks = None if mask is None else list(on_cpu(mask))
    count = 0
    for place, item in enumerate(given):
        count += 1
        item = on_cpu(item)
        shape = tuple(getattr(item, "shape", None) or np.shape(item))
        if len(shape) != 2:
            raise ValueError(f"{what}[{place}] has {expected_rows(shape, 'pass')}")
        rows = as_float32(item, dim, f"{what}[{place}]")
        dim = rows.shape[1]
        if masks is not None and place < len(masks):
            rows = rows[_flags(masks[place], len(rows), f"the mask of {what}[{place}]")]
        yield rows
    if masks is not None and len(masks) != count:
        raise ValueError(f"the mask of {what} has {len(masks)} rows, expected {count}")


def _flags(mask: Any, tokens: int, what: str) -> NDArray[np.bool_]:
    given = np.asarray(on_cpu(mask))
    # Ragged items are masked by rows of a common length, whose rest is padding.
    if given.ndim != 1 or len(given) < tokens or given[tokens:].any():
        raise ValueError(f"{what} has shape {given.shape}, expected ({tokens},)")
    if not np.isin(given, (0, 1)).all():
        raise ValueError(f"{what} has values other than 0 and 1")
    return given[:tokens].astype(bool)


def on_cpu(given: Any) -> Any:
    """A tensor of torch in memory of the processor; anything else as it is."""
    if callable(getattr(given, "detach", None)) and callable(getattr(given, "cpu", None)):
        return given.detach().cpu()
    return given


def hits_of(scores: NDArray[Any], ids: NDArray[Any]) -> list[list[dict[str, Any]]]:
    """Scores and ids, (m, k) each, in the form of sentence-transformers, without the padding."""
    found: list[Sequence[tuple[Any, float]]] = [
        list(zip(row, line, strict=True))
        for row, line in zip(ids.tolist(), scores.tolist(), strict=True)
    ]
    return [
        [{"corpus_id": id, "score": score} for id, score in line if id is not None and id != -1]
        for line in found
    ]
