"""The shipped weights of the trackers that learn online, on a rendered scene.

With fewer copies of the first frame than usual, for speed.
"""

import cv2
import numpy as np
import pytest
import torch

from tracker_core import Box, TrackState, build_tracker
from tracker_core.synthetic import (
    DEMO_SCENE,
    DEMO_SEED,
    Scene,
    SceneSettings,
    render_sequence,
)
from tracker_core.weights import shipped


@pytest.fixture(scope='module')
def scene():
    return list(render_sequence(SceneSettings(frames=9), 1))


CUDA = pytest.param(
    'cuda',
    marks=[
        pytest.mark.gpu,
        pytest.mark.skipif(not torch.cuda.is_available(), reason='no CUDA device'),
    ],
)


@pytest.mark.parametrize('device', ['cpu', CUDA])
@pytest.mark.parametrize('name', ['dimp18', 'dcfst18', 'fcot18'])
def test_they_follow_a_target_and_notice_that_it_is_gone(name, device, scene):
    tracker = build_tracker(name, device=device, settings={'rotations': [], 'blurs': []})
    tracker.initialize(scene[0].image, scene[0].box)
    followed = [tracker.track(frame.image) for frame in scene[1:]]
    overlaps = [e.box.iou(f.box) for e, f in zip(followed, scene[1:], strict=True)]
    assert min(overlaps) > 0.5
    assert all(estimate.state != TrackState.LOST for estimate in followed)
    grey = np.full_like(scene[0].image, 120)
    away = [tracker.track(grey) for _ in range(4)]
    assert away[-1].state == TrackState.LOST
    assert max(e.confidence for e in away) < min(e.confidence for e in followed)


@pytest.mark.parametrize(('seed', 'precision'), [(14, 'auto'), (18, 'float32')])
def test_it_stays_on_its_target_beside_a_look_alike_on_a_slow_machine(seed, precision):
    """Seen in the demo, which a busy machine tracks in every fourth to fourteenth image only."""
    demo = Scene(DEMO_SCENE, DEMO_SEED)
    until_it_hides = 165
    steps = np.random.default_rng(seed).choice([4, 5, 6, 8, 10, 14], until_it_hides)
    indices = np.cumsum(steps)
    settings = {'precision': precision, 'seed': seed}
    tracker = build_tracker('dimp18', device='cpu', settings=settings)
    first = demo.render(0)
    tracker.initialize(first.image, first.box)
    for index in indices[indices < until_it_hides]:
        frame = demo.render(int(index))
        assert tracker.track(frame.image).box.iou(frame.box) > 0.7, index


def test_no_other_weights_are_shipped():
    """Each of them has been looked at in a test."""
    assert set(shipped()) == {'siamfc', 'dimp18', 'dcfst18', 'fcot18'}


@pytest.mark.parametrize('name', ['dimp18', 'fcot18'])
def test_the_box_of_a_tiny_target_does_not_grow(name, scene):
    """Seen with FCOT in an enlarged search region: sides of usual targets, larger every frame."""
    factor = 7.0 / np.sqrt(scene[0].box.width * scene[0].box.height)
    small = [
        cv2.resize(f.image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        for f in scene
    ]
    boxes = [Box(*(factor * side for side in f.box.as_ltwh())) for f in scene]
    tracker = build_tracker(name, device='cpu', settings={'rotations': [], 'blurs': []})
    tracker.initialize(small[0], boxes[0])
    found = [tracker.track(image).box for image in small[1:]]
    ratios = [
        np.sqrt(box.width * box.height / (truth.width * truth.height))
        for box, truth in zip(found, boxes[1:], strict=True)
    ]
    assert max(ratios) < 2 and min(ratios) > 0.5
