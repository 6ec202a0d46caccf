"""The process of `test_fork.py`: uses everything, forks, and prints digests of what parent and
children computed.

Usage: forks.py cold|warm|busy|pool THREADS LIMIT
"""

import importlib
import json
import multiprocessing
import os
import select
import signal
import sys
import tempfile
import threading
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.random  # Python's lock of a module that another thread imports stays locked in a child

import blockquant as bq

#: Method, bits, options: each method, a tail, a center, a dense rotation, a codebook that no table
#: holds.
QUANTIZERS = [
    ("blockquant/unbiased", 2, {"store_norm": True}),
    ("blockquant/mse", 2, {"block": 5, "store_norm": True, "rotation": "haar"}),
    ("eden/unbiased", 2, {"store_norm": True, "center": True}),
    ("eden/mse", 4, {}),
    ("rabitq/unbiased", 3, {"store_norm": True}),
    ("turboquant/mse", 2, {}),
    ("turboquant/prod", 3, {"store_norm": True}),
]
DIM = 136
ROWS = 700


def digest(*values):
    found = sha256()
    for value in values:
        array = np.ascontiguousarray(value)
        found.update(f"{array.dtype}{array.shape}".encode())
        found.update(array.tobytes())
    return found.hexdigest()


def data():
    rng = np.random.default_rng(7)
    return rng.standard_normal((ROWS, DIM)).astype("f4"), rng.standard_normal((9, DIM)).astype("f4")


def forget():
    """Makes the next call compute what a cache in Python keeps."""
    for name in ("_angles", "_criteria", "_storage"):
        module = importlib.import_module(f"blockquant.theory.{name}")
        for value in vars(module).values():
            if hasattr(value, "cache_clear"):
                value.cache_clear()


def everything(fresh=False):
    """Digests of the results of every entry point, by name. What is `fresh` has not been computed
    in this process, if all calls before were without it."""
    forget()
    x, y = data()
    found = {}
    seed = 5 if fresh else 4
    for name, bits, options in QUANTIZERS:
        options = {**options, **({"center": x.mean(axis=0)} if "center" in options else {})}
        q = bq.create(name, dim=DIM, bits=bits, seed=seed, **options)
        norms = options.get("store_norm", False)

        def put(what, *values, of=f"{name} {bits}"):
            found[f"{of}: {what}"] = digest(*values)

        codes = q.encode(x)
        put("encode", *(a for a in (codes.packed, codes.scale, codes.norm) if a is not None))
        put("encode float64", q.encode(x[:60].astype("f8")).packed)
        put("decode", q.decode(codes))
        put("inner_product", q.inner_product(codes, y), q.inner_product(codes, x[:40]))
        put("search", *q.search(codes, y, k=5), *q.search(codes, y[:1], k=3))
        put("search of few", *q.search(q.encode(x[:200]), y, k=5))
        put("search with a mask", *q.search(codes, y, k=5, mask=np.arange(ROWS) % 3 == 0))
        put("rotate", q.rotate(x))
        put("codebook", q.codebook(), q.indices(codes))
        if norms:
            put("search l2", *q.search(codes, y, k=5, metric="l2"))
        if norms and "prod" not in name:
            put("interval", *q.interval(codes, y))
            put("certified", *q.search(codes, y, k=5, certified=True))
        index = bq.Index.of(q)
        index.add(codes, ids=np.arange(ROWS) + 3)
        index.remove(range(3, ROWS, 5))
        index.add(x[:50])
        put("index", *index.search(y, k=5), index.search(y, 5, allow=range(0, ROWS, 7))[1])
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "codes.safetensors"
            bq.save(path, q, codes)
            again, loaded = bq.load(path)
            put("save and load", np.frombuffer(path.read_bytes(), "u1"), again.decode(loaded))
    axes = bq.fit(x, y, shrinkage=0.5)
    arrays = (axes.mean, axes.axes, axes.variances, axes.query_variances)
    found["fit"] = digest(*arrays)
    block, dim = (3, 14) if fresh else (4, 15)
    words = bq.BlockQuant(dim=dim, bits=2, block=block).codebook()
    found["a codebook that no table holds"] = digest(words)
    for name in ("blockquant/mse", "eden/unbiased", "rabitq/unbiased", "turboquant/prod"):
        figures = [
            bq.theory.nmse(name, 2, dim=384),
            bq.theory.inner_product_error(name, 2, dim=384),
        ]
        found[f"theory of {name}"] = digest(np.array(figures))
    figures = bq.theory.nmse("blockquant/mse", 2, dim=9 if fresh else 10, block=2)
    found["theory of small rows"] = digest(np.array(figures))
    quantile = bq._core.interval_quantile(384, 0.9)
    levels = [bq._core.lloyd_max(law, 384, 3) for law in ("gaussian", "sphere")]
    found["laws"] = digest(np.array(quantile), *levels)
    index = np.arange(4000, dtype="u2").reshape(100, 40) % 32
    packed = bq._core.pack(index, 5)
    found["pack"] = digest(packed, bq._core.unpack(packed, 40, 5))
    measured = bq.measure(bq.Eden(dim=DIM, bits=2), x, y)
    found["measure"] = digest(np.array([measured.nmse, measured.cosine, measured.bias]))
    compared = bq.compare(x, y, ["eden/mse", "rabitq/unbiased"], (1,), seeds=1)
    figures = [run.nmse for runs in compared.runs.values() for run in runs]
    found["compare"] = digest(np.array(figures))
    found["isa"] = bq.isa()
    return found


def in_child(limit, work):
    """What `work` gives in a forked child, through JSON."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ours)
        signal.alarm(limit)
        with os.fdopen(theirs, "w") as out:
            json.dump(work(), out)
        os._exit(0)
    os.close(theirs)
    text = b""
    while select.select([ours], [], [], limit)[0]:
        part = os.read(ours, 1 << 16)
        if not part:
            break
        text += part
    os.close(ours)
    _, status = os.waitpid(child, 0)
    if status:
        sys.exit(f"a child ended with {status}: it hangs or failed")
    return json.loads(text)


def reports():
    """In a child: its digests, and its count of threads before and after."""
    before = bq.num_threads()
    found = [everything(fresh) for fresh in (False, True)]
    return {"found": found, "counts": [before, bq.num_threads()]}


def grandchild(limit):
    """In a child that has used its threads: what its own child gives."""
    everything()
    return in_child(limit, reports)


def busy(stop):
    """Uses the core until told to stop: encodes, searches, and builds what nobody has built."""
    x, y = data()
    q = bq.Eden(dim=DIM, bits=2)
    many = np.tile(x, (20, 1))
    codes = q.encode(many)
    turn = 0
    while not stop.is_set():
        q.encode(many)
        q.search(codes, y, k=5)
        bq.BlockQuant(dim=17 + turn, bits=2, block=2)
        bq._core.lloyd_max("sphere", 1000 + turn, 4)
        turn += 1


def main():
    how, count, limit = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    if count:
        bq.set_num_threads(count)
    children = []
    if how == "cold":
        children = [in_child(limit, reports), in_child(limit, reports)]
    elif how == "warm":
        everything()
        children = [in_child(limit, reports), in_child(limit, lambda: grandchild(limit))]
    elif how == "busy":
        stop = threading.Event()
        others = [threading.Thread(target=busy, args=(stop,), daemon=True) for _ in range(1)]
        for other in others:
            other.start()
        children = [in_child(limit, reports) for _ in range(3)]
        stop.set()
        for other in others:
            other.join()
    elif how == "pool":
        everything()
        with multiprocessing.get_context("fork").Pool(2) as pool:
            waiting = [pool.apply_async(reports) for _ in range(2)]
            children = [one.get(limit) for one in waiting]
    parent = [everything(fresh) for fresh in (False, True)]
    merged = {
        f"{name} {i}": value for i, found in enumerate(parent) for name, value in found.items()
    }
    told = [
        {
            f"{name} {i}": value
            for i, found in enumerate(child["found"])
            for name, value in found.items()
        }
        for child in children
    ]
    counts = [count for child in children for count in child["counts"]]
    found = {"parent": merged, "children": told, "counts": counts, "count": bq.num_threads()}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
