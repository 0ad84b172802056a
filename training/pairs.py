"""Pairs of crops of one target, as DCFST is trained on (published code)."""

from __future__ import annotations

import math
from typing import Any

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
from training.dcfst_settings import PairSettings
from training.frames import PlacedTrack, Track
from training.search_areas import cut_window, last_used, map_classic, mirrored, place_classic

Boxes = NDArray[np.float64]


def make_pair(
    track: Track | PlacedTrack,
    rng: np.random.Generator,
    settings: PairSettings,
    appearance: AppearanceSettings,
) -> dict[str, Any]:
    """Crops `images` uint8 (2, size, size, 3) RGB and `boxes_ltwh` float32 (2, 4) of one target.

    The train frame comes first, cut around the target; the test frame is cut off its centre and
    at another scale. Each is mirrored on its own; loss of colour and resolution apply to both. Of
    a placed track only what `plan_pair` returns is made.
    """
    if isinstance(track, PlacedTrack):
        return plan_pair(track, rng, settings, appearance)
    grey, small = rng.random(2) < (appearance.grey, appearance.low_resolution)
    factor = rng.uniform(1.5, 4.0) if small else 1.0
    images, boxes = [], []
    for index, position in enumerate(draw_two(track.frames, settings.max_gap, rng)):
        box = track.boxes_ltwh[position]
        around = jitter_box(box, settings, rng) if index else box
        image, box = cut_square(track.image(position), box, around, settings)
        image = reduce_resolution(image, factor)
        image = blur(change_light(image, rng, appearance), rng, appearance)
        image = add_noise(image, rng, appearance)
        image = make_grey(image) if grey else image
        if rng.random() < appearance.flip:
            image = image[:, ::-1]
            box = mirrored(box, settings.size - 1)
        images.append(image)
        boxes.append(box)
    return {'images': np.stack(images), 'boxes_ltwh': np.stack(boxes).astype(np.float32)}


def plan_pair(
    track: PlacedTrack,
    rng: np.random.Generator,
    settings: PairSettings,
    appearance: AppearanceSettings,
) -> dict[str, Any]:
    """`boxes_ltwh` of a pair as `make_pair` draws it, and what `DeviceImages.cut` needs.

    Changes of light are left to the device as well.
    """
    small = rng.random() < appearance.low_resolution
    factor = rng.uniform(1.5, 4.0) if small else 1.0
    flips = rng.random(2) < appearance.flip
    positions = list(draw_two(track.frames, settings.max_gap, rng))
    windows, last, boxes = [], [], []
    for index, position in enumerate(positions):
        box = track.boxes_ltwh[position]
        around = jitter_box(box, settings, rng) if index else box
        shape = track.shape(int(position))
        window = place_classic(around, shape, settings.factor)
        box = map_classic(box, around, window[2], settings.size)
        windows.append(window)
        last.append(last_used(window, shape))
        boxes.append(mirrored(box, settings.size - 1) if flips[index] else box)
    return {
        'frames': track.numbers[positions],
        'windows': np.array(windows, np.int64),
        'last': np.array(last, np.int64),
        'mirrored': flips,
        'reduction': np.float32(factor),
        'boxes_ltwh': np.stack(boxes).astype(np.float32),
    }


def draw_two(
    frames: NDArray[np.integer], max_gap: int, rng: np.random.Generator
) -> tuple[int, int]:
    """Positions in `frames` (increasing frame numbers) of two frames that are near each other.

    Either may come first; they differ unless no other frame is near enough.
    """
    base = int(rng.integers(len(frames)))
    near = np.abs(frames - frames[base]) <= max_gap
    near[base] = False
    others = np.flatnonzero(near)
    return base, int(rng.choice(others)) if len(others) else base


def jitter_box(box: Boxes, settings: PairSettings, rng: np.random.Generator) -> Boxes:
    """Box (left, top, width, height) around which the test frame is cut instead of the true one.

    The crop becomes larger or smaller, and its centre moves as far as the target stays inside.
    """
    factors = np.exp(rng.standard_normal(2) * settings.test_scale_jitter).clip(0.25, 4.0)
    size = box[2:] * factors
    room = math.sqrt(size.prod()) * settings.test_center_jitter - box[2:]
    center = box[:2] + box[2:] / 2 + (rng.random(2) - 0.5) * np.maximum(room, 0.0)
    return np.concatenate([center - size / 2, size])


def cut_square(
    image: Image, box: Boxes, around: Boxes, settings: PairSettings
) -> tuple[Image, Boxes]:
    """Square crop (size, size, 3) centred on one box, and another box (4,) in pixels of the crop.

    Outside the image its edge is repeated.
    """
    window = place_classic(around, image.shape[:2], settings.factor)
    crop = cut_window(image, window, settings.size)
    return crop, map_classic(box, around, window[2], settings.size)
