"""Where the tasks of a job run: processes of this machine, Ray, or someone else's executor.

Every engine gives the result of each task as it comes. The results do not depend on the engine, so
this is all that engines decide.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, as_completed
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from blockquant import _core
from blockquant._checks import brief, counted, whole

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

#: Seconds in which a worker that is told to stop leaves its task, and removes what it was writing.
_GRACE = 3.0

Results = Iterator[tuple[int, Any]]


@dataclass(frozen=True)
class Engine:
    """An engine with its options, which are checked."""

    kind: str | Executor
    workers: int | None
    retries: int
    address: str | None

    @classmethod
    def of(cls, kind: Any, workers: Any, retries: Any, address: Any) -> Engine:
        """Checks the options.

        Raises
        ------
        TypeError
            If one has the wrong type.
        ValueError
            If there is no such engine, a number is out of range, Ray is missing, or an option is
            not for the engine.
        """
        if not isinstance(kind, (str, Executor)):
            what = f"{type(kind).__name__} {brief(kind)}"
            raise TypeError(f"engine is {what}, expected 'local', 'ray' or an Executor")
        if isinstance(kind, str) and kind not in ("local", "ray"):
            raise ValueError(f"engine={kind!r}, expected 'local', 'ray' or an Executor")
        if workers is not None:
            workers = whole(workers, "workers", 1)
            if isinstance(kind, Executor):
                raise ValueError("workers= is not for an Executor, which has its own")
        if address is not None and kind != "ray":
            raise ValueError("address= is for the engine 'ray'")
        if kind == "ray":
            needs_ray()
        return cls(kind, workers, whole(retries, "retries", 0), address)

    def at_once(self, tasks: int) -> int:
        """The processes of this machine that work at once, 1 for this process alone."""
        return max(1, min(self.workers or _core.num_threads(), tasks))

    def threads(self, tasks: int) -> int | None:
        """The threads of each worker; None where the engine leaves them as they are.

        Processes of this machine share its threads. A task of Ray has one CPU and takes one. The
        workers of an executor may be threads of this process, whose threads are not to be changed.
        """
        if self.kind == "ray":
            return 1
        workers = self.at_once(tasks)
        if self.kind != "local" or workers == 1:
            return None
        return max(1, _core.num_threads() // workers)

    def run(self, function: Callable[[Any], Any], tasks: Sequence[Any]) -> Results:
        """The position and the result of each task, in any order.

        Raises
        ------
        ChildProcessError
            If workers die again and again.
        Exception
            What a task raises; tasks that have not begun are dropped.
        """
        if isinstance(self.kind, Executor):
            return _over(self.kind, function, dict(enumerate(tasks)))
        if self.kind == "ray":
            return _ray(function, tasks, self)
        if self.at_once(len(tasks)) == 1:
            return ((place, function(task)) for place, task in enumerate(tasks))
        return _local(function, tasks, self)


def _over(pool: Executor, function: Callable[[Any], Any], tasks: dict[int, Any]) -> Results:
    """The results of an executor; what has not begun is cancelled after an error."""
    places: dict[Future[Any], int] = {}
    try:
        for place, task in tasks.items():
            places[pool.submit(function, task)] = place
        for future in as_completed(places):
            yield places[future], future.result()
    finally:
        for future in places:
            future.cancel()


def _local(function: Callable[[Any], Any], tasks: Sequence[Any], engine: Engine) -> Results:
    """Spawned processes. A pool of which one has died is replaced, and what it left is done again.

    A forked worker would have copies of locks that threads of this process hold.
    """
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    context = get_context("spawn")
    left = dict(enumerate(tasks))
    deaths = 0
    while left:
        theirs, ours = context.Pipe(duplex=False)
        pool = ProcessPoolExecutor(
            engine.at_once(len(left)), context, initializer=_watch, initargs=(theirs,)
        )
        is_done = False
        try:
            for place, result in _over(pool, function, dict(left)):
                del left[place]
                deaths = 0
                yield place, result
            is_done = True
        except BrokenProcessPool:
            deaths += 1
            if deaths > engine.retries:
                raise ChildProcessError(
                    f"a worker died {counted(deaths, 'time')} and nothing was finished in between,"
                    f" with {counted(len(left), 'shard')} left. Was it killed, or is memory short?"
                    ' A script needs `if __name__ == "__main__":` around its job. What is finished'
                    " stays; run the job again to go on"
                ) from None
        except Exception:
            is_done = True  # of a task: those that run are let finish, so that their work stays
            raise
        finally:
            if not is_done:
                ours.close()
            pool.shutdown(wait=True, cancel_futures=True)
            ours.close()
            theirs.close()


def _watch(told: Connection) -> None:
    """Makes a worker end when the process that started it ends, is killed or says so.

    Without this a worker whose parent is killed waits for tasks without end. Ctrl-C on a terminal
    goes to all processes; workers leave it to their parent.
    """
    is_told = threading.Event()

    def interrupted(*_signal: object) -> None:
        if is_told.is_set():
            raise SystemExit

    signal.signal(signal.SIGINT, interrupted)

    def wait() -> None:
        with suppress(EOFError, OSError):
            told.recv_bytes()
        is_told.set()
        deadline = time.monotonic() + _GRACE
        while time.monotonic() < deadline:
            if hasattr(signal, "pthread_kill"):
                main = threading.main_thread().ident
                assert main is not None
                signal.pthread_kill(main, signal.SIGINT)
            time.sleep(0.1)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def needs_ray() -> Any:
    """Imports Ray.

    Raises
    ------
    ValueError
        If Ray is not installed.
    """
    try:
        import ray
    except ImportError:
        hint = "pip install 'blockquant[ray]'"
        raise ValueError(f"the engine 'ray' needs Ray, which is not installed: {hint}") from None
    return ray


def _ray(function: Callable[[Any], Any], tasks: Sequence[Any], engine: Engine) -> Results:
    """Core tasks of Ray, which does a task again whose worker has died."""
    ray = needs_ray()
    is_ours = not ray.is_initialized()
    if is_ours:
        _start_ray(ray, engine)
    elif engine.address is not None:
        raise ValueError(
            f"address={engine.address!r}, but this process is connected to Ray already"
        )
    remote = ray.remote(num_cpus=1, max_retries=engine.retries)(function)
    places: dict[Any, int] = {}
    waiting = iter(enumerate(tasks))
    try:
        while True:
            room = None if engine.workers is None else engine.workers - len(places)
            for place, task in islice(waiting, room):
                places[remote.remote(task)] = place
            if not places:
                return
            done, _ = ray.wait(list(places), num_returns=1)
            place = places.pop(done[0])
            yield place, _result(ray, done[0])
    finally:
        for reference in places:
            ray.cancel(reference)
        if is_ours:
            ray.shutdown()


def _start_ray(ray: Any, engine: Engine) -> None:
    """Connects to a cluster, or starts Ray on this machine where none is named."""
    options: dict[str, Any] = {"address": engine.address, "logging_level": "warning"}
    if engine.address in (None, "local") and not os.environ.get("RAY_ADDRESS"):
        options |= {"num_cpus": engine.workers, "include_dashboard": False}
    try:
        _check_reachable(engine.address)
        ray.init(**options)
    except Exception as error:  # Ray raises nothing more special where it starts too slowly
        what = "Ray" if engine.address is None else f"address={engine.address!r}"
        raise ConnectionError(f"{what}: {error}") from None


def _check_reachable(address: str | None) -> None:
    """Raises OSError if nothing listens at HOST:PORT, where Ray waits for minutes and exits."""
    host, _, port = (address or "").rpartition(":")
    if host and port.isdigit() and "/" not in host:
        socket.create_connection((host, int(port)), timeout=_GRACE).close()


def _result(ray: Any, reference: Any) -> Any:
    """The result of a task, or what it raised."""
    errors = ray.exceptions
    try:
        return ray.get(reference)
    except errors.RayTaskError as error:
        raise error.cause from None
    except (errors.WorkerCrashedError, errors.OutOfMemoryError, errors.NodeDiedError) as error:
        reason = str(error).partition("\n")[0]
        raise ChildProcessError(
            f"Ray gave up on a shard: {reason} What is finished stays; run the job again to go on"
        ) from None
