"""Where the time of an evaluation goes: the tracker's own, and what is added to it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from tracker_core.benchmark.tables import markdown
from tracker_core.box import Box
from tracker_core.tracker import Estimate, Image, Tracker

#: What the columns of `spent_table` mean.
NOTE = (
    'Images: waiting for them by the clock, reading them of CPU time, which another thread does '
    "where a core is free. Added: images and rest as a share of the tracker's own time."
)


@dataclass(frozen=True)
class Seconds:
    """Of one job or of several, by the clock or of CPU time."""

    total: float = 0.0
    tracker: float = 0.0
    images: float = 0.0
    """Waiting for images (clock), or reading them in whatever thread (CPU)."""

    def __add__(self, other: Seconds) -> Seconds:
        names = [field.name for field in fields(self)]
        return Seconds(*(getattr(self, name) + getattr(other, name) for name in names))

    @property
    def rest(self) -> float:
        """Building trackers, writing results, reporting."""
        return self.total - self.tracker - self.images

    @property
    def added(self) -> float:
        """Images and rest as a share of the tracker's own time; nan without any."""
        return self.total / self.tracker - 1 if self.tracker else float('nan')


@dataclass(frozen=True)
class Spent:
    """By the clock, and of CPU time, which does not depend on what else the machine does."""

    clock: Seconds = Seconds()
    cpu: Seconds = Seconds()

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.clock + other.clock, self.cpu + other.cpu)


class CpuClock:
    """A tracker, with the CPU seconds that it takes in the thread which calls it."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self.seconds = 0.0

    @property
    def response_map(self) -> NDArray[np.float32] | None:
        """That of the tracker."""
        return self._tracker.response_map

    def initialize(self, image: Image, box: Box) -> None:
        """Start the tracker."""
        start = time.thread_time()
        self._tracker.initialize(image, box)
        self.seconds += time.thread_time() - start

    def track(self, image: Image) -> Estimate:
        """Ask the tracker."""
        start = time.thread_time()
        estimate = self._tracker.track(image)
        self.seconds += time.thread_time() - start
        return estimate


def spent_table(by_tracker: Mapping[str, Spent]) -> str:
    """A row per tracker, and one of all where they are several."""
    header = ['Seconds', 'Tracker', 'Images', 'Rest', 'Added']
    header += [f'{name} (CPU)' for name in header[1:]]
    rows = dict(by_tracker)
    if len(rows) > 1:
        rows['all'] = sum(by_tracker.values(), Spent())
    cells = [[name, *_cells(each.clock), *_cells(each.cpu)] for name, each in rows.items()]
    return markdown(header, cells)


def processes_line(spent: Spent, wall: float, workers: int) -> str:
    """What remains of `wall` seconds of `workers` processes: starting them, and idle ones."""
    idle = max(wall * workers - spent.clock.total, 0.0)
    return f'{wall:.1f} s in {workers} process(es); starting them, and idle: {idle:.1f} s'


def _cells(seconds: Seconds) -> list[str]:
    numbers = (seconds.tracker, seconds.images, seconds.rest)
    return [*(f'{value:.2f}' for value in numbers), f'{seconds.added:.1%}']
