"""The process of `test_interrupt.py`: interrupts long calls, and prints how long each went on.

Usage: interrupts.py THREADS
"""

import json
import os
import signal
import sys
import threading
import time

import numpy as np

import blockquant as bq

#: Seconds from the start of a call to Ctrl-C.
AFTER = 0.2
#: What is slower is tried once more: other processes may have had the machine.
LIMIT = 1.0


def repeated(q, rows):
    """Codes of one random row, `rows` times."""
    one = q.encode(np.random.default_rng(3).standard_normal((1, q.dim)).astype("f4"))
    arrays = one.packed, one.scale, one.norm, one.residual_norm
    many = [None if array is None else np.repeat(array, rows, axis=0) for array in arrays]
    return bq.Codes(*many, one.dim, one.made_by)


def calls():
    """Name and call, each of some seconds; what they need is made before they are timed."""
    rng = np.random.default_rng(1)
    row = rng.standard_normal((1, 384)).astype("f4")
    rabitq = bq.RaBitQ(dim=384, bits=8)
    yield "encode", lambda: rabitq.encode(np.broadcast_to(row, (200_000, 384)))
    prod = bq.TurboQuant(dim=2048, bits=2, variant="prod")
    codes = repeated(prod, 20_000)
    yield "decode", lambda: prod.decode(codes)
    y = rng.standard_normal((2000, 2048)).astype("f4")
    yield "inner_product", lambda: prod.inner_product(codes, y)
    yield "search that looks at all rows", lambda: prod.search(codes, y)
    eden = bq.Eden(dim=4096, bits=1, store_norm=True)
    normed = repeated(eden, 20_000)
    y = rng.standard_normal((1500, 4096)).astype("f4")
    yield "interval", lambda: eden.interval(normed, y)
    yield "search certified", lambda: eden.search(normed, y, certified=True)
    small = bq.Eden(dim=384, bits=2)
    x = rng.standard_normal((40_000, 384)).astype("f4")
    known = bq.concatenate([small.encode(x)] * 4)
    yield "search of many queries", lambda: small.search(known, x)
    haar = bq.Eden(dim=768, bits=1, rotation="haar")
    yield "rotate", lambda: haar.rotate(np.broadcast_to(row[:, :1], (30_000, 768)))
    yield "construction of haar", lambda: bq.Eden(dim=3072, bits=1, rotation="haar")
    yield "a codebook of 65,536 words", lambda: bq.BlockQuant(dim=384, bits=4, block=4)
    yield "its theory", lambda: bq.theory.nmse("blockquant/mse", 4, dim=384, block=4)
    yield "a matrix of prod", lambda: bq.TurboQuant(dim=12_288, bits=2, variant="prod")
    yield "measure", lambda: bq.measure(rabitq, np.tile(x, (4, 1)))
    cache = bq.KeyValueCache(4, 128, keys="eden", values="eden")
    kv = rng.standard_normal((1, 4, 60_000, 128)).astype("f4")
    yield "append to a cache", lambda: bq.KeyValueCache(4, 128, key_bits=2).append(kv, kv)
    cache.append(kv[:, :, :30_000], kv[:, :, :30_000])
    q = kv[:, :, :1000]
    yield "attention from a cache", lambda: cache.attend(q)
    yield "decode a cache", lambda: all(cache.decode() for _ in range(60))
    yield "sums of a fit", lambda: bq.fit(np.broadcast_to(row, (400_000, 384)))
    fit = bq.AxesFit(1536)
    fit.add(np.random.default_rng(4).standard_normal((100, 1536)))
    yield "axes of a fit", lambda: fit.finish(0)
    yield "compare", lambda: bq.compare(x, methods=["rabitq/unbiased"], bits=(8,), seeds=3)


def seconds_to_stop(call):
    """From Ctrl-C to the exception; none if the call ended before."""
    timer = threading.Timer(AFTER, os.kill, (os.getpid(), signal.SIGINT))
    start = time.perf_counter()
    timer.start()
    try:
        call()
        timer.cancel()
        timer.join()
    except KeyboardInterrupt:
        return time.perf_counter() - start - AFTER
    return None


def main():
    bq.set_num_threads(int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    rows = np.random.default_rng(2).standard_normal((500, 64)).astype("f4")
    q = bq.BlockQuant(dim=64, bits=2)
    before = q.encode(rows).packed
    found = {}
    for name, call in calls():
        try:
            found[name] = seconds_to_stop(call)
            if found[name] is not None and found[name] > LIMIT:
                found[name] = min(found[name], seconds_to_stop(call) or LIMIT)
        except KeyboardInterrupt:
            # After the call, which ended in time for itself: as if it had ended before.
            found[name] = None
    # Whatever was stopped, the next call works.
    same = np.array_equal(q.encode(rows).packed, before)

    def handler(number, frame):
        raise ZeroDivisionError("from the handler")

    signal.signal(signal.SIGINT, handler)
    try:
        seconds_to_stop(lambda: bq.BlockQuant(dim=384, bits=4, block=4))
        raised = None
    except ZeroDivisionError as error:
        raised = str(error)
    print(json.dumps({"seconds": found, "same": same, "raised": raised}))


if __name__ == "__main__":
    main()
