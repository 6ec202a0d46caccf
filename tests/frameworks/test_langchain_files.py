"""Files, copies and threads of the vector store for LangChain."""

import copy
import json
import pickle
import re
import threading

import pytest
from langchain_core.documents import Document

import blockquant as bq
from blockquant.integrations.langchain import BlockQuantVectorStore
from langchain_sample import IDS, QUERIES, TEXTS, N, Sample, X, filled, ids_of


@pytest.fixture
def store():
    return filled()


# ---- files and copies


def names(folder):
    return sorted(re.sub(r"-[0-9a-f]{16}", "", path.name) for path in folder.iterdir())


def test_saving_and_loading(store, tmp_path):
    folder = tmp_path / "made" / "store"
    store.save(folder)
    again = BlockQuantVectorStore.load(folder, store.embedding)
    for options in ({}, {"filter": {"parity": "odd"}}):
        found = again.similarity_search_with_score("query 8", k=9, **options)
        assert found == store.similarity_search_with_score("query 8", k=9, **options)
    assert again.get_by_ids(IDS) == store.get_by_ids(IDS)
    again.add_texts(["row 700"], ids=["id 0"])
    again.save(folder)
    assert names(folder) == ["index.safetensors", "records.jsonl", "store.json"]
    third = BlockQuantVectorStore.load(folder, store.embedding)
    assert [one.page_content for one in third.get_by_ids(["id 0"])] == ["row 700"]


def test_an_empty_store_keeps_its_options(tmp_path):
    center = X.mean(axis=0)
    BlockQuantVectorStore(Sample(), bits=2, metric="ip", center=center).save(tmp_path)
    again = BlockQuantVectorStore.load(tmp_path, Sample())
    assert again.similarity_search("query 1") == []
    again.add_texts(TEXTS)
    q = bq.BlockQuant(dim=384, bits=2, store_norm=True, center=center)
    scores, _ = q.search(q.encode(X[:N]), QUERIES[1], k=4)
    assert [s for _, s in again.similarity_search_with_score("query 1")] == scores[0].tolist()


def test_a_failed_save_keeps_the_former_store(store, tmp_path):
    store.save(tmp_path)
    store.add_documents([Document(page_content="row 1", metadata={"x": object()}, id="bad")])
    with pytest.raises(TypeError, match="'bad' cannot be saved as JSON: Object of type object"):
        store.save(tmp_path)
    store.add_documents([Document(page_content="row 1", metadata={"x": "\ud800"}, id="bad")])
    with pytest.raises(ValueError, match=r"'bad' cannot be saved as JSON: .*surrogates"):
        store.save(tmp_path)
    assert len(names(tmp_path)) == 3
    assert len(BlockQuantVectorStore.load(tmp_path, Sample())) == N


def test_damaged_files_are_named(store, tmp_path):
    store.save(tmp_path)
    (records,) = tmp_path.glob("records-*")
    manifest = tmp_path / "store.json"
    text, stored = records.read_text("utf-8"), manifest.read_text("utf-8")

    def refused(match):
        with pytest.raises(ValueError, match=match):
            BlockQuantVectorStore.load(tmp_path, Sample())

    records.write_text(text[: len(text) // 2], "utf-8")
    refused(r"records-\w+\.jsonl, line 20\d is not a record")
    records.write_text("".join(text.splitlines(keepends=True)[:-1]), "utf-8")
    refused("has 399 records, expected the 400 of the index")
    records.write_text(text.replace('"id 0"', '"id other"'), "utf-8")
    refused("do not belong together")
    records.write_text(text, "utf-8")
    manifest.write_text(stored[:-9], "utf-8")
    refused("store.json is damaged")
    manifest.write_text("{}", "utf-8")
    refused("store.json is not that of a vector store")
    for key, value, match in (
        ("version", 2, "has version 2, expected 1"),
        ("kind", "other", "holds a store of 'other', expected 'langchain'"),
        ("records", "../x", "names '../x', expected a file beside it"),
    ):
        manifest.write_text(json.dumps({**json.loads(stored), key: value}), "utf-8")
        refused(match)
    with pytest.raises(FileNotFoundError):
        BlockQuantVectorStore.load(tmp_path / "missing", Sample())


def test_copies_are_independent(store):
    twins = [copy.deepcopy(store), pickle.loads(pickle.dumps(store))]
    store.delete(IDS[:10])
    for twin in twins:
        assert len(twin) == len(twin.index) == N
        assert ids_of(twin.similarity_search("row 3", k=1)) == ["id 3"]
        twin.add_texts(["row 500"])
        assert len(twin) == N + 1


# ---- threads


def test_a_search_sees_documents_and_rows_of_one_moment(store):
    """Two sets of texts under the same ids: a text is found with the score of its own row."""
    some = IDS[100:110]
    scores = {}
    for first in (100, 200):
        store.add_texts([f"row {first + i}" for i in range(10)], ids=some)
        for one, score in store.similarity_search_with_score("query 6", k=N):
            assert scores.setdefault(one.page_content, score) == score
    errors = []
    going = threading.Event()
    going.set()

    def write():
        try:
            while going.is_set():
                for first in (100, 200):
                    store.add_texts([f"row {first + i}" for i in range(10)], ids=some)
                store.delete(some)
        except Exception as error:
            errors.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        sizes = set()
        for _ in range(100):
            found = store.similarity_search_with_score("query 6", k=N)
            sizes.add(len(found))
            assert all(scores[one.page_content] == score for one, score in found)
            store.max_marginal_relevance_search("query 6", k=3, fetch_k=N)
    finally:
        going.clear()
        writer.join()
    assert not errors
    assert sizes <= {N, N - 10}
