import math

import numpy as np
import pytest

from tracker_core import Box, TrackState, build_tracker
from tracker_core.factory import default_settings
from tracker_core.settings import override
from tracker_core.siamfc.tracker import SiamFCSettings, _View

BOX = Box(50, 40, 30, 30)


@pytest.fixture(scope='module')
def shared():
    return build_tracker('siamfc', 'random', device='cpu', settings={'precision': 'float32'})


def seen(peak, offset=(0.0, 0.0)):
    """View with one peak, `offset` = (x, y) pixels of the search region from its middle."""
    scores = np.full((272, 272), min(peak - 1, 0.0), np.float32)
    column, row = (round(135.5 + 2 * at) for at in offset)
    scores[row, column] = peak
    return _View(scores, 1.0)


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
    estimate = shared._estimate(target, seen(settings.confidence_offset * target.first_peak))
    assert estimate.confidence == pytest.approx(0.5)
    assert shared._estimate(target, seen(0.9 * target.first_peak)).confidence > 0.9


def test_states_follow_the_confidence(shared, frames):
    """UNCERTAIN at first, LOST after three frames below the threshold, TRACKING at once."""
    shared.initialize(frames[0], BOX)
    target = shared._target
    peak = {level: _peak(level, shared.settings) for level in (0.05, 0.3, 0.9)}

    def state(level):
        return shared._estimate(target, seen(peak[level] * target.first_peak)).state

    levels = [0.9, 0.3, 0.05, 0.05, 0.05, 0.05, 0.3, 0.05, 0.9, 0.05]
    expected = 'TRACKING UNCERTAIN UNCERTAIN UNCERTAIN LOST LOST UNCERTAIN LOST TRACKING'
    expected += ' UNCERTAIN'
    assert [state(level).name for level in levels] == expected.split()
    assert shared._estimate(target, seen(-1e6)).confidence == pytest.approx(0.0)


@pytest.fixture
def hide(shared, frames, monkeypatch):
    """A tracker that sees its target at one place only; notes where it looks, and how large."""

    def start(place, confidence, regions=2):
        monkeypatch.setattr(
            shared, 'settings', override(shared.settings, {'recovery_regions': regions})
        )
        shared.initialize(frames[0], BOX)
        shared.looks = []

        def look(target, image, factors):
            shared.looks.append(((target.x, target.y), target.scale, len(factors)))
            pixel = shared._search_side(target) / shared.settings.search_size
            offset = [
                (to - at) / pixel for to, at in zip(place, (target.x, target.y), strict=True)
            ]
            if max(map(abs, offset)) > 67:
                return seen(0.0)
            return seen(_peak(confidence, shared.settings) * target.first_peak, offset)

        monkeypatch.setattr(shared, '_look', look)
        return shared

    return start


def test_a_lost_target_is_found_again_elsewhere(hide, frames):
    tracker = hide((150, 90), 0.9)
    tracker._target.scale = 2.0  # since it was seen last
    estimates = [tracker.track(frames[1]) for _ in range(20)]
    found = next(i for i, each in enumerate(estimates) if each.state is TrackState.TRACKING)
    assert found > 3 and all(each.confidence < 0.2 for each in estimates[:found])
    assert estimates[found].box.center == pytest.approx((150.5, 90.5), abs=1)
    assert (estimates[found].box.width, estimates[found].box.height) == (30, 30)
    assert estimates[-1].state is TrackState.TRACKING
    assert estimates[-1].box.center == pytest.approx((150.5, 90.5), abs=1)


def test_a_lost_target_is_searched_at_its_size_before_the_loss_in_one_scale(hide, frames):
    tracker = hide((-500, -500), 0.9)
    target = tracker._target
    for size in (28.0, 30.0, 33.0):
        target.recovery.trust((target.x, target.y), (size, size))
    target.scale = 3.0
    for _ in range(6):
        tracker.track(frames[1])
    own, others = tracker.looks[-3], tracker.looks[-2:]
    assert own[1:] == (3.0, 3)
    assert all(each[1:] == (pytest.approx(1.0), 1) for each in others)


def test_the_search_begins_where_the_target_was_surely_seen(shared, frames):
    shared.initialize(frames[0], BOX)
    target = shared._target
    target.x, target.y, target.scale = 70.0, 50.0, 1.5
    shared._estimate(target, seen(0.0))
    assert target.recovery.center == (64.5, 54.5)
    shared._estimate(target, seen(target.first_peak))
    assert target.recovery.center == (70.0, 50.0) and target.recovery.size == (45.0, 45.0)


def test_the_regions_cover_the_image_where_targets_are_seen(hide, frames):
    """The 17 x 17 responses show targets in the middle 136 of 255 pixels of a region."""
    tracker = hide((-500, -500), 0.9)
    for _ in range(60):
        tracker.track(frames[1])
    reach = 68 / 255 * tracker._search_side(tracker._target)
    centers = np.array([look[0] for look in tracker.looks if look[2] == 1])
    for point in ((0, 0), (159, 0), (0, 119), (159, 119), (80, 60), (40, 100)):
        assert np.abs(centers - point).max(1).min() < reach, point


@pytest.mark.parametrize(('regions', 'searched'), [(0, 1), (1, 2), (2, 3)])
def test_nothing_else_is_searched_before_the_target_is_lost(hide, frames, regions, searched):
    tracker = hide((-500, -500), 0.9, regions)
    counts = []
    for _ in range(5):
        before = len(tracker.looks)
        tracker.track(frames[1])
        counts.append(len(tracker.looks) - before)
    assert counts == [1, 1, 1, searched, searched]


def test_a_target_that_is_weakly_seen_elsewhere_is_not_gone_to(hide, frames):
    tracker = hide((150, 90), 0.45)
    assert {tracker.track(frames[1]).state for _ in range(20)} == {
        TrackState.UNCERTAIN,
        TrackState.LOST,
    }
    assert len({look[0] for look in tracker.looks}) > 5
    # A peak between two cells is rounded: a little further in every frame.
    assert (tracker._target.x, tracker._target.y) == pytest.approx((64.5, 54.5), abs=3)


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
