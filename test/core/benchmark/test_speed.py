"""Speed measurements: what is attributed to what."""

import time

import pytest
import torch
from torch import nn

from tracker_core import Box, Estimate, TrackState
from tracker_core.benchmark import speed
from tracker_core.benchmark.speed import SpeedResult, measure, speed_table, synthetic_video
from tracker_core.benchmark.trackers import TrackerSpec


class Slow(nn.Module):
    """Takes ten milliseconds, inside another module that takes none."""

    def forward(self, x):
        time.sleep(0.01)
        return x


class Sleeper:
    """Ten milliseconds in the network, five elsewhere."""

    response_map = None
    device = torch.device('cpu')

    def __init__(self):
        self.network = nn.Sequential(Slow())

    def initialize(self, image, box):
        time.sleep(0.003)

    def track(self, image):
        self.network(torch.zeros(1))
        time.sleep(0.005)
        return Estimate(Box(1, 1, 9, 9), 1.0, TrackState.TRACKING)


class Spec:
    label = 'sleeper'

    def build(self):
        return Sleeper()


@pytest.fixture(scope='module')
def video():
    return synthetic_video(10)


def test_the_video_is_640_by_480(video):
    images, box = video
    assert {image.shape for image in images} == {(480, 640, 3)}
    assert len(images) == 10 and box.width > 10


def test_nested_modules_are_counted_once_and_the_rest_is_the_rest(video):
    result = measure(Spec(), *video)
    assert result.frame >= 0.015
    assert result.network / result.frame == pytest.approx(10 / 15, abs=0.15)
    assert result.crop == 0
    assert result.rest == pytest.approx(result.frame - result.network)
    assert result.initialization >= 0.003
    assert result.fps == pytest.approx(1 / result.frame)


def test_siamfc_is_taken_apart_and_left_as_it_was(video):
    from tracker_core.siamfc import tracker as module

    before = module.crop_square
    result = measure(TrackerSpec('siamfc', 's', 'random', 'cpu'), video[0][:5], video[1], 1)
    assert 0 < result.crop < result.network < result.frame
    assert module.crop_square is before


def test_trackers_of_opencv_cannot_be_taken_apart(video):
    result = measure(TrackerSpec('mil', 'mil'), video[0][:5], video[1], 1)
    assert result.crop is result.network is result.rest is None


def test_table_compares_with_the_first():
    header, rows = speed_table(
        [
            SpeedResult('a', 'CPU', 0.1, 0.02, 0.005, 0.01),
            SpeedResult('b', 'CPU', 0.1, 0.01, None, None),
        ]
    )
    assert rows[0] == ['a', '50.0', '1.00', '20.00', '5.00', '10.00', '5.00', '100.0']
    assert rows[1][:3] == ['b', '100.0', '2.00']
    assert rows[1][4:7] == ['-', '-', '-']
    assert len(header) == len(rows[0])


def test_no_video_is_longer_than_asked():
    assert speed.VIDEO_SIZE == (640, 480)
    assert len(synthetic_video(3)[0]) == 3
