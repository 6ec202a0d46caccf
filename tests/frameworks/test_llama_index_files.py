"""Files, copies and threads of the vector store for LlamaIndex."""

import copy
import pickle
import threading

import fsspec
import pytest

import blockquant as bq
from blockquant.integrations.llama_index import BlockQuantVectorStore
from llama_index_sample import NODES, N, X, ask, filled, node


@pytest.fixture
def store():
    return filled(bits=8)


# ---- files and copies


def test_files(store, tmp_path):
    for fs in (None, fsspec.filesystem("file")):
        store.persist(str(tmp_path / "store"), fs)
        again = BlockQuantVectorStore.from_persist_path(str(tmp_path / "store"), fs)
        for query in (ask(1), ask(2, doc_ids=["doc 2"])):
            assert again.query(query) == store.query(query)
        assert again.get_nodes() == store.get_nodes()
    assert len(list((tmp_path / "store").iterdir())) == 3
    with pytest.raises(ValueError, match="fs is MemoryFileSystem, expected a local"):
        store.persist("x", fsspec.filesystem("memory"))
    with pytest.raises(FileNotFoundError):
        BlockQuantVectorStore.from_persist_path(str(tmp_path / "missing"))


def test_an_empty_store(tmp_path):
    BlockQuantVectorStore(bits=2, method="eden").persist(str(tmp_path))
    again = BlockQuantVectorStore.from_persist_path(str(tmp_path))
    again.add(NODES[:3])
    assert again.client.quantizer == bq.Eden(dim=384, bits=2, store_norm=True)


def test_copies(store):
    twins = [copy.deepcopy(store), pickle.loads(pickle.dumps(store))]
    expected = store.query(ask(1))
    store.clear()
    for twin in twins:
        assert twin.query(ask(1)) == expected
        assert len(twin) == N


def test_a_query_sees_nodes_and_rows_of_one_moment(store):
    def nodes(first):
        return [
            node(100 + i, text=f"row {first + i}", embedding=X[first + i].tolist())
            for i in range(10)
        ]

    similarities, errors = {}, []
    for first in (100, 300):
        store.add(nodes(first))
        found = store.query(ask(6, k=N))
        for one, similarity in zip(found.nodes, found.similarities, strict=True):
            assert similarities.setdefault(one.text, similarity) == similarity
    going = threading.Event()
    going.set()

    def write():
        try:
            while going.is_set():
                store.add(nodes(100))
                store.add(nodes(300))
                store.delete("doc 10")
        except Exception as error:
            errors.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(50):
            found = store.query(ask(6, k=N))
            assert len(found.ids) in (N, N - 10)
            pairs = zip(found.nodes, found.similarities, strict=True)
            assert all(similarities[one.text] == similarity for one, similarity in pairs)
    finally:
        going.clear()
        writer.join()
    assert not errors
