"""Search areas of DiMP and its relatives: which frames, how far off the target, what light.

Published rules of sampling and cropping (pytracking's HEAD); see Bhat et al. 2019, section 4.1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from training.augmentation import (
    AppearanceSettings,
    Image,
    add_noise,
    blur,
    change_light,
    make_grey,
    reduce_resolution,
)
from training.frames import PlacedTrack, Track

Boxes = NDArray[np.float64]
#: Shortest side of a part of an object, in pixels.
_LEAST_PART = 16.0
#: All of a box, relative to it.
_WHOLE = np.array([0.0, 0.0, 1.0, 1.0])


@dataclass(frozen=True)
class SearchAreaSettings:
    """Frames and crops of an example; the defaults are the published values of DiMP."""

    size: int = 288
    """Side of a crop in pixels."""
    factor: float = 5.0
    """Side of a crop in sizes of its (jittered) box, size = sqrt(width * height)."""
    train_frames: int = 3
    test_frames: int = 3
    max_gap: int = 30
    """The other train frames lie up to this many frames before a drawn one, the test frames less
    than that after it."""
    train_center_jitter: float = 3.0
    """Range of the offset of train crops along each axis, in sizes of the jittered box."""
    test_center_jitter: float = 4.5
    train_scale_jitter: float = 0.25
    """Standard deviation of the logarithm of width and height around which is cut."""
    test_scale_jitter: float = 0.5
    border: Literal['replicate', 'inside', 'inside_major'] = 'replicate'
    """What happens to crops larger than the image: kept, or made smaller to fit along both axes
    or one."""
    crop: Literal['adaptive', 'classic'] = 'adaptive'
    """'adaptive' crops are shifted into the image as far as they fit; 'classic' ones stay around
    the jittered box, are always kept as large as they are, and count pixels from the middle of
    the first."""
    clamp_boxes: bool = False
    """Boxes end where the crop does."""
    max_scale_change: float = 1.5
    """Largest factor by which `inside` and `inside_major` make a crop smaller."""
    part: float = 0.0
    """Share of the examples of a still image whose target is a part of the annotated object. Not
    published: it teaches the box regressor to keep to the part that the first box shows."""

    @property
    def frames(self) -> int:
        """Frames of an example."""
        return self.train_frames + self.test_frames


def make_example(
    track: Track | PlacedTrack,
    rng: np.random.Generator,
    settings: SearchAreaSettings,
    appearance: AppearanceSettings,
) -> dict[str, Any]:
    """Crops `images` uint8 (n, size, size, 3) RGB and `boxes_ltwh` float32 (n, 4) of one target.

    n: the train frames, then the test frames. Boxes are in pixels of the crops. Mirroring and loss
    of colour and resolution apply to all crops, other changes of light to each on its own. Of a
    placed track only what `plan_example` returns is made.
    """
    if isinstance(track, PlacedTrack):
        return plan_example(track, rng, settings, appearance)
    flip, grey, factor, part = _draw_changes(track, rng, settings, appearance)
    images, boxes = [], []
    for index, position in enumerate(draw_causal(track.frames, settings, rng)):
        box = _part_of(track.boxes_ltwh[position], part)
        is_test = index >= settings.train_frames
        around = jitter_box(box, rng, settings, is_test=is_test)
        image, box = cut_search_area(track.image(int(position)), box, around, settings)
        image = reduce_resolution(image, factor)
        image = blur(change_light(image, rng, appearance), rng, appearance)
        image = add_noise(image, rng, appearance)
        image = make_grey(image) if grey else image
        if flip:
            image = image[:, ::-1]
            box = mirrored(box, _extent(settings))
        images.append(image)
        boxes.append(box)
    return {'images': np.stack(images), 'boxes_ltwh': np.stack(boxes).astype(np.float32)}


def plan_example(
    track: PlacedTrack,
    rng: np.random.Generator,
    settings: SearchAreaSettings,
    appearance: AppearanceSettings,
) -> dict[str, Any]:
    """`boxes_ltwh` of an example as `make_example` draws it, and what `DeviceImages.cut` needs.

    Changes of light are left to the device as well.
    """
    flip, _, factor, part = _draw_changes(track, rng, settings, appearance)
    positions = draw_causal(track.frames, settings, rng)
    windows, last, boxes = [], [], []
    for index, position in enumerate(positions):
        box = _part_of(track.boxes_ltwh[position], part)
        around = jitter_box(box, rng, settings, is_test=index >= settings.train_frames)
        shape = track.shape(int(position))
        window = place_window(around, shape, settings)
        box = map_box(box, around, window, settings)
        windows.append(window)
        last.append(last_used(window, shape))
        boxes.append(mirrored(box, _extent(settings)) if flip else box)
    return {
        'frames': track.numbers[positions],
        'windows': np.array(windows, np.int64),
        'last': np.array(last, np.int64),
        'mirrored': np.full(len(positions), flip),
        'reduction': np.float32(factor),
        'boxes_ltwh': np.stack(boxes).astype(np.float32),
    }


def _draw_changes(
    track: Track | PlacedTrack,
    rng: np.random.Generator,
    settings: SearchAreaSettings,
    appearance: AppearanceSettings,
) -> tuple[bool, bool, float, Boxes]:
    """Draw whether to mirror and to lose colour, by how much to reduce, and the part shown."""
    flip, grey, small = rng.random(3) < (
        appearance.flip,
        appearance.grey,
        appearance.low_resolution,
    )
    factor = rng.uniform(1.5, 4.0) if small else 1.0
    part = _WHOLE
    if len(track.frames) == 1 and settings.part and rng.random() < settings.part:
        part = _draw_part(track.boxes_ltwh[0], rng)
    return bool(flip), bool(grey), factor, part


def _part_of(box: Boxes, part: Boxes) -> Boxes:
    return np.concatenate([box[:2] + part[:2] * box[2:], part[2:] * box[2:]])


def mirrored(box: Boxes, size: int) -> Boxes:
    """Box in a crop that is mirrored, in which the largest and the smallest x add up to `size`."""
    return np.array([size - box[0] - box[2], *box[1:]])


def _draw_part(box: Boxes, rng: np.random.Generator) -> Boxes:
    """Part of a box, relative to it: a third to nearly all of each side, at least some pixels."""
    size = np.maximum(rng.uniform(0.35, 0.9, 2), np.minimum(_LEAST_PART / box[2:], 1))
    return np.concatenate([rng.random(2) * (1 - size), size])


def draw_causal(
    frames: NDArray[np.integer], settings: SearchAreaSettings, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Positions in `frames` (increasing frame numbers) of the train frames, then the test frames.

    A base frame is drawn; it is one of the train frames, the others lie before it and the test
    frames after it, drawn with replacement. The gap grows where a set is empty. In a recording of
    one frame all are that frame.
    """
    train, test = settings.train_frames, settings.test_frames
    count = len(frames)
    if count == 1:
        return np.zeros(train + test, np.intp)
    low = min(train - 1, count - 2)
    base = int(rng.integers(max(low, 0), max(count - test, low + 1)))
    before, after = np.arange(base), np.arange(base + 1, count)
    gap = settings.max_gap
    earlier = _draw_near(
        before if len(before) else np.array([base]), frames, base, gap, train - 1, rng
    )
    later = _draw_near(after, frames, base, gap - 1, test, rng)
    return np.concatenate([[base], earlier, later])


def _draw_near(
    candidates: NDArray[np.intp],
    frames: NDArray[np.integer],
    base: int,
    gap: int,
    count: int,
    rng: np.random.Generator,
) -> NDArray[np.intp]:
    """Draw `count` of the candidates within a gap around the base that holds at least one."""
    distance = np.abs(frames[candidates] - frames[base])
    while not (distance <= gap).any():
        gap += 5
    return rng.choice(candidates[distance <= gap], count)


def jitter_box(
    box: Boxes, rng: np.random.Generator, settings: SearchAreaSettings, *, is_test: bool
) -> Boxes:
    """Box (left, top, width, height) around which is cut instead of the true one."""
    scale = settings.test_scale_jitter if is_test else settings.train_scale_jitter
    shift = settings.test_center_jitter if is_test else settings.train_center_jitter
    size = box[2:] * np.exp(rng.standard_normal(2) * scale)
    offset = math.sqrt(size.prod()) * shift * (rng.random(2) - 0.5)
    center = box[:2] + box[2:] / 2 + offset
    return np.concatenate([center - size / 2, size])


def cut_search_area(
    image: Image, box: Boxes, around: Boxes, settings: SearchAreaSettings
) -> tuple[Image, Boxes]:
    """Square crop (size, size, 3) around one box, and another box (4,) in pixels of the crop.

    Outside the image its edge is repeated.
    """
    window = place_window(around, image.shape[:2], settings)
    crop = cut_window(image, window, settings.size)
    return crop, map_box(box, around, window, settings)


def place_window(
    around: Boxes, shape: tuple[int, ...], settings: SearchAreaSettings
) -> tuple[int, int, int]:
    """Left, top and side of the square that is cut around a box in an image of shape (H, W)."""
    if settings.crop == 'classic':
        return place_classic(around, shape, settings.factor)
    side = _side(around, shape, settings)
    left, top = (
        _start(around[axis] + around[axis + 2] / 2, side, shape[1 - axis]) for axis in (0, 1)
    )
    return left, top, side


def place_classic(around: Boxes, shape: tuple[int, ...], factor: float) -> tuple[int, int, int]:
    """Left, top and side of the square around the middle of a box, wherever the image ends."""
    side = max(math.ceil(math.sqrt(around[2] * around[3]) * factor), 2)
    starts = (round(around[axis] + around[axis + 2] / 2 - side / 2) for axis in (0, 1))
    # A square without any pixel of the image cannot be cut.
    left, top = (
        min(max(start, 1 - side), max(length - 2, 0))
        for start, length in zip(starts, shape[1::-1], strict=True)
    )
    return left, top, side


def map_box(
    box: Boxes, around: Boxes, window: tuple[int, int, int], settings: SearchAreaSettings
) -> Boxes:
    """Box in pixels of the crop of a window that was placed around another box."""
    if settings.crop == 'classic':
        mapped = map_classic(box, around, window[2], settings.size)
    else:
        mapped = to_window(box, window, settings.size)
    if not settings.clamp_boxes:
        return mapped
    corners = np.concatenate([mapped[:2], mapped[:2] + mapped[2:]]).clip(0, settings.size - 1)
    return np.concatenate([corners[:2], corners[2:] - corners[:2]])


def map_classic(box: Boxes, around: Boxes, side: int, size: int) -> Boxes:
    """Box in pixels, counted from the middle of the first, of the crop around another box.

    As published it is measured from the exact middle of that one, not from the rounded window.
    """
    scale = size / side
    offset = box[:2] + box[2:] / 2 - around[:2] - around[2:] / 2
    center = (size - 1) / 2 + offset * scale
    return np.concatenate([center - box[2:] * scale / 2, box[2:] * scale])


def _extent(settings: SearchAreaSettings) -> int:
    """Sum of the largest and the smallest x in a crop."""
    return settings.size - 1 if settings.crop == 'classic' else settings.size


def to_window(box: Boxes, window: tuple[int, int, int], size: int) -> Boxes:
    """Box in pixels of a square (left, top, side) that is resized to `size`."""
    scale = size / window[2]
    moved = box * scale
    moved[:2] -= np.array(window[:2]) * scale
    return moved


def _side(around: Boxes, shape: tuple[int, ...], settings: SearchAreaSettings) -> int:
    side = math.ceil(math.sqrt(around[2] * around[3]) * settings.factor)
    if settings.border == 'replicate':
        return max(side, 2)
    pick = max if settings.border == 'inside' else min
    shrink = pick(side / shape[0], side / shape[1])
    return max(int(side / min(max(1.0, shrink), settings.max_scale_change)), 2)


def _start(center: float, side: int, length: int) -> int:
    """First pixel of a crop along one axis, shifted into the image; overhang is centred."""
    start = round(center - side / 2)
    start += max(-start, 0) - max(start + side - length, 0)
    overhang = (max(-start, 0) + max(start + side - length, 0)) // 2
    return -overhang if overhang else start


def cut_window(image: Image, window: tuple[int, int, int], size: int) -> Image:
    """Square (left, top, side) of an image, whose edges are repeated, resized to `size`."""
    x, y, side = window
    height, width = image.shape[:2]
    left, top = max(-x, 0), max(-y, 0)
    last_x, last_y = last_used(window, (height, width))
    right, bottom = x + side - 1 - last_x, y + side - 1 - last_y
    inside = image[y + top : last_y + 1, x + left : last_x + 1]
    patch = cv2.copyMakeBorder(inside, top, bottom, left, right, cv2.BORDER_REPLICATE)
    crop = cv2.resize(patch, (size, size), interpolation=cv2.INTER_LINEAR)
    return np.asarray(crop, np.uint8)


def last_used(window: tuple[int, int, int], shape: tuple[int, int]) -> tuple[int, int]:
    """Last column and row of an image of shape (H, W) that a square (left, top, side) shows.

    As published, a square that ends at the border already repeats one row or column.
    """
    ends = (start + window[2] - 1 for start in window[:2])
    sides = zip(ends, shape[::-1], strict=True)
    last_x, last_y = (end if end < length - 1 else length - 2 for end, length in sides)
    return last_x, last_y
