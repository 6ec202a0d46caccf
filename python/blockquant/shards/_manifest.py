"""The manifest of a folder of shards, and what identifies a shard.

``manifest.json`` says which files hold the codes of which rows. It is written last, and whole or
not at all, so a folder with a manifest is complete:

| key | value |
|---|---|
| `format`, `version` | `blockquant-shards`, 1 |
| `quantizer` | the parameters; `states` if the method has them, `scale_search` if it is set; |
| | of a center the SHA-256 of its float32 values, of fitted axes their digest |
| `digest` | of what decoding depends on besides, as in every file of codes |
| `rows`, `shard_rows` | all rows, and the most rows of a shard |
| `mean_of` | which rows have the mean that is the center, or null |
| `sources` | per file: `file`, `bytes`, `modified_ns`, `array`, `row_groups`, `rows`, `error` |
| `shards` | per shard: `file`, `rows`, `first_row`, `checksum`, `source`, `start`, `stop`, |
| | `row_groups`, `skipped` |
| `checksum` | SHA-256 of the manifest without this line |

The checksum of a shard is that of its header, which has the checksums of its tensors. The rows of a
shard are those from `start` to `stop` of its source (a position in `sources`), without those in
`skipped`.

The name of a shard has a key, a hash of everything that its bytes depend on: the quantizer, and
path, size, time of modification and rows of the source. So a shard with the right name that is
undamaged is the right one, and shards of different jobs do not get in each other's way.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockquant.files.atomic import replacing
from blockquant.quantizer import Quantizer
from blockquant.shards._sources import Part, Source

FORMAT = "blockquant-shards"
VERSION = 1
NAME = "manifest.json"
#: The files that a job makes besides: of these a finished one keeps those that its manifest names.
MADE = re.compile(r"shard-.*-[0-9a-f]{16}\.safetensors(\.skipped\.json)?|\.blockquant-.*\.tmp")

_CHECKED = "checksum"
#: Parameters that are younger than the format: they are named only where they are set, so that
#: other folders and shards keep their names.
_YOUNGER = ("states", "scale_search", "axes", "criterion", "groups")


@dataclass(frozen=True)
class Skipped:
    """Rows of a shard's source that were left out because they are bad."""

    #: The first of them, in the file.
    row: int
    rows: int
    error: str


@dataclass(frozen=True)
class Shard:
    """A file of codes, and the rows that it holds."""

    file: str
    rows: int
    first_row: int
    checksum: str
    source: int
    start: int
    stop: int
    row_groups: tuple[int, int] | None
    skipped: tuple[Skipped, ...] = ()

    def in_source(self, kept: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows of the source, of positions among the rows of the shard, which are those kept."""
        lengths = np.array([each.rows for each in self.skipped], np.int64)
        starts = np.array([each.row - self.start for each in self.skipped], np.int64)
        before = np.zeros(len(lengths) + 1, np.int64)
        np.cumsum(lengths, out=before[1:])
        # `starts - before` is how many rows are kept before each of those that are left out.
        found: NDArray[np.int64] = before[np.searchsorted(starts - before[:-1], kept, "right")]
        found += self.start + kept
        return found


@dataclass(frozen=True)
class Manifest:
    """What a folder holds."""

    quantizer: dict[str, Any]
    digest: str
    shard_rows: int
    mean_of: str | None
    sources: tuple[Source, ...]
    shards: tuple[Shard, ...]

    @property
    def rows(self) -> int:
        """All rows."""
        return sum(shard.rows for shard in self.shards)

    def rows_of(self, shard: Shard) -> str:
        """Which rows a shard holds, for errors."""
        name = os.path.basename(self.sources[shard.source].file)
        return f"rows {shard.first_row} to {shard.first_row + shard.rows - 1}, of {name}"


def describe(q: Quantizer) -> dict[str, Any]:
    """The parameters of a quantizer for JSON; a center and axes as hashes of their values."""
    described = q._parameters()
    del described["scale"]  # the name has it
    described["method"] = q.name
    if (center := described["center"]) is not None:
        described["center"] = sha256(center.astype("<f4").tobytes()).hexdigest()
    if (axes := described["axes"]) is not None:
        described["axes"] = axes.digest
        groups = [f"{axes} {method} {bits:g}" for method, axes, bits in described["groups"]]
        described["groups"] = ", ".join(groups)
    for name in _YOUNGER:
        if described[name] is None:
            del described[name]
    return described


def spelled(quantizer: dict[str, Any]) -> str:
    """A description as errors show it.

    Examples
    --------
    >>> spelled({"method": "eden/mse", "dim": 8, "bits": 2.0, "block": None, "center": None})
    'eden/mse, dim=8, bits=2'
    """
    shown = {name: value for name, value in quantizer.items() if value not in (None, False)}
    if "center" in shown:
        shown["center"] = f"<{shown['center'][:8]}>"
    shown["bits"] = f"{shown['bits']:g}"
    return ", ".join([shown.pop("method"), *(f"{name}={value}" for name, value in shown.items())])


def key(value: Any) -> str:
    """A hash of a value that JSON can hold, 16 hexadecimal digits.

    Examples
    --------
    >>> key(["a", 1])
    '2657442bb4a48d62'
    """
    return sha256(json.dumps(value).encode()).hexdigest()[:16]


def content(source: Source, part: Part, skip_bad: bool) -> list[Any]:
    """What the rows of a part depend on."""
    file = [source.file, source.bytes, source.modified_ns, source.array]
    return [*file, part.start, part.stop, skip_bad]


def shard_name(quantizer: dict[str, Any], source: Source, part: Part, skip_bad: bool) -> str:
    """The name of the file of a shard."""
    stem = os.path.splitext(os.path.basename(source.file))[0]
    stem = re.sub(r"[^A-Za-z0-9_.=-]", "_", stem)[:60]
    made = key([VERSION, quantizer, content(source, part, skip_bad)])
    return f"shard-{stem}-{part.start}-{made}.safetensors"


def with_first_rows(shards: list[Shard]) -> tuple[Shard, ...]:
    """The shards with the positions of their first rows."""
    starts = accumulate((shard.rows for shard in shards), initial=0)
    return tuple(
        replace(shard, first_row=first) for shard, first in zip(shards, starts, strict=False)
    )


def write(folder: str, manifest: Manifest) -> None:
    """Writes the manifest of a folder, whole or not at all."""
    held = asdict(manifest)
    body = {"format": FORMAT, "version": VERSION, "rows": manifest.rows, **held}
    with replacing(os.path.join(folder, NAME)) as file:
        file.write(_dumped({**body, _CHECKED: _checksum(body)}))


def write_json(path: str, value: Any) -> None:
    """Writes a file of JSON, whole or not at all."""
    with replacing(path) as file:
        file.write(_dumped(value))


def _dumped(value: Any) -> bytes:
    return json.dumps(value, indent=1).encode() + b"\n"


def _checksum(body: dict[str, Any]) -> str:
    return sha256(_dumped(body)).hexdigest()


def read(folder: str) -> Manifest:
    """The manifest of a folder.

    Raises
    ------
    ValueError
        If it is damaged, or of another version or program.
    OSError
        If it cannot be read.
    """
    path = os.path.join(folder, NAME)
    with open(path, "rb") as file:
        data = file.read()
    try:
        body = json.loads(data)
        if not isinstance(body, dict) or body.get("format") != FORMAT:
            raise ValueError(f"it is not a manifest of shards ({FORMAT})")
        if body.get("version") != VERSION:
            raise ValueError(f"it has version {body.get('version')!r}, expected {VERSION}")
        checksum = body.pop(_CHECKED, None)
        if checksum != _checksum(body):
            raise ValueError("it is damaged or was edited: its checksum differs")
        sources = tuple(Source(**_tupled(each)) for each in body["sources"])
        shards = tuple(
            Shard(**{**_tupled(each), "skipped": skips(each["skipped"])}) for each in body["shards"]
        )
        return Manifest(
            quantizer=body["quantizer"],
            digest=body["digest"],
            shard_rows=body["shard_rows"],
            mean_of=body["mean_of"],
            sources=sources,
            shards=shards,
        )
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path}: {error}") from None


def skips(values: list[dict[str, Any]]) -> tuple[Skipped, ...]:
    """Skipped rows as JSON has them."""
    return tuple(Skipped(**each) for each in values)


def _tupled(value: dict[str, Any]) -> dict[str, Any]:
    groups = value["row_groups"]
    return {**value, "row_groups": None if groups is None else tuple(groups)}
