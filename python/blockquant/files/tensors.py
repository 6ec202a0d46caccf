"""safetensors files: tensors are read in place; bfloat16 becomes float32.

The library checks the file; it does not say where a tensor starts, so that is read from the header.
"""

from __future__ import annotations

import json

import numpy as np

from blockquant.files.rows import Entry, PlainRows, Rows

_STORED = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}
_DISK = {"float16": "<f2", "bfloat16": "<u2", "float32": "<f4", "float64": "<f8"}


def metadata(path: str) -> dict[str, str]:
    """The metadata of a file, empty where there is none.

    Raises
    ------
    ValueError
        If it is no safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            return dict(file.metadata() or {})
    except SafetensorError as error:
        raise ValueError(str(error)) from None


def is_codes(path: str) -> bool:
    """Whether a file calls itself one of :func:`blockquant.save`; whether it is whole, `load` says.

    Examples
    --------
    >>> is_codes(__file__)
    False
    """
    try:
        return metadata(path).get("format") == "blockquant"
    except ValueError:
        return False


def entries(path: str) -> list[Entry]:
    """The tensors of a file."""
    if metadata(path).get("format") == "blockquant":
        raise ValueError("it holds codes, not rows; `blockquant decode` makes rows of them")
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
    found = []
    for name, tensor in header.items():
        if name == "__metadata__":
            continue
        stored = _STORED.get(tensor["dtype"], tensor["dtype"])
        offset = 8 + size + tensor["data_offsets"][0]
        disk = np.dtype(_DISK.get(stored, "u1"))
        found.append(Entry(name, tuple(tensor["shape"]), stored, offset, disk))
    return sorted(found, key=lambda entry: str(entry.name))


def open_entry(path: str, entry: Entry) -> Rows:
    """The rows of one of them."""
    return PlainRows(path, entry)
