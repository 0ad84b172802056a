"""Pictures of a run: sizes, what is drawn where, and nothing without images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip('tracker_ros.msg', reason='tracker_ros is not built: run colcon build')

from tracker_core import Box, Estimate, TrackState
from tracker_core.drawing import STATE_COLORS
from tracker_core.video import open_video
from tracker_ros.demo_pictures import Album, _choose, contact_sheet, write_pictures
from tracker_ros.demo_report import SECOND, Record, Result, Truth


def run(size: tuple[int, int], count: int = 20) -> tuple[Album, Record]:
    """Ten grey images per second, of which every second one was tracked in the same box."""
    album, record = Album(), Record()
    for index in range(count):
        stamp = SECOND + index * SECOND // 10
        album.add(stamp, np.full((size[1], size[0], 3), 90, np.uint8))
        record.images.append(stamp)
        record.truths[stamp] = Truth(Box(100, 90, 90, 60), 1.0)
        if index % 2 == 0:
            estimate = Estimate(Box(50, 60, 160, 120), 0.8, TrackState.TRACKING)
            record.results[stamp] = Result(estimate, stamp + 1000)
    return album, record


def drawn_box(image: np.ndarray, color: tuple[int, int, int]) -> Box:
    close = np.abs(image.astype(int) - color).max(axis=2) < 40
    rows, columns = np.flatnonzero(close.sum(1) > 100), np.flatnonzero(close.sum(0) > 75)
    left, top = int(columns[0]), int(rows[0])
    return Box(left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top)


@pytest.mark.parametrize(
    ('size', 'shown'),
    [((320, 240), (640, 480)), ((800, 600), (800, 600)), ((1920, 1080), (960, 540))],
)
def test_video_shows_the_box_at_its_place(
    tmp_path: Path, size: tuple[int, int], shown: tuple[int, int]
) -> None:
    album, record = run(size)
    video, sheet = write_pictures(album, record, 'siamfc', tmp_path)
    source = open_video(video)
    frames = list(source)
    assert len(frames) == 20
    assert source.fps == pytest.approx(10, abs=0.2)
    assert frames[0].shape == (shown[1], shown[0], 3)
    scale = shown[0] / size[0]
    expected = Box(*(scale * v for v in (50, 60, 160, 120)))
    if scale >= 1:
        assert drawn_box(frames[0], STATE_COLORS[TrackState.TRACKING]).iou(expected) > 0.85
    picture = cv2.imread(str(sheet))
    assert picture.shape == (3 * round(400 * shown[1] / shown[0]), 1600, 3)


def test_images_that_were_not_tracked_have_the_box_before_them(tmp_path: Path) -> None:
    album, record = run((640, 480))
    del record.results[record.images[0]]
    frames = list(open_video(write_pictures(album, record, '', tmp_path)[0]))
    green = STATE_COLORS[TrackState.TRACKING]
    counts = [(np.abs(f.astype(int) - green).max(axis=2) < 60).sum() for f in frames]
    assert max(counts[:2]) < 20, 'nothing was known yet'
    assert min(counts[2::2]) > 2 * max(counts[3::2]), 'a thin box without words'
    assert min(counts[3::2]) > 100


def test_sheet_shows_the_moment_of_least_confidence() -> None:
    _, record = run((64, 48), count=400)
    stamps = sorted(record.results)
    unsure = stamps[101]
    result = record.results[unsure]
    record.results[unsure] = replace(result, estimate=replace(result.estimate, confidence=0.1))
    chosen = _choose(record, stamps)
    assert len(chosen) == 12
    assert unsure in chosen
    assert (chosen[0], chosen[-1]) == (stamps[0], stamps[-1])
    assert chosen == sorted(chosen)


def test_no_images_no_pictures(tmp_path: Path) -> None:
    assert write_pictures(Album(), Record(), '', tmp_path) == []
    assert not list(tmp_path.iterdir())


def test_sheet_is_filled_up_to_whole_rows() -> None:
    tile = np.zeros((90, 160, 3), np.uint8)
    assert contact_sheet([tile] * 5).shape == (450, 1600, 3)
    assert contact_sheet([tile]).shape == (225, 1600, 3)
