"""Augmented copies of the first search region, on which an online model is learnt."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from tracker_core.search_region import Pixels, crop_replicate
from tracker_core.transfer import upload


class UniformDraws(Protocol):
    """Source of uniform draws in [0, 1), such as `numpy.random.Generator`."""

    def random(self, size: tuple[int, ...]) -> NDArray[np.float64]:
        """Draw an array of the given shape."""
        ...


@dataclass(frozen=True)
class Augmentation:
    """A warp of the expanded patch, then a shift of its content by whole pixels."""

    shift: tuple[int, int] = (0, 0)
    """(x, y) in patch pixels; positive moves the content right and down, and the label with it."""
    warp: Callable[[Pixels], Pixels] | None = None
    """Leaves the label where it is."""

    def __call__(self, expanded: Pixels, output_size: tuple[int, int]) -> Pixels:
        """Warp (H, W, 3) and cut (width, height) out of its middle, less the shift.

        What lies outside repeats the border.
        """
        pixels = self.warp(expanded) if self.warp else expanded
        before_x = (output_size[0] - pixels.shape[1]) // 2 + self.shift[0]
        before_y = (output_size[1] - pixels.shape[0]) // 2 + self.shift[1]
        return crop_replicate(pixels, -before_x, -before_y, *output_size)


@dataclass(frozen=True)
class AugmentationPlan:
    """Which augmentations are made, in the published order of the fields."""

    relative_shifts: Sequence[tuple[float, float]] = ()
    """(y, x) in halves of the patch size."""
    flip: bool = True
    blurs: Sequence[tuple[float, float]] = ()
    """Standard deviations (y, x) in patch pixels."""
    rotations: Sequence[float] = ()
    """Degrees."""
    random_shift: float = 1 / 3
    """Full range of the shift that all but pure shifts draw, as a share of the patch size."""


def draw_augmentations(
    plan: AugmentationPlan, size: tuple[int, int], draws: UniformDraws
) -> list[Augmentation]:
    """Fix the random shifts of a plan, one pair of draws (y, x) each, for patches of (w, h).

    The first augmentation is always the identity.
    """
    warps: list[Callable[[Pixels], Pixels]] = [flip_horizontally] if plan.flip else []
    warps += [_bind(blur, sigma) for sigma in plan.blurs]
    warps += [_bind(rotate, angle) for angle in plan.rotations]
    augmentations = [Augmentation()]
    for y, x in plan.relative_shifts:
        augmentations.append(Augmentation((int(x * size[0] / 2), int(y * size[1] / 2))))
    for warp in warps:
        y, x = (draws.random((2,)) - 0.5) * plan.random_shift
        augmentations.append(Augmentation((int(x * size[0]), int(y * size[1])), warp))
    return augmentations


def expanded_size(size: tuple[int, int], factor: float) -> tuple[int, int]:
    """Size of the patch that augmentations cut `size` from: `factor` times, of equal parity."""
    width, height = int(size[0] * factor), int(size[1] * factor)
    return width + (width - size[0]) % 2, height + (height - size[1]) % 2


def flip_horizontally(pixels: Pixels) -> Pixels:
    """Mirror left and right."""
    return pixels[:, ::-1]


def blur(pixels: Pixels, sigma: tuple[float, float]) -> Pixels:
    """Convolve with a Gaussian of (y, x) standard deviations; zero outside, as published."""
    kernels = [_gaussian(each) for each in sigma]
    blurred: Any = cv2.sepFilter2D(
        pixels, cv2.CV_32F, kernels[1], kernels[0], borderType=cv2.BORDER_CONSTANT
    )
    return blurred  # type: ignore[no-any-return]


def rotate(pixels: Pixels, degrees: float) -> Pixels:
    """Turn a patch about its centre, counter-clockwise as seen; repeats the border.

    Exactly bilinear: OpenCV before version 5 rounds the coordinates to 1/32 pixel.
    """
    height, width = pixels.shape[:2]
    across, down = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    x = np.arange(width) - (width - 1) / 2
    y = np.arange(height)[:, None] - (height - 1) / 2
    # Where each pixel comes from, in the units of grid_sample: the outermost centres are +-1.
    source_x = (across * x - down * y) * (2 / max(width - 1, 1))
    source_y = (down * x + across * y) * (2 / max(height - 1, 1))
    grid = torch.from_numpy(np.stack([source_x, source_y], -1))[None]
    image = torch.from_numpy(pixels.transpose(2, 0, 1).astype(np.float64))[None]
    turned = functional.grid_sample(image, grid, padding_mode='border', align_corners=True)
    return turned[0].permute(1, 2, 0).to(torch.float32).contiguous().numpy()


def drop_channels(features: Tensor, count: int, probability: float, draws: UniformDraws) -> Tensor:
    """Copy features (1, C, H, W) `count` times, each without a random share of its channels.

    A channel is dropped where its draw is below `probability`; the others are scaled up so that
    the mean stays. Returns (count, C, H, W).
    """
    keep = draws.random((count, features.shape[1])) >= probability
    factors = upload(keep / (1 - probability), features.device).to(features.dtype)
    return features * factors[..., None, None]


def _gaussian(sigma: float) -> NDArray[np.float64]:
    reach = math.ceil(2 * sigma)
    weights: NDArray[np.float64] = np.exp(-(np.arange(-reach, reach + 1.0) ** 2) / (2 * sigma**2))
    normalized: NDArray[np.float64] = weights / weights.sum()
    return normalized


def _bind(warp: Callable[[Pixels, Any], Pixels], value: Any) -> Callable[[Pixels], Pixels]:
    return lambda pixels: warp(pixels, value)
