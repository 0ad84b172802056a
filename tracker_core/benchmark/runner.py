"""Run trackers over a data set: resumable, in several processes, one crash at a time."""

from __future__ import annotations

import datetime
import os
import platform
import sys
import time
from collections.abc import Iterator
from collections.abc import Sequence as List
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from tqdm import tqdm

from tracker_core.benchmark.dataset import BenchmarkSequence, Dataset
from tracker_core.benchmark.frame_supply import FrameSupply, KeptFrames
from tracker_core.benchmark.process_pool import (
    Advanced,
    Finished,
    Report,
    run_isolated,
    usable_cores,
)
from tracker_core.benchmark.results import ResultFolder
from tracker_core.benchmark.spent import (
    NOTE,
    CpuClock,
    Seconds,
    Spent,
    processes_line,
    spent_table,
)
from tracker_core.benchmark.trackers import TrackerSpec
from tracker_core.benchmark.tracking import seed_everything, track_once
from tracker_core.benchmark.vot_supervised import run_supervised
from tracker_core.factory import choose_device

#: Entries of the record that must be equal for results to be continued.
DECIDING = ('tracker', 'weights', 'settings', 'seed', 'device')
#: Images read ahead where a core is left for it.
_AHEAD = 4


@dataclass(frozen=True)
class Job:
    """One tracker on one sequence, all repetitions that are missing."""

    spec: TrackerSpec
    sequence: BenchmarkSequence
    folder: ResultFolder
    repetitions: tuple[int, ...]
    seed: int
    ahead: int = 0
    """Images that are read beforehand."""

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
    kept_megabytes: int = field(default_factory=lambda: memory_megabytes() // 4)
    """Of all workers, for decoded images of sequences on which another tracker follows."""
    quiet: bool = False

    def __post_init__(self) -> None:
        for name, least in (('workers', 1), ('threads', 1), ('repeat', 1), ('kept_megabytes', 0)):
            if getattr(self, name) < least:
                raise ValueError(f'{name} must be at least {least}, not {getattr(self, name)}')


def run(
    dataset: Dataset, specs: List[TrackerSpec], results: Path, options: RunOptions
) -> dict[str, str]:
    """Run what is missing; return the failures as title -> reason.

    Every tracker is built once before anything runs. Raises what building a tracker raises and
    ValueError where results of the same name were made in another way.
    """
    jobs = [job for spec in specs for job in _prepare(dataset, spec, results, options)]
    left = {job.title: job.sequence.length * len(job.repetitions) for job in jobs}
    failures: dict[str, str] = {}
    spent: dict[str, Spent] = {}
    start = time.perf_counter()
    with tqdm(total=sum(left.values()), unit='frame', smoothing=0.1, disable=options.quiet) as bar:
        for event in _events(jobs, options):
            job = event.task
            if isinstance(event, Advanced):
                left[job.title] -= event.amount
                bar.update(event.amount)
                continue
            # It has failed, or the last repetitions were not needed.
            bar.total = (bar.total or 0) - left[job.title]
            if event.error:
                failures[job.title] = event.error
                _keep_trace(job, event.trace or event.error)
                bar.write(f'failed: {job.title}: {event.error}', file=sys.stderr)
            else:
                label = job.spec.label
                spent[label] = spent.get(label, Spent()) + event.result
    if spent and not options.quiet:
        workers = min(options.workers, len(jobs))
        wall = time.perf_counter() - start
        print(f'\n{spent_table(spent)}\n\n{NOTE}', file=sys.stderr)
        print(processes_line(sum(spent.values(), Spent()), wall, workers), file=sys.stderr)
    return failures


def execute(job: Job, report: Report, kept: KeptFrames | None = None) -> Spent:
    """Run one job and write its results; called in a worker process.

    kept: images that earlier jobs of the process have left, and where this one leaves its own.
    """
    start, start_cpu = time.perf_counter(), time.process_time()
    clock, cpu = Seconds(), Seconds()
    lumps = _Lumps(report)
    kept = kept or KeptFrames(0)
    for repetition in job.repetitions:
        built = job.spec.build(seed_everything(job.seed, job.sequence.name, repetition))
        tracker = CpuClock(built)
        follow = run_supervised if job.folder.protocol == 'vot' else track_once
        supply = FrameSupply(job.sequence.frames, job.ahead, kept, job.sequence.name)
        boxes, seconds = follow(tracker, replace(job.sequence, frames=supply), lumps.add)
        job.folder.write(job.sequence.name, repetition, boxes, seconds)
        clock += Seconds(tracker=float(seconds.sum()), images=supply.waited)
        cpu += Seconds(tracker=tracker.seconds, images=supply.reading)
        lumps.flush()
        if job.folder.is_deterministic(job.sequence.name):
            break
    job.log.unlink(missing_ok=True)
    clock += Seconds(total=time.perf_counter() - start)
    return Spent(clock, cpu + Seconds(total=time.process_time() - start_cpu))


def memory_megabytes() -> int:
    """Memory of this machine."""
    return (os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')) >> 20


def images_ahead(options: RunOptions) -> int:
    """How many images each worker reads beforehand: none where the workers fill all cores.

    There, reading would take its time from the tracker whose speed is measured.
    """
    return _AHEAD if options.workers * options.threads < usable_cores() else 0


def _events(jobs: List[Job], options: RunOptions) -> Iterator[Advanced[Job] | Finished[Job]]:
    """Run the jobs; a worker takes all trackers on a sequence in turn, and decodes it once."""
    names = [job.sequence.name for job in jobs]
    again = len(set(names)) < len(names) or any(len(job.repetitions) > 1 for job in jobs)
    kept = KeptFrames((options.kept_megabytes << 20) // options.workers if again else 0)
    work = partial(execute, kept=kept)
    return run_isolated(
        work, jobs, options.workers, options.threads, topic=lambda job: job.sequence.name
    )


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
    jobs = []
    for sequence in dataset.sequences:
        missing = tuple(
            r for r in range(1, options.repeat + 1) if not folder.has(sequence.name, r)
        )
        if missing and not folder.is_deterministic(sequence.name):
            fixed = replace(spec, device=device)
            ahead = images_ahead(options)
            jobs.append(Job(fixed, sequence, folder, missing, options.seed, ahead))
    folder.claim(record, DECIDING, dataset.sequences, adds=bool(jobs))
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
