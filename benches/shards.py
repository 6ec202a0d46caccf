"""Many files: encoded by one process, by local workers and by Ray, killed once and resumed.

    python benches/shards.py [--rows 2000000] [--files 20] [--workers 2] [--engines one local ray]
                             [--folder FOLDER] [--data FOLDER]

Writes float16 rows of 384 dimensions to Parquet files: embeddings, repeated with Gaussian noise of
a tenth of their standard deviation, so that rows differ while the file is as large as a real one.
Each engine is called by the command line, as `blockquant encode 'rows/*.parquet' --out FOLDER`:

* `one` is a single process (`--engine local --workers 1`), with all threads;
* `local` is a pool of spawned processes;
* `ray` is Ray on this machine, with as many CPUs as workers.

Each runs twice: once without disturbance, for time, rows per second (with the start of the
processes) and peak memory, of the process of the command (main), of the worker that needs most, and
the sum of the peaks of all processes, Ray's own too; and once killed (SIGKILL, all processes) when
half of the shards are there, and resumed. The folders have to be equal byte for byte, and the
shards that were there have to be the same files. Then the folder is searched, decoded and verified
by the command line. Exits with 1 if something differs.

The last lines encode a fourth of the files with local workers: the peak of a worker must not grow
with the rows.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import blockquant as bq
import common

DIM = 384
NOISE = 0.1
CHUNK = 20_000
QUERIES = 1000
#: A worker of the whole job may need so many times the memory of one of a fourth of it.
GROWTH = 1.1


def write_rows(folder: Path, rows: int, files: int, data: common.Embeddings) -> None:
    """The Parquet files."""
    rng = np.random.default_rng(1)
    spread = NOISE * float(np.std(data.x[:2000], dtype=np.float64))
    kind = pa.list_(pa.float16(), DIM)
    at = 0
    for file in range(files):
        count = rows * (file + 1) // files - rows * file // files
        path = folder / f"rows-{file:03}.parquet"
        with pq.ParquetWriter(path, pa.schema([("vector", kind)]), use_dictionary=False) as out:
            for start in range(0, count, CHUNK):
                size = min(CHUNK, count - start)
                x = np.take(data.x, np.arange(at, at + size) % len(data.x), axis=0)
                noise = rng.standard_normal(x.shape, np.float32) * np.float32(spread)
                x = (x.astype(np.float32) + noise).astype(np.float16)
                column = pa.FixedSizeListArray.from_arrays(pa.array(x.reshape(-1)), type=kind)
                out.write_table(pa.table({"vector": column}))
                at += size


def peak(process: int) -> int:
    """The peak memory of a process in bytes; 0 if it is gone."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def family(process: int) -> list[int]:
    """A process and all that it has started, their children too."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = [process]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found


def is_worker(process: int) -> bool:
    """Whether a process is a worker, not one of the helpers that pools and Ray have."""
    try:
        line = Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return False
    return line.startswith(b"ray::encode_part") or b"spawn_main" in line


@dataclass
class Run:
    """A command that has ended, or was killed."""

    seconds: float
    code: int
    #: Bytes of the process of the command, of the worker that needs most, and of all together.
    main: int
    worker: int
    total: int
    out: str


def run(arguments: Sequence[object], until: Callable[[], bool] | None = None) -> Run:
    """Runs `blockquant` and samples its memory; kills it as soon as `until` is true."""
    command = [sys.executable, "-m", "blockquant", *map(str, arguments)]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    main = worker = total = 0
    text: list[str] = []
    reader = threading.Thread(target=lambda: text.append(process.stdout.read()))
    reader.start()
    while process.poll() is None:
        members = family(process.pid)
        peaks = {member: peak(member) for member in members}
        main = max(main, peaks[process.pid])
        worker = max([worker, *(peaks[member] for member in members if is_worker(member))])
        total = max(total, sum(peaks.values()))
        if until is not None and until():
            for member in members:
                try:
                    os.kill(member, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            break
        time.sleep(0.05)
    process.wait()
    seconds = time.perf_counter() - start
    reader.join(10)
    return Run(seconds, process.returncode, main, worker, total, "".join(text))


def shards(folder: Path) -> dict[str, int]:
    """The shards that are there, each with what tells whether it was written again."""
    return {path.name: path.stat().st_ino for path in folder.glob("shard-*.safetensors")}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def megabytes(count: int) -> str:
    return f"{count / 1e6:,.0f}" if count else "-"


def line(label: str, found: Run, rows: int) -> None:
    rate = f"{rows / found.seconds:,.0f}" if rows else "-"
    sizes = (megabytes(size) for size in (found.main, found.worker, found.total))
    print(f"{label:<34} {found.seconds:>8.1f} {rate:>10}", *(f"{size:>9}" for size in sizes))
    sys.stdout.flush()


def check(is_right: bool, what: str) -> None:
    if not is_right:
        raise SystemExit(f"WRONG: {what}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--files", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--engines", nargs="+", default=["one", "local", "ray"])
    parser.add_argument("--folder", type=Path, help="where the files are made (default: temporary)")
    common.add_data(parser)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        measure(Path(folder), given)


def measure(folder: Path, given: argparse.Namespace) -> None:
    data = common.embeddings(given.data)
    rows = folder / "rows"
    rows.mkdir()
    write_rows(rows, given.rows, given.files, data)
    print(common.machine())
    print(
        f"{given.rows:,} rows of {DIM} float16 in {given.files} Parquet files,"
        f" {sum(path.stat().st_size for path in rows.iterdir()) / 1e6:,.0f} MB: {data.name},"
        f" repeated with noise of {NOISE:g} of their deviation; blockquant, 2 bits, norms\n"
    )
    print(f"{'':<34} {'seconds':>8} {'rows/s':>10} {'main MB':>9} {'worker MB':>9} {'all MB':>9}")
    engines = {
        "one": ("one process", ["--engine", "local", "--workers", 1]),
        "local": (f"local, {given.workers} workers", ["--workers", given.workers]),
        "ray": (f"Ray, {given.workers} workers", ["--engine", "ray", "--workers", given.workers]),
    }
    expected: dict[str, bytes] = {}
    workers: dict[str, int] = {}
    half = -(-given.files // 2)
    for engine in given.engines:
        label, options = engines[engine]
        encode = ["encode", rows / "*.parquet", "--store-norm", *options]
        whole = folder / f"{engine}-whole"
        found = run([*encode, "--out", whole])
        check(found.code == 0, f"{label} ended with {found.code}")
        line(label, found, given.rows)
        workers[engine] = found.worker
        expected = expected or contents(whole)
        check(contents(whole) == expected, f"{label}: the files differ from those of the first")

        broken = folder / f"{engine}-killed"
        found = run([*encode, "--out", broken], lambda at=broken: len(shards(at)) >= half)
        check(
            found.code == -signal.SIGKILL, f"{label} ended with {found.code} before it was killed"
        )
        time.sleep(1)  # processes that lost their parent end
        before = shards(broken)
        line(f"  killed after {len(before)} shards", found, 0)
        found = run([*encode, "--out", broken])
        check(found.code == 0, f"{label}, resumed, ended with {found.code}")
        line("  resumed", found, 0)
        check(before.items() <= shards(broken).items(), f"{label}: finished shards were made again")
        check(contents(broken) == expected, f"{label}, resumed: the files differ")
    print()
    use(folder, whole, given, data)
    if "local" in given.engines:
        some = [rows / f"rows-{file:03}.parquet" for file in range(-(-given.files // 4))]
        options = ["--store-norm", *engines["local"][1]]
        found = run(["encode", *some, "--out", folder / "fourth", *options])
        line("local, a fourth of the files", found, given.rows * len(some) // given.files)
        growth = workers["local"] / found.worker
        print(f"\nall engines: equal files; worker memory of all over a fourth: {growth:.2f}")
        check(growth < GROWTH, "the memory of a worker grows with the rows")


def use(folder: Path, codes: Path, given: argparse.Namespace, data: common.Embeddings) -> None:
    """Searches, decodes and verifies."""
    queries = folder / "queries.npy"
    y = np.asarray(data.y[:QUERIES], np.float32)
    np.save(queries, y)
    found = run(["search", codes, "--queries", queries, "--out", folder / "found.npz"])
    check(found.code == 0, "the search")
    line(f"search of {len(y)} queries, k = 10", found, 0)
    opened = bq.shards.open(codes)
    q, batch = opened.quantizer, opened[:]
    for metric in ("ip", "l2", "cosine"):
        one, many = q.search(batch, y, metric=metric), opened.search(y, metric=metric)
        same = all(a.tobytes() == b.tobytes() for a, b in zip(one, many, strict=True))
        check(same, f"the search of shards differs from that of one batch in {metric}")
    rows = min(given.rows, 200_000)
    command = ["decode", codes, "--out", folder / "rows.npy", "--rows", f"0:{rows}"]
    found = run(command)
    check(found.code == 0, "the decoding")
    line(f"decode of {rows:,} rows", found, rows)
    check(np.array_equal(np.load(folder / "rows.npy"), q.decode(batch[:rows])), "decoded rows")
    found = run(["info", codes])
    check(found.code == 0, "the verification")
    line("verify", found, given.rows)
    print("search: bit-equal to one search of all rows in every metric")


if __name__ == "__main__":
    main()
