"""The speed over turbovec that our search is to reach, by kind of rows, rows, queries and bits.

The goals are those of the same machine on one thread, where turbovec uses AVX-512. So they are
judged only there, whether ours runs on AVX-512 or on AVX2. `then` is beyond what a prototype
reached.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import blockquant as bq

OURS = {2: "blockquant 2 p=4", 3: "blockquant 3 p=4", 4: "blockquant 4 p=2"}
"""Our method of each rate."""
RECALL = 0.002
"""How far the recall of a search may be from that of all estimates."""
FLAGS = {"avx512f", "avx512bw", "avx512vl", "avx512vbmi", "avx512_vnni"}
FEW, MANY = range(20_000, 100_000), range(200_000, 1 << 32)
ANY = range(20_000, 1 << 32)

Goals = dict[str, tuple[float, float | None]]


@dataclass(frozen=True)
class Target:
    """What is to be reached, and what then."""

    goal: float
    then: float | None
    is_judged: bool

    def cells(self, speed: float) -> list[str]:
        """The goals, and whether this speed, as it is printed, reaches them."""
        if not self.is_judged:
            return ["–", "–", "–"]
        speed = round(speed, 2)
        reached = "yes" if speed >= self.goal else "no"
        if self.then is not None and speed >= self.then:
            reached = "both"
        return [f"{self.goal:g}", "–" if self.then is None else f"{self.then:g}", reached]


def both(avx512: tuple[float, float | None], avx2: tuple[float, float | None]) -> Goals:
    return {"avx512": avx512, "avx2": avx2}


TARGETS: dict[tuple[str, range, int], dict[int, Goals]] = {
    ("real", FEW, 100): {2: both((1.9, 2.0), (1.2, 1.3)), 4: both((1.4, 1.5), (0.9, 1.0))},
    ("repeated", MANY, 100): dict.fromkeys((2, 4), both((0.95, 1.2), (0.55, 0.7))),
    ("real", FEW, 1): dict.fromkeys((2, 4), both((2, None), (1.5, None))),
    ("repeated", MANY, 1): dict.fromkeys((2, 4), both((2, None), (1.5, None))),
    ("lifted", ANY, 1): {2: both((3, None), (2.5, None)), 4: both((5, None), (4, None))},
    ("Gaussian", ANY, 100): {2: both((1.0, 1.3), (0.5, 0.6)), 4: both((1.15, 1.4), (0.5, 0.7))},
    ("Gaussian", ANY, 1): {2: both((2, None), (1.3, None)), 4: both((3, None), (2, None))},
}
"""By kind, rows and queries per call, then by bits and by our instruction set; k is 10."""


def find(kind: str, rows: int, queries: int, bits: int, k: int) -> Target | None:
    """The goal of this search, judged on this machine or not, if it has one."""
    for (of, sizes, size), goals in TARGETS.items():
        if (of, size, 10) == (kind, queries, k) and bits in goals:
            goal, then = goals[bits].get(bq.isa(), (0.0, None))
            return Target(goal, then, goal > 0 and rows in sizes and has_avx512())
    return None


def has_avx512() -> bool:
    """Whether the CPU has all that our AVX-512 kernels and turbovec's use."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return any(set(line.split()) >= FLAGS for line in lines if line.startswith("flags"))


def judged() -> str:
    """Whether speeds are judged."""
    if not has_avx512():
        return "not judged, as the CPU has no AVX-512 with VBMI and VNNI"
    if bq.isa() not in ("avx512", "avx2"):
        return f"there are none for {bq.isa()}"
    return f"for ours on {bq.isa()} where turbovec uses AVX-512; both: `then` as well"
