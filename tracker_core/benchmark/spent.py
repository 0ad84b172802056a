"""Where the time of an evaluation goes: the tracker's own, and what is added to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from tracker_core.benchmark.tables import markdown


@dataclass(frozen=True)
class Spent:
    """Seconds that a job, or several, took in a worker process."""

    total: float = 0.0
    tracker: float = 0.0
    images: float = 0.0
    """Waiting for images."""
    reading: float = 0.0
    """CPU seconds it took to read the images, in whatever thread."""

    def __add__(self, other: Spent) -> Spent:
        names = [field.name for field in fields(self)]
        return Spent(*(getattr(self, name) + getattr(other, name) for name in names))

    @property
    def overhead(self) -> float:
        """What the evaluation adds, as a share of the tracker's own time; nan without any."""
        return self.total / self.tracker - 1 if self.tracker else float('nan')


def spent_table(by_tracker: Mapping[str, Spent]) -> str:
    """A row per tracker, and one of all where they are several."""
    header = ['Seconds of', 'Tracker', 'Waiting for images', 'Rest', 'Added', 'Reading (CPU)']
    rows = dict(by_tracker)
    if len(rows) > 1:
        rows['all'] = sum(by_tracker.values(), Spent())
    return markdown(header, [_row(name, spent) for name, spent in rows.items()])


def processes_line(spent: Spent, wall: float, workers: int) -> str:
    """What remains of `wall` seconds of `workers` processes: starting them, and idle ones."""
    idle = max(wall * workers - spent.total, 0.0)
    return f'{wall:.1f} s in {workers} process(es); starting them, and idle: {idle:.1f} s'


def _row(name: str, spent: Spent) -> list[str]:
    rest = spent.total - spent.tracker - spent.images
    seconds = [spent.tracker, spent.images, rest]
    numbers = [f'{value:.1f}' for value in seconds]
    return [name, *numbers, f'{spent.overhead:.1%}', f'{spent.reading:.1f}']
