"""What every registered tracker must do, whatever its method; random weights."""

from copy import deepcopy

import numpy as np
import pytest

from tracker_core import Box, Estimate, TrackState, build_tracker, tracker_names
from tracker_core.factory import default_settings

BOX = Box(50, 40, 30, 30)
#: The same code on less: smaller search regions and fewer copies of the first frame.
LIGHT = {
    'image_size': 96,
    'proposals': 7,
    'rotations': (10.0,),
    'blurs': ((2.0, 2.0),),
    'first_iterations': 2,
}


def build(name, seed=0, **changes):
    """Tracker with random weights and, where it has them, light and the given settings."""
    known = vars(default_settings(name))
    light = {key: value for key, value in (LIGHT | changes).items() if key in known}
    return build_tracker(name, 'random', device='cpu', settings=light, seed=seed)


#: Variants whose network and code another name has too: they differ in numbers alone.
NUMBERS_ONLY = {'fcot_otb', 'fcot_nfs', 'fcot_trackingnet', 'fcot_uav123'}
NUMBERS_ONLY |= {'dcfst18_got10k', 'dcfst18_nfs', 'dcfst18_trackingnet', 'dcfst18_vot19'}
NUMBERS_ONLY |= {'dcfst50_trackingnet', 'dcfst50_vot18'}


@pytest.fixture(scope='module', params=[n for n in tracker_names() if n not in NUMBERS_ONLY])
def name(request):
    return request.param


@pytest.fixture(scope='module')
def shared(name):
    """One started tracker for the tests that do not compare two; `initialize` forgets the past."""
    tracker = build(name)
    tracker.initialize(np.full((120, 160, 3), 99, np.uint8), BOX)
    return tracker


@pytest.fixture
def tracker(shared, frames):
    shared.initialize(frames[0], BOX)
    return shared


@pytest.fixture
def frames(frames):
    return frames[:4]


def run(tracker, frames, box=BOX):
    tracker.initialize(frames[0], box)
    return [tracker.track(frame) for frame in frames[1:]]


def test_estimates_are_finite_and_in_range(tracker, frames):
    for estimate in run(tracker, frames):
        assert isinstance(estimate, Estimate)
        assert estimate.box.is_finite()
        assert estimate.box.width > 0 and estimate.box.height > 0
        assert 0 <= estimate.confidence <= 1
        assert estimate.state in TrackState


def test_input_is_untouched(tracker, frames):
    before = [frame.copy() for frame in frames]
    for frame in frames:
        frame.flags.writeable = False
    run(tracker, frames)
    for frame, copy in zip(frames, before, strict=True):
        np.testing.assert_array_equal(frame, copy)


def test_same_seed_same_result(name, frames):
    first = run(build(name, seed=4), frames)
    second = run(build(name, seed=4), frames)
    assert first == second


def test_initialize_forgets_everything(name, frames):
    used = build(name)
    run(used, [frame[:, ::-1].copy() for frame in frames], Box(10, 10, 60, 20))
    fresh = build(name)
    assert run(used, frames) == run(fresh, frames)


def test_response_map_belongs_to_the_last_tracked_frame(tracker, frames):
    assert tracker.response_map is None
    tracker.track(frames[1])
    response = tracker.response_map
    assert response.ndim == 2 and response.dtype == np.float32
    assert np.isfinite(response).all()
    tracker.initialize(frames[0], BOX)
    assert tracker.response_map is None


def test_track_before_initialize_is_an_error(name, frames):
    with pytest.raises(RuntimeError, match='initialize'):
        build(name).track(frames[0])


BAD_BOXES = {
    'one pixel': (Box(50, 40, 1, 1), 'at least 2 px'),
    'no width': (Box(50, 40, 0, 30), 'at least 2 px'),
    'negative': (Box(50, 40, -30, 30), 'at least 2 px'),
    'wider than the image': (Box(0, 0, 161, 50), 'larger than the image'),
    'higher than the image': (Box(0, 0, 50, 121), 'larger than the image'),
    'right of the image': (Box(160, 40, 30, 30), 'outside'),
    'above the image': (Box(50, -31, 30, 30), 'outside'),
    'a sliver in the image': (Box(159.9, 40, 30, 30), 'only 0.1 x 30.0 px of the box of 30 x 30'),
    'a corner in the image': (Box(-22, -22, 30, 30), 'only 8.0 x 8.0 px'),
    'nan': (Box(float('nan'), 40, 30, 30), 'finite'),
    'infinite': (Box(50, 40, float('inf'), 30), 'finite'),
}


@pytest.mark.parametrize('case', BAD_BOXES)
def test_bad_boxes_are_clear_errors(shared, frames, case):
    box, message = BAD_BOXES[case]
    with pytest.raises(ValueError, match=message):
        shared.initialize(frames[0], box)


def test_a_refused_initialisation_keeps_the_earlier_target(shared, frames):
    expected = run(shared, frames)
    shared.initialize(frames[0], BOX)
    for box, _ in BAD_BOXES.values():
        with pytest.raises(ValueError):
            shared.initialize(frames[0], box)
    with pytest.raises(ValueError):
        shared.initialize(frames[0].astype(np.float32), BOX)
    assert [shared.track(frame) for frame in frames[1:]] == expected


@pytest.mark.parametrize('box', [Box(-10, 40, 30, 30), Box(0, 0, 160, 120), Box(50, 40, 2, 2)])
def test_extreme_but_valid_boxes_are_tracked(shared, frames, box):
    assert all(estimate.box.is_finite() for estimate in run(shared, frames, box))


BAD_IMAGES = {
    'grey': (np.zeros((120, 160), np.uint8), 'COLOR_GRAY2RGB'),
    'grey with an axis': (np.zeros((120, 160, 1), np.uint8), 'COLOR_GRAY2RGB'),
    'four channels': (np.zeros((120, 160, 4), np.uint8), r'image\[..., :3\]'),
    'float': (np.zeros((120, 160, 3), np.float32), 'uint8'),
    'sixteen bits': (np.zeros((120, 160, 3), np.uint16), 'uint8'),
    'empty': (np.zeros((0, 160, 3), np.uint8), 'non-empty'),
    'two channels': (np.zeros((120, 160, 2), np.uint8), r'\(H, W, 3\)'),
    'list': ([[[0, 0, 0]]], 'numpy array'),
    'nothing': (None, 'numpy array'),
}


@pytest.mark.parametrize('case', BAD_IMAGES)
def test_bad_images_are_clear_errors(shared, case):
    image, message = BAD_IMAGES[case]
    with pytest.raises(ValueError, match=message):
        shared.initialize(image, BOX)
    with pytest.raises(ValueError, match=message):
        shared.track(image)


def test_views_give_the_same_as_copies(shared, frames):
    expected = run(shared, frames)
    padded = [np.pad(frame, ((3, 5), (7, 9), (0, 0)))[3:-5, 7:-9] for frame in frames]
    assert not padded[0].flags.c_contiguous
    assert run(shared, padded) == expected
    bgr = [np.ascontiguousarray(frame[..., ::-1])[..., ::-1] for frame in frames]
    assert run(shared, bgr) == expected


def test_a_change_of_resolution_gives_finite_boxes(tracker, frames):
    assert tracker.track(np.ascontiguousarray(frames[1][::2, ::2])).box.is_finite()


def test_frames_without_a_target_stay_bounded(tracker):
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    for shift in range(25):
        estimate = tracker.track(np.roll(noise, 7 * shift, axis=1))
    assert estimate.box.is_finite()
    assert estimate.box.width <= 5 * 160 and estimate.box.height <= 5 * 120


def test_a_lost_target_can_be_copied_and_is_searched_in_a_smaller_image(name, frames):
    never_sure = {'lost_threshold': 1.0, 'lost_after': 1, 'recovery_regions': 2}
    tracker = build(name, **never_sure)
    run(tracker, frames[:3], Box(120, 80, 30, 30))
    other = deepcopy(tracker)
    assert other.track(frames[3]) == tracker.track(frames[3])
    small = np.zeros((15, 20, 3), np.uint8)
    assert {tracker.track(small).state for _ in range(3)} == {TrackState.LOST}
