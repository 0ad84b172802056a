"""Run trackers over a data set: resumable, in several processes, one crash at a time."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Sequence as List
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from tracker_core.benchmark.dataset import BenchmarkSequence, Dataset
from tracker_core.benchmark.process_pool import Advanced, Report, run_isolated
from tracker_core.benchmark.results import ResultFolder
from tracker_core.benchmark.trackers import TrackerSpec
from tracker_core.benchmark.tracking import seed_everything, track_once
from tracker_core.benchmark.vot_supervised import run_supervised
from tracker_core.factory import choose_device

#: Entries of the record that must be equal for results to be continued.
DECIDING = ('tracker', 'weights', 'settings', 'seed', 'device')


@dataclass(frozen=True)
class Job:
    """One tracker on one sequence, all repetitions that are missing."""

    spec: TrackerSpec
    sequence: BenchmarkSequence
    folder: ResultFolder
    repetitions: tuple[int, ...]
    seed: int

    @property
    def title(self) -> str:
        """For messages."""
        return f'{self.spec.label} on {self.sequence.name}'

    @property
    def log(self) -> Path:
        """Where the trace of a failure is kept."""
        return self.folder.path / 'failed' / f'{self.sequence.name}.log'


@dataclass(frozen=True)
class RunOptions:
    """How, not what, is run."""

    workers: int = 1
    threads: int = 1
    """Per worker. One by default: more may change the last digits of a network's output."""
    repeat: int = 1
    seed: int = 0
    quiet: bool = False


def run(
    dataset: Dataset, specs: List[TrackerSpec], results: Path, options: RunOptions
) -> dict[str, str]:
    """Run what is missing; return the failures as title -> reason.

    Every tracker is built once before anything runs. Raises what building a tracker raises and
    ValueError where results of the same name were made in another way.
    """
    jobs = [job for spec in specs for job in _prepare(dataset, spec, results, options)]
    total = sum(job.sequence.length * len(job.repetitions) for job in jobs)
    failures = {}
    with tqdm(total=total, unit='frame', smoothing=0.1, disable=options.quiet) as bar:
        for event in run_isolated(execute, jobs, options.workers, options.threads):
            if isinstance(event, Advanced):
                bar.update(event.amount)
            elif event.error:
                failures[event.task.title] = event.error
                _keep_trace(event.task, event.trace or event.error)
                bar.write(f'failed: {event.task.title}: {event.error}')
    return failures


def execute(job: Job, report: Report) -> None:
    """Run one job and write its results; called in a worker process."""
    lumps = _Lumps(report)
    for repetition in job.repetitions:
        seed_everything(job.seed, job.sequence.name, repetition)
        tracker = job.spec.build()
        follow = run_supervised if job.folder.protocol == 'vot' else track_once
        boxes, seconds = follow(tracker, job.sequence, lumps.add)
        job.folder.write(job.sequence.name, repetition, boxes, seconds)
        lumps.flush()
        if job.folder.is_deterministic(job.sequence.name):
            break
    job.log.unlink(missing_ok=True)


def _prepare(dataset: Dataset, spec: TrackerSpec, results: Path, options: RunOptions) -> list[Job]:
    """Claim the folder of a tracker and list what is missing in it."""
    tracker = spec.build()
    folder = ResultFolder.of(results, dataset, spec.label)
    device = str(getattr(tracker, 'device', 'cpu'))
    record = {
        **spec.describe(),
        'seed': options.seed,
        'device': choose_device(device).type,
        'threads': options.threads,
        'machine': f'{platform.machine()} {platform.system()}, Python {platform.python_version()}',
        'date': datetime.date.today().isoformat(),
    }
    folder.claim(record, DECIDING)
    jobs = []
    for sequence in dataset.sequences:
        missing = tuple(
            r for r in range(1, options.repeat + 1) if not folder.has(sequence.name, r)
        )
        if missing and not folder.is_deterministic(sequence.name):
            jobs.append(Job(replace(spec, device=device), sequence, folder, missing, options.seed))
    return jobs


class _Lumps:
    """Reports every ten frames, so that reporting costs nothing."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._pending = 0

    def add(self, amount: int) -> None:
        self._pending += amount
        if self._pending >= 10:
            self.flush()

    def flush(self) -> None:
        self._report(self._pending)
        self._pending = 0


def _keep_trace(job: Job, trace: str) -> None:
    job.log.parent.mkdir(parents=True, exist_ok=True)
    job.log.write_text(trace, encoding='utf-8')
