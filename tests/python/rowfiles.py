"""Files of rows by the libraries of others."""

import importlib

import numpy as np
import pytest
import safetensors.numpy

SUFFIXES = [".npy", ".npz", "compressed.npz", ".safetensors", ".parquet", ".fvecs"]


def parquet(path, columns, **options):
    """A file of these columns: a dict, or names and arrays."""
    pa = pytest.importorskip("pyarrow")
    pq = importlib.import_module("pyarrow.parquet")
    if isinstance(columns, dict):
        columns = columns.items()
    names, arrays = zip(*columns, strict=True)
    pq.write_table(pa.table(list(map(pa.array, arrays)), names=list(names)), path, **options)
    return path


def fvecs(path, x):
    dims = np.full((len(x), 1), x.shape[1], "<i4")
    np.hstack([dims, x.astype("<f4").view("<i4")]).tofile(path)
    return path


def write(folder, suffix, x):
    """A file of that kind by someone else's library."""
    path = folder / f"rows{suffix}"
    if suffix == ".npy":
        np.save(path, x)
    elif suffix.endswith("npz"):
        (np.savez_compressed if "compressed" in suffix else np.savez)(path, x=x)
    elif suffix == ".safetensors":
        safetensors.numpy.save_file({"x": x}, path)
    elif suffix == ".parquet":
        parquet(path, {"x": list(x)}, row_group_size=max(1, len(x) // 3))
    else:
        fvecs(path, x)
    return path
