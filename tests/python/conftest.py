"""Shared fixtures: the shipped sample, and this folder on the import path for `reference` and
`support`."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from support import load_sample


@pytest.fixture(scope="session")
def sample():
    """Unit rows and unit queries of the shipped embeddings, float32."""
    return load_sample()


@pytest.fixture
def rng():
    return np.random.default_rng(20260101)
