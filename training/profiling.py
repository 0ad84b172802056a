"""Where the time of some steps goes: a trace and a table in the folder of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile, schedule

from tracker_core.atomic import replacing

#: Steps that are left out, in which caches fill and workers start, and steps that are recorded.
WARM_UP, RECORDED = 5, 3


def activities_of(device: torch.device) -> list[ProfilerActivity]:
    """What is recorded of a device."""
    gpu = [ProfilerActivity.CUDA] if device.type == 'cuda' else []
    return [ProfilerActivity.CPU, *gpu]


def write_trace(record: profile, folder: Path, device: torch.device) -> str:
    """Write `trace.json`, for chrome://tracing, and return a table of what took longest."""
    with replacing(folder / 'trace.json') as path:
        record.export_chrome_trace(str(path))
    order = f'self_{device.type}_time_total'
    return str(record.key_averages().table(sort_by=order, row_limit=15))


@contextmanager
def steps_profiled(
    folder: Path, device: torch.device, say: Callable[[str], None]
) -> Iterator[Callable[[], None]]:
    """Yield what is to be called after every step.

    Once some steps were recorded, after others, `trace.json` and `profile.txt` appear in the
    folder. `say` is told that, or that there were too few steps.
    """
    written = False

    def write(record: profile) -> None:
        nonlocal written
        table = write_trace(record, folder, device)
        with replacing(folder / 'profile.txt') as path:
            path.write_text(table + '\n')
        written = True
        say(f'profile of {RECORDED} steps: {folder / "profile.txt"} and trace.json beside it')

    course = schedule(wait=0, warmup=1, active=RECORDED, skip_first=WARM_UP - 1, repeat=1)
    activities = activities_of(device)
    with profile(activities=activities, schedule=course, on_trace_ready=write) as record:
        yield record.step
        if not written:
            record.on_trace_ready = None
    if not written:
        say(f'no profile: the run had fewer than {WARM_UP + RECORDED} steps')
