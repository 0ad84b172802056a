"""How fast trackers are, and what takes the time, on a synthetic 640 x 480 video."""

from __future__ import annotations

import inspect
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from tracker_core import Box, Tracker
from tracker_core.benchmark.trackers import TrackerSpec
from tracker_core.synthetic import SceneSettings, render_sequence
from tracker_core.tracker import Image

VIDEO_SIZE = (640, 480)
_CROP_MODULE = 'tracker_core.search_region'
#: Methods that consist of steps, which are timed instead.
_COMPOSED = ('_look',)


@dataclass(frozen=True)
class SpeedResult:
    """Medians in seconds, but for averages that say so."""

    label: str
    device: str
    initialization: float
    frame: float
    average: float
    """Mean over all frames, those in which the tracker learns among them."""
    crop: float | None
    """Cutting and resizing the search region; None where the tracker cannot be looked into."""
    network: float | None
    steps: dict[str, float] = field(default_factory=dict)
    """Average per frame of the steps of `track`, by the names of the functions."""

    @property
    def fps(self) -> float:
        """Frames per second on average."""
        return 1 / self.average

    @property
    def rest(self) -> float | None:
        """What is neither crop nor network."""
        if self.crop is None or self.network is None:
            return None
        return self.frame - self.crop - self.network


class _Stopwatch:
    """Adds up the outermost of nested intervals per part."""

    def __init__(self, synchronize: Callable[[], None]) -> None:
        self.seconds: dict[str, float] = {}
        self._synchronize = synchronize
        self._depth = 0
        self._begin = 0.0

    def enter(self) -> None:
        if self._depth == 0:
            self._synchronize()
            self._begin = time.perf_counter()
        self._depth += 1

    def leave(self, part: str) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._synchronize()
            elapsed = time.perf_counter() - self._begin
            self.seconds[part] = self.seconds.get(part, 0.0) + elapsed

    def wrap(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **keywords: Any) -> Any:
            self.enter()
            try:
                return function(*arguments, **keywords)
            finally:
                self.leave(part)

        return timed


def synthetic_video(frames: int, seed: int = 0) -> tuple[list[Image], Box]:
    """RGB frames (480, 640, 3) of one moving object and its first box."""
    settings = SceneSettings(size=VIDEO_SIZE, frames=frames)
    rendered = list(render_sequence(settings, seed))
    return [each.image for each in rendered], rendered[0].box


def measure(spec: TrackerSpec, images: list[Image], box: Box, warm_up: int = 3) -> SpeedResult:
    """Time one tracker on frames in memory; the breakdown comes from a second pass.

    The tracker starts anew on the true box; `warm_up` frames are not counted.
    """
    tracker = spec.build()
    device = getattr(tracker, 'device', torch.device('cpu'))
    synchronize = torch.cuda.synchronize if device.type == 'cuda' else _nothing
    tracker.initialize(images[0], box)
    if device.type == 'cuda':  # loads what runs on it when it is first used, updates included
        for image in images[1:]:
            tracker.track(image)
    starts = [_timed(lambda: tracker.initialize(images[0], box), synchronize) for _ in range(5)]
    frames = [_timed(lambda i=i: tracker.track(i), synchronize) for i in images[1:]]  # type: ignore[misc]
    shares, steps = _shares(tracker, images, box, synchronize, warm_up)
    frame, average = float(np.median(frames[warm_up:])), float(np.mean(frames[warm_up:]))
    return SpeedResult(
        label=spec.label,
        device=_device_name(device),
        initialization=float(np.median(starts)),
        frame=frame,
        average=average,
        crop=frame * shares['crop'] if shares else None,
        network=frame * shares['network'] if shares else None,
        steps={name: average * share for name, share in steps.items()},
    )


def speed_table(results: list[SpeedResult]) -> tuple[list[str], list[list[str]]]:
    """Header and rows, with the ratio of the frame rate to that of the first tracker."""
    header = ['Tracker', 'Frames/s', 'Ratio', 'Frame ms', 'Crop', 'Network', 'Rest', 'Start ms']
    return header, [_row(each, results[0]) for each in results]


def steps_table(results: list[SpeedResult]) -> tuple[list[str], list[list[str]]]:
    """Header and rows: average milliseconds per frame of every step that is worth a hundredth."""
    rows = []
    for result in results:
        for name, seconds in result.steps.items():
            if seconds >= 0.01 * result.average:
                share = f'{seconds / result.average:.0%}'
                rows.append([result.label, name, f'{1000 * seconds:.2f}', share])
    return ['Tracker', 'Step', 'ms', 'Share'], rows


def _row(result: SpeedResult, first: SpeedResult) -> list[str]:
    milliseconds = [
        '-' if value is None else f'{1000 * value:.2f}'
        for value in (result.frame, result.crop, result.network, result.rest)
    ]
    return [
        result.label,
        f'{result.fps:.1f}',
        f'{result.fps / first.fps:.2f}',
        *milliseconds,
        f'{1000 * result.initialization:.1f}',
    ]


def _shares(
    tracker: Tracker,
    images: list[Image],
    box: Box,
    synchronize: Callable[[], None],
    warm_up: int,
) -> tuple[dict[str, float] | None, dict[str, float]]:
    """Shares of the time per frame: median in crops and in the network, average of the steps.

    Shares, because looking closely (on a GPU: waiting for it) makes the frame itself slower.
    The first are None without a network.
    """
    if not _networks(tracker):
        return None, {}
    watch, steps = _Stopwatch(synchronize), _Stopwatch(synchronize)
    parts: dict[str, list[float]] = {'crop': [], 'network': []}
    sums, whole = dict[str, float](), 0.0
    tracker.initialize(images[0], box)
    with _watched(tracker, watch), _watched_steps(tracker, steps):
        for index, image in enumerate(images[1:]):
            watch.seconds, steps.seconds = {}, {}
            total = _timed(lambda image=image: tracker.track(image), synchronize)  # type: ignore[misc]
            if index < warm_up:
                continue
            whole += total
            for part, values in parts.items():
                values.append(watch.seconds.get(part, 0.0) / total)
            for name, seconds in steps.seconds.items():
                sums[name] = sums.get(name, 0.0) + seconds
    medians = {part: float(np.median(values)) for part, values in parts.items()}
    return medians, {name: seconds / whole for name, seconds in sums.items()}


@contextmanager
def _watched(tracker: Tracker, watch: _Stopwatch) -> Iterator[None]:
    """Time the modules of a tracker, and the crop and network functions its module calls."""
    with ExitStack() as stack:
        for network in _networks(tracker):
            for module in network.modules():
                before = module.register_forward_pre_hook(lambda *_: watch.enter())
                after = module.register_forward_hook(lambda *_: watch.leave('network'))
                stack.callback(before.remove)
                stack.callback(after.remove)
        home = sys.modules[type(tracker).__module__]
        for name, value in list(vars(home).items()):
            origin = getattr(value, '__module__', '') if callable(value) else ''
            part = 'crop' if origin == _CROP_MODULE else 'network'
            if not isinstance(value, type) and (part == 'crop' or origin.endswith('.network')):
                stack.callback(setattr, home, name, value)
                setattr(home, name, watch.wrap(part, value))
        yield


@contextmanager
def _watched_steps(tracker: Tracker, watch: _Stopwatch) -> Iterator[None]:
    """Time the private methods of a tracker and the private functions of its module."""
    home = sys.modules[type(tracker).__module__]
    with ExitStack() as stack:
        for name, function in vars(type(tracker)).items():
            if inspect.isfunction(function) and _is_step(name):
                stack.callback(delattr, tracker, name)
                setattr(tracker, name, watch.wrap(name[1:], getattr(tracker, name)))
        for name, function in list(vars(home).items()):
            own = inspect.isfunction(function) and function.__module__ == home.__name__
            if own and _is_step(name):
                stack.callback(setattr, home, name, function)
                setattr(home, name, watch.wrap(name[1:], function))
        yield


def _is_step(name: str) -> bool:
    return name.startswith('_') and not name.startswith('__') and name not in _COMPOSED


def _networks(tracker: Tracker) -> list[nn.Module]:
    return [value for value in vars(tracker).values() if isinstance(value, nn.Module)]


def _timed(function: Callable[[], object], synchronize: Callable[[], None]) -> float:
    """Seconds by the clock, which is read only when a GPU has nothing left to do."""
    synchronize()
    start = time.perf_counter()
    function()
    synchronize()
    return time.perf_counter() - start


def _nothing() -> None:
    pass


def _device_name(device: torch.device) -> str:
    if device.type == 'cuda':
        return torch.cuda.get_device_name(device)
    return f'CPU, {torch.get_num_threads()} threads'
