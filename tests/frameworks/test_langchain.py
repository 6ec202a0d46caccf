"""The vector store for LangChain: LangChain's own tests, and what they do not test."""

import asyncio
import copy

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_core.vectorstores.utils import maximal_marginal_relevance
from langchain_tests.integration_tests import VectorStoreIntegrationTests

import blockquant as bq
from blockquant.integrations.langchain import BlockQuantVectorStore
from langchain_sample import IDS, METADATA, QUERIES, TEXTS, N, Sample, X, filled, ids_of


@pytest.fixture
def store():
    return filled()


class TestStandard(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self):
        return BlockQuantVectorStore(self.get_embeddings())


class TestStandardInnerProduct(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self):
        return BlockQuantVectorStore(self.get_embeddings(), bits=8, method="eden", metric="l2")


# ---- searches


@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
def test_scores_are_those_of_the_index(metric):
    store = filled(metric=metric, bits=3)
    q = bq.BlockQuant(dim=384, bits=3, store_norm=True)
    scores, rows = q.search(q.encode(X[:N]), QUERIES[5], k=7, metric=metric)
    found = store.similarity_search_with_score("query 5", k=7)
    assert ids_of(one for one, _ in found) == [IDS[row] for row in rows[0]]
    assert [score for _, score in found] == scores[0].tolist()
    assert [one.metadata for one, _ in found] == [METADATA[row] for row in rows[0]]


def test_it_finds_what_the_store_in_memory_finds():
    store, exact = filled(bits=8), filled(InMemoryVectorStore)
    for query in ("query 1", "query 2"):
        found = store.similarity_search_with_score(query, k=5)
        expected = exact.similarity_search_with_score(query, k=5)
        assert ids_of(a for a, _ in found) == ids_of(b for b, _ in expected)
        assert np.allclose([s for _, s in found], [s for _, s in expected], atol=5e-3)


def test_reranking_gives_the_exact_scores(store):
    def fetch(ids):
        return X[[int(id.split()[1]) for id in ids]]

    exact = filled(InMemoryVectorStore).similarity_search_with_score("query 3", k=5)
    found = store.similarity_search_with_score("query 3", k=5, rerank=fetch, candidates=100)
    assert ids_of(a for a, _ in found) == ids_of(b for b, _ in exact)
    assert np.allclose([s for _, s in found], [s for _, s in exact], atol=1e-6)


def test_relevance_is_between_0_and_1():
    for metric in ("cosine", "ip", "l2"):
        found = filled(metric=metric).similarity_search_with_relevance_scores("row 9", k=N)
        assert found[0][0].id == "id 9"
        assert found[0][1] > 0.97
        assert all(0 <= score <= 1 for _, score in found)
        retriever = filled(metric=metric).as_retriever(
            search_type="similarity_score_threshold", search_kwargs={"score_threshold": 0.9}
        )
        assert ids_of(retriever.invoke("row 9"))[0] == "id 9"


def test_more_than_there_are(store):
    assert sorted(ids_of(store.similarity_search("query 0", k=10**9))) == sorted(IDS)
    with pytest.raises(ValueError, match="k=0, expected a whole number, at least 1"):
        store.similarity_search("query 0", k=0)


def test_documents_found_are_copies(store):
    store.similarity_search("row 3", k=1)[0].metadata["n"] = "changed"
    store.get_by_ids(["id 3"])[0].metadata["n"] = "changed"
    assert store.get_by_ids(["id 3"])[0].metadata == METADATA[3]


# ---- maximal marginal relevance


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.5, 1.0])
def test_marginal_relevance_is_that_of_langchain_on_decoded_rows(store, weight):
    near = store.similarity_search("query 4", k=30)
    rows = store.index.decode(ids_of(near))
    chosen = maximal_marginal_relevance(QUERIES[4], rows.tolist(), weight, 8)
    found = store.max_marginal_relevance_search("query 4", k=8, fetch_k=30, lambda_mult=weight)
    assert ids_of(found) == [near[place].id for place in chosen]
    if weight == 1.0:
        return
    assert ids_of(found) != ids_of(near[:8])


def test_cosines_of_decoded_rows_are_as_much_smaller_as_the_documentation_says():
    def cosine(a, b):
        return np.sum(a * b, axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)

    a, b = X[:600], X[600:1200]
    for bits, factor, width in ((4, 0.995, 0.002), (1, 0.85, 0.01)):
        q = bq.BlockQuant(dim=384, bits=bits)
        one, other = q.decode(q.encode(a)), q.decode(q.encode(b))
        assert np.sum(cosine(one, b)) / np.sum(cosine(a, b)) == pytest.approx(factor, abs=width)
        both = np.sum(cosine(one, other)) / np.sum(cosine(a, b))
        assert both == pytest.approx(factor**2, abs=3 * width)


def test_marginal_relevance_with_a_filter_and_few_documents(store):
    options = {"k": 5, "fetch_k": 9, "filter": {"parity": "odd"}}
    found = store.max_marginal_relevance_search("query 4", **options)
    assert len(found) == 5
    assert {one.metadata["parity"] for one in found} == {"odd"}
    retriever = store.as_retriever(search_type="mmr", search_kwargs=options)
    assert retriever.invoke("query 4") == found
    assert len(store.max_marginal_relevance_search("query 4", filter={"n": 3})) == 1
    assert store.max_marginal_relevance_search("query 4", filter={"n": -1}) == []
    assert BlockQuantVectorStore(Sample()).max_marginal_relevance_search("query 4") == []


# ---- filters


def test_a_function_filters_as_in_the_store_in_memory(store):
    def few(document):
        return document.metadata["n"] < 40 and document.page_content != "row 3"

    exact = filled(InMemoryVectorStore)
    found = store.similarity_search("row 3", k=100, filter=few)
    assert sorted(ids_of(found)) == sorted(
        ids_of(exact.similarity_search("row 3", k=100, filter=few))
    )
    assert len(found) == 39


def test_a_dict_filters_by_equality(store):
    assert ids_of(store.similarity_search("row 3", filter={"n": 3})) == ["id 3"]
    found = store.similarity_search("row 3", k=N, filter={"parity": "odd", "tags": [0]})
    assert sorted(one.metadata["n"] for one in found) == list(range(3, N, 6))
    assert store.similarity_search("row 3", filter={"n": None}) == []
    assert store.similarity_search("row 3", filter={"missing": None}) == []
    assert len(store.similarity_search("row 3", filter={})) == 4


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"n": {"$gt": 3}}, ValueError, "filter: 'n' uses an operator"),
        ({"$and": [{"n": 3}]}, ValueError, r"filter: '\$and' uses an operator"),
        ([3], TypeError, "filter is list, expected a function of a document, or a dict"),
    ],
)
def test_other_filters_are_refused(store, given, error, text):
    with pytest.raises(error, match=text):
        store.similarity_search("row 3", filter=given)


# ---- changes


def test_the_last_of_equal_ids_counts():
    store = BlockQuantVectorStore(Sample())
    documents = [Document(page_content=f"row {i}", id="same") for i in range(3)]
    assert store.add_documents(documents) == ["same"] * 3
    assert [one.page_content for one in store.similarity_search("row 0")] == ["row 2"]
    assert len(store) == len(store.index) == 1


def test_ids_of_the_call_come_before_those_of_the_documents(store):
    documents = [Document(page_content="row 1", id="own"), Document(page_content="row 2")]
    assert store.add_documents(documents, ids=["given", None])[0] == "given"
    assert store.get_by_ids(["own"]) == []
    assert [one.page_content for one in store.get_by_ids(["given", "id 5"])] == ["row 1", "row 5"]


def test_what_is_refused_changes_nothing(store):
    class Wrong(Sample):
        rows: list

        def embed_documents(self, texts):
            return self.rows

    before = copy.copy(store.index)
    store.embedding = Wrong()
    cases = [
        ([[1.0] * 383], "has 383 columns, expected dim=384"),
        ([[float("nan")] * 384], "row 0, column 0 is NaN"),
        ([[[1.0]]], "embeddings: shape"),
        ([[1.0] * 384] * 2, "1 id, 2 embeddings and 1 record"),
    ]
    for rows, text in cases:
        store.embedding.rows = rows
        with pytest.raises(ValueError, match=text):
            store.add_texts(["text"], ids=["new"])
    with pytest.raises(ValueError, match="ids has 1, expected 2, one per document"):
        store.add_documents([Document(page_content="row 1")] * 2, ids=["a"])
    assert len(store) == N
    assert store.get_by_ids(["new"]) == []
    assert store.index.codes() == before.codes()


def test_deleting_all_and_beginning_anew(store):
    assert store.delete([]) is True
    assert len(store) == N
    store.delete(["id 1", "id 1", "missing"])
    assert len(store) == len(store.index) == N - 1
    store.delete()
    assert len(store) == 0
    assert store
    assert store.similarity_search("query 1") == []
    store.embedding = DeterministicFakeEmbedding(size=8)
    store.add_texts(["other"], ids=["a"])
    assert ids_of(store.similarity_search("other")) == ["a"]
    assert store.index.dim == 8


def test_wrong_options():
    with pytest.raises(ValueError, match="metric='dot', expected one of cosine, ip, l2"):
        BlockQuantVectorStore(Sample(), metric="dot")
    store = BlockQuantVectorStore(Sample(), method="nothing")
    with pytest.raises(ValueError, match="unknown method 'nothing'"):
        store.add_texts(["row 1"])
    assert len(store) == 0


# ---- asynchronous calls


def test_asynchronous_calls_use_those_of_the_embedding():
    async def use():
        store = await BlockQuantVectorStore.afrom_texts(TEXTS, Sample(), METADATA, ids=IDS)
        await store.aadd_documents([Document(page_content="row 450", id="more")])
        found = [
            await store.asimilarity_search_with_score("query 4", k=3, filter={"parity": "odd"}),
            await store.asimilarity_search("query 4", k=3),
            await store.amax_marginal_relevance_search("query 4", k=3, fetch_k=30),
            await store.as_retriever().ainvoke("query 4"),
            await store.aget_by_ids(["more"]),
        ]
        assert await store.adelete(["more"])
        return store, found

    store, found = asyncio.run(use())
    assert store.embedding.calls == {"sync": 0, "async": 6}
    same = filled()
    assert found[:4] == [
        same.similarity_search_with_score("query 4", k=3, filter={"parity": "odd"}),
        same.similarity_search("query 4", k=3),
        same.max_marginal_relevance_search("query 4", k=3, fetch_k=30),
        same.similarity_search("query 4"),
    ]
    assert ids_of(found[4]) == ["more"]
    assert len(store) == N
