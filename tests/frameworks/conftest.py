"""One thread for each framework, so that the tests leave the machine to others.

This folder is put on the import path for `small_models`, and `tests/python` for `docpages`.
"""

import sys
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "python")]


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)
