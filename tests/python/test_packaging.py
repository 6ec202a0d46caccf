"""A source distribution contains what its tests need."""

import re
import subprocess
import sys
import tarfile
from importlib.util import find_spec
from pathlib import Path

import pytest

import blockquant as bq

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(find_spec("maturin") is None, reason="needs maturin, of the extra `test`")
def test_sdist_holds_the_tests_and_nothing_of_the_machine(tmp_path):
    command = [sys.executable, "-m", "maturin", "sdist", "-o", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    for pattern in (
        *("tests/python/*.py", "tests/frameworks/*.py", "tests/rust/**/*.rs", "tests/data/*"),
        *("tests/golden/**/*", "tests/proptest-regressions/*"),
        *("benches/*.*", "benches/kernels/*.rs", "benches/peers/*.py"),
        *("benches/inference_parts/*.py", "benches/results/*"),
    ):
        paths = (path for path in ROOT.glob(pattern) if path.is_file())
        wanted = {path.relative_to(ROOT).as_posix() for path in paths}
        assert wanted, pattern
        assert wanted <= held, wanted - held
    folders = {Path(name).parent.as_posix() for name in held}
    for foreign in (".venv", "target", "shared", "__pycache__"):
        assert not [folder for folder in folders if foreign in folder]
    assert not [name for name in held if ".so" in name or ".pyd" in name]


def test_the_version_is_the_same_everywhere():
    versions = {
        name: re.search(pattern, (ROOT / name).read_text("utf-8"), re.MULTILINE)[1]
        for name, pattern in (
            ("Cargo.toml", r'^version = "(.*)"$'),
            ("CITATION.cff", r"^version: (.*)$"),
        )
    }
    versions["blockquant.__version__"] = bq.__version__
    assert len(set(versions.values())) == 1, versions
