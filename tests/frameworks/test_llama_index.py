"""The vector store for LlamaIndex beside its own `SimpleVectorStore`.

LlamaIndex installs no tests of vector stores. What its own tests ask of `SimpleVectorStore` is
asked of both stores here.
"""

import asyncio

import numpy as np
import pytest
from llama_index.core import Document, StorageContext, VectorStoreIndex, load_index_from_storage
from llama_index.core.embeddings import BaseEmbedding
from llama_index.core.schema import (
    ImageNode,
    IndexNode,
    TextNode,
)
from llama_index.core.vector_stores import SimpleVectorStore
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
)

import blockquant as bq
from blockquant.integrations.llama_index import BlockQuantVectorStore
from llama_index_sample import NODES, QUERIES, N, X, ask, filled, node


@pytest.fixture
def store():
    return filled(bits=8)


# ---- queries


def test_it_finds_what_the_simple_store_finds(store):
    simple = filled(SimpleVectorStore)
    same = 0
    for i in range(20):
        found, exact = store.query(ask(i), exact=True), simple.query(ask(i))
        same += len({*found.ids} & {*exact.ids})
        assert np.allclose(found.similarities, exact.similarities, atol=5e-3)
        assert [one.node_id for one in found.nodes] == found.ids
    assert same >= 98


@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
def test_similarities_are_those_of_the_index(metric):
    store = filled(metric=metric, bits=3)
    q = bq.BlockQuant(dim=384, bits=3, store_norm=True)
    scores, rows = q.search(q.encode(X[:N]), QUERIES[5], k=7, metric=metric)
    found = store.query(ask(5, k=7))
    assert found.ids == [f"node {row}" for row in rows[0]]
    expected = -np.sqrt(scores[0]) if metric == "l2" else scores[0]
    assert np.allclose(found.similarities, expected)
    assert found.similarities == sorted(found.similarities, reverse=True)


def test_nodes_come_back_whole(store):
    assert store.stores_text
    found = store.query(ask(1, k=N))
    for one in found.nodes:
        expected = node(one.metadata["n"], embedding=None)
        assert one == expected
    others = [
        IndexNode(id_="index", text="a", index_id="other", embedding=X[300].tolist()),
        ImageNode(id_="image", text="b", image="aGk=", embedding=X[301].tolist()),
    ]
    store.add(others)
    back = store.get_nodes(["index", "image"])
    assert [type(one) for one in back] == [IndexNode, ImageNode]
    assert back[0].index_id == "other"


def test_reranking_gives_exact_similarities():
    store = filled(bits=1)

    def fetch(ids):
        return X[[int(id.split()[1]) for id in ids]]

    exact = filled(SimpleVectorStore).query(ask(3))
    found = store.query(ask(3), rerank=fetch, candidates=N)
    assert found.ids == exact.ids
    assert np.allclose(found.similarities, exact.similarities, atol=1e-6)


@pytest.mark.parametrize("threshold", [0.0, 0.3, 1.0, None])
def test_mmr_is_that_of_the_simple_store_on_decoded_rows(store, threshold):
    simple = SimpleVectorStore()
    near = store.query(ask(4, k=30)).ids
    rows = store.client.decode(near)
    simple.add(
        [TextNode(id_=id, embedding=row.tolist()) for id, row in zip(near, rows, strict=True)]
    )
    query = ask(4, k=6, mode=VectorStoreQueryMode.MMR)
    exact = simple.query(query, mmr_threshold=threshold)
    found = store.query(query, mmr_threshold=threshold, mmr_prefetch_k=30)
    assert found.ids == exact.ids
    assert [one.node_id for one in found.nodes] == found.ids
    assert np.allclose(found.similarities, exact.similarities, atol=1e-6)
    query.mmr_threshold = threshold
    assert store.query(query, mmr_prefetch_k=30).ids == found.ids
    assert len(store.query(query).ids) == 6


@pytest.mark.parametrize("mode", [VectorStoreQueryMode.DEFAULT, VectorStoreQueryMode.MMR])
def test_what_restricts_a_query(store, mode):
    def ids(**given):
        return store.query(ask(1, k=50, mode=mode, **given)).ids

    some = ["node 3", "node 14", "missing"]
    assert sorted(ids(node_ids=some)) == ["node 14", "node 3"]
    assert sorted(ids(doc_ids=["doc 2"])) == [f"node {i}" for i in range(20, 30)]
    red = MetadataFilters(filters=[MetadataFilter(key="word", value="red")])
    assert ids(node_ids=some, doc_ids=["doc 0"], filters=red) == ["node 3"]
    for given in ({"node_ids": ["missing"]}, {"doc_ids": []}, {"doc_ids": ["missing"]}):
        assert ids(**given) == []
    assert len(ids(node_ids=[])) == 50
    assert BlockQuantVectorStore().query(ask(1, mode=mode)).ids == []


def test_wrong_queries(store):
    with pytest.raises(ValueError, match="query mode 'hybrid', expected 'default' or 'mmr'"):
        store.query(ask(1, mode=VectorStoreQueryMode.HYBRID))
    with pytest.raises(ValueError, match="query_embedding is None"):
        store.query(VectorStoreQuery(query_str="text"))
    with pytest.raises(ValueError, match="9 columns, expected dim=384"):
        store.query(VectorStoreQuery(query_embedding=[1.0] * 9))


# ---- filters

Op = FilterOperator
FILTERS = [
    ("n", Op.EQ, 7),
    ("n", Op.NE, 7),
    ("n", Op.GT, 190),
    ("n", Op.GTE, 190),
    ("n", Op.LT, 3),
    ("n", Op.LTE, 3),
    ("word", Op.IN, ["red", "blue"]),
    ("word", Op.NIN, ["red", "blue"]),
    ("list", Op.CONTAINS, "blue"),
    ("list", Op.ANY, ["blue", "none"]),
    ("list", Op.ALL, ["red", "green"]),
    ("title", Op.TEXT_MATCH, "The red"),
    ("title", Op.TEXT_MATCH_INSENSITIVE, "the RED"),
    ("rare", Op.IS_EMPTY, None),
    ("rare", Op.EQ, 6),
    ("rare", Op.NE, 6),
    ("missing", Op.EQ, 1),
    ("missing", Op.NIN, [1]),
    ("ref_doc_id", Op.EQ, "doc 3"),
]


def one_filter(key, operator, value):
    return MetadataFilter(key=key, operator=operator, value=value)


def both(filters):
    simple = filled(SimpleVectorStore)
    store = filled(bits=8)
    query = ask(2, k=N, filters=filters)
    return store, store.query(query).ids, simple.query(query).ids


@pytest.mark.parametrize("given", FILTERS, ids=lambda given: f"{given[0]} {given[1].value}")
def test_operators_are_those_of_the_simple_store(given):
    filters = MetadataFilters(filters=[one_filter(*given)])
    store, found, expected = both(filters)
    assert sorted(found) == sorted(expected)
    assert (len(found) == N) == (given[1:] == (Op.NIN, [1]))
    assert (not found) == (given == ("missing", Op.EQ, 1))
    assert sorted(one.node_id for one in store.get_nodes(filters=filters)) == sorted(found)


def test_every_operator_is_tested():
    assert {given[1] for given in FILTERS} == set(FilterOperator)


@pytest.mark.parametrize("condition", FilterCondition)
def test_conditions_are_those_of_the_simple_store(condition):
    two = [one_filter("n", Op.LT, 50), one_filter("word", Op.EQ, "red")]
    _, found, expected = both(MetadataFilters(filters=two, condition=condition))
    assert sorted(found) == sorted(expected)
    assert 0 < len(found) < N


def test_no_filters_allow_all(store):
    assert len(store.query(ask(1, k=N, filters=MetadataFilters(filters=[]))).ids) == N


# ---- changes


def test_nodes_are_replaced(store):
    assert store.add([node(1, text="new"), node(1, text="newer")]) == ["node 1"] * 2
    assert [one.text for one in store.get_nodes(["node 1"])] == ["newer"]
    assert len(store) == len(store.client) == N


def test_removing(store):
    simple = filled(SimpleVectorStore)
    red = MetadataFilters(filters=[one_filter("word", Op.EQ, "red")])
    steps = [
        lambda one: one.delete("doc 3"),
        lambda one: one.delete("missing"),
        lambda one: one.delete_nodes([]),
        lambda one: one.delete_nodes(["node 0", "node 1", "missing"]),
        lambda one: one.delete_nodes([f"node {i}" for i in range(90)], red),
        lambda one: one.delete_nodes(filters=red),
        lambda one: one.delete_nodes(),
    ]
    sizes = []
    for step in steps:
        step(store)
        step(simple)
        assert sorted(store.query(ask(1, k=N)).ids) == sorted(simple.query(ask(1, k=N)).ids)
        sizes.append(len(store))
    assert sizes[:4] == [N - 10, N - 10, N - 10, N - 12]
    assert sizes[-1] == 0


def test_clearing(store):
    store.clear()
    assert len(store) == 0
    assert store
    assert store.get_nodes() == []
    store.add([TextNode(id_="a", text="a", embedding=[1.0, 2.0])])
    assert store.query(VectorStoreQuery(query_embedding=[1.0, 2.0])).ids == ["a"]


def test_what_is_refused_changes_nothing(store):
    with pytest.raises(ValueError, match="embedding not set"):
        store.add([node(300), node(301, embedding=None)])
    with pytest.raises(ValueError, match="NaN"):
        store.add([node(300, embedding=[float("nan")] * 384)])
    with pytest.raises(ValueError, match="9 columns"):
        store.add([node(300, embedding=[1.0] * 9)])
    assert store.get_nodes(["node 300"]) == []
    assert len(store) == N
    with pytest.raises(ValueError, match="metric='dot'"):
        BlockQuantVectorStore(metric="dot")


def test_asynchronous_calls():
    async def use():
        store = BlockQuantVectorStore(bits=8)
        await store.async_add(NODES)
        found = await store.aquery(ask(2))
        await store.adelete("doc 1")
        await store.adelete_nodes(["node 0"])
        nodes = await store.aget_nodes(["node 0", "node 1", "node 11"])
        await store.aclear()
        return found, nodes, len(store)

    found, nodes, count = asyncio.run(use())
    assert found.ids == filled(bits=8).query(ask(2)).ids
    assert [one.node_id for one in nodes] == ["node 1"]
    assert count == 0


# ---- an index of LlamaIndex


class Sample(BaseEmbedding):
    """Embeds the texts ``row 7`` and ``query 3`` as rows of the sample."""

    def _get_query_embedding(self, query):
        return QUERIES[int(query.split()[-1])].tolist()

    async def _aget_query_embedding(self, query):
        return self._get_query_embedding(query)

    def _get_text_embedding(self, text):
        return X[int(text.split()[-1])].tolist()


def test_an_index_of_llama_index(tmp_path):
    documents = [Document(id_=f"d{i}", text=f"row {i}", metadata={}) for i in range(60)]
    store = BlockQuantVectorStore(bits=8)
    context = StorageContext.from_defaults(vector_store=store)
    index = VectorStoreIndex.from_documents(
        documents, storage_context=context, embed_model=Sample()
    )
    plain = VectorStoreIndex.from_documents(documents, embed_model=Sample())

    def texts(index):
        retriever = index.as_retriever(similarity_top_k=4)
        return [one.text for one in retriever.retrieve("query 7")]

    assert len(store) == 60
    assert texts(index) == texts(plain)
    context.persist(str(tmp_path))
    again = StorageContext.from_defaults(
        persist_dir=str(tmp_path), vector_store=BlockQuantVectorStore.from_persist_dir(tmp_path)
    )
    assert texts(load_index_from_storage(again, embed_model=Sample())) == texts(plain)
    alone = BlockQuantVectorStore.from_persist_dir(str(tmp_path))
    assert texts(VectorStoreIndex.from_vector_store(alone, embed_model=Sample())) == texts(plain)
    first = texts(plain)[0].replace("row ", "d")
    index.delete_ref_doc(first)
    assert len(store) == 59
    assert texts(index) != texts(plain)
    assert len(alone) == 60
