"""The folder in which a vector store is saved: an index, the records, and what names both.

``store.json`` is replaced last and names the files of the index and of the records, which have new
names each time. So a folder always holds one whole store: the former one or the new one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from secrets import token_hex
from typing import Any, TypeVar

import numpy as np

from blockquant._checks import brief, counted
from blockquant.files.atomic import replacing
from blockquant.index import Index
from blockquant.integrations._records import Records

Record = TypeVar("Record")

MANIFEST = "store.json"
_VERSION = 1
_KEYS = {"version", "kind", "metric", "options", "index", "records", "rows"}


def save(
    folder: str | os.PathLike[str],
    kind: str,
    store: Records[Record],
    as_json: Callable[[Record], Any],
) -> None:
    """Writes a store of one moment to a folder, which is made if it is missing.

    Parameters
    ----------
    folder : path-like
        The folder. A store that it holds is replaced.
    kind : str
        The framework whose store it is.
    store : Records
        The store.
    as_json : callable
        Turns a record into what JSON holds.

    Raises
    ------
    TypeError, ValueError
        If JSON cannot hold a record (id named). The folder keeps the store that it had.
    OSError
        If a file cannot be written.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    former = _named_files(target)
    token = token_hex(8)
    rows, records = target / f"index-{token}.safetensors", target / f"records-{token}.jsonl"
    moment = Records[Record].__new__(Records)
    moment.__setstate__(store.__getstate__())
    try:
        with replacing(records) as file:
            for id, record in moment.records.items():
                file.write(_line(id, as_json(record)))
        if moment.index is not None:
            moment.index.save(rows)
        manifest = {
            "version": _VERSION,
            "kind": kind,
            "metric": moment.metric,
            "options": moment.options,
            "index": None if moment.index is None else rows.name,
            "records": records.name,
            "rows": len(moment),
        }
        text = json.dumps(manifest, indent=2, default=lambda value: np.asarray(value).tolist())
        with replacing(target / MANIFEST) as file:
            file.write(text.encode() + b"\n")
    except BaseException:
        for path in (rows, records):
            if path.name not in _named_files(target):
                path.unlink(missing_ok=True)
        raise
    for name in former:
        (target / name).unlink(missing_ok=True)


def load(
    folder: str | os.PathLike[str], kind: str, from_json: Callable[[str, Any], Record]
) -> Records[Record]:
    """Reads what :func:`save` wrote. The rows are views of a mapped file.

    Raises
    ------
    ValueError
        If a file is damaged or the store is that of another framework (file named).
    OSError
        If a file cannot be read.
    """
    target = Path(folder)
    manifest = _manifest(target)
    if manifest["kind"] != kind:
        raise ValueError(f"{target} holds a store of {brief(manifest['kind'])}, expected {kind!r}")
    store: Records[Record] = Records(manifest["metric"], manifest["options"])
    path = target / manifest["records"]
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                id, record = json.loads(line)
                store.records[id] = from_json(id, record)
            except (ValueError, TypeError, KeyError) as error:
                raise ValueError(f"{path}, line {number} is not a record: {error}") from error
    if manifest["index"] is not None:
        store.index = Index.load(target / manifest["index"])
    ids = () if store.index is None else store.index
    if len(store) != manifest["rows"] or set(ids) != store.records.keys():
        raise ValueError(
            f"{path} has {counted(len(store), 'record')}, expected the {manifest['rows']} of the "
            "index; the files do not belong together"
        )
    return store


def _line(id: str, record: Any) -> bytes:
    try:
        return json.dumps([id, record], ensure_ascii=False).encode() + b"\n"
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{brief(id)} cannot be saved as JSON: {error}") from error


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    text = path.read_bytes()
    try:
        manifest = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if not isinstance(manifest, dict) or not manifest.keys() >= _KEYS:
        raise ValueError(f"{path} is not that of a vector store of blockquant")
    if manifest["version"] != _VERSION:
        raise ValueError(
            f"{path} has version {brief(manifest['version'])}, expected {_VERSION}; "
            "a newer blockquant wrote it"
        )
    for name in (manifest["index"], manifest["records"]):
        if name is not None and name != Path(name).name:
            raise ValueError(f"{path} names {brief(name)}, expected a file beside it")
    return manifest


def _named_files(folder: Path) -> list[str]:
    """The files of the store that a folder holds, which a new one replaces."""
    try:
        manifest = _manifest(folder)
    except (OSError, ValueError):
        return []
    return [name for name in (manifest["index"], manifest["records"]) if name is not None]
