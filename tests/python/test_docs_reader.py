"""`docs/reader.py`, written from the documented rules alone, reads what the library writes."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import blockquant as bq
from reference_trellis import designs

PATH = Path(__file__).parents[2] / "docs" / "reader.py"
_spec = importlib.util.spec_from_file_location("docs_reader", PATH)
reader = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reader)

CASES = [
    ("rabitq", 384, 1, {}),
    ("rabitq", 384, 3, {"store_norm": True, "center": np.full(384, 0.5, np.float32)}),
    ("rabitq", 200, 2, {"rotation": "haar", "seed": 2**64 - 1}),
    ("rabitq/mse", 1000, 2, {"seed": 5}),
    ("rabitq", 50, 4, {"center": np.ones(50, np.float32)}),
    ("eden", 1536, 2, {}),
    ("eden/mse", 130, 5, {"store_norm": True}),
    ("eden", 64, 4, {"scale_search": 9}),
    ("turboquant/mse", 256, 4, {}),
    ("turboquant/prod", 96, 1, {}),
    ("turboquant/prod", 256, 3, {"store_norm": True}),
    ("blockquant", 384, 2, {}),
    ("blockquant/none", 387, 2, {}),
    ("blockquant/mse", 1537, 2.5, {"seed": 1}),
    ("blockquant", 389, 2.4, {"block": 5}),
    ("trellis", 384, 2, {}),
    ("trellis/mse", 5, 1, {"states": 256, "store_norm": True}),
    *(
        ("trellis/none", 101, bits, {"states": 16})
        for states, bits in sorted(designs())
        if states == 16
    ),
]


@pytest.mark.parametrize(("name", "dim", "bits", "options"), CASES)
def test_reads_and_decodes_by_the_documented_rules(name, dim, bits, options, tmp_path):
    x = np.random.default_rng(0).standard_normal((3, dim)).astype(np.float32)
    q = bq.create(name, dim=dim, bits=bits, **options)
    codes = q.encode(x)
    bq.save(tmp_path / "codes.safetensors", q, codes)
    metadata, tensors = reader.read(tmp_path / "codes.safetensors")
    assert float(metadata["bits"]) == bits
    for part in ("packed", "scale", "norm", "residual_norm", "center_product"):
        stored = getattr(codes, part)
        assert (stored is None) == (part not in tensors), part
        assert stored is None or np.array_equal(stored, tensors[part]), part
    words = {}
    if not name.startswith("rabitq"):  # the levels of RaBitQ are a formula
        words = {"codebook": q.codebook()}
    if name.startswith("trellis"):
        words["generators"] = designs()[q.states, bits].generators
    if name.startswith("blockquant"):
        words["tail_codebook"] = q.tail_codebook()
    rows = reader.decode(metadata, tensors, **words)
    np.testing.assert_allclose(rows, q.decode(codes), rtol=0, atol=1e-5 * np.abs(x).max())


def test_indexes_are_those_of_the_library(tmp_path):
    q = bq.BlockQuant(dim=387, bits=2)
    codes = q.encode(np.random.default_rng(1).standard_normal((5, 387)))
    bq.save(tmp_path / "codes.safetensors", q, codes)
    metadata, tensors = reader.read(tmp_path / "codes.safetensors")
    found = reader.unpack(tensors["packed"], reader.fields(metadata))
    assert np.array_equal(np.concatenate(found, axis=1), q.indices(codes))


@pytest.mark.parametrize("names", [[5, -7, 2**62], ["", "ä 向量", "b"]], ids=["int64", "str"])
def test_ids_of_an_index(names, tmp_path):
    index = bq.Index(dim=387, bits=2)
    index.add(np.random.default_rng(1).standard_normal((3, 387)), ids=names)
    index.save(tmp_path / "index.safetensors")
    metadata, tensors = reader.read(tmp_path / "index.safetensors")
    assert reader.ids(metadata, tensors) == names
    q = index.quantizer
    rows = reader.decode(metadata, tensors, q.codebook(), q.tail_codebook())
    np.testing.assert_allclose(rows, index.decode(names), rtol=0, atol=1e-5)


def test_checksum_is_the_standard_one():
    assert reader.crc64(b"123456789") == 0x995DC9BBDF1939FA
