"""A job: from sources to a folder of shards with its manifest.

The order of what is written makes a killed job safe. First ``job.json`` says what the folder is
made with, then every shard is written whole or not at all, and the manifest is last. So a folder
has a manifest only if it was complete once, and a job that is run again keeps every shard that is
there. While a job replaces shards of sources that have changed, the manifest and its shards stay.
"""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockquant._progress import bar
from blockquant.files.codes import load
from blockquant.quantizer import Quantizer
from blockquant.shards import _manifest, _spec
from blockquant.shards._engines import Engine
from blockquant.shards._manifest import Manifest, Shard
from blockquant.shards._sources import Options, Plan, Source, plan
from blockquant.shards._work import Encoded, Summed, Task, encode_part, sum_part

#: About a million, and as many as pyarrow puts into a row group.
SHARD_ROWS = 2**20
#: How often workers may die before a job gives up.
RETRIES = 3
_JOB = "job.json"
_FORMAT = "blockquant-shards-job"


@dataclass(frozen=True)
class Job:
    """A folder, and how it is filled."""

    folder: str
    options: Options
    engine: Engine
    #: Whether bars are shown on a terminal.
    progress: bool

    def encode(self, sources: Any, spec: Any) -> Manifest:
        """Encodes sources to the folder. What is there already and agrees is kept."""
        spec = _spec.checked(spec)
        wants_mean = _spec.wants_mean(spec)
        made = plan(sources, self.folder, self.options, _spec.dim_of(spec))
        assert made.dim is not None
        held = self._held()
        if held is not None:
            self._check_sources(held, made)
        mean_of = self._identity(made) if wants_mean else None
        if mean_of is None:
            q = _spec.quantizer(spec, made.dim)
            self._check_quantizer(q, held)
        else:
            # Wrong parameters are found before the rows are read for their mean.
            plain = _spec.quantizer(spec, made.dim, center=None)
            self._check_quantizer(plain, held, but_center=True)
            known = self._known_center(held, mean_of)
            center = self._mean(made) if known is None else known
            q = _spec.quantizer(spec, made.dim, center=center)
        return self._fill(q, made, held, mean_of, ((), ()))

    def append(self, sources: Any, held: Manifest, q: Quantizer) -> Manifest:
        """Adds the shards of other sources at the end."""
        self._check_unchanged(held)
        made = plan(sources, self.folder, self.options, q.dim)
        known = {source.identity for source in held.sources}
        for source in made.sources:
            if source.identity in known:
                raise ValueError(f"{source.file} is in {self.folder} already, expected other files")
        self._check_quantizer(q, held)
        return self._fill(q, made, held, held.mean_of, (held.sources, held.shards))

    # ---- what is there already

    def _held(self) -> Manifest | None:
        """The manifest of the folder, if it has one."""
        if os.path.exists(self.folder) and not os.path.isdir(self.folder):
            raise ValueError(f"{self.folder} is a file, expected a folder for the shards")
        if not os.path.exists(os.path.join(self.folder, _manifest.NAME)):
            return None
        return _manifest.read(self.folder)

    def _unfinished(self) -> dict[str, Any] | None:
        """What a job that did not finish has said of itself."""
        path = os.path.join(self.folder, _JOB)
        try:
            with open(path, "rb") as file:
                job = json.load(file)
            if job["format"] != _FORMAT or job["version"] != _manifest.VERSION:
                raise ValueError("it is of another program or version")
            return {name: job[name] for name in ("quantizer", "mean_of", "center")}
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{path}: {error}; choose another folder") from None

    def _check_unchanged(self, held: Manifest | None) -> None:
        """Raises ValueError if another job has written the manifest since it was read."""
        if self._held() != held:
            raise ValueError(
                f"another job has changed {self.folder} since this one read it; open it again"
            )

    def _check_sources(self, held: Manifest, made: Plan) -> None:
        """Raises ValueError if rows that are there would move or vanish."""
        if held.shard_rows != self.options.rows:
            raise ValueError(
                f"{self.folder} has shards of at most {held.shard_rows} rows, the job asks for"
                f" {self.options.rows}; choose another folder"
            )
        for place, source in enumerate(held.sources):
            now = made.sources[place] if place < len(made.sources) else None
            if now is None or now.identity != source.identity:
                found = "nothing" if now is None else now.file
                raise ValueError(
                    f"{self.folder} holds {source.file} as source {place}, where the job has"
                    f" {found}; add files with append, or choose another folder"
                )

    def _check_quantizer(
        self, q: Quantizer, held: Manifest | None, but_center: bool = False
    ) -> None:
        """Raises ValueError if the folder is made with another quantizer."""
        wanted = _manifest.describe(q)
        job = self._unfinished()
        for found in (held and held.quantizer, job and job["quantizer"]):
            if not found:
                continue
            if but_center:
                wanted = {**wanted, "center": found["center"]}
            if found != wanted:
                old, new = map(_manifest.spelled, (found, wanted))
                raise ValueError(
                    f"{self.folder} holds codes of {old}; the job asks for {new}; choose another"
                    " folder"
                )

    # ---- a center

    def _identity(self, made: Plan) -> str:
        """A hash of which rows the job has."""
        skip = self.options.skip_bad
        return _manifest.key(
            [_manifest.content(made.sources[part.source], part, skip) for part in made.parts]
        )

    def _known_center(self, held: Manifest | None, mean_of: str) -> NDArray[np.float32] | None:
        """The mean of these rows, if it was computed before."""
        job = self._unfinished()
        if held is not None and held.mean_of == mean_of:
            return load(os.path.join(self.folder, held.shards[0].file), verify=False)[0].center
        if held is not None or (job is not None and job["mean_of"] != mean_of):
            raise ValueError(
                f"{self.folder} holds codes with another center than the mean of these sources;"
                " append keeps its center, or choose another folder"
            )
        return None if job is None else np.array(job["center"], np.float32)

    def _mean(self, made: Plan) -> NDArray[np.float64]:
        """The mean of all rows: the sums of the shards, added in their order."""
        found: list[Summed] = self._each(sum_part, self._tasks(b"", made, None), "mean")
        rows = sum(each.rows for each in found)
        if not rows:
            raise ValueError("all rows of the sources are bad, so they have no mean")
        total = np.zeros_like(found[0].total)
        for each in found:
            total += each.total
        mean: NDArray[np.float64] = total / rows
        return mean

    # ---- the shards

    def _fill(
        self,
        q: Quantizer,
        made: Plan,
        held: Manifest | None,
        mean_of: str | None,
        before: tuple[tuple[Source, ...], tuple[Shard, ...]],
    ) -> Manifest:
        """Makes the shards of a plan and the manifest, in which they follow those of `before`."""
        quantizer, skip = _manifest.describe(q), self.options.skip_bad
        center = q.center
        os.makedirs(self.folder, exist_ok=True)
        _manifest.write_json(
            os.path.join(self.folder, _JOB),
            {
                "format": _FORMAT,
                "version": _manifest.VERSION,
                "quantizer": quantizer,
                "mean_of": mean_of,
                "center": None if center is None else center.tolist(),
            },
        )
        names = [
            _manifest.shard_name(quantizer, made.sources[part.source], part, skip)
            for part in made.parts
        ]
        found: list[Encoded] = self._each(
            encode_part, self._tasks(pickle.dumps(q), made, names), "encode"
        )
        digest = found[0].digest if held is None else held.digest
        for name, each in zip(names, found, strict=True):
            if each.digest != digest:
                raise ValueError(
                    f"{name} in {self.folder} was made by a build with another codebook or rotation"
                    " than others; install one version of blockquant on every machine"
                )
        sources, shards = before
        new = [
            Shard(
                file=name,
                rows=each.rows,
                first_row=0,
                checksum=each.checksum,
                source=len(sources) + part.source,
                start=part.start,
                stop=part.stop,
                row_groups=part.row_groups,
                skipped=each.skipped,
            )
            for name, part, each in zip(names, made.parts, found, strict=True)
        ]
        done = Manifest(
            quantizer,
            digest,
            self.options.rows,
            mean_of,
            (*sources, *made.sources),
            _manifest.with_first_rows([*shards, *new]),
        )
        self._finish(done, held)
        return done

    def _finish(self, done: Manifest, held: Manifest | None) -> None:
        """Writes the manifest, and removes what the job no longer needs."""
        self._check_unchanged(held)
        if done != held:
            _manifest.write(self.folder, done)
        kept = {shard.file for shard in done.shards}
        for name in os.listdir(self.folder):
            if name == _JOB or (_manifest.MADE.fullmatch(name) and name not in kept):
                os.remove(os.path.join(self.folder, name))

    def _tasks(self, pickled: bytes, made: Plan, names: list[str] | None) -> list[Task]:
        threads = self.engine.threads(len(made.parts))
        targets = [""] * len(made.parts) if names is None else names
        return [
            Task(
                pickled,
                made.sources[part.source],
                part,
                os.path.join(self.folder, target),
                self.options.skip_bad,
                threads,
            )
            for part, target in zip(made.parts, targets, strict=True)
        ]

    def _each(self, function: Callable[[Task], Any], tasks: list[Task], what: str) -> list[Any]:
        """The results of all tasks, in their order."""
        found: list[Any] = [None] * len(tasks)
        total = sum(len(task.part) for task in tasks)
        with bar(total, " rows", what) if self.progress else nullcontext() as step:
            if step is not None:
                step(0, f"0 of {len(tasks)} shards")
            results = self.engine.run(function, tasks)
            for done, (place, result) in enumerate(results, 1):
                found[place] = result
                if step is not None:
                    step(len(tasks[place].part), f"{done} of {len(tasks)} shards")
        return found
