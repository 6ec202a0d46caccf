"""A vector store for LangChain, whose rows are codes.

Needs the extra ``blockquant[langchain]``. The page "In other frameworks" of the documentation
shows its use.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import numpy as np

try:
    from langchain_core.documents import Document
    from langchain_core.runnables.config import run_in_executor
    from langchain_core.vectorstores import VectorStore
except ImportError as error:  # pragma: no cover - needs an environment without it
    raise ImportError(
        "blockquant.integrations.langchain needs langchain-core: "
        'pip install "blockquant[langchain]"'
    ) from error

from blockquant._checks import whole
from blockquant.index import Index
from blockquant.integrations import _record_files
from blockquant.integrations._langchain_choice import Filter, as_test, clipped, diverse
from blockquant.integrations._records import Records

__all__ = ["BlockQuantVectorStore"]

_Self = TypeVar("_Self", bound="BlockQuantVectorStore")
_KIND = "langchain"


class BlockQuantVectorStore(VectorStore):
    """A LangChain vector store that keeps embeddings as codes of a `blockquant.Index`.

    Parameters
    ----------
    embedding : Embeddings
        What embeds texts and queries.
    bits : float
        Bits per coordinate.
    method : str
        The method, as `blockquant.create` takes it.
    metric : str
        What a score is: ``cosine``, the inner product ``ip`` or the squared distance ``l2``, of
        which the least is best.
    **options
        Every other option of `blockquant.create`; ``store_norm`` is True unless given.

    Raises
    ------
    ValueError
        If the metric is unknown. Bits, method and options are checked when the first documents are
        added, which also decide the dimension.

    Notes
    -----
    **Ids.** Adding a document whose id is there replaces it. A document without an id gets a random
    one. If an id stands twice in one call, its last document counts.

    **Filters.** Every search takes ``filter=``: a function of a document, as for LangChain's
    in-memory store, or a dict, which allows the documents whose metadata has all its values. It
    becomes a filter by ids, so that fewer than k results mean that fewer documents are allowed.

    **Other arguments** of a search go to `blockquant.Index.search`: ``exact``, and ``rerank`` with
    ``candidates`` for the exact scores of original rows.

    **Threads.** Any number of threads can use one store. A search sees the documents and rows of
    one moment. A forked child has the store of one moment, too, and can go on with it.

    Examples
    --------
    >>> from langchain_core.embeddings import DeterministicFakeEmbedding
    >>> store = BlockQuantVectorStore(DeterministicFakeEmbedding(size=64), bits=4)
    >>> store.add_texts(["one", "two"], [{"n": 1}, {"n": 2}], ids=["a", "b"])
    ['a', 'b']
    >>> [(document, score)] = store.similarity_search_with_score("two", k=1)
    >>> document.id, document.page_content, document.metadata, abs(score - 1) < 0.1
    ('b', 'two', {'n': 2}, True)
    >>> [document.id for document in store.similarity_search("two", filter={"n": 1})]
    ['a']
    """

    def __init__(
        self,
        embedding: Any,
        *,
        bits: float = 4,
        method: str = "blockquant",
        metric: str = "cosine",
        **options: Any,
    ) -> None:
        self.embedding = embedding
        options = {"store_norm": True, **options}
        self._store: Records[Any] = Records(metric, {"bits": bits, "method": method, **options})

    @property
    def embeddings(self) -> Any:
        """What embeds texts and queries."""
        return self.embedding

    @property
    def index(self) -> Index | None:
        """The rows; None before the first documents are added. Change them by the store alone."""
        return self._store.index

    def __len__(self) -> int:
        return len(self._store)

    def __bool__(self) -> bool:
        return True  # as every other vector store, though it may be empty

    # ---- changes

    def add_documents(
        self, documents: list[Any], ids: Sequence[str | None] | None = None, **kwargs: Any
    ) -> list[str]:
        """Adds documents, or replaces those whose ids are there.

        Parameters
        ----------
        documents : list of Document
            The documents, which are copied.
        ids : sequence of str, optional
            Their ids, instead of those that the documents have.

        Returns
        -------
        list of str
            The ids.

        Raises
        ------
        ValueError
            If there are not as many ids as documents, or the embeddings are not rows of one
            length, that of the rows that are there, or not finite. Nothing is added then.
        """
        given = _ids(documents, ids)
        vectors = self.embedding.embed_documents([one.page_content for one in documents])
        return self._put(given, vectors, documents)

    async def aadd_documents(
        self, documents: list[Any], ids: Sequence[str | None] | None = None, **kwargs: Any
    ) -> list[str]:
        """As `add_documents`, with the asynchronous call of the embedding."""
        given = _ids(documents, ids)
        vectors = await self.embedding.aembed_documents([one.page_content for one in documents])
        found: list[str] = await run_in_executor(None, self._put, given, vectors, documents)
        return found

    def _put(self, ids: list[str], vectors: Any, documents: list[Any]) -> list[str]:
        copies = [_copied(one, id) for one, id in zip(documents, ids, strict=True)]
        self._store.put(ids, vectors, copies)
        return ids

    def delete(self, ids: Sequence[str] | None = None, **kwargs: Any) -> bool:
        """Removes documents.

        Parameters
        ----------
        ids : sequence of str, optional
            Their ids, of which some may be missing. Without them all documents are removed, as
            LangChain specifies it.

        Returns
        -------
        bool
            True.
        """
        if ids is None:
            self._store.clear()
        else:
            self._store.drop(ids)
        return True

    # ---- reads

    def get_by_ids(self, ids: Sequence[str], /) -> list[Any]:
        """The documents with these ids, in their order; ids that are missing are passed over."""
        return [_copied(one, one.id) for one in self._store.of(ids).values()]

    def similarity_search_with_score_by_vector(
        self, embedding: Any, k: int = 4, filter: Filter = None, **options: Any
    ) -> list[tuple[Any, float]]:
        """The k documents that are nearest to an embedding, with their scores, best first.

        Parameters
        ----------
        embedding : array_like, (dim,)
            The query.
        k : int
            Documents to find, at least 1.
        filter : callable or dict, optional
            Which documents may be found.
        **options
            ``exact``, ``rerank`` and ``candidates`` of `blockquant.Index.search`.

        Returns
        -------
        list of (Document, float)
            Scores are estimates in the metric of the store, or exact ones with ``rerank``.

        Raises
        ------
        TypeError, ValueError
            If the query or the filter is not as said.
        """
        found = self._store.search(embedding, k, as_test(filter), **options)
        return [(_copied(one.record, one.id), one.score) for one in found]

    def similarity_search_with_score(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[Any, float]]:
        """As `similarity_search_with_score_by_vector`, for a text."""
        vector = self.embedding.embed_query(query)
        return self.similarity_search_with_score_by_vector(vector, k, **kwargs)

    async def asimilarity_search_with_score(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[Any, float]]:
        """As `similarity_search_with_score`, with the asynchronous call of the embedding."""
        vector = await self.embedding.aembed_query(query)
        search = self.similarity_search_with_score_by_vector
        found: list[tuple[Any, float]] = await run_in_executor(None, search, vector, k, **kwargs)
        return found

    def similarity_search_by_vector(self, embedding: Any, k: int = 4, **kwargs: Any) -> list[Any]:
        """As `similarity_search_with_score_by_vector`, without the scores."""
        found = self.similarity_search_with_score_by_vector(embedding, k, **kwargs)
        return [document for document, _ in found]

    def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Any]:
        """As `similarity_search_with_score`, without the scores."""
        return [one for one, _ in self.similarity_search_with_score(query, k, **kwargs)]

    async def asimilarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Any]:
        """As `similarity_search`, with the asynchronous call of the embedding."""
        return [one for one, _ in await self.asimilarity_search_with_score(query, k, **kwargs)]

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: Any,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        *,
        filter: Filter = None,
        **options: Any,
    ) -> list[Any]:
        """Documents that are near an embedding and far from each other.

        Of the `fetch_k` nearest documents it takes one after the other, each time the one with the
        greatest ``lambda_mult·r − (1 − lambda_mult)·s``: r is its cosine with the query, and s the
        greatest of its cosines with those that are taken. Both are computed from reconstructed
        rows, which makes them smaller than those of the original rows: r by 0.5 percent at 4 bits
        per coordinate and by 15 percent at 1 bit, and s by about twice as much.

        Parameters
        ----------
        embedding, filter, **options
            As for `similarity_search_with_score_by_vector`.
        k : int
            Documents to take.
        fetch_k : int
            Documents to choose from.
        lambda_mult : float
            1 looks at the query alone, 0 at the differences alone.

        Returns
        -------
        list of Document
            In the order in which they are taken.
        """
        k = whole(k, "k")
        found, rows = self._store.search_decoded(embedding, fetch_k, as_test(filter), **options)
        chosen = diverse(np.asarray(embedding, np.float64), rows, k, lambda_mult)
        return [_copied(found[place].record, found[place].id) for place in chosen]

    def max_marginal_relevance_search(
        self, query: str, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **kwargs: Any
    ) -> list[Any]:
        """As `max_marginal_relevance_search_by_vector`, for a text."""
        vector = self.embedding.embed_query(query)
        search = self.max_marginal_relevance_search_by_vector
        return search(vector, k, fetch_k, lambda_mult, **kwargs)

    async def amax_marginal_relevance_search(
        self, query: str, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **kwargs: Any
    ) -> list[Any]:
        """As `max_marginal_relevance_search`, with the asynchronous call of the embedding."""
        vector = await self.embedding.aembed_query(query)
        search = self.max_marginal_relevance_search_by_vector
        found: list[Any] = await run_in_executor(
            None, search, vector, k, fetch_k, lambda_mult, **kwargs
        )
        return found

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        """Scores on a scale from 0 to 1, which is exact for embeddings of norm 1."""
        if self._store.metric == "l2":
            return lambda score: clipped(1 - score / 2)
        return clipped

    # ---- other ways in and out

    @classmethod
    def from_texts(
        cls: type[_Self],
        texts: list[str],
        embedding: Any,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> _Self:
        """Makes a store of texts. Other arguments are those of the class.

        Examples
        --------
        >>> from langchain_core.embeddings import DeterministicFakeEmbedding
        >>> embedding = DeterministicFakeEmbedding(size=64)
        >>> store = BlockQuantVectorStore.from_texts(["one", "two"], embedding, bits=8)
        >>> [document.page_content for document in store.as_retriever(k=1).invoke("one")][:1]
        ['one']
        """
        store = cls(embedding, **kwargs)
        store.add_texts(texts, metadatas, ids=ids)
        return store

    @classmethod
    async def afrom_texts(
        cls: type[_Self],
        texts: list[str],
        embedding: Any,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> _Self:
        """As `from_texts`, with the asynchronous call of the embedding."""
        store = cls(embedding, **kwargs)
        await store.aadd_texts(texts, metadatas, ids=ids)
        return store

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes the store to a folder: codes, ids, texts and metadata, not the embedding.

        A store that the folder holds is replaced as a whole or not at all.

        Parameters
        ----------
        folder : path-like
            It is made if it is missing.

        Raises
        ------
        TypeError, ValueError
            If metadata has values that JSON cannot hold (id named). Nothing is replaced then.
        OSError
            If a file cannot be written.

        Examples
        --------
        >>> import tempfile
        >>> from langchain_core.embeddings import DeterministicFakeEmbedding
        >>> embedding = DeterministicFakeEmbedding(size=64)
        >>> store = BlockQuantVectorStore.from_texts(["one"], embedding, ids=["a"])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     store.save(folder)
        ...     BlockQuantVectorStore.load(folder, embedding).get_by_ids(["a"])
        [Document(id='a', metadata={}, page_content='one')]
        """
        _record_files.save(folder, _KIND, self._store, lambda one: [one.page_content, one.metadata])

    @classmethod
    def load(cls: type[_Self], folder: str | os.PathLike[str], embedding: Any) -> _Self:
        """Reads a store that `save` wrote.

        Parameters
        ----------
        folder : path-like
            The folder.
        embedding : Embeddings
            The embedding that the store had; it is not in the folder.

        Raises
        ------
        ValueError
            If a file is damaged (file and line named).
        OSError
            If a file cannot be read.
        """
        store = cls.__new__(cls)
        store.embedding = embedding
        store._store = _record_files.load(folder, _KIND, _from_json)
        return store


def _from_json(id: str, record: Any) -> Any:
    text, metadata = record
    return Document(id=id, page_content=text, metadata=metadata)


def _copied(document: Any, id: str) -> Any:
    """A document of its own, so that nobody changes what the store holds."""
    return Document(id=id, page_content=document.page_content, metadata=document.metadata)


def _ids(documents: list[Any], ids: Sequence[str | None] | None) -> list[str]:
    given: Iterable[str | None] = [one.id for one in documents] if ids is None else ids
    found = [id or str(uuid.uuid4()) for id in given]
    if len(found) != len(documents):
        raise ValueError(f"ids has {len(found)}, expected {len(documents)}, one per document")
    return found
