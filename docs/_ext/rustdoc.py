"""`rust-module:: PATH` shows what a Rust module says of itself, its `//!` lines, as Markdown.

The layout of the codes and the file format are defined there; the site has no second text of them.
"""

import re
from pathlib import Path
from typing import ClassVar

from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parents[2]


def module_text(path):
    """The module's documentation, links between items as plain code."""
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    text = "\n".join(line[3:].removeprefix(" ") for line in lines if line.startswith("//!"))
    text = re.sub(r"\[(`[^`]+`)\](\([^)\s]*\))?", r"\1", text)  # [`name`], [`name`](path)
    text = re.sub(r"\[([^\]]+)\]\([\w:]*::[^)\s]*\)", r"\1", text)  # [words](path::name)
    return text


class RustModule(SphinxDirective):
    """With `start-after` and `end-before`, as `include` has them."""

    required_arguments = 1
    option_spec: ClassVar = {
        "start-after": directives.unchanged,
        "end-before": directives.unchanged,
    }

    def run(self):
        (path,) = self.arguments
        self.env.note_dependency(str(ROOT / path))
        text = module_text(path)
        for option, part in (("start-after", 2), ("end-before", 0)):
            mark = self.options.get(option)
            if mark is None:
                continue
            if mark not in text:
                raise self.error(f"{path} does not say {mark!r}")
            text = text.partition(mark)[part]
        return self.parse_text_to_nodes(text.strip() + "\n")


def setup(app):
    app.add_directive("rust-module", RustModule)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
