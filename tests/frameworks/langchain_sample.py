"""A LangChain vector store of rows of the sample, for the tests."""

import numpy as np
from langchain_core.embeddings import Embeddings

import blockquant as bq
from blockquant.integrations.langchain import BlockQuantVectorStore

X, QUERIES = (rows.astype(np.float32) for rows in bq.sample())
N = 400


class Sample(Embeddings):
    """Embeds the texts ``row 7`` and ``query 3`` as rows of the sample, and counts calls."""

    def __init__(self):
        self.calls = {"sync": 0, "async": 0}

    def embed_query(self, text):
        self.calls["sync"] += 1
        return self._row(text)

    def embed_documents(self, texts):
        self.calls["sync"] += 1
        return [self._row(text) for text in texts]

    async def aembed_query(self, text):
        self.calls["async"] += 1
        return self._row(text)

    async def aembed_documents(self, texts):
        self.calls["async"] += 1
        return [self._row(text) for text in texts]

    def _row(self, text):
        kind, number = text.split()
        return {"row": X, "query": QUERIES}[kind][int(number)].tolist()


TEXTS = [f"row {i}" for i in range(N)]
METADATA = [{"n": i, "parity": ["even", "odd"][i % 2], "tags": [i % 3]} for i in range(N)]
IDS = [f"id {i}" for i in range(N)]


def filled(kind=BlockQuantVectorStore, **options):
    return kind.from_texts(TEXTS, Sample(), METADATA, ids=IDS, **options)


def ids_of(documents):
    return [document.id for document in documents]
