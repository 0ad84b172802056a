"""The shipped weights are honest about losing the target: sequences in which it really leaves."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest

from tracker_core import Box, Estimate, TrackState, build_tracker
from tracker_core.sequence import open_sequence
from tracker_core.synthetic import SceneSettings, render_sequence

#: Frames around the moment of leaving or returning in which either answer is right.
TRANSITION = 4


@pytest.fixture(scope='module')
def tracker():
    return build_tracker('siamfc', device='cpu')


@dataclass
class Record:
    """Estimates while the target is followed, and while it is away."""

    followed: list[Estimate]
    away: list[Estimate]


def watch(tracker, frames) -> Record:
    """Track (image, box, visible fraction) triples, sorting estimates by what is true."""
    frames = list(frames)
    image, box, _ = frames[0]
    tracker.initialize(image, box)
    record = Record([], [])
    for index, (image, box, visible) in enumerate(frames[1:], start=1):
        estimate = tracker.track(image)
        near = frames[max(index - TRANSITION, 0) : index + TRANSITION + 1]
        if all(other[2] == 0 for other in near):
            record.away.append(estimate)
        elif visible > 0.9 and estimate.box.iou(box) > 0.5:
            record.followed.append(estimate)
    return record


def check(record: Record) -> None:
    """While it is followed the target is called so; while it is away, never for long."""
    assert len(record.followed) >= 15 and len(record.away) >= 15
    followed = Counter(estimate.state for estimate in record.followed)
    away = Counter(estimate.state for estimate in record.away)
    print('followed', followed, 'away', away)
    assert followed[TrackState.TRACKING] >= 0.7 * len(record.followed)
    assert followed[TrackState.LOST] <= 0.02 * len(record.followed)
    assert away[TrackState.TRACKING] <= 0.1 * len(record.away)
    assert np.median([e.confidence for e in record.away]) < 0.3
    assert np.median([e.confidence for e in record.followed]) > 0.6


@pytest.mark.parametrize('seed', [1, 2, 3])
def test_rendered_target_leaves_the_image(tracker, seed):
    scene = SceneSettings(
        frames=90, leave_and_return=True, absence_frames=(30, 30), rotation=10.0, tilt=5.0
    )
    check(watch(tracker, ((f.image, f.box, f.visible) for f in render_sequence(scene, seed))))


@pytest.mark.data
@pytest.mark.parametrize('name', ['dtb70_MountainBike6', 'uavdt_S0310', 'tinytlp_MotorcycleChase'])
def test_camera_turns_away_from_a_real_target(tracker, development_clips, name):
    """Clips that the weights were not trained on."""
    check(watch(tracker, turning_away(open_sequence(development_clips / name), 30, 30)))


def turning_away(sequence, stay: int, leave: int):
    """View 3/8 of the width of a clip: its target for `stay` frames, then its far side."""
    for index, (image, row) in enumerate(zip(sequence.frames, sequence.boxes, strict=False)):
        if index == stay + leave:
            return
        height, width = image.shape[:2]
        view = width * 3 // 8
        box = Box(*map(float, row))
        left = int(np.clip(box.center[0] - view / 2, 0, width - view))
        if index >= stay:
            left = 0 if box.center[0] > width / 2 else width - view
        moved = Box(box.left - left, box.top, box.width, box.height)
        visible = moved.intersection(Box(0, 0, view, height)) / moved.area
        yield image[:, left : left + view], moved, visible
