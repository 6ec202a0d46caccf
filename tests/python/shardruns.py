"""The process of `test_shards_processes.py`: one job, whose workers may be made to die.

Usage: shardruns.py SOURCES OUT SPEC OPTIONS [EXTRA]

SPEC and OPTIONS are JSON. EXTRA is a source to append afterwards. With the environment variable
SHARDS_PAUSE, each worker writes its number to a file there before each shard, and waits a little.
"""

import json
import os
import sys
import time
from pathlib import Path

import blockquant as bq
from blockquant.shards import _job, _work


def slow_encode_part(task):
    """The work of a worker, which can be found while it works."""
    folder = os.environ.get("SHARDS_PAUSE")
    if folder:
        Path(folder, f"{os.getpid()}-{time.monotonic_ns()}").touch()
        time.sleep(0.2)
    return _work.encode_part(task)


def main():
    sources, out, spec, options, *extra = sys.argv[1:]
    _job.encode_part = slow_encode_part
    shards = bq.shards.encode(sources, out, json.loads(spec), **json.loads(options))
    if extra:
        shards.append(extra[0], workers=json.loads(options).get("workers"))
    print(len(shards))


if __name__ == "__main__":
    main()
