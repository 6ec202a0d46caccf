"""Rows, queries and indexes of them, for the tests of indexes."""

import numpy as np
import pytest

import blockquant as bq

DIM = 24
rng = np.random.default_rng(5)
X = rng.standard_normal((200, DIM)).astype(np.float32)
Y = rng.standard_normal((6, DIM)).astype(np.float32)
NAMES = [f"row {i}" for i in range(len(X))]


def make(ids=None, rows=200, **options):
    index = bq.Index(DIM, 4, "eden", store_norm=True, **options)
    index.add(X[:rows], ids=ids if ids is None else ids[:rows])
    return index


def unchanged(index, call, error, text):
    """The call is refused, and the index stays as it was."""
    before = index.ids.tolist(), index.codes(), index._now
    with pytest.raises(error, match=text):
        call()
    assert index.ids.tolist() == before[0]
    assert index.codes() == before[1]
    assert index._now is before[2]
