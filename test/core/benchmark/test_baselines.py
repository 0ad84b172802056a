"""OpenCV's trackers behind the interface of the package."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from tracker_core import Box, TrackState
from tracker_core.benchmark.baselines import (
    BASELINE_NAMES,
    _whole,
    available_baselines,
    build_baseline,
    find_networks,
)


@pytest.mark.parametrize('name', ['csrt', 'kcf', 'mil'])
def test_baselines_follow_a_square(name, frames):
    if name not in available_baselines():
        pytest.skip(f'OpenCV {cv2.__version__} has no {name}: it is in opencv-contrib-python')
    tracker = build_baseline(name)
    box = Box(50, 40, 30, 30)
    before = [frame.copy() for frame in frames]
    tracker.initialize(frames[0], box)
    for frame in frames[1:]:
        estimate = tracker.track(frame)
    assert estimate.state is TrackState.TRACKING
    assert estimate.box.iou(Box(65, 40, 30, 30)) > 0.6
    for frame, original in zip(frames, before, strict=True):
        np.testing.assert_array_equal(frame, original)


def test_a_target_that_opencv_loses_stays_at_its_last_place(frames):
    answers = [(True, (52, 41, 30, 30)), (False, (0, 0, 0, 0))]

    class Fake:
        def init(self, image, box): ...

        def update(self, image):
            return answers.pop(0)

    tracker = build_baseline('mil')
    tracker._create = Fake
    tracker.initialize(frames[0], Box(50, 40, 30, 30))
    assert tracker.track(frames[1]).box == Box(52, 41, 30, 30)
    estimate = tracker.track(frames[2])
    assert estimate.state is TrackState.LOST
    assert (estimate.confidence, estimate.box) == (0.0, Box(52, 41, 30, 30))


def test_images_are_rgb_for_us_and_bgr_for_opencv(frames, monkeypatch):
    seen = []

    class Fake:
        def init(self, image, box):
            seen.append((image[0, 0].tolist(), box))

    tracker = build_baseline('mil')
    tracker._create = Fake
    tracker.initialize(frames[0], Box(-3.4, 1.6, 10, 10))
    assert seen == [(frames[0][0, 0, ::-1].tolist(), (0, 2, 7, 10))]


@pytest.mark.parametrize(
    ('box', 'expected'),
    [
        (Box(10.4, 20.6, 6.4, 7.4), (10, 21, 6, 7)),
        (Box(10.6, 20.4, 6.4, 7.4), (11, 20, 6, 7)),
        (Box(150.4, -2.4, 20.4, 9.4), (150, 0, 10, 7)),
        (Box(159.9, 119.9, 0.1, 0.1), (159, 119, 1, 1)),
    ],
)
def test_position_and_size_are_rounded_by_themselves(box, expected):
    assert _whole(box, np.zeros((120, 160, 3), np.uint8)) == expected


def test_errors_say_what_to_do(tmp_path: Path, monkeypatch, frames):
    with pytest.raises(ValueError, match=f'valid: {", ".join(BASELINE_NAMES)}'):
        build_baseline('boosting')
    with pytest.raises(FileNotFoundError, match='--nano'):
        build_baseline('nano')
    with pytest.raises(FileNotFoundError, match=r'nanotrack\*backbone\*\.onnx'):
        build_baseline('nano', tmp_path)
    with pytest.raises(ValueError, match=r'unknown setting .*samplerInitInRadius'):
        build_baseline('mil', settings={'nonsense': 1})
    monkeypatch.delattr(cv2, 'TrackerCSRT', raising=False)
    with pytest.raises(RuntimeError, match="pip install 'opencv-contrib-python'"):
        build_baseline('csrt')
    with pytest.raises(RuntimeError, match='before initialize'):
        build_baseline('mil').track(frames[0])


def test_only_installed_baselines_are_available(monkeypatch):
    assert set(available_baselines()) <= set(BASELINE_NAMES)
    monkeypatch.delattr(cv2, 'TrackerKCF', raising=False)
    assert 'kcf' not in available_baselines()


def test_networks_are_found_by_pattern(tmp_path: Path):
    for name in ('nanotrack_backbone_sim.onnx', 'nanotrack_head_sim.onnx'):
        (tmp_path / name).touch()
    found = find_networks('nano', tmp_path)
    assert found['backbone'].name == 'nanotrack_backbone_sim.onnx'
    assert found['neckhead'].name == 'nanotrack_head_sim.onnx'
    assert find_networks('kcf', None) == {}
