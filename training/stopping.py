"""Runs that are told to stop: by Ctrl-C, or by SIGTERM as from a service manager."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

#: Seconds from a signal on in which another one counts as the same: torchrun passes on a Ctrl-C
#: that its processes get from the terminal as well.
_ONE_SIGNAL = 1.0


class StoppedError(RuntimeError):
    """A signal ended the run; everything is saved."""

    def __init__(self, number: int) -> None:
        super().__init__(f'stopped by {signal.Signals(number).name}')
        self.number = number


@contextmanager
def signals_noted() -> Iterator[list[int]]:
    """List that receives the number of a SIGINT or SIGTERM instead of the process ending.

    A second Ctrl-C, a second or more after the first signal, ends the process at once.
    """
    received: list[int] = []
    first = 0.0

    def note(number: int, _: FrameType | None) -> None:
        nonlocal first
        first = first if received else time.monotonic()
        received.append(number)
        if number == signal.SIGINT and time.monotonic() - first >= _ONE_SIGNAL:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def signals_held() -> Iterator[None]:
    """Block in which SIGTERM waits, also in processes that begin there, which go on so.

    One that came to a worker before that leaves signals to the run would end the run.
    """
    if not hasattr(signal, 'sigwaitinfo'):  # macOS, whose workers do not wait for SIGTERM
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
