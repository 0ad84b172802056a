"""Cut a square search region out of an image."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker_core.tracker import Image


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
