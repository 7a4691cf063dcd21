"""The process that makes the load, and the parent's handle on it."""

import gc
import multiprocessing
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Literal

from bench.reference import commit_for, hash_for
from bench.seeding import World
from bench.wire import Measured, drive
from bench.workloads import Workloads

CONNECTIONS = 16
WARM_UP = 0.2  # of the measured time
HASH = "hash"
HASHING_THREADS = 2
COMMITS: dict[str, Literal["NORMAL", "FULL"]] = {"commit": "NORMAL", "durable commit": "FULL"}

PACED_RATE = 40.0
PACED_CONNECTIONS = 40


@dataclass(frozen=True)
class Job:
    workload: str
    port: int
    pids: tuple[int, ...]
    seconds: float
    connections: int = CONNECTIONS
    flooding: int | None = None
    """Connections that log in beside the workload, which is paced then."""


def _do(workloads: Workloads, world: World, job: Job) -> Measured:
    if job.workload == HASH or job.workload in COMMITS:
        cpu = time.process_time()
        if job.workload == HASH:
            seconds, done = hash_for(HASHING_THREADS, job.seconds)
        else:
            seconds, done = commit_for(world.database_url, COMMITS[job.workload], job.seconds)
        return Measured(seconds, {job.workload: done}, cpu=time.process_time() - cpu)
    script = workloads.scripts[job.workload]
    if job.flooding is None:
        scripts, paced, rate = [script() for _ in range(job.connections)], [], 0.0
    else:
        scripts = [workloads.password() for _ in range(job.flooding)]
        paced, rate = [script() for _ in range(PACED_CONNECTIONS)], PACED_RATE
    return drive(
        job.port,
        scripts,
        seconds=job.seconds,
        warm_up=WARM_UP * job.seconds,
        pids=job.pids,
        paced=paced,
        rate=rate,
    )


def _serve(pipe: Connection, world: World) -> None:
    workloads = Workloads(world)
    gc.disable()  # a collection in the driver would be measured as the server's
    while True:
        job = pipe.recv()
        if job is None:
            return
        try:
            pipe.send(_do(workloads, world, job))
        except Exception as error:
            pipe.send(f"{job.workload}: {type(error).__name__}: {error}")
        gc.collect()


class Driver:
    """A process of its own: the parent's memory and threads stay out of it."""

    def __init__(self, world: World) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, world), daemon=True)

    def __enter__(self) -> "Driver":
        self._process.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._pipe.send(None)
            self._process.join(10)
        self._process.kill()

    def run(self, job: Job) -> Measured:
        """Raises RuntimeError with what went wrong over there."""
        self._pipe.send(job)
        found = self._pipe.recv()
        if not isinstance(found, Measured):
            raise RuntimeError(str(found))
        return found
