"""The pages about integrations print what they say; `docpages` also serves `tests/python`."""

import pytest

from docpages import DOCS, OF_FRAMEWORKS, check_page


@pytest.mark.filterwarnings("ignore:`past_key_values` is deprecated:FutureWarning")
# What Ray, Dask, Spark and Daft leave open, and what they and what they need warn of.
@pytest.mark.filterwarnings(
    "ignore::ResourceWarning",
    "ignore::DeprecationWarning",
    "ignore:PySpark does not yet fully support pandas:FutureWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)
@pytest.mark.parametrize("name", OF_FRAMEWORKS)
def test_code_prints_what_the_page_says(name, monkeypatch):
    check_page(DOCS / name, monkeypatch)
