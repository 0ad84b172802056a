"""The worst moments of a tracker, as pictures."""

from __future__ import annotations

from collections.abc import Sequence as List
from dataclasses import dataclass
from itertools import islice

import cv2
import numpy as np

from tracker_core.benchmark.dataset import BenchmarkSequence, Dataset
from tracker_core.benchmark.evaluation import fitted
from tracker_core.benchmark.one_pass import Curve, SequenceScore
from tracker_core.benchmark.results import ResultFolder
from tracker_core.box import Box
from tracker_core.drawing import TRUTH_COLOR, draw_box, draw_text
from tracker_core.tracker import Image

#: Overlap below which the target counts as lost.
LOST_OVERLAP = 0.1
#: Frames after the loss at which it is shown.
_LATER = 10
#: Width and height of the pictures, and the least width in the image that they show.
_SIZE = (420, 270)
_LEAST_VIEW = 120


@dataclass(frozen=True)
class Moment:
    """A stretch of frames without the target."""

    sequence: str
    before: int
    """Last frame with the target."""
    shown: int
    """Frame that shows the loss."""
    length: int
    """Frames in which it was lost."""


@dataclass(frozen=True)
class Picture:
    """A moment with its pictures, uint8 (H, W, 3) RGB."""

    moment: Moment
    before: Image
    after: Image


def worst_moments(scores: List[SequenceScore], count: int = 4) -> list[Moment]:
    """The longest losses, at most one per sequence; none where the target is never lost."""
    losses = [_longest_loss(each.name, each.overlaps) for each in scores]
    losses.sort(key=lambda moment: (-moment.length, moment.sequence))
    return [moment for moment in losses if moment.length > 0][:count]


def draw_moments(
    dataset: Dataset, folder: ResultFolder, moments: List[Moment], color: tuple[int, int, int]
) -> list[Picture]:
    """Draw the truth in white and the tracker's box in `color` (RGB) before and in each loss.

    Moments of which an image is missing, or cannot be read, are left out.
    """
    pictures = []
    for moment in moments:
        sequence = dataset.names[moment.sequence]
        found = folder.boxes(moment.sequence)
        boxes = fitted(found, len(sequence.truth), '', moment.sequence)
        images = _images(sequence, (moment.before, moment.shown))
        if images:
            before, after = (
                _draw(images[index], sequence.truth[index], boxes[index], index, color)
                for index in (moment.before, moment.shown)
            )
            pictures.append(Picture(moment, before, after))
    return pictures


def _images(sequence: BenchmarkSequence, wanted: tuple[int, ...]) -> dict[int, Image]:
    """The images of some frames; none where one of them is missing."""
    found = {}
    try:
        for index, image in enumerate(islice(sequence.frames, max(wanted) + 1)):
            if index in wanted:
                found[index] = image
    except (OSError, ValueError):
        return {}
    return found if len(found) == len(set(wanted)) else {}


def jpeg(image: Image, quality: int = 82) -> bytes:
    """Encode an RGB image."""
    done, data = cv2.imencode('.jpg', image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError(f'cannot encode an image of shape {image.shape}')
    return data.tobytes()


def _longest_loss(name: str, overlaps: Curve) -> Moment:
    """Longest stretch below `LOST_OVERLAP`; frames without truth neither end nor extend it."""
    usable = np.flatnonzero(~np.isnan(overlaps))
    lost = overlaps[usable] < LOST_OVERLAP
    edges = np.flatnonzero(np.diff(np.concatenate([[False], lost, [False]]).astype(int)))
    starts, ends = edges[::2], edges[1::2]
    if len(starts) == 0:
        return Moment(name, 0, 0, 0)
    longest = int(np.argmax(ends - starts))
    start, end = int(starts[longest]), int(ends[longest])
    shown = min(start + _LATER, end - 1)
    return Moment(name, int(usable[max(start - 1, 0)]), int(usable[shown]), end - start)


def _draw(
    image: Image, truth: Curve, box: Curve, index: int, color: tuple[int, int, int]
) -> Image:
    left, top, width, height = _view(image, truth, box)
    scale = _SIZE[0] / width
    part = image[top : top + height, left : left + width]
    canvas: Image = cv2.resize(part, _SIZE, interpolation=cv2.INTER_LINEAR)  # type: ignore[assignment]
    origin = np.array([left, top, 0, 0])
    draw_box(canvas, Box(*((truth - origin) * scale).tolist()), TRUTH_COLOR)
    draw_box(canvas, Box(*((box - origin) * scale).tolist()), color)
    draw_text(canvas, f'frame {index + 1}', (8, _SIZE[1] - 10), TRUTH_COLOR, scale=0.8)
    return canvas


def _view(image: Image, truth: Curve, box: Curve) -> tuple[int, int, int, int]:
    """Part of the image, left, top, width, height, in which both boxes are well visible."""
    limit = np.array(image.shape[1::-1])
    low = np.clip(np.fmin(truth[:2], box[:2]), 0, limit)
    high = np.clip(np.fmax(truth[:2] + truth[2:], box[:2] + box[2:]), 0, limit)
    aspect = _SIZE[0] / _SIZE[1]
    sides = (high - low) * 1.6
    width = max(sides[0], sides[1] * aspect, 4 * np.nanmax(box[2:]), _LEAST_VIEW)
    width = min(width, limit[0], limit[1] * aspect)
    size = np.array([width, width / aspect])
    corner = np.clip((low + high) / 2 - size / 2, 0, limit - size)
    left, top = (int(value) for value in corner)
    return left, top, max(int(size[0]), 1), max(int(size[1]), 1)
