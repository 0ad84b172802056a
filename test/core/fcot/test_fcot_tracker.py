"""The FCOT tracker on its own: geometry of the box, thresholds, settings. Random weights."""

import copy
import math
from functools import cache

import numpy as np
import pytest
import torch

from tracker_core import Box, TrackState
from tracker_core.fcot.network import fcot18
from tracker_core.fcot.online_models import OnlineModels
from tracker_core.fcot.settings import FCOTSettings
from tracker_core.fcot.tracker import FCOTTracker, _View
from tracker_core.score_map import Flag, Peak
from tracker_core.settings import override

LIGHT = {
    'image_size': 96,
    'rotations': (10.0,),
    'blurs': (),
    'relative_shifts': (),
    'first_iterations': 1,
    'early_iterations': 1,
    'not_found': 0.25,
}
BOX = Box(50, 40, 30, 30)


@cache
def _network():
    torch.manual_seed(0)
    return fcot18()


def _tracker(**changes):
    return FCOTTracker(copy.deepcopy(_network()), override(FCOTSettings(), LIGHT | changes))


class Scripted:
    """Stands for the models: a score map with one peak, and sides in cells."""

    def __init__(self, peak, sides, score=1.0, cells=24):
        self.scores = torch.zeros(cells, cells)
        self.scores[peak] = score
        self.sides, self.learned = sides, []

    def score(self, features, size):
        assert self.scores.shape == (size, size)
        return self.scores

    def predict_sides(self, features, cell):
        return self.sides

    def learn(self, features, box_ltwh, score, frame, *, hard_negative):
        self.learned.append((box_ltwh.tolist(), score, frame, hard_negative))


@pytest.fixture(scope='module')
def shared():
    return _tracker()


@pytest.fixture
def scripted(shared, frames):
    """A tracker on its first frame whose models are replaced by a script."""

    def start(*script, **keywords):
        shared.initialize(frames[0], BOX)
        shared._target.models = Scripted(*script, **keywords)
        return shared

    return start


def test_box_from_a_peak_and_four_sides(scripted, frames):
    """135 px of the image are 96 px or 24 cells; the crop is centred on whole pixels."""
    tracker = scripted((11, 13), [2.0, 3.0, 4.0, 1.0])
    box = tracker.track(frames[1]).box
    cell = 135 / 24
    # Box centre (64.5, 54.5) is cut to (64, 54), where 135 px are centred.
    x, y = 64 + 1.5 * cell, 54 - 0.5 * cell
    left, top, right, bottom = x - 2 * cell, y - 4 * cell, x + 3 * cell, y + cell
    # The size is that between the corners; positions are pixel centres.
    assert box.width == pytest.approx(right - left)
    assert box.height == pytest.approx(bottom - top)
    assert box.center == pytest.approx(((left + right) / 2 + 0.5, (top + bottom) / 2 + 0.5))
    assert tracker._target.peak == pytest.approx((x, y))


@pytest.mark.parametrize(
    ('changes', 'frames_lost', 'column'), [({}, 0, 12), ({'prefer_near': False}, 0, 4), ({}, 3, 4)]
)
def test_of_two_plausible_peaks_the_nearer_is_the_target_unless_it_was_lost(
    shared, frames, monkeypatch, changes, frames_lost, column
):
    monkeypatch.setattr(shared, 'settings', override(shared.settings, changes))
    shared.initialize(frames[0], BOX)
    shared._target.judge.frames_lost = frames_lost
    values = np.zeros((24, 24), np.float32)
    values[12, 12], values[12, 4] = 0.9, 1.0
    peak, flag = shared._localize(shared._target, shared._cut(shared._target, frames[1]), values)
    assert (peak.column, flag) == (column, Flag.UNCERTAIN)


def test_the_search_region_follows_the_peak_and_the_size(scripted, frames):
    tracker = scripted((11, 13), [2.0, 3.0, 4.0, 1.0])
    before = tracker._target.scale
    tracker.track(frames[1])
    target = tracker._target
    assert target.scale / before == pytest.approx(math.sqrt(math.prod(target.size)) / 30)
    (learned,) = target.models.learned
    # In pixels of the search region; 4 px per cell.
    assert learned[0][2:] == pytest.approx([20, 20]) and learned[1:] == (1.0, 1, False)


def test_scale_stays_within_its_limits(scripted, frames):
    tracker = scripted((11, 11), [0.0, 0.0, 0.0, 0.0])
    box = tracker.track(frames[1]).box
    assert min(box.width, box.height) >= 2
    smallest = tracker._target.scale
    assert smallest * 96 / 4.5 == pytest.approx(10)  # region of a target of 10 px
    tracker = scripted((11, 11), [90.0, 90.0, 90.0, 90.0])
    box = tracker.track(frames[1]).box
    assert tracker._target.scale * 96 / 4.5 == pytest.approx(120)  # the image is 120 px high
    assert box.right <= 161 and box.bottom <= 161


@torch.inference_mode()
def test_the_search_region_of_a_small_target_has_a_shortest_side(frames):
    tracker = _tracker(min_region=100.0)
    for box, side in ((Box(50, 40, 8, 8), 100), (Box(30, 30, 40, 40), 180)):
        tracker.initialize(frames[0], box)
        assert tracker._target.scale * 96 == pytest.approx(side)
        assert tracker._target.scale_limits[0] * 96 >= 100
        size = tracker._target.unit_size
        assert size[0] * side / 96 == pytest.approx(box.width)


def test_a_weak_peak_moves_nothing_and_teaches_nothing(scripted, frames):
    tracker = scripted((3, 3), [2.0, 2.0, 2.0, 2.0], score=0.2)
    for _ in range(3):
        estimate = tracker.track(frames[1])
    assert tracker.flag is Flag.NOT_FOUND and estimate.state is TrackState.LOST
    assert estimate.box.as_ltwh() == pytest.approx(BOX.as_ltwh())
    assert tracker._target.models.learned == []
    assert tracker.response_map.max() == pytest.approx(0.2)


@pytest.fixture
def hide(shared, frames, monkeypatch):
    """A tracker that sees its target in one place only; notes where it looks, and learns."""

    def start(place, score, regions=2, found=Flag.NORMAL, **changes):
        settings = override(
            shared.settings,
            {
                'recovery_regions': regions,
                'confidence_offset': 0.5,
                'confidence_slope': 10.0,
                **changes,
            },
        )
        monkeypatch.setattr(shared, 'settings', settings)
        shared.initialize(frames[0], BOX)
        shared.regions = []
        models = shared._target.models = Scripted((0, 0), [1.5, 1.5, 1.5, 1.5])

        def look(target, image):
            patch = shared._cut(target, image)
            shared.regions.append(patch.center)
            cell = 4 * patch.scale
            offset = tuple((place[axis] - patch.center[axis]) / cell for axis in (0, 1))
            seen = score if max(map(abs, offset)) < 12 else 0.0
            peak = Peak(0, 0, seen, offset if seen else (0.0, 0.0))
            flag = found if seen >= 0.25 else Flag.NOT_FOUND
            return _View(patch, None, np.full((24, 24), seen, np.float32), peak, flag)

        monkeypatch.setattr(shared, '_look', look)
        return shared, models

    return start


def test_a_lost_target_is_found_again_elsewhere(hide, frames):
    tracker, models = hide((150, 60), 0.9)
    estimates = [tracker.track(frames[1]) for _ in range(20)]
    found = next(i for i, each in enumerate(estimates) if each.state is TrackState.TRACKING)
    assert found > 3 and all(each.box == BOX for each in estimates[:found])
    assert models.learned[0][2] == found + 1
    for estimate in estimates[found:]:
        assert estimate.box.center == pytest.approx((150.5, 60.5), abs=1)


@pytest.mark.parametrize('flag', [Flag.NORMAL, Flag.HARD_NEGATIVE])
def test_a_target_found_again_elsewhere_need_not_overlap_with_anything(hide, frames, flag):
    """It is far from the middle of the region that it is found in."""
    tracker, models = hide((150, 90), 0.9, found=flag, min_overlap=0.05)
    tracker._target.judge.frames_lost = 3
    for _ in range(20):
        estimate = tracker.track(frames[1])
        if tracker.flag is flag:
            break
        assert estimate.box == BOX, 'it only moves to where it is found'
    assert estimate.state is TrackState.TRACKING and len(models.learned) == 1
    assert estimate.box.center == pytest.approx((150.5, 90.5), abs=1)


def test_a_lost_target_moves_nowhere_it_is_not_found(hide, frames):
    tracker, models = hide((150, 60), 0.2, recovery_confidence=0.01)
    for _ in range(20):
        assert tracker.track(frames[1]).box == BOX
    assert len(set(tracker.regions)) > 5 and not models.learned


def test_a_lost_target_is_not_found_where_it_is_hardly_seen(hide, frames):
    """0.4 is enough for the published decision, but its confidence is below one half."""
    tracker, models = hide((150, 60), 0.4)
    for _ in range(20):
        estimate = tracker.track(frames[1])
    assert estimate.state is TrackState.LOST and estimate.box == BOX and not models.learned
    assert len(set(tracker.regions)) > 5


@pytest.mark.parametrize(
    ('score', 'state'), [(0.3, TrackState.LOST), (0.42, TrackState.UNCERTAIN)]
)
def test_a_lost_target_seen_weakly_in_its_place_teaches_nothing(hide, frames, score, state):
    tracker, models = hide((64, 54), score)
    tracker._target.judge.frames_lost = 3
    estimate = tracker.track(frames[1])
    assert tracker.flag is Flag.NORMAL and estimate.state is state
    assert not models.learned


@pytest.mark.parametrize('regions', [0, 1, 2])
def test_nothing_else_is_searched_before_the_target_is_lost(hide, frames, regions):
    tracker, _ = hide((150, 60), 0.0, regions)
    counts = []
    for _ in range(5):
        before = len(tracker.regions)
        tracker.track(frames[1])
        counts.append(len(tracker.regions) - before)
    assert counts == [1, 1, 1, 1 + regions, 1 + regions]


def test_a_box_far_from_the_last_one_is_doubted(frames):
    tracker = _tracker(min_overlap=0.05)
    tracker.initialize(frames[0], BOX)
    tracker._target.models = Scripted((2, 2), [1.0, 1.0, 1.0, 1.0])
    estimate = tracker.track(frames[1])
    assert tracker.flag is Flag.UNCERTAIN and estimate.state is not TrackState.TRACKING
    assert estimate.box.iou(BOX) == 0 and tracker._target.models.learned == []


def test_the_window_prefers_the_middle(frames):
    peaks = {}
    for window in (False, True):
        tracker = _tracker(window=window, distractor_threshold=100.0)
        tracker.initialize(frames[0], BOX)
        models = tracker._target.models = Scripted((1, 1), [3.0, 3.0, 3.0, 3.0], score=1.0)
        models.scores[12, 12] = 0.9
        tracker.track(frames[1])
        peaks[window] = tracker._target.peak
        assert tracker.response_map[1, 1] == 1.0  # shown without the window
    assert math.dist(peaks[True], (64, 54)) < 5 < math.dist(peaks[False], (64, 54))


@pytest.mark.parametrize(
    'changes',
    [
        {'coarse_weight': 0.0},
        {'fine_weight': 0.0},
        {'online_regression': False},
        {'regression_levels': '36'},
        {'regression_levels': '72'},
    ],
)
def test_ablations_track(frames, changes):
    tracker = _tracker(**changes)
    tracker.initialize(frames[0], BOX)
    assert isinstance(tracker._target.models, OnlineModels)
    assert (tracker._target.models.coarse is None) == ('coarse_weight' in changes)
    assert (tracker._target.models.fine is None) == ('fine_weight' in changes)
    for frame in frames[1:3]:
        assert tracker.track(frame).box.is_finite()


def test_settings_that_leave_nothing_are_refused():
    with pytest.raises(ValueError, match='both 0'):
        _tracker(coarse_weight=0.0, fine_weight=0.0)
    with pytest.raises(ValueError, match='multiple of 16'):
        _tracker(image_size=100)


def test_bfloat16_gives_nearly_the_same_scores(frames):
    maps = []
    for precision in ('float32', 'bfloat16'):
        tracker = _tracker(precision=precision)
        tracker.initialize(frames[0], BOX)
        tracker.track(frames[1])
        maps.append(tracker.response_map)
        assert tracker._target.models.fine.filters.dtype == torch.float32
        assert tracker._target.models.sides.filters.dtype == torch.float32
    assert maps[0].dtype == maps[1].dtype == np.float32
    assert np.corrcoef(maps[0].ravel(), maps[1].ravel())[0, 1] > 0.98
