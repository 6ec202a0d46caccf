"""What the tests of shards share: sources, and what a folder of codes is compared with."""

from pathlib import Path

import numpy as np

import blockquant as bq

#: What most tests encode with.
SPEC = {"name": "eden", "bits": 2, "store_norm": True}


def parts(folder, x, names=("a", "b", "c")):
    """The rows as .npy files of about equal size."""
    folder.mkdir(exist_ok=True)
    for name, part in zip(names, np.array_split(x, len(names)), strict=True):
        np.save(folder / f"{name}.npy", part)
    return folder


def encode(sources, out, spec=SPEC, **options):
    """A job in this process, unless the options say otherwise."""
    return bq.shards.encode(sources, out, spec, **{"workers": 1, "shard_rows": 64, **options})


def contents(folder):
    """The bytes of every file of a folder, by name."""
    return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def same_rows(shards, q, x):
    """That shards hold the codes of these rows, and find in them what one search finds."""
    codes = q.encode(x)
    assert len(shards) == len(x)
    assert shards.quantizer == q
    assert shards[:] == codes
    np.testing.assert_array_equal(shards.decode(), q.decode(codes))
    y = x[::17][:9] * np.float32(0.5) + 0.1
    for metric in ("ip", "l2", "cosine") if q.store_norm else ("ip",):
        same_search(shards, q, codes, y, 7, metric)


def same_search(shards, q, codes, y, k, metric="ip", **options):
    found = shards.search(y, k, metric, **options)
    expected = q.search(codes, y, k, metric, **options)
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        assert a.tobytes() == b.tobytes()
