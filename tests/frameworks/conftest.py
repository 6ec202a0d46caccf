"""One thread for each framework, so that the tests leave the machine to others.

This folder is put on the import path for `small_models`, and `tests/python` for `docpages`.
"""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "python"))
sys.path.insert(0, str(Path(__file__).parent))

from blockquant.integrations.transformers import disable, enable
from small_models import model


def pytest_collection_modifyitems(items):
    """The file that takes longest comes first, so that no process is left alone with it."""
    items.sort(key=lambda item: item.path.name != "test_ray.py")


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(params=["decoded", "codes"])
def of(request):
    """A model that decodes keys, and one that computes from codes."""
    found = model("llama")
    if request.param == "codes":
        enable(found)
    yield found
    disable(found)
