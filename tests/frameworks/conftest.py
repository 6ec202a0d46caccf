"""One thread for each framework, so that the tests leave the machine to others.

This folder is put on the import path for `small_models`.
"""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)
