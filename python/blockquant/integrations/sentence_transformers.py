"""Search and late interaction on codes, in the forms of sentence-transformers.

The extra ``blockquant[sentence-transformers]`` installs that library, which makes the embeddings;
this module itself needs only NumPy, and takes arrays and tensors. The page "In other frameworks" of
the documentation shows its use.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from blockquant._checks import brief, expected_rows, flag, whole
from blockquant.codes import Codes
from blockquant.index import Index
from blockquant.index._ids import Numbers
from blockquant.integrations._multi_vector import MultiVectorCodes, hits_of, maxsim, on_cpu
from blockquant.quantizer import Quantizer

__all__ = ["MultiVectorCodes", "maxsim", "semantic_search"]

Hits = list[list[dict[str, Any]]]


def semantic_search(
    query_embeddings: Any,
    corpus_embeddings: Any = None,
    corpus_index: Index | tuple[Quantizer, Codes] | None = None,
    corpus_precision: str = "float32",
    top_k: int = 10,
    ranges: None = None,
    calibration_embeddings: None = None,
    rescore: bool = True,
    rescore_multiplier: int = 2,
    exact: bool = True,
    output_index: bool = False,
    *,
    rescore_embeddings: Any = None,
    bits: float = 4,
    method: str = "blockquant",
    **options: Any,
) -> tuple[Hits, float] | tuple[Hits, float, Index]:
    """Finds the rows with the greatest inner products, as `semantic_search_faiss` does.

    Arguments and results are those of `sentence_transformers.util.semantic_search_faiss`, so that
    one takes the place of the other; the arguments after the star are added.

    Parameters
    ----------
    query_embeddings : array_like or tensor, (m, dim) or (dim,)
        The queries. They are never quantized.
    corpus_embeddings : array_like or tensor, (n, dim), optional
        The rows, which are encoded. Either these or `corpus_index` is given.
    corpus_index : Index, or pair of Quantizer and Codes, optional
        Rows that are encoded already: what an earlier call returned, `blockquant.Index.load` of a
        file, or what `blockquant.load` returns. The ids of an index are the ``corpus_id``.
    corpus_precision : str
        Only ``float32``: rows in another precision cannot be encoded well.
    top_k : int
        Rows to find per query.
    ranges, calibration_embeddings : None
        Nothing is calibrated here.
    rescore : bool
        Whether the best ``top_k·rescore_multiplier`` rows are ranked again by their exact products,
        where the original rows are given: as `corpus_embeddings` or as `rescore_embeddings`.
    rescore_multiplier : int
        How many times `top_k` rows are ranked again.
    exact : bool
        Whether every row is estimated. Otherwise bounds leave few rows, as in
        `blockquant.Index.search`, which is faster and can overlook a row.
    output_index : bool
        Whether to return the index too.
    rescore_embeddings : array_like, mapping or callable, optional
        The original rows for an index, as `rerank` of `blockquant.Index.search` takes them: an
        array, which may be mapped from a file, a mapping, or a function of ids.
    bits, method, **options
        What `blockquant.Index` takes, for `corpus_embeddings`.

    Returns
    -------
    hits : list of list of dict
        For each query at most `top_k` dicts with ``corpus_id`` and ``score``, best first.
    seconds : float
        The time of the search, without that of encoding.
    index : Index
        Only with `output_index`.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If none or both of the corpora are given, an argument that has no use here is given, or rows
        are not finite or differ in dimension.

    Examples
    --------
    >>> import blockquant as bq
    >>> x, queries = bq.sample()
    >>> hits, seconds, index = semantic_search(queries[:1], x, top_k=2, output_index=True)
    >>> hits
    [[{'corpus_id': 1449, 'score': 0.374...}, {'corpus_id': 1559, 'score': 0.361...}]]
    >>> stored = {"corpus_index": index, "rescore_embeddings": x}
    >>> semantic_search(queries[:1], **stored, top_k=2)[0] == hits
    True
    """
    if (corpus_embeddings is None) == (corpus_index is None):
        found = "none" if corpus_index is None else "both"
        raise ValueError(f"give either corpus_embeddings or corpus_index, found {found} of them")
    if corpus_precision != "float32":
        raise ValueError(
            f"corpus_precision={brief(corpus_precision)}, expected 'float32': pass the original "
            "rows and the bits per coordinate as bits="
        )
    if ranges is not None or calibration_embeddings is not None:
        raise ValueError("ranges and calibration_embeddings have no use here: leave them out")
    top_k, multiplier = whole(top_k, "top_k"), whole(rescore_multiplier, "rescore_multiplier")
    if corpus_index is not None and options:
        raise TypeError(f"{', '.join(options)}: options are for corpus_embeddings")
    originals = rescore_embeddings
    if corpus_embeddings is not None:
        rows = on_cpu(corpus_embeddings)
        shape = tuple(rows.shape) if hasattr(rows, "shape") else np.shape(rows)
        if len(shape) != 2:
            raise ValueError(f"corpus_embeddings has {expected_rows(shape, 'pass')}")
        originals = rows if originals is None else originals
        index = Index(dim=shape[1], bits=bits, method=method, ids="int64", **options)
        index.add(rows)
    else:
        index = _as_index(corpus_index)
    queries = on_cpu(query_embeddings)
    begin = time.perf_counter()
    search: dict[str, Any] = {"k": top_k, "exact": flag(exact, "exact")}
    if flag(rescore, "rescore") and originals is not None:
        search.update(rerank=on_cpu(originals), candidates=top_k * multiplier)
    scores, ids = index.search(queries, **search)
    seconds = time.perf_counter() - begin
    hits = hits_of(scores, ids)
    if flag(output_index, "output_index"):
        return hits, seconds, index
    return hits, seconds


def _as_index(given: Any) -> Index:
    if isinstance(given, Index):
        return given
    if isinstance(given, tuple) and len(given) == 2:
        quantizer, codes = given
        if isinstance(quantizer, Quantizer) and isinstance(codes, Codes):
            quantizer._check(codes)
            index = Index.__new__(Index)  # adding the codes would copy them
            index._restore(quantizer, codes, Numbers(np.arange(len(codes))), len(codes))
            return index
    raise TypeError(
        f"corpus_index is {type(given).__name__}, expected an Index, or a pair of Quantizer and "
        "Codes as blockquant.load returns it"
    )
