"""What compressed key-value caches do to a small language model, beside other people's.

    python benches/inference.py --install          # model and text, once
    python benches/inference.py                    # all: over an hour on two cores
    python benches/inference.py --quick            # two short windows, no look-ups: about a minute
    python benches/inference.py --lines PATTERN    # the others are those of the kept results

The model is SmolLM2-135M-Instruct in a NumPy float32 forward pass. Every cache obeys the rule of
pages, sinks and windows of `bq.KeyValueCache`, and the prefill is `quantized`: each query of a
window reads the codes that the cache holds at its position. `inference_parts/attention.py` says
how. The library's cache itself runs token by token on a short window, beside its simulation.

The status is 1 if something that has to be reached is not. Windows of the quick run are too short
for the bounds of divergences, which are 1.5 times as high there. The full run writes
`benches/results/inference.txt`, `inference.json` and the pictures in `docs/_static`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import common
from inference_parts import kinds, needle, quality, report, rows, setup, verdicts
from inference_parts.attention import Cached, Exact, Simulated
from inference_parts.caches import Spec
from inference_parts.model import Model
from inference_parts.quality import Figures

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benches" / "results"
#: Tokens before the questions, and prompts per text.
NEEDLES = ((500, 8), (1000, 4))
REAL = (kinds.TWO_CENTROIDS, kinds.TRELLIS_THREE_TWO, kinds.THREE_TWO)


class Run:
    """A run's measures, each kept in a file so that a stopped run goes on where it was."""

    def __init__(self, model: Model, kept: Path | None) -> None:
        self.model = model
        self.path = kept
        self.known = {}
        if kept is not None and kept.is_file():
            lines = kept.read_text("utf-8").splitlines()
            self.known = dict(map(json.loads, lines))

    def measured(self, key: str, measure):
        """The measure with that key, made now unless it is known."""
        if key not in self.known:
            start = time.perf_counter()
            self.known[key] = measure()
            print(f"{time.perf_counter() - start:6.1f} s  {key[:90]}", file=sys.stderr, flush=True)
            if self.path is not None:
                with self.path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps([key, self.known[key]]) + "\n")
        return self.known[key]

    def quality(
        self, specs: list[Spec], places: list
    ) -> tuple[dict[str, list[Figures]], list[str]]:
        """The figures of these kinds, window by window, and a line about each window."""
        found: dict[str, list[Figures]] = {spec.name: [] for spec in specs}
        lines = []
        for place, tokens in places:
            window = quality.Window(self.model, tokens, Exact())
            perplexity = self.measured(f"{place} {len(tokens)}", window.perplexity)
            lines.append(f"{place}: perplexity of float32 {perplexity:.2f}")
            for spec in specs:
                key = f"{place} {len(tokens)} {spec}"
                figures = self.measured(key, partial(judged_by, window, spec))
                found[spec.name].append(Figures(**figures))
        return found, lines

    def needles(self, specs: list[Spec | None], texts: dict[str, str], length: int, count: int):
        """One row per kind; the error is between prompts."""
        prompts = [
            needle.prompt(self.model, text, length, seed)
            for text in texts.values()
            for seed in range(count)
        ]
        depths = np.array([asked.depths for asked in prompts])
        for spec in specs:
            attention = Exact() if spec is None else Simulated(spec)
            found = np.array(
                [
                    self.measured(
                        f"needle {length} {i} {spec}",
                        partial(needle.looked_up, self.model, attention, asked),
                    )
                    for i, asked in enumerate(prompts)
                ]
            )
            yield {
                "name": "float32" if spec is None else spec.name,
                "tokens": length,
                "found": float(found.mean()),
                "error": quality.error(found.mean(axis=1)),
                "depths": [float(found[depths == d].mean()) for d in range(len(needle.DEPTHS))],
            }


def judged_by(window: quality.Window, spec: Spec) -> dict[str, float]:
    return asdict(window.figures(Simulated(spec)))


def real(model: Model, tokens: np.ndarray, spec: Spec) -> dict[str, Any]:
    """The library's cache token by token beside its simulation, on one window."""
    window = quality.Window(model, tokens, Exact())
    attention = Cached(spec)
    found = window.figures(attention)
    simulated = window.figures(Simulated(spec))
    cache = attention.caches[0]
    return {
        "name": spec.name,
        "tokens": len(tokens),
        "kl": found.kl,
        "simulated_kl": simulated.kl,
        "coded_bits": cache.bits_per_coded_value,
        "simulated_coded_bits": spec.coded_bits(model.dim),
    }


class Kept:
    """Rows and verdicts of the kept results, for the lines that a run does not measure.

    They have to be of the same model, windows and prefill as those of the run, which `head` names.
    """

    def __init__(self, head: list[str]) -> None:
        told = json.loads((RESULTS / "inference.json").read_text("utf-8"))
        if told["about"][1:3] != head[1:3]:
            raise SystemExit(f"the kept results are of another run: {told['about'][1:3]}")
        self.quality = {row["name"]: row for row in told["quality"]}
        self.needles = {(row["name"], row["tokens"]): row for row in told["needles"]}
        self.verdicts = {row["wanted"]: verdicts.Verdict(**row) for row in told["verdicts"]}


def told_about(options: argparse.Namespace, model: Model) -> list[str]:
    blas = os.environ.get("OPENBLAS_NUM_THREADS", "all CPUs")
    lines = [f"lines with {options.lines} are of this run, the others of the one before"]
    return [
        f"{common.machine()}; BLAS threads: {blas}",
        f"{model.name}; {options.windows} windows of {options.tokens} tokens, the second half of "
        "each measured",
        "prefill: quantized (each query reads the codes that the cache holds at its position); "
        "sinks 4, window 32",
        "± is one standard error between windows or prompts",
        *(lines if options.lines else []),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--install", action="store_true", help="get the model and the texts")
    parser.add_argument("--text", type=Path, default=setup.CACHE, help="folder of the texts")
    parser.add_argument("--quick", action="store_true", help="two short windows, no look-ups")
    parser.add_argument("--windows", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=2048, help="of a window")
    parser.add_argument("--rows", type=Path, help="only write the tests' sample into this folder")
    parser.add_argument("--keep", type=Path, help="file of measures, to go on after a stop")
    parser.add_argument(
        "--lines", help="measure only lines whose name this regular expression finds; not float32"
    )
    options = parser.parse_args()
    if options.quick and options.lines:
        parser.error("--quick measures few lines: take it without --lines")
    if options.install:
        setup.install(options.text)
        return 0
    if options.quick:
        options.windows, options.tokens = 2, 768
    model = Model(setup.model_file())
    if options.rows is not None:
        print(rows.write(model, options.rows))
        return 0
    texts = setup.texts(options.text)
    specs = kinds.quick() if options.quick else kinds.everything()
    by_name = {spec.name: spec for spec in specs}
    measured = [spec for spec in specs if re.search(options.lines or "", spec.name)]
    head = told_about(options, model)
    kept = Kept(head) if options.lines else None
    run = Run(model, options.keep)
    places = quality.windows(model, texts, options.windows, options.tokens)
    found, about = run.quality(measured, places)
    table = [
        {
            "name": spec.name,
            "coded_bits": spec.coded_bits(model.dim),
            "all_bits": spec.all_bits(options.tokens, model.dim),
            **quality.summary(found[spec.name]),
        }
        if spec in measured
        else kept.quality[spec.name]
        for spec in specs
    ]
    asked = [spec for spec in measured if spec.name in kinds.NEEDLES]
    needles = []
    for length, count in () if options.quick else NEEDLES:
        exact = [None] if kept is None else []
        own = {row["name"]: row for row in run.needles([*exact, *asked], texts, length, count)}
        for name in ("float32", *kinds.NEEDLES):
            needles.append(own[name] if name in own else kept.needles[name, length])
    short = places[0][1][:512]
    again = [by_name[name] for name in (REAL[-1:] if options.quick else REAL)]
    reals = [run.measured(f"real {spec}", partial(real, model, short, spec)) for spec in again]
    shares = {row["name"]: (row["found"], row["error"]) for row in needles if row["tokens"] == 500}
    slack = 1.5 if options.quick else 1
    earlier = {} if kept is None else kept.verdicts
    judged = [
        *verdicts.of_divergence(by_name, found, model.dim, slack, earlier),
        *verdicts.of_needle(shares),
        *verdicts.of_memory(model.kv_heads, model.dim, model.theta),
        *verdicts.of_real(reals),
    ]
    parts = [head, about, report.quality_table(table, options.tokens)]
    if needles:
        parts.append(report.needle_table(needles))
    parts += [report.real_table(reals), [verdict.line() for verdict in judged]]
    titles = ("", "windows", "quality", *(["look-ups"] if needles else []), "real", "verdicts")
    text = "\n\n".join(
        "\n".join(([f"== {title} ==", ""] if title else []) + list(part))
        for title, part in zip(titles, parts, strict=True)
    )
    print(text)
    if not options.quick:
        RESULTS.joinpath("inference.txt").write_text(text + "\n", "utf-8")
        told = {"about": head, "quality": table, "needles": needles, "real": reals}
        told["verdicts"] = [asdict(verdict) for verdict in judged]
        report.save(RESULTS / "inference.json", told)
        report.draw(told, ROOT / "docs" / "_static")
    return int(not all(verdict.holds for verdict in judged))


if __name__ == "__main__":
    sys.exit(main())
