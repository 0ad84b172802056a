"""What the DiMP tracker does with the decisions on a frame; random weights, small patches."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tracker_core import Box, TrackState, build_tracker, tracker_names
from tracker_core.dimp import settings as published
from tracker_core.dimp.network import dimp18
from tracker_core.dimp.tracker import DiMPTracker, _View
from tracker_core.factory import default_settings
from tracker_core.score_map import Flag, Peak

BOX = Box(50, 40, 30, 30)
LIGHT = {'image_size': 96, 'rotations': (), 'blurs': (), 'precision': 'float32'}


def build(**changes):
    return build_tracker('dimp18', 'random', device='cpu', settings={**LIGHT, **changes})


@pytest.fixture(scope='module')
def plain():
    return build(lost_after=3, confidence_slope=0.0, confidence_offset=0.0)


@pytest.fixture
def started(plain, frames):
    plain.initialize(frames[0], BOX)
    return plain


@pytest.fixture
def decide(monkeypatch, started):
    """Let the next frames have a given decision, with the peak in the middle of the map."""

    def set_flag(flag, offset=(0.0, 0.0)):
        peak = Peak(3, 3, 1.0, offset)
        monkeypatch.setattr(started, '_localize', lambda *_: (peak, flag), raising=False)

    return set_flag


def test_not_found_never_moves_the_box_and_learns_nothing(started, decide, frames):
    decide(Flag.NOT_FOUND, offset=(3.0, 3.0))
    estimates = [started.track(frame) for frame in frames[1:]]
    assert all(each.box == BOX for each in estimates)
    states = [each.state for each in estimates]
    assert states == [TrackState.UNCERTAIN] * 2 + [TrackState.LOST] * 3
    assert len(started._target.filter.memory) == 8
    assert started.flag is Flag.NOT_FOUND


@pytest.mark.parametrize(
    ('prefer_near', 'frames_lost', 'column'), [(True, 0, 5), (False, 0, 2), (True, 3, 2)]
)
def test_of_two_plausible_peaks_the_nearer_is_the_target_unless_it_was_lost(
    frames, prefer_near, frames_lost, column
):
    tracker = build(prefer_near=prefer_near)
    tracker.initialize(frames[0], BOX)
    target = tracker._target
    target.judge.frames_lost = frames_lost
    scores = np.zeros((12, 12), np.float32)
    scores[5, 5], scores[5, 2] = 0.9, 1.0
    peak, flag = tracker._localize(target, tracker._cut(target, frames[1]), scores)
    assert (peak.column, flag) == (column, Flag.UNCERTAIN)


@pytest.fixture
def hide(monkeypatch, frames):
    """A tracker that sees its target only at one place, with a score there and one elsewhere."""

    def build_blind(place, score, elsewhere=0.0, **changes):
        settings = {'confidence_offset': 0.5, 'confidence_slope': 10.0, **changes}
        tracker = build(**settings)
        tracker.initialize(frames[0], BOX)
        tracker.regions = []

        def look(target, image):
            patch = tracker._cut(target, image)
            tracker.regions.append(patch.center)
            x, y = (place[axis] - patch.center[axis] for axis in (0, 1))
            reach = patch.scale * tracker.settings.image_size / 2
            inside = max(abs(x), abs(y)) < reach
            offset = (x / patch.scale / 16, y / patch.scale / 16) if inside else (0.0, 0.0)
            peak = Peak(3, 3, score if inside else elsewhere, offset)
            flag = Flag.NORMAL if peak.score >= 0.25 else Flag.NOT_FOUND
            return _View(patch, (), None, np.full((7, 7), peak.score, np.float32), peak, flag)

        monkeypatch.setattr(tracker, '_look', look)
        monkeypatch.setattr(tracker, '_refine', lambda *_: None)
        monkeypatch.setattr(tracker, '_learn', lambda *_: None)
        return tracker

    return build_blind


def test_a_lost_target_is_found_again_elsewhere(hide, frames):
    tracker = hide((150, 60), 0.9)
    estimates = [tracker.track(frames[1]) for _ in range(20)]
    found = next(i for i, each in enumerate(estimates) if each.state is TrackState.TRACKING)
    assert found > 3 and all(each.box == BOX for each in estimates[:found])
    box = estimates[found].box
    assert box.center == pytest.approx((150.5, 60.5), abs=1)
    assert (box.width, box.height) == (BOX.width, BOX.height)
    assert estimates[-1].box.center == pytest.approx((150.5, 60.5), abs=1)


def test_a_lost_target_moves_nowhere_it_is_not_found(hide, frames):
    tracker = hide((150, 60), 0.2, recovery_confidence=0.01)
    assert all(tracker.track(frames[1]).box == BOX for _ in range(20))
    assert len(set(tracker.regions)) > 5


@pytest.mark.parametrize('regions', [0, 1, 2])
def test_nothing_else_is_searched_before_the_target_is_lost(hide, frames, regions):
    tracker = hide((150, 60), 0.0, recovery_regions=regions)
    counts = []
    for _ in range(5):
        before = len(tracker.regions)
        tracker.track(frames[1])
        counts.append(len(tracker.regions) - before)
    assert counts == [1, 1, 1, 1 + regions, 1 + regions]


def test_without_recovery_a_lost_target_is_searched_in_its_place_alone(hide, frames):
    tracker = hide((150, 60), 0.9, recovery_regions=0)
    states = [tracker.track(frames[1]).state for _ in range(20)]
    assert states[2:] == [TrackState.LOST] * 18 and len(set(tracker.regions)) == 1


@pytest.mark.parametrize(('regions', 'score', 'learned'), [(2, 0.3, 1), (2, 0.5, 8), (0, 0.3, 8)])
def test_a_lost_target_seen_weakly_moves_as_published_but_teaches_nothing(
    hide, frames, monkeypatch, regions, score, learned
):
    """With a confidence below `lost_threshold`, which is LOST from the first frame on here."""
    tracker = hide((84.5, 54.5), score, recovery_regions=regions)
    tracker._target.judge.frames_lost = 2
    calls = []
    monkeypatch.setattr(tracker, '_learn', lambda *_: calls.append(1))
    boxes = [tracker.track(frames[1]).box for _ in range(8)]
    assert boxes[-1].center == pytest.approx((85.0, 55.0), abs=1)
    assert len(calls) == learned


@pytest.mark.parametrize(
    ('score', 'state', 'learned'),
    [
        (0.42, TrackState.UNCERTAIN, 0),
        (0.45, TrackState.UNCERTAIN, 3),
        (0.51, TrackState.TRACKING, 3),
    ],
)
def test_a_lost_target_teaches_nothing_until_it_is_seen_well(
    hide, frames, monkeypatch, score, state, learned
):
    tracker = hide((84.5, 54.5), score)
    tracker._target.judge.frames_lost = 3
    calls = []
    monkeypatch.setattr(tracker, '_learn', lambda *_: calls.append(1))
    states = {tracker.track(frames[1]).state for _ in range(3)}
    assert states == {state} and len(calls) == learned


def test_uncertain_moves_but_learns_nothing(started, decide, frames):
    decide(Flag.UNCERTAIN)
    estimate = started.track(frames[1])
    assert estimate.box != BOX and estimate.state is TrackState.UNCERTAIN
    assert len(started._target.filter.memory) == 8


@pytest.mark.parametrize('flag', [Flag.NORMAL, Flag.HARD_NEGATIVE])
def test_found_moves_and_learns(started, decide, frames, flag):
    decide(flag)
    before = started._target.filter.filters
    estimate = started.track(frames[1])
    assert estimate.box != BOX and estimate.state is TrackState.TRACKING
    assert len(started._target.filter.memory) == 9
    changed = not torch.equal(started._target.filter.filters, before)
    assert changed == (flag is Flag.HARD_NEGATIVE), 'others wait for the interval'


def test_what_is_learned_is_the_refined_box(started, decide, frames, monkeypatch):
    decide(Flag.NORMAL)
    learned = []
    filter_ = started._target.filter
    monkeypatch.setattr(filter_, 'learn', lambda *arguments, **_: learned.append(arguments))
    patches = []
    cut = started._cut
    monkeypatch.setattr(
        started, '_cut', lambda *a: patches.append(cut(*a)) or patches[-1], raising=False
    )
    box = started.track(frames[1]).box
    center = box.left + (box.width - 1) / 2, box.top + (box.height - 1) / 2
    expected = patches[0].to_patch(center, (box.width, box.height))
    _, boxed, frame = learned[0]
    assert boxed.tolist() == pytest.approx(expected, abs=1e-3) and frame == 1


def test_the_centre_leaves_the_image_by_at_most_three_tenths_of_the_target(started):
    target = SimpleNamespace(center=(0.0, 0.0), size=(40.0, 20.0))
    patch = SimpleNamespace(center=(100.0, 60.0), scale=2.0)
    image = np.zeros((120, 160, 3), np.uint8)
    for offset, expected in [
        ((1.0, -1.0), (132.0, 28.0)),
        ((90.0, 90.0), (172.0, 126.0)),
        ((-90.0, -90.0), (-12.0, -6.0)),
    ]:
        view = SimpleNamespace(patch=patch, peak=Peak(0, 0, 1.0, offset))
        started._move(target, view, image)
        assert target.center == pytest.approx(expected)


def test_implausible_refined_boxes_are_not_taken_over(started, decide, frames, monkeypatch):
    decide(Flag.UNCERTAIN)
    thin = lambda _, __, ___, boxes, **____: (boxes * torch.tensor([1, 1, 50, 1]), boxes[..., 0])  # noqa: E731
    monkeypatch.setattr('tracker_core.dimp.tracker.refine_boxes_nearby', thin)
    box = started.track(frames[1]).box
    assert (box.width, box.height) == (BOX.width, BOX.height)


def test_sizes_stay_between_two_pixels_and_twice_the_image(started, decide, frames, monkeypatch):
    decide(Flag.UNCERTAIN)
    for factor, expected in ((1e4, (320.0, 240.0)), (1e-4, (2.0, 2.0))):
        monkeypatch.setattr(
            'tracker_core.dimp.tracker.refine_boxes_nearby',
            lambda _, __, ___, boxes, factor=factor, **____: (
                boxes * torch.tensor([1, 1, factor, factor]),
                boxes[..., 0],
            ),
        )
        started.initialize(frames[0], BOX)
        box = started.track(frames[1]).box
        assert (box.width, box.height) == expected


def test_random_numbers_in_the_published_order(frames):
    sizes = []

    class Draws:
        def random(self, size):
            sizes.append(size)
            return np.full(size, 0.5)

    settings = default_settings('dimp18')
    tracker = DiMPTracker(dimp18(), settings, make_draws=lambda seed: Draws())
    tracker._localize = lambda *_: (Peak(9, 9, 1.0, (0.0, 0.0)), Flag.NORMAL)
    tracker.initialize(frames[0], BOX)
    assert sizes == [(2,)] * 8 + [(2, 256)], 'flip, 3 blurs, 4 rotations, then dropout'
    tracker.track(frames[1])
    assert sizes[9:] == [(9, 4)]


def test_seeds(frames):
    def boxes(**changes):
        tracker = build(not_found=-1e9, **changes)
        tracker.initialize(frames[0], BOX)
        return [tracker.track(frame).box for frame in frames[1:3]]

    assert boxes() == boxes() != boxes(seed=5)


def test_reduced_precision_gives_nearly_the_same_scores(started, frames):
    reduced = build(precision='bfloat16')
    reduced.initialize(frames[0], BOX)
    for tracker in (started, reduced):
        tracker.track(frames[1])
    exact, fast = started.response_map, reduced.response_map
    assert np.abs(exact - fast).max() < 0.05 * np.abs(exact).max()
    assert exact.shape == (7, 7) and fast.dtype == np.float32


def test_image_sizes_that_do_not_fit_the_stride_are_refused():
    with pytest.raises(ValueError, match='image_size must be a multiple of 16, not 100'):
        build(image_size=100)


def test_search_regions_of_an_odd_number_of_cells_are_centred_on_the_scores(frames):
    """7 cells and a filter of 4: the crop moves by half a cell, 8 patch pixels."""
    tracker = build(image_size=112)
    tracker.initialize(frames[0], BOX)
    shifted = tracker._cut(tracker._target, frames[0]).center
    scale = tracker._scale((30.0, 30.0))
    assert np.subtract(shifted, (64.5, 54.5)) == pytest.approx([8 * scale] * 2, abs=1)


def test_the_search_region_of_a_small_target_has_a_shortest_side(frames):
    tracker = build(min_region=100.0)
    for size, side in (((8.0, 8.0), 100), ((10.0, 40.0), 100), ((30.0, 30.0), 150)):
        assert tracker._scale(size) * 96 == pytest.approx(side)
    tracker.initialize(frames[0], Box(50, 40, 8, 8))
    patch = tracker._cut(tracker._target, frames[1])
    assert patch.right - patch.left == patch.bottom - patch.top == 100
    assert tracker.track(frames[1]).box.is_finite()


def test_the_variants_of_challenges_are_as_published():
    for name in ('dimp18_vot18', 'dimp50_vot18', 'dimp50_vot19', 'prdimp50_vot18'):
        settings = default_settings(name)
        assert settings.recovery_regions == 0 and settings.min_region == 0, name
        assert not settings.prefer_near, name


@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        ('dimp18', (288, 5, 50, 0.01, 0.25, 20, 10, 2, 1, False, 0.25, 0.8, 0.5, 5, 1)),
        ('dimp50', (288, 5, 50, 0.01, 0.25, 20, 10, 2, 1, False, 0.25, 0.8, 0.5, 5, 1)),
        ('dimp50_vot18', (224, 4, 250, 0.0075, 0, 10, 25, 3, 3, True, 0, 100, 0.45, 5, 1)),
        ('dimp50_vot19', (256, 4.5, 100, 0.0075, 0, 10, 15, 2, 2, True, 0, 100, 0.45, 3, 1)),
        ('prdimp18', (288, 5, 50, 0.01, 0.25, 20, 10, 2, 1, False, 0.04, 0.8, 0.5, 10, 2.5e-3)),
        ('prdimp50', (352, 6, 50, 0.01, 0.25, 20, 10, 2, 1, False, 0.04, 0.8, 0.5, 10, 2.5e-3)),
        ('super_dimp', (352, 6, 50, 0.01, 0.25, 20, 10, 2, 1, False, 0.25, 0.8, 0.5, 10, 2.5e-3)),
        (
            'prdimp50_vot18',
            (224, 4, 250, 0.01, 0, 1, 25, 1, 1, True, 0, 99999, 999999, 10, 2.5e-3),
        ),
    ],
)
def test_published_settings(name, expected):
    settings = default_settings(name)
    names = [
        *('image_size', 'search_factor', 'memory_size', 'learning_rate', 'first_frame_minimum'),
        *('update_interval', 'first_iterations', 'update_iterations', 'hard_negative_iterations'),
        *('window', 'not_found', 'distractor_threshold', 'hard_negative_threshold'),
        *('refinement_steps', 'refinement_step_length'),
    ]
    assert tuple(getattr(settings, each) for each in names) == expected


def test_only_prdimp_but_for_vot_turns_scores_into_probabilities():
    names = [name for name in tracker_names() if 'dimp' in name]
    softmax = {name for name in names if default_settings(name).score_softmax}
    assert softmax == {'prdimp18', 'prdimp50'}


def test_the_shifts_of_vot19_lie_on_a_diagonal():
    assert published.VOT19.relative_shifts == ((0.6, 0.6), (-0.6, -0.6))


@pytest.mark.parametrize(
    ('settings', 'samples'),
    [(published.DiMPSettings(), 15), (published.VOT18, 30), (published.VOT19, 13)],
)
def test_published_number_of_first_samples(settings, samples):
    copies = len(settings.relative_shifts) + len(settings.blurs) + len(settings.rotations)
    assert 1 + settings.flip + copies + settings.dropout_copies == samples


def test_without_refinement_the_size_never_changes(frames):
    tracker = build(refinement_steps=0, not_found=-1e9, recovery_regions=0)
    tracker.initialize(frames[0], Box(50, 40, 30, 20))
    boxes = [tracker.track(frame).box for frame in frames[1:]]
    assert {(box.width, box.height) for box in boxes} == {(30, 20)} and len(set(boxes)) > 1
