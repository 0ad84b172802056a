import math

import numpy as np
import pytest

from tracker_core import Box, TrackState, build_tracker
from tracker_core.factory import default_settings
from tracker_core.settings import override
from tracker_core.siamfc.tracker import SiamFCSettings

BOX = Box(50, 40, 30, 30)


@pytest.fixture(scope='module')
def shared():
    return build_tracker('siamfc', 'random', device='cpu', settings={'precision': 'float32'})


def test_published_settings():
    three, five = default_settings('siamfc'), default_settings('siamfc5')
    assert (three.scales, three.scale_step, three.scale_damping) == (3, 1.0375, 0.59)
    assert (five.scales, five.scale_step, five.scale_damping) == (5, 1.025, 0.35)
    assert (three.window_influence, three.scale_penalty) == (0.176, 0.9745)


@pytest.mark.parametrize(('name', 'scales'), [('siamfc', 3), ('siamfc5', 5)])
def test_all_scales_go_through_the_network_in_one_batch(monkeypatch, frames, name, scales):
    tracker = build_tracker(name, 'random', device='cpu')
    tracker.initialize(frames[0], BOX)
    batches = []
    original = tracker.network.features

    def features(images):
        batches.append(tuple(images.shape))
        return original(images)

    monkeypatch.setattr(tracker.network, 'features', features)
    tracker.track(frames[1])
    assert batches == [(scales, 3, 255, 255)]


def test_follows_a_textured_square(shared, frames):
    shared.initialize(frames[0], BOX)
    for index, frame in enumerate(frames[1:], start=1):
        box = shared.track(frame).box
        assert box.iou(Box(50 + 3 * index, 40, 30, 30)) > 0.7


def test_response_map_is_up_sampled_sixteen_times(shared, frames):
    shared.initialize(frames[0], BOX)
    shared.track(frames[0])
    response = shared.response_map
    assert response.shape == (272, 272)
    row, column = np.unravel_index(response.argmax(), response.shape)
    assert abs(row - 135.5) < 16 and abs(column - 135.5) < 16


def test_confidence_is_that_of_the_peak_relative_to_the_first(shared, frames):
    shared.initialize(frames[0], BOX)
    target, settings = shared._target, shared.settings
    estimate = shared._estimate(target, settings.confidence_offset * target.first_peak)
    assert estimate.confidence == pytest.approx(0.5)
    assert shared._estimate(target, 0.9 * target.first_peak).confidence > 0.9


def test_states_follow_the_confidence(shared, frames):
    """UNCERTAIN at first, LOST after three frames below the threshold, TRACKING at once."""
    shared.initialize(frames[0], BOX)
    target = shared._target
    peak = {level: _peak(level, shared.settings) for level in (0.05, 0.3, 0.9)}

    def state(level):
        return shared._estimate(target, peak[level] * target.first_peak).state

    levels = [0.9, 0.3, 0.05, 0.05, 0.05, 0.05, 0.3, 0.05, 0.9, 0.05]
    expected = 'TRACKING UNCERTAIN UNCERTAIN UNCERTAIN LOST LOST UNCERTAIN LOST TRACKING'
    expected += ' UNCERTAIN'
    assert [state(level).name for level in levels] == expected.split()
    assert shared._estimate(target, -1e6).confidence == pytest.approx(0.0)


def _peak(confidence, settings):
    """Relative response peak that has this confidence."""
    logit = math.log(confidence / (1 - confidence))
    return settings.confidence_offset + logit / settings.confidence_slope


@pytest.mark.parametrize(
    ('box', 'factor', 'limit'),
    [
        (BOX, 1.0375, 5.0),
        (BOX, 1 / 1.0375, 0.2),
        (Box(20, 20, 80, 60), 1.0375, 2.0),  # the image is 160 x 120
    ],
)
def test_the_size_stays_within_its_limits(shared, frames, box, factor, limit):
    shared.initialize(frames[0], box)
    target = shared._target
    for _ in range(200):
        shared._move(target, (0.0, 0.0), factor)
    assert target.scale == pytest.approx(limit)


def test_bfloat16_finds_the_same_boxes(shared, frames):
    reduced = build_tracker('siamfc', 'random', device='cpu', settings={'precision': 'bfloat16'})
    for tracker in (shared, reduced):
        tracker.initialize(frames[0], BOX)
    for frame in frames[1:]:
        exact, fast = shared.track(frame).box, reduced.track(frame).box
        assert exact.iou(fast) > 0.9


def test_precision_is_checked():
    with pytest.raises(ValueError, match=r"precision must be 'auto' or 'float32' or 'bfloat16'"):
        override(SiamFCSettings(), {'precision': 'float16'})


def test_every_state_has_a_message_value():
    assert [state.value for state in TrackState] == [0, 1, 2]
