"""Installs a wheel and checks that it computes the frozen bytes on this machine.

    python .ci/smoke.py WHEEL      # in a new environment of this Python, with its dependencies
    python .ci/smoke.py            # the package that this Python imports
    python .ci/smoke.py --quick    # the same without codebooks that take minutes in an emulator

It needs only what the wheel needs, so that it runs where the extra `test` has no wheels.
"""

from __future__ import annotations

import contextlib
import io
import json
import platform
import subprocess
import sys
import sysconfig
import tempfile
import venv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

GOLDEN = Path(__file__).resolve().parents[1] / "tests" / "golden"
THREADS = 8


def install(wheel: str) -> None:
    """Runs the checks in a new environment that has the wheel."""
    with tempfile.TemporaryDirectory() as folder:
        made = venv.EnvBuilder(with_pip=True).ensure_directories(folder)
        venv.create(folder, with_pip=True)
        subprocess.run([made.env_exe, "-m", "pip", "install", "-q", wheel], check=True)
        subprocess.run([made.env_exe, __file__], check=True)


def check(is_quick: bool) -> None:
    """Compares codes, files, scores and hits, alone and in eight threads at once."""
    import numpy as np

    import blockquant as bq
    from blockquant import _core
    from blockquant.cli import main as command

    free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    if free_threaded:
        assert not sys._is_gil_enabled(), "the import has turned the interpreter's lock on"

    cases = json.loads((GOLDEN / "codes.json").read_text("utf-8"))
    if is_quick:  # the codebooks of blocks that no table holds are annealed
        cases = [case for case in cases if case["method"] != "blockquant" or case["bits"] % 1]
    for case in cases:
        x = np.frombuffer(bytes.fromhex(case["input_hex"]), "<f4").reshape(-1, case["dim"])
        parameters = ("scale", "block", "states", "scale_search", "rotation", "seed")
        options = {name: case.get(name) for name in parameters}
        core = _core.Quantizer(
            case["method"], case["dim"], case["bits"], store_norm=True, **options
        )
        packed, scale, norm, residual, _ = core.encode(x)
        for name, array in (("packed", packed), ("scale", scale), ("norm", norm)):
            assert array.tobytes().hex() == case[f"{name}_hex"], (
                name,
                case["method"],
                case["bits"],
            )
        assert (None if residual is None else residual.tobytes().hex()) == case["residual_hex"]

    with tempfile.TemporaryDirectory() as folder:
        again = Path(folder) / "again"
        for path in sorted(GOLDEN.glob("*.safetensors")):
            bq.save(again, *bq.load(path))
            assert again.read_bytes() == path.read_bytes(), path.name
        for path in sorted(GOLDEN.glob("index/*.safetensors")):
            index = bq.Index.load(path)
            index.save(again)
            assert again.read_bytes() == path.read_bytes(), path.name
        for path in sorted(GOLDEN.glob("cache/*.safetensors")):
            bq.KeyValueCache.load(path).save(again)
            assert again.read_bytes() == path.read_bytes(), path.name

    x, y = (part[:400] for part in bq.sample())
    q = bq.create("eden" if is_quick else "blockquant", dim=x.shape[1], bits=2, store_norm=True)
    codes = q.encode(x)
    index = bq.Index.of(q)
    index.add(x)

    def results(part: int) -> list[bytes]:
        rows = slice(part * 50, part * 50 + 50)
        found = [q.encode(x[rows]).packed, q.decode(codes[rows]), q.inner_product(codes, y[:20])]
        for queries in (y[:20], y[:1]):
            found += [*q.search(codes, queries, 5, "cosine"), *index.search(queries, 5, "l2")]
        return [array.tobytes() for array in found]

    alone = [results(part) for part in range(THREADS)]
    with ThreadPoolExecutor(THREADS) as pool:
        assert list(pool.map(results, range(THREADS))) == alone

    scores, rows = q.search(codes, q.decode(codes[:50]), 1, "cosine")
    assert rows[:, 0].tolist() == list(range(50))
    product = q.inner_product(codes, y[:3])
    scores, rows = q.search(codes, y[:3], 5)
    assert (scores == np.take_along_axis(product, rows, 1)).all()

    with contextlib.redirect_stdout(io.StringIO()) as said:
        command(["info", str(GOLDEN / "blockquant.safetensors")], standalone_mode=False)
    assert "blockquant" in said.getvalue(), said.getvalue()
    lock = "without a global lock" if free_threaded else "with a global lock"
    print(
        f"{len(cases)} golden batches, files, search and {THREADS} threads:",
        f"blockquant {bq.__version__} ({_core.isa()}), Python {platform.python_version()} {lock},",
        f"NumPy {np.__version__}, {sysconfig.get_platform()}",
    )


if __name__ == "__main__":
    match sys.argv[1:]:
        case []:
            check(is_quick=False)
        case ["--quick"]:
            check(is_quick=True)
        case [wheel] if wheel.endswith(".whl"):
            install(wheel)
        case _:
            sys.exit(__doc__)
