"""The pages about integrations print what they say; `docpages` also serves `tests/python`."""

import pytest

from docpages import DOCS, OF_FRAMEWORKS, check_page


@pytest.mark.filterwarnings("ignore:`past_key_values` is deprecated:FutureWarning")
# `test_ray` has the page about clusters: no other process may use Ray while it runs.
@pytest.mark.parametrize("name", [name for name in OF_FRAMEWORKS if name != "cluster.md"])
def test_code_prints_what_the_page_says(name, monkeypatch):
    check_page(DOCS / name, monkeypatch)
