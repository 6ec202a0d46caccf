"""The pages about integrations print what they say; `docpages` also serves `tests/python`."""

import pytest

from docpages import DOCS, OF_FRAMEWORKS, check_page


@pytest.mark.filterwarnings("ignore:`past_key_values` is deprecated:FutureWarning")
@pytest.mark.parametrize("name", OF_FRAMEWORKS)
def test_code_prints_what_the_page_says(name, monkeypatch):
    check_page(DOCS / name, monkeypatch)
