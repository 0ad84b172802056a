"""Cut search regions out of images and map boxes between image and patch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker_core.tracker import Image

BorderMode = Literal['replicate', 'inside', 'inside_major']
Pixels = NDArray[np.float32]
_Value = TypeVar('_Value', bound=np.generic)


def crop_square(
    image: Image,
    center: tuple[float, float],
    side: float,
    output_size: int,
    fill: Sequence[float] | NDArray[np.floating],
    interpolation: int = cv2.INTER_LINEAR,
) -> Image:
    """Cut the square of `side` px around `center`, fill what lies outside, resize it.

    image: uint8 (H, W, 3), any strides; only the crop is copied. center: (x, y) where integer
    coordinates are pixel centres (half a pixel less than in `Box`). side: rounded to whole pixels,
    at least one. fill: one value 0..255 per channel, rounded. Returns uint8
    (output_size, output_size, 3), contiguous. The rounding is that of the published SiamFC code:
    corner = round(center - (round(side) - 1) / 2), halves to even.
    """
    extent = max(int(np.round(side)), 1)
    left = int(np.round(center[0] - (extent - 1) / 2))
    top = int(np.round(center[1] - (extent - 1) / 2))
    height, width = image.shape[:2]
    x0, x1 = np.clip((left, left + extent), 0, width)
    y0, y1 = np.clip((top, top + extent), 0, height)
    if (x1 - x0, y1 - y0) == (extent, extent):
        patch = np.ascontiguousarray(image[y0:y1, x0:x1])
    else:
        patch = np.empty((extent, extent, image.shape[2]), np.uint8)
        patch[:] = np.clip(np.round(fill), 0, 255)
        patch[y0 - top : y1 - top, x0 - left : x1 - left] = image[y0:y1, x0:x1]
    size = (output_size, output_size)
    return cv2.resize(patch, size, interpolation=interpolation)  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class Patch:
    """A resized piece of an image and where it was cut, in whole image pixels."""

    pixels: Pixels
    """Float32 (H, W, 3), values 0..255 in the channel order of the image."""
    left: int
    top: int
    right: int
    """First column that is no longer covered; the patch may leave the image."""
    bottom: int

    @property
    def center(self) -> tuple[float, float]:
        """Centre (x, y) where integer coordinates are pixel centres."""
        return (self.left + self.right - 1) / 2, (self.top + self.bottom - 1) / 2

    @property
    def scale(self) -> float:
        """Image pixels per patch pixel (geometric mean of both axes)."""
        rows, columns = self.pixels.shape[:2]
        return math.sqrt((self.bottom - self.top) / rows * ((self.right - self.left) / columns))

    def to_patch(
        self, center: tuple[float, float], size: tuple[float, float]
    ) -> tuple[float, float, float, float]:
        """Map a target in the image to (left, top, width, height) in patch pixels.

        center: (x, y) where integer coordinates are pixel centres; size: (width, height).
        """
        offset = center[0] - self.center[0], center[1] - self.center[1]
        return box_in_patch(offset, size, self.scale, self.pixels.shape[1::-1])

    def to_image(
        self, box_ltwh: Sequence[float]
    ) -> tuple[tuple[float, float], tuple[float, float]]:
        """Map a box in the patch to (x, y) and (width, height) of the target in the image.

        Not the inverse of `to_patch`: as in the published trackers, whose networks have seen
        nothing else, a box comes back half a patch pixel further right and down.
        """
        left, top, width, height = (float(value) for value in box_ltwh)
        rows, columns = self.pixels.shape[:2]
        x = (left + width / 2 - (columns - 1) / 2) * self.scale + self.center[0]
        y = (top + height / 2 - (rows - 1) / 2) * self.scale + self.center[1]
        return (x, y), (width * self.scale, height * self.scale)


def box_in_patch(
    offset: tuple[float, float],
    size: tuple[float, float],
    scale: float,
    patch_size: tuple[int, ...],
) -> tuple[float, float, float, float]:
    """Box (left, top, width, height) in pixels of a patch of patch_size = (width, height).

    offset: (x, y) in image pixels from the centre of the patch to that of the target. size:
    (width, height) of the target in image pixels. scale: image pixels per patch pixel.
    """
    width, height = size[0] / scale, size[1] / scale
    x = offset[0] / scale + (patch_size[0] - 1) / 2
    y = offset[1] / scale + (patch_size[1] - 1) / 2
    return x - (width - 1) / 2, y - (height - 1) / 2, width, height


def sample_patch(
    image: Image,
    center: tuple[float, float],
    size: tuple[float, float],
    output_size: tuple[int, int],
    mode: BorderMode = 'replicate',
    max_scale_change: float | None = None,
) -> Patch:
    """Cut `size` pixels around `center` and resize them, as the DiMP family does.

    image: uint8 (H, W, 3), any strides; only the patch is copied. center: (x, y), cut down to
    whole pixels. size and output_size: (width, height). What lies outside the image repeats its
    border. mode: 'inside' shrinks the region until it fits into the image, at most by
    `max_scale_change`, and shifts it inside; 'inside_major' until one side fits. Large regions
    are decimated before they are resized bilinearly, without a low-pass filter. Corners follow the
    integer arithmetic that the published results were made with.
    """
    extent = (image.shape[1], image.shape[0])
    if mode != 'replicate':
        size = _shrink(size, extent, mode, max_scale_change)
    ratio = min(size[0] / output_size[0], size[1] / output_size[1])
    step = min(max(int(ratio - 0.1), 1), *extent)
    columns, left, right = _interval(center[0], size[0], extent[0], step, mode)
    rows, top, bottom = _interval(center[1], size[1], extent[1], step, mode)
    decimated = image[rows::step, columns::step]
    patch = crop_replicate(decimated, left, top, right - left, bottom - top).astype(np.float32)
    if patch.shape[1::-1] != tuple(output_size):
        patch = cv2.resize(patch, output_size, interpolation=cv2.INTER_LINEAR)  # type: ignore[assignment]
    return Patch(patch, step * left, step * top, step * right, step * bottom)


def crop_replicate(
    image: NDArray[_Value], left: int, top: int, width: int, height: int
) -> NDArray[_Value]:
    """Cut whole pixels out of (H, W, C); what lies outside repeats the border. Always a copy."""
    rows, above, below = _overlap(top, height, image.shape[0])
    columns, before, after = _overlap(left, width, image.shape[1])
    inner = np.ascontiguousarray(image[rows, columns])
    copy: Any = cv2.copyMakeBorder(inner, above, below, before, after, cv2.BORDER_REPLICATE)
    return copy  # type: ignore[no-any-return]


def _overlap(start: int, length: int, extent: int) -> tuple[slice, int, int]:
    """Part of the axis to copy (never empty) and how often to repeat its first and last pixel."""
    before = min(max(-start, 0), length - 1)
    first, last = min(max(start, 0), extent - 1), min(max(start + length, 1), extent)
    return slice(first, last), before, length - before - (last - first)


def _shrink(
    size: tuple[float, float], extent: tuple[int, int], mode: str, limit: float | None
) -> tuple[float, float]:
    # In single precision, as published: 96 px in an image of 90 rows shrink to 89, not to 90.
    sides = np.array(size, np.float32)
    ratios = sides / np.array(extent, np.float32)
    factor = max(ratios.max() if mode == 'inside' else ratios.min(), np.float32(1))
    factor = factor if limit is None else min(factor, np.float32(limit))
    width, height = np.trunc(sides / factor)
    return float(width), float(height)


def _interval(
    center: float, size: float, extent: int, step: int, mode: str
) -> tuple[int, int, int]:
    """Offset of the decimation, first and one past the last decimated pixel along one axis."""
    middle = int(center)
    offset = middle % step if step > 1 else 0
    middle = (middle - offset) // step
    length = max(round(size / step), 2)
    start, stop = middle - (length - 1) // 2, middle + length // 2 + 1
    if mode != 'replicate':
        shift = _inward_shift(start, stop, len(range(offset, extent, step)))
        start, stop = start + shift, stop + shift
    return offset, start, stop


def _inward_shift(start: int, stop: int, extent: int) -> int:
    """Shift an interval inside; where it is too long, let it hang over equally on both sides."""
    shift = max(-start, 0) - max(stop - extent, 0)
    start, stop = start + shift, stop + shift
    overhang = (max(-start, 0) + max(stop - extent, 0)) // 2
    return shift - start - overhang if overhang > 0 else shift
