"""FROZEN bytes: `tests/golden/codes.json`, which the Rust tests read too."""

import json
from pathlib import Path

import numpy as np
import pytest

import blockquant as bq
from blockquant import _core

FILES = sorted((Path(__file__).parents[1] / "golden").glob("*.json"))
CASES = [
    pytest.param(case, id=f"{path.stem}-{i}")
    for path in FILES
    for i, case in enumerate(json.loads(path.read_text()))
]


def test_there_are_golden_files():
    assert CASES
    assert {"blockquant", "eden", "rabitq", "trellis", "turboquant/mse", "turboquant/prod"} <= {
        c.values[0]["method"] for c in CASES
    }


@pytest.mark.parametrize("case", CASES)
def test_golden_bytes(case):
    x = np.frombuffer(bytes.fromhex(case["input_hex"]), "<f4").reshape(case["rows"], case["dim"])
    q = _core.Quantizer(
        case["method"],
        case["dim"],
        case["bits"],
        scale=case["scale"],
        block=case.get("block"),
        states=case.get("states"),
        rotation=case["rotation"],
        seed=case["seed"],
        store_norm=True,
        scale_search=case.get("scale_search"),
    )
    packed, scale, norm, residual, product = q.encode(x)
    assert product is None
    assert packed.tobytes().hex() == case["packed_hex"]
    assert scale.astype("<f4").tobytes().hex() == case["scale_hex"]
    assert norm.astype("<f4").tobytes().hex() == case["norm_hex"]
    assert (residual is None) == (case["residual_hex"] is None)
    if residual is not None:
        assert residual.astype("<f4").tobytes().hex() == case["residual_hex"]


def test_public_face_gives_the_same_bytes():
    case = next(c.values[0] for c in CASES if c.values[0]["method"] == "eden")
    x = np.frombuffer(bytes.fromhex(case["input_hex"]), "<f4").reshape(case["rows"], case["dim"])
    q = bq.Eden(
        case["dim"], case["bits"], scale=case["scale"], rotation=case["rotation"], seed=case["seed"]
    )
    assert q.encode(x).packed.tobytes().hex() == case["packed_hex"]
