"""What the benches share: the rows that they measure and the line that names the machine.

The embeddings of the shared data are not part of the repository. Where they are missing, a bench
measures the sample that ships with the package, and says so.
"""

from __future__ import annotations

import argparse
import os
import platform
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

import blockquant as bq

Rows = NDArray[np.float32]

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
"""The shared data lie beside the repository."""
FILES = ("wordnet-minilm-base.npy", "wordnet-minilm-query.npy")


@dataclass(frozen=True)
class Embeddings:
    """Rows and queries as they are stored, and which they are."""

    x: NDArray[np.floating]
    y: NDArray[np.floating]
    name: str
    is_sample: bool


def add_data(parser: argparse.ArgumentParser) -> None:
    """Adds the option that names the folder of the embeddings."""
    parser.add_argument(
        "--data",
        type=Path,
        help=f"folder of {' and '.join(FILES)} (default: {DATA}, or the shipped sample if they "
        "are not there)",
    )


def embeddings(folder: Path | None) -> Embeddings:
    """The embeddings of the folder; without one those of DATA, or the shipped sample.

    A folder that the user named has to hold them: nothing else is measured in their place.
    """
    paths = [(DATA if folder is None else folder) / name for name in FILES]
    missing = [str(path) for path in paths if not path.is_file()]
    if not missing:
        x, y = (np.load(path, mmap_mode="r") for path in paths)
        text = "sentence embeddings (WordNet glosses, all-MiniLM-L6-v2)"
        return Embeddings(x, y, text, is_sample=False)
    if folder is not None:
        raise SystemExit(f"--data: {' and '.join(missing)} not found")
    x, y = bq.sample()
    print(f"{' and '.join(missing)} not found: this run measures the shipped sample, {len(x)} rows")
    return Embeddings(x, y, "the shipped sample of sentence embeddings", is_sample=True)


def unit(x: ArrayLike) -> Rows:
    """The rows as float32, scaled to length 1."""
    x = np.asarray(x, np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def machine() -> str:
    """One line: the machine, the instruction set, the threads and the versions."""
    return (
        f"{hardware()}, {bq.isa()}, {bq.num_threads()} threads; Python "
        f"{platform.python_version()}, NumPy {np.__version__}, blockquant {bq.__version__}"
    )


def hardware() -> str:
    """The processor, its architecture and the number of CPUs."""
    return f"{processor()}, {platform.machine()}, {cpus()} CPUs"


def processor() -> str:
    """The name that the system gives it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"


def cpus() -> int:
    """The number of CPUs that the process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
