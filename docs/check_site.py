"""Checks the built site: every internal link has its target, and no page fetches from elsewhere.

Sphinx warns of references that it makes itself; this reads what came of all of them.
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

#: What a browser fetches by itself, by tag and attribute; a link is followed by the reader only.
_FETCHED = {
    ("audio", "src"),
    ("embed", "src"),
    ("iframe", "src"),
    ("img", "src"),
    ("img", "srcset"),
    ("link", "href"),
    ("object", "data"),
    ("script", "src"),
    ("source", "src"),
    ("source", "srcset"),
    ("video", "src"),
}


class _Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.ids, self.links, self.fetched = set(), [], []

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if value is None:
                continue
            if name in ("id", "name"):
                self.ids.add(value)
            if (tag, name) in _FETCHED:
                self.fetched.append(value)
            if (tag, name) in _FETCHED or (tag, name) == ("a", "href"):
                self.links.append(value)


def check(site):
    """What is wrong, a line each."""
    pages = {}
    for path in sorted(site.rglob("*.html")):
        pages[path] = page = _Page()
        page.feed(path.read_text("utf-8"))
    wrong = []
    for path, page in pages.items():
        where = path.relative_to(site)
        wrong += [f"{where}: fetches {url}" for url in page.fetched if _is_foreign(url)]
        for url in page.links:
            parts = urlsplit(url)
            if _is_foreign(url) or parts.scheme in ("data", "mailto", "javascript"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            if not target.is_file():
                wrong.append(f"{where}: no file for {url}")
            elif parts.fragment and target in pages:
                fragment = unquote(parts.fragment)
                # A theme's "back to top" is "#" or "#top".
                if fragment != "top" and fragment not in pages[target].ids:
                    wrong.append(f"{where}: no place for {url}")
    for path in sorted(site.rglob("*.css")):
        for url in re.findall(r"url\(['\"]?([^'\")]+)|@import\s+['\"]([^'\"]+)", path.read_text()):
            wrong += [f"{path.relative_to(site)}: fetches {u}" for u in url if _is_foreign(u)]
    return len(pages), wrong


def _is_foreign(url):
    return url.startswith("//") or urlsplit(url).scheme in ("http", "https")


if __name__ == "__main__":
    number, found = check(Path(sys.argv[1]).resolve())
    print("\n".join(found) or f"{number} pages, every internal link has its target")
    sys.exit(bool(found) or not number)
