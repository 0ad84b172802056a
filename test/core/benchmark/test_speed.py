"""Speed measurements: what is attributed to what."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from tracker_core import Box, Estimate, TrackState
from tracker_core.benchmark import speed
from tracker_core.benchmark.speed import (
    SpeedResult,
    measure,
    speed_table,
    steps_table,
    synthetic_video,
)
from tracker_core.benchmark.trackers import TrackerSpec


class Clock:
    """Time that passes only when somebody waits."""

    now = 0.0

    def perf_counter(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


class Slow(nn.Module):
    """Takes ten milliseconds, inside another module that takes none."""

    def __init__(self, clock):
        super().__init__()
        self.clock = clock

    def forward(self, x):
        self.clock.sleep(0.01)
        return x


class Sleeper:
    """Ten milliseconds in the network, five elsewhere; every third frame it learns 25 more."""

    response_map = None
    device = torch.device('cpu')

    def __init__(self, clock):
        self.network = nn.Sequential(Slow(clock))
        self.clock = clock
        self.frames = 0

    def initialize(self, image, box):
        self.clock.sleep(0.003)

    def track(self, image):
        self.network(torch.zeros(1))
        self._wait()
        self.frames += 1
        if self.frames % 3 == 0:
            self._learn()
        return Estimate(Box(1, 1, 9, 9), 1.0, TrackState.TRACKING)

    def _wait(self):
        self.clock.sleep(0.005)

    def _learn(self):
        self.clock.sleep(0.02)
        self._wait()


class Spec:
    label = 'sleeper'

    def __init__(self, clock):
        self.clock = clock

    def build(self):
        return Sleeper(self.clock)


@pytest.fixture
def spec(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(speed, 'time', clock)
    return Spec(clock)


@pytest.fixture(scope='module')
def video():
    return synthetic_video(10)


def test_the_video_is_640_by_480(video):
    images, box = video
    assert {image.shape for image in images} == {(480, 640, 3)}
    assert len(images) == 10 and box.width > 10


def test_nested_modules_are_counted_once_and_the_rest_is_the_rest(spec, video):
    result = measure(spec, *video)
    assert result.frame == pytest.approx(0.015)
    assert result.network == pytest.approx(0.01)
    assert result.crop == 0
    assert result.rest == pytest.approx(0.005)
    assert result.initialization == pytest.approx(0.003)


def test_steps_are_averages_and_those_in_others_count_once(spec, video):
    """Six frames after the three to warm up, of which two learn."""
    result = measure(spec, *video)
    assert result.average == pytest.approx(0.015 + 0.025 / 3)
    assert result.fps == pytest.approx(1 / result.average)
    assert result.steps == pytest.approx({'wait': 0.005, 'learn': 0.025 / 3})


def test_the_clock_is_read_when_the_device_has_nothing_left_to_do(monkeypatch):
    events = []
    clock = SimpleNamespace(perf_counter=lambda: events.append('clock') or 0.0)
    monkeypatch.setattr(speed, 'time', clock)
    speed._timed(lambda: events.append('work'), lambda: events.append('wait'))
    assert events == ['wait', 'clock', 'work', 'wait', 'clock']


def test_siamfc_is_taken_apart_and_left_as_it_was(video):
    from tracker_core.siamfc import tracker as module

    before = module.crop_square
    result = measure(TrackerSpec('siamfc', 's', 'random', 'cpu'), video[0][:5], video[1], 1)
    assert 0 < result.crop < result.network < result.frame
    assert {'respond', 'upsample'} < set(result.steps)
    assert module.crop_square is before


def test_dimp_is_taken_apart_step_by_step(video):
    from tracker_core.dimp.tracker import DiMPTracker

    settings = {'image_size': 96, 'not_found': -1e9, 'distractor_threshold': 1e9}
    spec = TrackerSpec('dimp18', 's', 'random', 'cpu', settings)
    before = dict(vars(DiMPTracker))
    result = measure(spec, video[0][:6], video[1], 1)
    assert {'cut', 'backbone', 'classify', 'refine', 'learn'} < set(result.steps)
    assert sum(result.steps.values()) == pytest.approx(result.average, rel=0.2)
    assert dict(vars(DiMPTracker)) == before


def test_trackers_of_opencv_cannot_be_taken_apart(video):
    result = measure(TrackerSpec('mil', 'mil'), video[0][:5], video[1], 1)
    assert result.crop is result.network is result.rest is None


def test_table_compares_with_the_first():
    header, rows = speed_table(
        [
            SpeedResult('a', 'CPU', 0.1, 0.02, 0.025, 0.005, 0.01),
            SpeedResult('b', 'CPU', 0.1, 0.01, 0.0125, None, None),
        ]
    )
    assert rows[0] == ['a', '40.0', '1.00', '20.00', '5.00', '10.00', '5.00', '100.0']
    assert rows[1][:3] == ['b', '80.0', '2.00']
    assert rows[1][4:7] == ['-', '-', '-']
    assert len(header) == len(rows[0])


def test_table_of_steps_leaves_out_what_takes_nothing():
    steps = {'cut': 0.00001, 'learn': 0.005}
    header, rows = steps_table([SpeedResult('a', 'CPU', 0.1, 0.02, 0.02, 0.0, 0.01, steps)])
    assert rows == [['a', 'learn', '5.00', '25%']] and len(header) == 4


def test_no_video_is_longer_than_asked():
    assert speed.VIDEO_SIZE == (640, 480)
    assert len(synthetic_video(3)[0]) == 3
