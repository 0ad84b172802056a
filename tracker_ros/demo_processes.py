"""Child processes that never outlive the demo."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

_PR_SET_PDEATHSIG = 1
#: Lines of a log that are shown after a failure.
_TAIL = 15


class ChildFailed(RuntimeError):  # noqa: N818  (a statement, like FileNotFoundError)
    """A child ended or did not become ready when it should have."""


class Children:
    """Python modules run in process groups of their own, each with a log file.

    Use as a context manager: whatever happens, all are stopped at its end.
    """

    def __init__(self, logs: Path, environment: dict[str, str]) -> None:
        self._logs, self._environment = logs, environment
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._files = contextlib.ExitStack()

    def __enter__(self) -> Children:
        self._logs.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        for name in self._running:
            self.signal(name, signal.SIGTERM)
        end = time.monotonic() + 5
        for process in self._running.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(end - time.monotonic(), 0))
        for name, process in self._running.items():
            self.signal(name, signal.SIGKILL)
            process.wait()
        self._files.close()

    def start(self, module: str, arguments: list[str], *, show: bool = False) -> None:
        """Run ``python -m module``; `show` prints its output, errors always go to its log."""
        log = self._files.enter_context(self.log(module).open('wb'))
        output: IO[bytes] | None = None if show else log
        self._running[module] = subprocess.Popen(
            [sys.executable, '-m', module, *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=log,
            start_new_session=True,
            preexec_fn=_end_with_parent(),
        )

    def log(self, module: str) -> Path:
        """Path of the log of a module."""
        return self._logs / f'{module.rpartition(".")[2]}.log'

    def status(self, module: str) -> int | None:
        """Exit status of a module, None while it runs."""
        return self._running[module].poll()

    def check(self) -> None:
        """Raise ChildFailed if any child has ended with an error."""
        for name in self._running:
            status = self.status(name)
            if status not in (None, 0):
                raise ChildFailed(f'{name} ended with status {status}\n{self.tail(name)}')

    def signal(self, module: str, number: signal.Signals) -> None:
        """Send a signal to a module and everything it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._running[module].pid, number)

    def wait(self, module: str, timeout: float) -> int:
        """Wait for a module to end and return its status; ChildFailed after `timeout` seconds."""
        try:
            return self._running[module].wait(timeout)
        except subprocess.TimeoutExpired:
            raise ChildFailed(
                f'{module} did not end within {timeout:g} s\n{self.tail(module)}'
            ) from None

    def tail(self, module: str) -> str:
        """Return the last lines of a module's log, with its path."""
        text = self.log(module).read_text(encoding='utf-8', errors='replace')
        lines: Iterator[str] = (f'  {line}' for line in text.splitlines()[-_TAIL:])
        return '\n'.join([f'{self.log(module)}:', *lines])


def _end_with_parent() -> Callable[[], object] | None:
    """Return what a child does first on Linux: ask to be ended when this process dies."""
    if not sys.platform.startswith('linux'):
        return None
    library = ctypes.CDLL(None)  # loaded here, because little is safe after a fork
    return lambda: library.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
