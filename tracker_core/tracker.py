"""What every tracker is: two verbs, an estimate, and the same checks of its input."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tracker_core.box import Box

Image = NDArray[np.uint8]

#: Shortest side of a target that can be tracked, in pixels.
MIN_SIDE = 2.0
#: Smallest part of its area that must lie in the first image; at least MIN_SIDE of each side.
MIN_VISIBLE = 0.1


class TrackState(IntEnum):
    """What a tracker believes about its target; the same values as in the ROS message."""

    TRACKING = 0
    UNCERTAIN = 1
    LOST = 2


@dataclass(frozen=True, slots=True)
class Estimate:
    """Where the target is in one image.

    ``confidence`` lies in [0, 1]; comparable over time for one tracker, not between trackers.
    """

    box: Box
    confidence: float
    state: TrackState


class Tracker(Protocol):
    """A single-object tracker. Images are uint8 (H, W, 3) RGB with any strides."""

    @property
    def response_map(self) -> NDArray[np.float32] | None:
        """Response of the last tracked frame over the search region, (H, W); None before that."""
        ...

    def initialize(self, image: Image, box: Box) -> None:
        """Start on the target in `box`; forgets any earlier target.

        Raises ValueError for an unusable image or box and then keeps the earlier target.
        """
        ...

    def track(self, image: Image) -> Estimate:
        """Find the target in the next image.

        Raises ValueError for a bad image, RuntimeError before `initialize`.
        """
        ...


def check_image(image: Any) -> None:
    """Raise ValueError, saying what to do, unless `image` is uint8 (H, W, 3)."""
    if not isinstance(image, np.ndarray):
        raise ValueError(f'image must be a numpy array, not {type(image).__name__}')
    if image.dtype != np.uint8:
        raise ValueError(
            f'image must be uint8 with values 0..255, not {image.dtype}: convert it first'
        )
    if image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 1):
        raise ValueError(
            f'image is grey, shape {image.shape}: pass cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)'
        )
    if image.ndim == 3 and image.shape[2] == 4:
        raise ValueError('image has four channels: pass image[..., :3], in RGB order')
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f'image must be a non-empty (H, W, 3) array, not of shape {image.shape}')


def check_box(box: Box, image: Image) -> None:
    """Raise ValueError, saying why, unless `box` can be tracked from `image`."""
    height, width = image.shape[:2]
    if not box.is_finite():
        raise ValueError(f'box must be finite, not {box.as_ltwh()}')
    if min(box.width, box.height) < MIN_SIDE:
        raise ValueError(
            f'box is {box.width:g} x {box.height:g} px: each side needs at least {MIN_SIDE:g} px'
        )
    if box.width > width or box.height > height:
        raise ValueError(
            f'box of {box.width:g} x {box.height:g} px is larger than the image of '
            f'{width} x {height} px'
        )
    if box.intersection(Box(0, 0, width, height)) <= 0:
        raise ValueError(
            f'box {box.as_ltwh()} (left, top, width, height) lies outside the image of '
            f'{width} x {height} px'
        )
    visible_width = min(box.right, width) - max(box.left, 0.0)
    visible_height = min(box.bottom, height) - max(box.top, 0.0)
    too_narrow = min(visible_width, visible_height) < MIN_SIDE - 1e-6  # of rounding
    if too_narrow or visible_width * visible_height < MIN_VISIBLE * box.area:
        raise ValueError(
            f'only {visible_width:.1f} x {visible_height:.1f} px of the box of {box.width:g} x '
            f'{box.height:g} px lie in the image: at least {MIN_SIDE:g} x {MIN_SIDE:g} px and '
            f'{MIN_VISIBLE:.0%} of its area are needed'
        )
