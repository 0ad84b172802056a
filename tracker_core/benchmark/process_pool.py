"""Tasks in worker processes, where the death of one costs one task and nothing else."""

from __future__ import annotations

import multiprocessing
import os
import signal
import traceback
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

T = TypeVar('T')
#: Reports progress in whatever unit the caller counts.
Report = Callable[[int], None]
_THREAD_VARIABLES = ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENBLAS_NUM_THREADS')


def usable_cores() -> int:
    """How many cores this process may use; of all, where the system does not say (macOS)."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class Advanced(Generic[T]):
    """A running task got further."""

    task: T
    amount: int


@dataclass(frozen=True)
class Finished(Generic[T]):
    """A task ended; `error` says how it failed, `trace` where, both empty when it succeeded."""

    task: T
    error: str = ''
    trace: str = ''
    result: Any = None
    """What the function returned."""


@dataclass
class _Worker(Generic[T]):
    process: BaseProcess
    connection: Connection[Any, Any]
    tasks: list[T] = field(default_factory=list)
    """The one task it is working on, if any."""
    latest: Hashable = None
    """Topic of the latest task."""


def run_isolated(
    function: Callable[[T, Report], Any],
    tasks: Iterable[T],
    workers: int = 1,
    threads: int = 1,
    topic: Callable[[T], Hashable] = id,
) -> Iterator[Advanced[T] | Finished[T]]:
    """Call `function(task, report)` for every task in `workers` processes of `threads` threads.

    `function`, the tasks and what it returns must be picklable; every process has one `function`,
    which may remember things. Tasks are begun in the order given, but for those of the same
    `topic`, which a process does one after the other where it can. Yields what happens as it
    happens; every task ends with one `Finished`. An exception, and even the death of the process,
    fails only its own task. The processes end when the iterator is closed.
    """
    waiting = deque(tasks)
    pool: list[_Worker[T]] = []
    try:
        while waiting or any(worker.tasks for worker in pool):
            while waiting and len(pool) < workers:
                pool.append(_start(function, threads))
                _assign(pool[-1], waiting, topic)
            for worker in pool:
                if waiting and not worker.tasks:
                    _assign(worker, waiting, topic)
            ready = wait([worker.connection for worker in pool])
            for worker in [each for each in pool if each.connection in ready]:
                yield from _receive(worker, pool)
    finally:
        for worker in pool:
            _dismiss(worker)


def _assign(worker: _Worker[T], waiting: deque[T], topic: Callable[[T], Hashable]) -> None:
    """Give a worker the first task on its latest topic, else the first of all."""
    topics = [topic(task) for task in waiting]
    index = topics.index(worker.latest) if worker.latest in topics else 0
    worker.latest = topics[index]
    worker.tasks.append(waiting[index])
    del waiting[index]
    with suppress(OSError):  # A worker that has died meanwhile is noticed when it is waited for.
        worker.connection.send(worker.tasks[0])


def _start(function: Callable[[T, Report], Any], threads: int) -> _Worker[T]:
    context = multiprocessing.get_context('spawn')
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, function, threads), daemon=True)
    with _thread_limit(threads):
        process.start()
    theirs.close()
    return _Worker(process, ours)


def _receive(worker: _Worker[T], pool: list[_Worker[T]]) -> Iterator[Advanced[T] | Finished[T]]:
    """Turn one message of a worker, or its death, into an event."""
    try:
        message = worker.connection.recv()
    except (EOFError, OSError):
        pool.remove(worker)
        worker.process.join()
        for task in worker.tasks:
            yield Finished(task, f'the process died: {_cause(worker.process.exitcode)}')
        return
    if isinstance(message, int):
        yield Advanced(worker.tasks[0], message)
    else:
        yield Finished(worker.tasks.pop(), *message)


def _cause(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        return f'signal {signal.Signals(-exit_code).name}'
    return f'exit code {exit_code}'


def _dismiss(worker: _Worker[T]) -> None:
    worker.connection.close()
    if worker.tasks:
        worker.process.terminate()
    worker.process.join(timeout=5)
    if worker.process.is_alive():
        worker.process.kill()
        worker.process.join()


@contextmanager
def _thread_limit(threads: int) -> Iterator[None]:
    """Limit for libraries that read the environment when they are loaded."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _work(
    connection: Connection[Any, Any], function: Callable[[T, Report], Any], threads: int
) -> None:
    """Life of a worker process: one task after the other until the other end closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    limit_threads(threads)
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        try:
            result = function(task, connection.send)
            connection.send(('', '', result))
        except Exception as error:
            connection.send((f'{type(error).__name__}: {error}', traceback.format_exc()))


def limit_threads(threads: int) -> None:
    """Limit PyTorch and OpenCV in this process."""
    import cv2
    import torch

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
