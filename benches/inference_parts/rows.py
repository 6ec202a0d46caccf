"""The frozen sample of real keys, values and queries that the tests use."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .attention import Exact
from .model import Float, Heads, Model

LAYERS = (1, 14, 28)
TOKENS = slice(4, 164)


class Taken(Exact):
    """Exact attention that keeps the rows of some layers."""

    def __init__(self) -> None:
        self.rows: dict[str, list[Float]] = {"keys": [], "values": [], "queries": []}

    def __call__(self, heads: Heads) -> Float:
        if heads.layer in LAYERS:
            self.rows["keys"].append(heads.unrotated[0, TOKENS])
            self.rows["values"].append(heads.v[0, TOKENS])
            self.rows["queries"].append(heads.q[0, 0, TOKENS])
        return super().__call__(heads)


def write(model: Model, folder: Path) -> Path:
    """Writes `kv_rows.npz` beside its text `kv_rows.txt`."""
    tokens = model.tokens((folder / "kv_rows.txt").read_text("utf-8"))[: TOKENS.stop]
    taken = Taken()
    model.hidden(tokens, taken)
    arrays = {name: np.stack(rows).astype(np.float16) for name, rows in taken.rows.items()}
    path = folder / "kv_rows.npz"
    np.savez_compressed(path, positions=np.arange(TOKENS.start, TOKENS.stop), **arrays)
    return path
