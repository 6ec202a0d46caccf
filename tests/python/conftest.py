"""Shared fixtures: the shipped sample and files for the commands.

This folder is put on the import path for `reference`, `support` and `commands`.
"""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import blockquant as bq
from blockquant.files import rows as rows_module
from support import load_sample


@pytest.fixture(scope="session")
def sample():
    """The shipped embeddings as unit rows and unit queries, float32."""
    return load_sample()


@pytest.fixture
def rng():
    return np.random.default_rng(20260101)


@pytest.fixture
def chunks_of_32_rows(monkeypatch):
    """Makes the library read rows like those of `x` in chunks of 32."""
    monkeypatch.setattr(rows_module, "CHUNK_BYTES", 32 * 32 * 4)


@pytest.fixture
def small_chunks(monkeypatch):
    """Chunks of few rows, so that small files have many."""
    monkeypatch.setattr(rows_module, "CHUNK_BYTES", 1000)


@pytest.fixture
def x(rng):
    return (rng.standard_normal((300, 32)) + 1).astype(np.float32)


@pytest.fixture
def rows(tmp_path, x):
    path = tmp_path / "x.npy"
    np.save(path, x)
    return path


@pytest.fixture
def codes(tmp_path, x):
    path = tmp_path / "codes.safetensors"
    q = bq.Eden(dim=32, bits=4, store_norm=True)
    bq.save(path, q, q.encode(x))
    return path
