"""The same bytes on every instruction set of this machine, from Python.

    python benches/same_bytes.py [--data FILE.npy] [--rows N]

Each instruction set is a process of its own (`BLOCKQUANT_ISA` is read once) that encodes the rows,
by default the shipped sample, with every built-in method at several rates, decodes the codes and
takes inner products. Prints a digest of all of it for each method and exits with 1 where two
instruction sets differ.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

import blockquant as bq

RATES = (1, 2, 3, 4)


def digests(data: Path | None, rows: int | None) -> dict[str, str]:
    """One digest a method and rate: codes with their scalars, rows decoded, inner products."""
    x = bq.sample()[0] if data is None else np.load(data, mmap_mode="r")
    x = x[:rows]
    found = {}
    for name in bq.available():
        for bits in RATES:
            q = bq.create(name, dim=x.shape[1], bits=bits, seed=bits, store_norm=True)
            codes = q.encode(x)
            few = codes[:500]
            parts = [
                codes.packed,
                codes.scale,
                codes.norm,
                codes.residual_norm,
                codes.center_product,
            ]
            parts += [q.decode(few), q.inner_product(few, x[:5])]
            digest = hashlib.sha256()
            for part in parts:
                digest.update(b"" if part is None else np.ascontiguousarray(part).tobytes())
            found[f"{name} {bits}"] = digest.hexdigest()[:16]
    return found


def main() -> int:
    """Runs the comparison; the status is 1 if any digest differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="rows as .npy; the shipped sample by default")
    parser.add_argument("--rows", type=int, help="only the first of them")
    parser.add_argument("--digests", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.digests:
        print(json.dumps(digests(options.data, options.rows)))
        return 0
    command = [sys.executable, __file__, *sys.argv[1:], "--digests"]
    found = {}
    for isa in bq.available_isa():
        done = subprocess.run(
            command, env=os.environ | {"BLOCKQUANT_ISA": isa}, stdout=subprocess.PIPE, check=True
        )
        found[isa] = json.loads(done.stdout)
    names = next(iter(found.values()))
    differing = [name for name in names if len({digest[name] for digest in found.values()}) > 1]
    for name in names:
        word = "DIFFERS" if name in differing else "same"
        print(f"{name:24} {word}  " + "  ".join(f"{isa} {found[isa][name]}" for isa in found))
    print(f"{len(names)} cases on {', '.join(found)}: {len(differing)} differ")
    return int(bool(differing))


if __name__ == "__main__":
    sys.exit(main())
