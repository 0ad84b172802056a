import dataclasses

import numpy as np
import pytest
import torch

from tracker_core import Box, TrackState, build_tracker
from tracker_core.dcfst import settings as published
from tracker_core.dcfst.settings import DCFST18, DCFST50, DCFSTSettings
from tracker_core.dcfst.tracker import _View
from tracker_core.factory import default_settings

BOX = Box(50, 40, 30, 30)
LIGHT = {
    'image_size': 96,
    'proposals': 15,
    'rotations': [],
    'blurs': [],
    'precision': 'float32',
    'search': 'exact',
    'learn': 'each',
    'refinement_steps': 0,  # random weights know nothing of boxes
}


def build(**changes):
    return build_tracker('dcfst18', 'random', device='cpu', settings=LIGHT | changes)


@pytest.fixture(scope='module')
def shared():
    return build()


@pytest.fixture
def tracker(shared, frames):
    """A light tracker with everything as published but the sizes, started on the first frame."""
    shared.settings = dataclasses.replace(DCFST18, **LIGHT)
    shared.initialize(frames[0], BOX)
    return shared


def change(tracker, **changes):
    tracker.settings = dataclasses.replace(tracker.settings, **changes)


def watch(monkeypatch, tracker, name):
    """Arguments of every call of a method of the online model."""
    calls, model = [], tracker._target.model
    original = getattr(model, name)
    monkeypatch.setattr(model, name, lambda *args: (calls.append(args), original(*args))[1])
    return calls


def test_follows_a_textured_square(tracker, frames):
    for index, frame in enumerate(frames[1:], start=1):
        estimate = tracker.track(frame)
        assert estimate.box.iou(Box(50 + 3 * index, 40, 30, 30)) > 0.6
        assert estimate.state == TrackState.TRACKING
    assert tracker.response_map.shape == (15, 15) and tracker.response_map.max() > 0.5


def test_only_refinement_changes_the_size(tracker, frames):
    box = tracker.track(frames[1]).box
    assert (box.width, box.height) == pytest.approx((30, 30))
    change(tracker, refinement_steps=5)
    box = tracker.track(frames[2]).box
    assert abs(box.width - 30) > 0.01


def test_not_found_keeps_the_box_and_learns_nothing(monkeypatch, tracker, frames):
    change(tracker, not_found=2.0)
    added, refits = (watch(monkeypatch, tracker, name) for name in ('add', 'refit'))
    estimates = [tracker.track(frame) for frame in frames[1:5]]
    assert {estimate.box for estimate in estimates} == {BOX}
    states = [estimate.state.name for estimate in estimates]
    assert states == ['UNCERTAIN', 'UNCERTAIN', 'LOST', 'LOST']
    assert not added and not refits


def test_the_second_variant_refits_on_schedule_even_then(monkeypatch, tracker, frames):
    change(tracker, not_found=2.0, refit_when_not_found=True, refit_interval=3)
    added, refits = (watch(monkeypatch, tracker, name) for name in ('add', 'refit'))
    for frame in frames[1:6]:
        tracker.track(frame)
    assert not added and refits == [(30,), (30,)]  # frames 3 and 6, the first frame being 1


def test_frames_without_the_target_do_not_weigh_when_it_is_found_again(
    monkeypatch, tracker, frames
):
    added = watch(monkeypatch, tracker, 'add')
    change(tracker, not_found=2.0, refit_when_not_found=True, recovery_regions=0)
    for frame in frames[1:5]:
        tracker.track(frame)
    change(tracker, not_found=-9.0, hard_negative_threshold=9.0)
    tracker.track(frames[5])
    assert [rate for _, rate in added] == pytest.approx([0.013])


def test_scheduled_and_hard_negative_updates(monkeypatch, tracker, frames):
    change(tracker, hard_negative_threshold=9.0, refit_interval=4)
    added, refits = (watch(monkeypatch, tracker, name) for name in ('add', 'refit'))
    for frame in frames[1:5]:
        tracker.track(frame)
    assert [rate for _, rate in added] == pytest.approx([0.013] * 4) and len(refits) == 1
    change(tracker, hard_negative_threshold=-9.0)
    tracker.track(frames[5])
    assert added[-1][1] == 0.125 and len(refits) == 2


def test_no_update(monkeypatch, tracker, frames):
    change(tracker, update='none', hard_negative_threshold=-9.0)
    added, refits = (watch(monkeypatch, tracker, name) for name in ('add', 'refit'))
    for frame in frames[1:]:
        tracker.track(frame)
    assert not added and not refits


def test_fewer_updates_weigh_more_and_do_not_wait_for_a_distractor(monkeypatch, tracker, frames):
    change(tracker, update_interval=3, hard_negative_threshold=9.0)
    added = watch(monkeypatch, tracker, 'add')
    for frame in frames[1:4]:
        tracker.track(frame)
    assert [rate for _, rate in added] == pytest.approx([1 - (1 - 0.013) ** 3])
    change(tracker, hard_negative_threshold=-9.0)
    tracker.track(frames[4])
    assert [rate for _, rate in added][1:] == [0.125]


def test_frames_that_are_learnt_together(monkeypatch, tracker, frames):
    """Their features are added once, before a refit, and are nearly the mean of each one's."""
    change(tracker, hard_negative_threshold=9.0, refit_interval=4)
    model = tracker._target.model
    monkeypatch.setattr(tracker, '_together', True)
    each = []
    original = tracker._add

    def add(target, image):
        samples = tracker._samples(
            tracker._layers(tracker._cut(image, region := tracker._region(target.place))), region
        )
        each.append(samples)
        return original(target, image)

    monkeypatch.setattr(tracker, '_add', torch.inference_mode()(add))
    added, refits = (watch(monkeypatch, tracker, name) for name in ('add', 'refit'))
    for frame in frames[1:4]:
        tracker.track(frame)
    ((features, rate),) = added
    assert rate == pytest.approx(1 - (1 - 0.013) ** 3) and len(refits) == 1
    mean = torch.stack(each).mean(0)
    assert (features - mean).square().mean().sqrt() < 0.05 * mean.square().mean().sqrt()
    assert model.first_weight == pytest.approx(0.987**3)
    change(tracker, hard_negative_threshold=-9.0)
    tracker.track(frames[4])
    assert [rate for _, rate in added][1:] == [0.125] and len(refits) == 2


def test_frames_are_learnt_together_on_a_cpu_unless_asked_otherwise():
    assert build(learn='auto')._together and build(learn='together')._together
    assert not build()._together and not build(learn='auto', average='products')._together
    with pytest.raises(ValueError, match='features'):
        build(learn='together', average='products')


def test_something_far_away_that_scores_high_is_a_distractor(tracker):
    scores = torch.zeros(225, 1)
    scores[tracker._grid.middle] = 0.9
    assert not tracker._is_distracted(scores, tracker._grid.middle)
    scores[0] = 0.31
    assert tracker._is_distracted(scores, tracker._grid.middle)
    assert tracker._is_distracted(scores, 0), 'the peak itself, seen from elsewhere'
    change(tracker, hard_negative_relative=True, hard_negative_threshold=0.3, not_found=0.35)
    assert not tracker._is_distracted(scores, tracker._grid.middle), 'below not_found'
    change(tracker, not_found=0.2)
    assert tracker._is_distracted(scores, tracker._grid.middle)
    change(tracker, hard_negative_threshold=0.4)
    assert not tracker._is_distracted(scores, tracker._grid.middle), 'below 0.4 * 0.9'


def test_sampled_norms_hardly_change_the_scores(tracker, frames):
    region = tracker._region(tracker._target.place)
    with torch.inference_mode():
        layers = tracker._layers(tracker._cut(frames[1], region))
        exact, _ = tracker._search(tracker._target, layers, region)
        tracker._sampled = True
        sampled, _ = tracker._search(tracker._target, layers, region)
    tracker._sampled = False
    assert exact.max() > 0.5 and not torch.equal(exact, sampled)
    torch.testing.assert_close(sampled, exact, rtol=0, atol=0.05)


def test_bfloat16_finds_the_same_boxes(tracker, frames):
    reduced = build(precision='bfloat16')
    reduced.initialize(frames[0], BOX)
    for frame in frames[1:]:
        assert tracker.track(frame).box.iou(reduced.track(frame).box) > 0.85


def test_the_size_stays_within_its_limits(tracker, frames):
    change(tracker, refinement_steps=5)
    low, high = tracker._target.size_limits
    assert low == pytest.approx((10, 10)) and high == pytest.approx((120, 120))
    for _ in range(3):
        tracker.track(frames[0])
        place = tracker._target.place
        assert 10 <= place.width <= 120 and 10 <= place.height <= 120


def test_the_box_of_the_second_variant_lies_inside_the_image(shared, frames):
    shared.settings = dataclasses.replace(DCFST50, **LIGHT)
    shared.initialize(frames[0], Box(-10, 40, 30, 30))
    box = shared._box(shared._target.place, frames[0])
    assert (box.left, box.top) == pytest.approx((0, 39.5))


@pytest.mark.parametrize(('changes', 'message'), [
    ({'proposals': 30}, 'odd'),
    ({'image_size': 100}, 'multiple of 16'),
])  # fmt: skip
def test_impossible_grids(changes, message):
    with pytest.raises(ValueError, match=message):
        build(**changes)


def test_search_is_sampled_on_a_cpu_unless_asked_otherwise():
    assert build(search='auto')._sampled and build(search='sampled')._sampled
    assert not build(search='exact')._sampled


def test_published_settings():
    one, other = default_settings('dcfst18'), default_settings('dcfst50')
    assert (one.regularization, one.learning_rate, one.scale_damping) == (0.1, 0.013, 0.7)
    assert (other.learning_rate, other.average, other.random_boxes) == (0.02, 'products', 19)
    for settings in (one, other):
        assert (settings.image_size, settings.proposals, settings.sweeps) == (288, 31, 30)
    names = [name for name in vars(published) if name.startswith('DCFST') and name.isupper()]
    assert len(names) == 8
    assert all(isinstance(getattr(published, name), DCFSTSettings) for name in names)
    assert np.unique([getattr(published, name).learning_rate for name in names]).size == 5


@pytest.fixture
def hide(monkeypatch, tracker):
    """Let a tracker believe that the target is at a place (x, y) alone, with a score."""

    def hide(place, score, **changes):
        change(tracker, **changes)
        tracker.looked = []

        def look(target, image, around):
            region = tracker._region(around)
            tracker.looked.append((around.x, around.y))
            offset = np.subtract(place, (around.x, around.y)) / region.scale
            predicted, best = torch.zeros(len(tracker._centers), 1), tracker._grid.middle
            if np.abs(offset).max() < tracker.settings.image_size / 2:
                away = tracker._centers - tracker.settings.image_size / 2 - torch.tensor(offset)
                best = int(away.norm(dim=1).argmin())
                predicted[best] = score
            value = float(predicted[best])
            return _View(region, (), torch.ones(1, 1), predicted, best, value)

        monkeypatch.setattr(tracker, '_look', look)
        monkeypatch.setattr(tracker, '_learn', lambda *_: None)
        return tracker

    return hide


def test_a_lost_target_is_found_again_elsewhere(hide, frames):
    tracker = hide((150, 60), 0.9)
    estimates = [tracker.track(frames[1]) for _ in range(20)]
    found = next(i for i, each in enumerate(estimates) if each.state is TrackState.TRACKING)
    assert found > 3 and all(each.box == BOX for each in estimates[:found])
    box = estimates[found].box
    # Proposals are some pixels apart.
    assert box.center == pytest.approx((150.5, 60.5), abs=6)
    assert (box.width, box.height) == pytest.approx((BOX.width, BOX.height))
    assert estimates[-1].box.center == pytest.approx((150.5, 60.5), abs=6)


@pytest.mark.parametrize('regions', [0, 1, 2])
def test_nothing_else_is_searched_before_the_target_is_lost(hide, frames, regions):
    tracker = hide((150, 60), 0.0, recovery_regions=regions)
    counts = []
    for _ in range(5):
        before = len(tracker.looked)
        tracker.track(frames[1])
        counts.append(len(tracker.looked) - before)
    assert counts == [1, 1, 1, 1 + regions, 1 + regions]


def test_without_recovery_a_lost_target_is_searched_in_its_place_alone(hide, frames):
    tracker = hide((150, 60), 0.9, recovery_regions=0)
    states = [tracker.track(frames[1]).state for _ in range(20)]
    assert states[2:] == [TrackState.LOST] * 18 and len(set(tracker.looked)) == 1


@pytest.mark.parametrize(('score', 'learned'), [(0.25, 1), (0.4, 8)])
def test_a_lost_target_seen_weakly_moves_as_published_but_teaches_nothing(
    hide, frames, monkeypatch, score, learned
):
    tracker = hide((70, 54.5), score, confidence_offset=0.4, confidence_slope=10.0)
    tracker._target.judge.frames_lost = 2
    calls = []
    monkeypatch.setattr(tracker, '_learn', lambda *_: calls.append(1))
    boxes = [tracker.track(frames[1]).box for _ in range(8)]
    assert boxes[-1].center == pytest.approx((70.5, 55.0), abs=6)
    assert len(calls) == learned


@pytest.mark.parametrize(
    ('score', 'state', 'learned'),
    [
        (0.32, TrackState.UNCERTAIN, 0),
        (0.36, TrackState.UNCERTAIN, 3),
        (0.41, TrackState.TRACKING, 3),
    ],
)
def test_a_lost_target_teaches_nothing_until_it_is_seen_well(
    hide, frames, monkeypatch, score, state, learned
):
    tracker = hide((70, 54.5), score, confidence_offset=0.4, confidence_slope=10.0)
    tracker._target.judge.frames_lost = 3
    calls = []
    monkeypatch.setattr(tracker, '_learn', lambda *_: calls.append(1))
    states = {tracker.track(frames[1]).state for _ in range(3)}
    assert states == {state} and len(calls) == learned


def test_published_settings_for_vot_search_nowhere_else():
    for name in ('DCFST18_VOT19', 'DCFST50_VOT18'):
        assert getattr(published, name).recovery_regions == 0
