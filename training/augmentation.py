"""Random changes of a curated crop: geometry, light, blur, and what stands beside the target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Borrow = Callable[[np.random.Generator], Image | None]


@dataclass(frozen=True)
class AppearanceSettings:
    """Strength of every change of light and sharpness; by default all are off.

    Each image draws for itself unless stated otherwise; p = probability.
    """

    flip: float = 0.0
    """p of mirroring all images of an example."""
    grey: float = 0.0
    """p of making all images of an example grey (SiamFC's paper: 0.25 for OTB)."""
    gain: float = 0.0
    """Grey values are scaled by 1 +- this (DiMP: 0.2)."""
    brightness: float = 0.0
    """Grey values are shifted by up to +- this share of 255."""
    contrast: float = 0.0
    """Contrast is scaled by up to exp(+-this)."""
    colour: float = 0.0
    """Every channel is scaled by up to exp(+-this)."""
    low_resolution: float = 0.0
    """p of showing all images as if the target had been a few times smaller in the photograph."""
    blur: float = 0.0
    """p of a Gaussian or motion blur."""
    noise: float = 0.0
    """Largest standard deviation of Gaussian noise in grey values."""


@dataclass(frozen=True)
class AugmentationSettings(AppearanceSettings):
    """Strength of every change; the defaults are SiamFC's published recipe."""

    stretch: float = 0.05
    """Width and height are scaled by 1 +- this, independently."""
    shift: int = 4
    """Shift by up to this many pixels along each axis (published: 239 out of 247 pixels)."""
    scale: float = 0.0
    """Width and height are scaled together by up to exp(+-this)."""
    rotation: float = 0.0
    """Rotation by up to +- this many degrees."""
    new_background: float = 0.0
    """p of another background, where the mask of the target is known."""
    distractor: float = 0.0
    """p of another object beside the target in the search image."""
    occluder: float = 0.0
    """p of another object over a part of the target in the search image."""


def warp(
    crop: Image, size: int, rng: np.random.Generator, settings: AugmentationSettings
) -> Image:
    """Central part (size, size, C) of a crop, stretched, scaled, turned and shifted."""
    low, high = 1 - settings.stretch, 1 + settings.stretch
    zoom = np.exp(rng.uniform(-settings.scale, settings.scale))
    scale = rng.uniform(low, high, 2) * zoom
    shift = rng.integers(-settings.shift, settings.shift, 2, endpoint=True)
    angle = np.deg2rad(rng.uniform(-settings.rotation, settings.rotation))
    cos, sin = np.cos(angle), np.sin(angle)
    to_crop = np.array([[cos, -sin], [sin, cos]]) / scale
    center = to_crop @ (-(size - 1) / 2 - shift) + (crop.shape[0] - 1) / 2
    return cv2.warpAffine(  # type: ignore[return-value]
        crop,
        np.column_stack([to_crop, center]),
        (size, size),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )


def change_light(image: Image, rng: np.random.Generator, settings: AppearanceSettings) -> Image:
    """Brightness, contrast and colour of an image (H, W, 3) by one table per channel."""
    if not (settings.gain or settings.brightness or settings.contrast or settings.colour):
        return image
    contrast = np.exp(rng.uniform(-settings.contrast, settings.contrast))
    gains = contrast * np.exp(rng.uniform(-settings.colour, settings.colour, 3))
    offset = 255 * rng.uniform(-settings.brightness, settings.brightness)
    # Drawn only where wanted: the draws of recipes without it stay what they were.
    gain = rng.uniform(1 - settings.gain, 1 + settings.gain) if settings.gain else 1.0
    values = np.arange(256)[:, None] * gain
    table = np.clip((values - 128) * gains + 128 + offset, 0, 255).astype(np.uint8)
    return cv2.LUT(image, table[None])  # type: ignore[return-value]


def reduce_resolution(image: Image, factor: float) -> Image:
    """Image (H, W, 3) as it looks after being stored `factor` times smaller."""
    if factor <= 1:
        return image
    height, width = image.shape[:2]
    small = round(width / factor), round(height / factor)
    reduced = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    return cv2.resize(reduced, (width, height))  # type: ignore[return-value]


def blur(image: Image, rng: np.random.Generator, settings: AppearanceSettings) -> Image:
    """With probability `blur` a Gaussian or a motion blur of an image (H, W, 3)."""
    if rng.random() >= settings.blur:
        return image
    if rng.random() < 0.5:
        sigma = float(rng.uniform(0.5, 2.5))
        return cv2.GaussianBlur(image, (0, 0), sigma)  # type: ignore[return-value]
    return cv2.filter2D(image, -1, _draw_motion(rng))  # type: ignore[return-value]


def _draw_motion(rng: np.random.Generator) -> NDArray[np.float32]:
    """Kernel of a motion blur: a line of 3 to 11 pixels."""
    length = int(rng.integers(3, 12))
    center = (length - 1) / 2
    line = np.zeros((length, length), np.float32)
    angle = rng.uniform(0, np.pi)
    step = np.array([np.cos(angle), np.sin(angle)]) * center
    start, stop = np.round(center - step).astype(int), np.round(center + step).astype(int)
    cv2.line(line, start.tolist(), stop.tolist(), 1.0)
    return line / line.sum()


def draw_kernel(rng: np.random.Generator, settings: AppearanceSettings) -> NDArray[np.float32]:
    """What `blur` does as a kernel (15, 15), which has but one value where it does nothing."""
    if rng.random() >= settings.blur:
        kernel = np.ones((1, 1), np.float32)
    elif rng.random() < 0.5:
        line = cv2.getGaussianKernel(15, float(rng.uniform(0.5, 2.5)), cv2.CV_32F)
        kernel = np.asarray(line @ line.T, np.float32)
    else:
        kernel = _draw_motion(rng)
    # As in OpenCV, the middle of a kernel of even size is right of and below its centre.
    before, after = 7 - len(kernel) // 2, 8 - (len(kernel) + 1) // 2
    return np.pad(kernel, (before, after))


def add_noise(image: Image, rng: np.random.Generator, settings: AppearanceSettings) -> Image:
    """Gaussian noise of a random strength up to `noise`."""
    if not settings.noise:
        return image
    sigma = rng.uniform(0, settings.noise)
    noise = rng.standard_normal(image.shape[:2], np.float32)[..., None] * sigma
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def make_grey(image: Image) -> Image:
    """The luminance of an RGB image in all three channels."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)  # type: ignore[return-value]


def paste(background: Image, crop: Image, offset: tuple[int, int] = (0, 0)) -> None:
    """Lay the masked part of a crop (S, S, 4) over a background (S, S, 3+), in place.

    offset: (x, y) of the crop's corner in the background, in pixels. The edge is softened.
    """
    size = background.shape[0]
    x, y = offset
    inside = np.s_[max(y, 0) : min(size + y, size), max(x, 0) : min(size + x, size)]
    source = np.s_[max(-y, 0) : min(size - y, size), max(-x, 0) : min(size - x, size)]
    alpha = cv2.GaussianBlur(crop[source][..., 3], (0, 0), 0.8)[..., None].astype(np.uint16)
    target = background[inside][..., :3]
    target[:] = (alpha * crop[source][..., :3] + (255 - alpha) * target + 127) // 255


def replace_background(
    crop: Image, borrow: Borrow, rng: np.random.Generator, settings: AugmentationSettings
) -> Image:
    """With probability `new_background` the target before another background."""
    if not crop[..., 3].any() or rng.random() >= settings.new_background:
        return crop
    background = borrow(rng)
    if background is None:
        return crop
    mirrored = rng.random() < 0.5
    changed: Image = (background[:, ::-1] if mirrored else background).copy()
    paste(changed, crop)
    changed[..., 3] = crop[..., 3]
    return changed


def add_objects(
    crop: Image, borrow: Borrow, rng: np.random.Generator, settings: AugmentationSettings
) -> Image:
    """Another object beside the target (`distractor`) and over its edge (`occluder`)."""
    for probability, near, far in (
        (settings.distractor, 70, 120),
        (settings.occluder, 22, 50),
    ):
        if rng.random() < probability and (other := borrow(rng)) is not None:
            angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(near, far)
            x, y = np.round(distance * np.array([np.cos(angle), np.sin(angle)])).astype(int)
            crop = crop.copy()
            paste(crop, other, (int(x), int(y)))
    return crop
