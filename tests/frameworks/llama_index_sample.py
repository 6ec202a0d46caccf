"""LlamaIndex nodes of rows of the sample, for the tests."""

import numpy as np
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.types import VectorStoreQuery

import blockquant as bq
from blockquant.integrations.llama_index import BlockQuantVectorStore

X, QUERIES = (rows.astype(np.float32) for rows in bq.sample())
N = 200
WORDS = ("red", "green", "blue")


def node(i, **given):
    source = RelatedNodeInfo(node_id=f"doc {i // 10}")
    metadata = {
        "n": i,
        "word": WORDS[i % 3],
        "title": f"The {WORDS[i % 3]} one",
        "list": [WORDS[i % 3], WORDS[i % 2]],
        **({"rare": ""} if i % 5 == 0 else {"rare": i} if i % 5 == 1 else {}),
    }
    defaults = {
        "id_": f"node {i}",
        "text": f"text {i}",
        "embedding": X[i].tolist(),
        "metadata": metadata,
        "relationships": {NodeRelationship.SOURCE: source},
    }
    return TextNode(**{**defaults, **given})


NODES = [node(i) for i in range(N)]


def filled(kind=BlockQuantVectorStore, **options):
    store = kind(**options)
    store.add(NODES)
    return store


def ask(i, k=5, **given):
    return VectorStoreQuery(query_embedding=QUERIES[i].tolist(), similarity_top_k=k, **given)
