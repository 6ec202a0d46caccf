"""safetensors files. Tensors are read in place, and bfloat16 becomes float32.

The library checks the file, but it tells neither where a tensor starts nor whether the file is
truncated. So this module reads the header itself.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any

import numpy as np

from blockquant._checks import counted
from blockquant.files.rows import Entry, PlainRows, Rows

_STORED = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}
#: The file starts with so many bytes that hold the length of the header.
_LENGTH = 8
#: The longest header that the library reads.
_MOST_HEADER = 100_000_000
_METADATA = "__metadata__"
#: The marks of files of codes and of axes, and the part of the header that is searched for them.
_OURS = re.compile(rb'"format"\s*:\s*"blockquant"')
_AXES = re.compile(rb'"format"\s*:\s*"blockquant-axes"')
_LOOKED_AT = 2**16
_DISK = {"float16": "<f2", "bfloat16": "<u2", "float32": "<f4", "float64": "<f8"}


def metadata(path: str) -> dict[str, str]:
    """The metadata of a file, empty if it has none.

    Raises
    ------
    ValueError
        If the file is not a safetensors file, or is truncated.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            return dict(file.metadata() or {})
    except SafetensorError as error:
        raise ValueError(_truncation(path) or str(error)) from None


def _truncation(path: str) -> str | None:
    """A description of how a file is truncated, or None."""
    size = os.stat(path).st_size
    found = f"it is truncated: it has {counted(size, 'byte')}"
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(_LENGTH), "little")
        if size < _LENGTH:
            return f"{found}, expected at least the {_LENGTH} of the header's length"
        start = _LENGTH + length
        if length > _MOST_HEADER:
            return None
        if size < start:
            return f"{found}, its header ends at {start}"
        try:
            header = json.loads(file.read(length))
            ends = [each["data_offsets"][1] for name, each in header.items() if name != _METADATA]
            end = start + max(ends, default=0)
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            return None
    return f"{found}, its tensors end at {end}" if size < end else None


def is_codes(path: str) -> bool:
    """Whether :func:`blockquant.save` wrote a file. Only `load` tells whether it is undamaged.

    The mark of codes is near their start, and strings in JSON escape their quotes. So codes with
    damage after the mark are never mistaken for rows.

    Examples
    --------
    >>> is_codes(__file__)
    False
    """
    return _has(path, _OURS)


def is_axes(path: str) -> bool:
    """Whether :meth:`blockquant.Axes.save` wrote a file, as :func:`is_codes`."""
    return _has(path, _AXES)


def _has(path: str, mark: re.Pattern[bytes]) -> bool:
    """Whether a mark stands near the start of a header."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(_LENGTH), "little")
        start = file.read(min(length, _LOOKED_AT))
    return start.startswith(b"{") and mark.search(start) is not None


def entries(path: str) -> list[Entry]:
    """The tensors of a file."""
    metadata(path)
    if is_codes(path):
        raise ValueError("it holds codes, not rows; `blockquant decode` makes rows of them")
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(_LENGTH), "little")
        header = json.loads(file.read(size), object_pairs_hook=_distinct)
    found = []
    for name, tensor in header.items():
        if name == _METADATA:
            continue
        stored = _STORED.get(tensor["dtype"], tensor["dtype"])
        first, last = tensor["data_offsets"]
        disk = np.dtype(_DISK.get(stored, "u1"))
        found.append(
            Entry(
                name,
                tuple(tensor["shape"]),
                stored,
                offset=_LENGTH + size + first,
                room=last - first,
                disk=disk,
            )
        )
    return sorted(found, key=lambda entry: str(entry.name))


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. A key that occurs twice is an error, because readers differ in the choice."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"its header names {name!r} twice")
        found[name] = value
    return found


def open_entry(path: str, entry: Entry) -> Rows:
    """The rows of one tensor."""
    return PlainRows(path, entry)
