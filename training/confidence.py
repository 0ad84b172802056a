"""Fit the curve from response peak to confidence, and store it with the weights.

A tracker's confidence is sigmoid(slope * (x - offset)) of a quantity x, for SiamFC the response
peak relative to that of the first frame. Slope and offset are those under which the confidence is
the probability that the box is on the target, by logistic regression over frames where it is and
frames where the target is gone: each clip is tracked once as it is, and once more with its frames
replaced by those of another clip after a short while. Both kinds of frames weigh the same.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load_file
from tqdm import tqdm

from tracker_core import Box, Tracker, build_tracker, weights
from tracker_core.sequence import open_sequence
from tracker_core.tracker import Image
from training.datasets import DataError

#: Frames used of a clip, before the target is taken away, and after that.
CLIP_FRAMES, PRESENT_FRAMES, ABSENT_FRAMES = 150, 5, 40
#: Overlap from which a box is on the target, and below which it is not; between, nobody can say.
ON_TARGET, OFF_TARGET = 0.4, 0.1


@dataclass(frozen=True)
class Calibration:
    """The fitted curve and how well it separates."""

    offset: float
    slope: float
    on_target: int
    """Number of frames with the box on the target; likewise `off_target`."""
    off_target: int
    confident_off_target: float
    """Share of frames off the target whose confidence is 0.5 or more."""
    doubtful_on_target: float
    """Share of frames on the target whose confidence is below 0.5."""


def calibrate(path: Path, clips: Sequence[Path]) -> Calibration:
    """Fit confidence on clips and rewrite the weights file with it; returns the result.

    clips: folders as `open_sequence` takes them, which the network was not trained on.
    """
    info = weights.read_info(path)
    unit = {'confidence_offset': 0.0, 'confidence_slope': 1.0}
    tracker = build_tracker(info.tracker, path, settings=unit)
    values, labels = map(np.array, zip(*_observe(tracker, clips), strict=True))
    result = fit(values, labels)
    settings = {
        **info.settings,
        'confidence_offset': round(result.offset, 4),
        'confidence_slope': round(result.slope, 4),
    }
    changed = dataclasses.replace(info, settings=settings)
    weights.save(path, load_file(path), changed, dtype=None)
    return result


def fit(values: NDArray[np.float64], labels: NDArray[np.bool_]) -> Calibration:
    """Logistic regression of labels (N,) on values (N,), both kinds of equal weight.

    Raises DataError where one kind is missing.
    """
    if labels.all() or not labels.any():
        raise DataError('the clips show the target in no frame or in all: add clips to calibrate')
    weight = np.where(labels, 0.5 / labels.mean(), 0.5 / (1 - labels.mean()))
    inputs = np.column_stack([np.ones_like(values), values])
    solution = np.zeros(2)
    for _ in range(100):  # Newton's method; the small ridge keeps separable data finite
        p = 1 / (1 + np.exp(-inputs @ solution))
        gradient = inputs.T @ (weight * (labels - p)) - 1e-2 * solution
        hessian = (inputs * (weight * p * (1 - p))[:, None]).T @ inputs + 1e-2 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        solution += step
        if np.abs(step).max() < 1e-10:
            break
    confident = inputs @ solution >= 0
    return Calibration(
        offset=float(-solution[0] / solution[1]),
        slope=float(solution[1]),
        on_target=int(labels.sum()),
        off_target=int((~labels).sum()),
        confident_off_target=float(confident[~labels].mean()),
        doubtful_on_target=float((~confident[labels]).mean()),
    )


def _observe(tracker: Tracker, clips: Sequence[Path]) -> Iterator[tuple[float, bool]]:
    """Value and whether the box is on the target, for every frame where that is clear."""
    if len(clips) < 2:
        raise DataError('calibration needs at least two clips: one replaces the other')
    others = [*clips[1:], clips[0]]
    for clip, other in tqdm(list(zip(clips, others, strict=True)), unit='clip'):
        sequence = open_sequence(clip)
        frames = list(itertools.islice(sequence.frames, CLIP_FRAMES))
        tracker.initialize(frames[0], sequence.first_box)
        for frame, row in zip(frames[1:], sequence.boxes[1:], strict=False):
            estimate = tracker.track(frame)
            overlap = estimate.box.iou(Box(*row)) if np.isfinite(row).all() else 0.0
            if overlap >= ON_TARGET or overlap < OFF_TARGET:
                yield _logit(estimate.confidence), overlap >= ON_TARGET
        tracker.initialize(frames[0], sequence.first_box)
        for frame in frames[1:PRESENT_FRAMES]:
            tracker.track(frame)
        for frame in _resized(other, frames[0].shape[1], frames[0].shape[0]):
            yield _logit(tracker.track(frame).confidence), False


def _resized(clip: Path, width: int, height: int) -> Iterator[Image]:
    for frame in itertools.islice(open_sequence(clip).frames, ABSENT_FRAMES):
        yield np.asarray(cv2.resize(frame, (width, height)), np.uint8)


def _logit(probability: float) -> float:
    return math.log(probability / (1 - probability))
