"""Patches are followed where they can be, and given up where they cannot."""

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from tracker_core import Box
from training.datasets import DataError
from training.tracklets import (
    TrackletSettings,
    choose_patches,
    find_shots,
    follow,
    follow_all,
    read_unlabelled,
)

SETTINGS = TrackletSettings()


def _smooth(seed: int, height: int, width: int) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 255, (height, width), dtype=np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX)


def _shot(frames: int = 14, step: int = 3) -> list[np.ndarray]:
    """A 60 px square that moves to the right by `step` px over a still background."""
    shot = []
    for index in range(frames):
        image = _smooth(1, 180, 240)
        image[60:120, 20 + step * index : 80 + step * index] = _smooth(2, 60, 60)
        shot.append(image)
    return shot


def test_patch_on_the_object_goes_with_it() -> None:
    boxes = follow(_shot(), Box(25, 65, 50, 50), SETTINGS)
    assert len(boxes) == 14
    assert boxes[-1].as_ltwh() == pytest.approx((25 + 39, 65, 50, 50), abs=1.5)


def test_zoom_changes_the_size() -> None:
    image = _smooth(3, 200, 200)
    shot = [
        cv2.warpAffine(image, cv2.getRotationMatrix2D((99.5, 99.5), 0, 1.03**index), (200, 200))
        for index in range(8)
    ]
    last = follow(shot, Box(70, 80, 60, 40), SETTINGS)[-1]
    assert last.width == pytest.approx(60 * 1.03**7, rel=0.03)
    assert last.height == pytest.approx(40 * 1.03**7, rel=0.03)
    assert last.center == pytest.approx((100, 100), abs=1.5)


def test_patch_is_given_up_when_the_picture_changes() -> None:
    shot = [*_shot(6), *(_smooth(9 + index, 180, 240) for index in range(4))]
    assert len(follow(shot, Box(25, 65, 50, 50), SETTINGS)) == 6


def test_shots_end_at_cuts_and_short_ones_are_left_out() -> None:
    dark, bright = np.zeros((40, 40), np.uint8), np.full((40, 40), 200, np.uint8)
    assert find_shots([dark] * 20 + [bright] * 5 + [dark] * 12, SETTINGS) == [(0, 20), (25, 37)]


def test_patches_with_their_own_motion_come_first() -> None:
    chosen = choose_patches(_shot(), np.random.default_rng(0), SETTINGS)
    assert chosen[0].intersection(Box(20, 60, 60, 60)) > 0.5 * chosen[0].area
    assert all(a.iou(b) < 0.15 for a in chosen for b in chosen if a is not b)


def test_patches_lie_in_the_image_and_on_texture() -> None:
    image = np.full((180, 240), 90, np.uint8)
    image[120:] = _smooth(1, 60, 240)
    many = dataclasses.replace(SETTINGS, per_shot=100, candidates=500)
    chosen = choose_patches([image] * 14, np.random.default_rng(0), many)
    assert len(chosen) > 3
    assert all(box.left >= 0 and box.top >= 0 for box in chosen)
    assert all(box.right <= 240 and 120 < box.bottom <= 180 for box in chosen)
    aspects = [box.width / box.height for box in chosen]
    assert min(aspects) < 0.8 and max(aspects) > 1.25


def test_picture_without_texture_gives_nothing() -> None:
    shot = [np.full((100, 100), 90, np.uint8)] * 14
    assert list(follow_all(shot, np.random.default_rng(0), SETTINGS)) == []


def test_views_of_a_video(tmp_path: Path) -> None:
    codec = cv2.VideoWriter_fourcc(*'mp4v')
    video = cv2.VideoWriter(str(tmp_path / 'film.mp4'), codec, 25.0, (240, 180))
    for image in _shot():
        video.write(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR))
    video.release()
    views = list(read_unlabelled(tmp_path, 3))
    assert views and len(views) % 3 == 0
    assert {view.scene for view in views} == {f'{tmp_path.name}/film'}
    assert [view.frame for view in views[:3]] == [0, 6, 13]


def test_long_recordings_are_followed_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = cv2.VideoWriter_fourcc(*'mp4v')
    video = cv2.VideoWriter(str(tmp_path / 'film.mp4'), codec, 25.0, (240, 180))
    shot = _shot(28)
    for image in shot:
        video.write(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR))
    video.release()
    monkeypatch.setattr('training.tracklets._PIECE', 14)
    views = list(read_unlabelled(tmp_path, 100))
    later = [view for view in views if view.frame >= 14]
    assert later and len(later) < len(views)
    assert not {view.sequence for view in later} & {v.sequence for v in views if v.frame < 14}
    for view in views[::5]:
        assert np.abs(view.image[..., 0].astype(int) - shot[view.frame]).mean() < 10


def test_folder_without_videos_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match='holds no video and no rosbag2 recording'):
        list(read_unlabelled(tmp_path, 3))
