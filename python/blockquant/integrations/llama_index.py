"""A vector store for LlamaIndex, whose rows are codes.

Needs the extra ``blockquant[llama-index]``. The page "In other frameworks" of the documentation
shows its use.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

try:
    from fsspec.implementations.local import LocalFileSystem
    from llama_index.core.bridge.pydantic import BaseModel, PrivateAttr
    from llama_index.core.indices.query.embedding_utils import get_top_k_mmr_embeddings
    from llama_index.core.vector_stores.types import (
        DEFAULT_PERSIST_DIR,
        DEFAULT_PERSIST_FNAME,
        BasePydanticVectorStore,
        VectorStoreQueryMode,
        VectorStoreQueryResult,
    )
    from llama_index.core.vector_stores.utils import (
        build_metadata_filter_fn,
        metadata_dict_to_node,
        node_to_metadata_dict,
    )
except ImportError as error:  # pragma: no cover - needs an environment without it
    raise ImportError(
        "blockquant.integrations.llama_index needs llama-index-core: "
        'pip install "blockquant[llama-index]"'
    ) from error

from blockquant._checks import brief
from blockquant.index import Index
from blockquant.integrations import _record_files
from blockquant.integrations._records import Records

__all__ = ["BlockQuantVectorStore"]

_KIND = "llama_index"
#: What the file of a store is called in a folder that LlamaIndex persists.
_IN_FOLDER = "{}__" + DEFAULT_PERSIST_FNAME
#: Arguments of a query that go to `blockquant.Index.search`.
_SEARCH = ("exact", "rerank", "candidates")
#: Candidates per node that is asked for, among which MMR chooses.
_CANDIDATES = 4


class BlockQuantVectorStore(BasePydanticVectorStore):
    """A LlamaIndex vector store that keeps embeddings as codes of a `blockquant.Index`.

    It keeps the nodes too, so that an index of LlamaIndex needs no other store.

    Parameters
    ----------
    bits : float
        Bits per coordinate.
    method : str
        The method, as `blockquant.create` takes it.
    metric : str
        What the similarity is: ``cosine``, the inner product ``ip``, or for ``l2`` minus the
        distance.
    **options
        Every other option of `blockquant.create`; ``store_norm`` is True unless given.

    Raises
    ------
    ValueError
        If the metric is unknown. Bits, method and options are checked when the first nodes are
        added, which also decide the dimension.

    Notes
    -----
    Nodes whose ids are there are replaced. Filters by metadata have the operators and conditions of
    LlamaIndex's `SimpleVectorStore` and become filters by ids. Any number of threads can use one
    store; a query sees the nodes and rows of one moment. A forked child has the store of one
    moment, too, and can go on with it.

    Examples
    --------
    >>> import blockquant as bq
    >>> from llama_index.core.schema import TextNode
    >>> from llama_index.core.vector_stores.types import VectorStoreQuery
    >>> x, _ = bq.sample()
    >>> store = BlockQuantVectorStore(bits=4)
    >>> nodes = [TextNode(id_=f"n{i}", text=f"text {i}", embedding=x[i].tolist()) for i in range(9)]
    >>> store.add(nodes)[:2]
    ['n0', 'n1']
    >>> found = store.query(VectorStoreQuery(query_embedding=x[7].tolist(), similarity_top_k=2))
    >>> found.ids[0], found.nodes[0].text, found.similarities[0] > 0.97
    ('n7', 'text 7', True)
    """

    stores_text: bool = True
    _store: Any = PrivateAttr()

    def __init__(
        self,
        *,
        bits: float = 4,
        method: str = "blockquant",
        metric: str = "cosine",
        **options: Any,
    ) -> None:
        super().__init__(stores_text=True)
        options = {"store_norm": True, **options}
        self._store = Records(metric, {"bits": bits, "method": method, **options})

    @classmethod
    def class_name(cls) -> str:
        """The name of the class, as LlamaIndex stores it."""
        return "BlockQuantVectorStore"

    @property
    def client(self) -> Index | None:
        """The rows; None before the first nodes are added. Change them by the store alone."""
        index: Index | None = self._store.index
        return index

    def __len__(self) -> int:
        return len(self._store)

    def __bool__(self) -> bool:
        return True  # LlamaIndex asks so whether there is a store

    def __setstate__(self, state: dict[str, Any]) -> None:
        BaseModel.__setstate__(self, state)  # that of LlamaIndex would make an empty store

    # ---- changes

    def add(self, nodes: Sequence[Any], **kwargs: Any) -> list[str]:
        """Adds nodes, or replaces those whose ids are there.

        Parameters
        ----------
        nodes : sequence of BaseNode
            Nodes with embeddings.

        Returns
        -------
        list of str
            Their ids.

        Raises
        ------
        ValueError
            If a node has no embedding, or embeddings are not rows of one length, that of the rows
            that are there, or not finite. Nothing is added then.
        """
        nodes = list(nodes)
        ids = [node.node_id for node in nodes]
        records = [node_to_metadata_dict(node, flat_metadata=False) for node in nodes]
        self._store.put(ids, [node.get_embedding() for node in nodes], records)
        return ids

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Removes the nodes of a document; there may be none.

        Parameters
        ----------
        ref_doc_id : str
            The id of the document.
        """
        self._store.drop_where(lambda record: record["ref_doc_id"] == ref_doc_id)

    def delete_nodes(
        self, node_ids: list[str] | None = None, filters: Any = None, **delete_kwargs: Any
    ) -> None:
        """Removes nodes.

        Parameters
        ----------
        node_ids : list of str, optional
            Their ids, of which some may be missing; all nodes without them.
        filters : MetadataFilters, optional
            Which of these are removed.
        """
        self._store.drop_where(build_metadata_filter_fn(_itself, filters), node_ids)

    def clear(self) -> None:
        """Removes all nodes; the next ones may have another dimension."""
        self._store.clear()

    # ---- reads

    def get_nodes(self, node_ids: list[str] | None = None, filters: Any = None) -> list[Any]:
        """The nodes with these ids, or all, that filters allow; without their embeddings.

        Parameters
        ----------
        node_ids : list of str, optional
            Ids, of which some may be missing.
        filters : MetadataFilters, optional
            Which of these are returned.

        Returns
        -------
        list of BaseNode
            In the order of the ids.
        """
        is_allowed = build_metadata_filter_fn(_itself, filters)
        records = self._store.of(node_ids).values()
        return [metadata_dict_to_node(record) for record in records if is_allowed(record)]

    def query(self, query: Any, **kwargs: Any) -> Any:
        """Finds nodes.

        Parameters
        ----------
        query : VectorStoreQuery
            With an embedding. Its filters, `node_ids` and `doc_ids` say which nodes may be found;
            an empty list of `node_ids` means all, as LlamaIndex has it for stores of nodes. The
            modes are the default and MMR, which compares nodes by their reconstructed rows.
        **kwargs
            ``exact``, ``rerank`` and ``candidates`` of `blockquant.Index.search`; for MMR
            ``mmr_threshold``, and ``mmr_prefetch_k``, the number of nodes to choose from, four
            times as many as are asked for unless given. Others are ignored.

        Returns
        -------
        VectorStoreQueryResult
            Nodes without their embeddings, similarities (for MMR its scores), and ids; best first.

        Raises
        ------
        ValueError
            If the query has no embedding, or the mode is another.
        """
        if query.query_embedding is None:
            raise ValueError("query_embedding is None, expected the embedding of the query")
        k = query.similarity_top_k
        options: dict[str, Any] = {name: kwargs[name] for name in _SEARCH if name in kwargs}
        # An index of LlamaIndex lists no ids where the store keeps the nodes: it means all of them.
        options.update(ids=query.node_ids or None, keep=_allowed(query))
        if query.mode == VectorStoreQueryMode.DEFAULT:
            found = self._store.search(query.query_embedding, k, **options)
            return self._result(found, [self._similarity(one.score) for one in found])
        if query.mode != VectorStoreQueryMode.MMR:
            raise ValueError(
                f"query mode {brief(getattr(query.mode, 'value', query.mode))}, expected 'default' "
                "or 'mmr': others need the original embeddings or texts"
            )
        depth = max(k, kwargs.get("mmr_prefetch_k") or _CANDIDATES * k)
        found, rows = self._store.search_decoded(query.query_embedding, depth, **options)
        if not found:
            return self._result([], [])
        scores, places = get_top_k_mmr_embeddings(
            query.query_embedding,
            list(rows),
            similarity_top_k=k,
            mmr_threshold=kwargs.get("mmr_threshold", query.mmr_threshold),
        )
        return self._result([found[place] for place in places], [float(score) for score in scores])

    def _similarity(self, score: float) -> float:
        """A score as LlamaIndex has it: greater is better."""
        return -float(np.sqrt(score)) if self._store.metric == "l2" else score

    def _result(self, found: list[Any], similarities: list[float]) -> Any:
        return VectorStoreQueryResult(
            nodes=[metadata_dict_to_node(one.record) for one in found],
            similarities=similarities,
            ids=[one.id for one in found],
        )

    # ---- files

    def persist(
        self,
        persist_path: str = os.path.join(DEFAULT_PERSIST_DIR, DEFAULT_PERSIST_FNAME),
        fs: Any = None,
    ) -> None:
        """Writes the store to a folder: codes and nodes.

        A store that the folder holds is replaced as a whole or not at all.

        Parameters
        ----------
        persist_path : str
            The folder, which is made if it is missing.
        fs : fsspec.AbstractFileSystem, optional
            Only a local one.

        Raises
        ------
        ValueError
            If the file system is not local.
        OSError
            If a file cannot be written.

        Examples
        --------
        >>> import tempfile
        >>> from llama_index.core.schema import TextNode
        >>> store = BlockQuantVectorStore(bits=8)
        >>> ids = store.add([TextNode(id_="a", text="text", embedding=[1.0, 2.0])])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     store.persist(folder)
        ...     again = BlockQuantVectorStore.from_persist_path(folder)
        >>> again.get_nodes(["a"])[0].text
        'text'
        """
        _refuse_remote(fs)
        _record_files.save(persist_path, _KIND, self._store, _itself)

    @classmethod
    def from_persist_path(cls, persist_path: str, fs: Any = None) -> BlockQuantVectorStore:
        """Reads a store that `persist` wrote.

        Parameters
        ----------
        persist_path : str
            The folder.
        fs : fsspec.AbstractFileSystem, optional
            Only a local one.

        Raises
        ------
        ValueError
            If a file is damaged (file and line named), or the file system is not local.
        OSError
            If a file cannot be read.
        """
        _refuse_remote(fs)
        store = cls()
        store._store = _record_files.load(persist_path, _KIND, lambda id, record: record)
        return store

    @classmethod
    def from_persist_dir(
        cls, persist_dir: str = DEFAULT_PERSIST_DIR, namespace: str = "default", fs: Any = None
    ) -> BlockQuantVectorStore:
        """Reads the store of a folder that a `StorageContext` persisted."""
        return cls.from_persist_path(os.path.join(persist_dir, _IN_FOLDER.format(namespace)), fs)


def _itself(record: Any) -> Any:
    return record


def _allowed(query: Any) -> Callable[[Any], bool] | None:
    """Which records the filters and documents of a query allow; None allows all."""
    documents = None if query.doc_ids is None else set(query.doc_ids)
    if documents is None and (query.filters is None or not query.filters.filters):
        return None
    is_allowed = build_metadata_filter_fn(_itself, query.filters)
    return lambda record: (
        (documents is None or record["ref_doc_id"] in documents) and is_allowed(record)
    )


def _refuse_remote(fs: Any) -> None:
    if fs is not None and not isinstance(fs, LocalFileSystem):
        raise ValueError(f"fs is {type(fs).__name__}, expected a local file system or None")
