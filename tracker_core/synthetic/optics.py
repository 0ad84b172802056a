"""Light, lens and sensor."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker_core.synthetic.motion import Curve
from tracker_core.synthetic.settings import SceneSettings

Image = NDArray[np.uint8]

_NOISE_BORDER = 32
#: Rows that are worked on at a time, few enough to stay in the cache of a core.
_STRIPE = 32


def streak(rgba: Image, motion: NDArray[np.float64]) -> Image:
    """Blur a patch (h, w, 4) along a movement (x, y) in pixels during the exposure."""
    length = float(np.hypot(*motion))
    if length < 0.5:
        return rgba
    reach = int(np.ceil(np.abs(motion).max() / 2)) + 1
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    for part in np.linspace(-0.5, 0.5, 2 * int(np.ceil(length)) + 1):
        x, y = motion * part + reach
        column, row = int(x), int(y)
        fx, fy = x - column, y - row
        kernel[row : row + 2, column : column + 2] += np.outer((1 - fy, fy), (1 - fx, fx))
    return cv2.filter2D(rgba, -1, kernel / kernel.sum()).astype(np.uint8, copy=False)


class Optics:
    """Turns a clean rendering into what a cheap camera would deliver."""

    def __init__(self, rng: np.random.Generator, settings: SceneSettings) -> None:
        self._settings = settings
        times = np.arange(settings.frames, dtype=np.float64)
        curves = [Curve.random(rng, settings.period)(times) for _ in range(7)]
        gain = settings.light * curves[0][:, None]
        tint = settings.tint * np.stack(curves[1:4], axis=1)
        self.colors = np.exp(gain + tint)
        self.slopes = settings.shading * np.stack(curves[4:6], axis=1)
        self.blur = settings.blur * (0.5 + 0.5 * curves[6])
        width, height = settings.size
        border = _NOISE_BORDER
        shape = height + border, width + border, 3
        self.noise = settings.noise * rng.standard_normal(shape, np.float32)

    def noise_start(self, rng: np.random.Generator) -> tuple[int, int]:
        """Draw the first row and column of the part of the noise that a frame takes."""
        row, column = rng.integers(0, _NOISE_BORDER, 2).tolist()
        return row, column

    def apply(self, image: Image, index: int, noise_start: tuple[int, int]) -> Image:
        """Return the image (H, W, 3) with light, blur and noise of a frame."""
        height, width = image.shape[:2]
        if self.blur[index] > 0.2:
            sigma = float(self.blur[index])
            size = 2 * math.ceil(2.5 * sigma) + 1
            image = cv2.GaussianBlur(image, (size, size), sigma).astype(np.uint8, copy=False)
        x, y = np.meshgrid(np.linspace(-1, 1, 8), np.linspace(-1, 1, 6))
        slope = 1 + self.slopes[index, 0] * x + self.slopes[index, 1] * y
        small = (slope[..., None] * self.colors[index]).astype(np.float32)
        light = cv2.resize(small, (width, height))
        row, column = noise_start
        noise = self.noise[row : row + height, column : column + width]
        finished = np.empty_like(image)
        for top in range(0, height, _STRIPE):
            rows = slice(top, top + _STRIPE)
            lit = image[rows].astype(np.float32)
            lit *= light[rows]
            lit += noise[rows]
            # Rounds, and cuts off above 255.
            cv2.convertScaleAbs(np.maximum(lit, 0, out=lit), finished[rows])
        return finished
