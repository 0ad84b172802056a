"""Light, lens and sensor."""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker_core.synthetic.motion import Curve
from tracker_core.synthetic.settings import SceneSettings

Image = NDArray[np.uint8]

_NOISE_BORDER = 64
#: Rows that are worked on at a time, few enough to stay in the cache of a core.
_STRIPE = 64
#: The light is given at so many points across and down, and interpolated between them.
LIGHT_GRID = (8, 6)


def streak(rgba: Image, motion: NDArray[np.float64]) -> Image:
    """Blur a patch (h, w, 4) along a movement (x, y) in pixels during the exposure."""
    length = float(np.hypot(*motion))
    if length < 0.5:
        return rgba
    reach = int(np.ceil(np.abs(motion).max() / 2)) + 1
    parts = np.linspace(-0.5, 0.5, 2 * int(np.ceil(length)) + 1)
    # Every place counts for the four pixels around it, by its distance to them.
    away = np.abs(np.outer(parts, motion)[..., None] - np.arange(-reach, reach + 1))
    columns, rows = np.maximum(1 - away, 0).transpose(1, 0, 2)
    kernel = (rows.T @ columns / len(parts)).astype(np.float32)
    return cv2.filter2D(rgba, -1, kernel).astype(np.uint8, copy=False)


@lru_cache(maxsize=4)
def sensor_noise(size: tuple[int, int], strength: float) -> NDArray[np.float32]:
    """Noise (H, W, 3) in grey levels, larger than images of that (width, height).

    All scenes take their frames' parts of it, from other places each: it stays in the cache.
    """
    shape = size[1] + _NOISE_BORDER, size[0] + _NOISE_BORDER, 3
    noise = strength * np.random.default_rng(0).standard_normal(shape, np.float32)
    noise.flags.writeable = False
    return noise


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
        self.noise_starts = rng.integers(0, _NOISE_BORDER, (settings.frames, 2))
        """First row and column (N, 2) of the part of the noise that each frame takes."""

    @property
    def noise(self) -> NDArray[np.float32]:
        """Noise (H, W, 3) in grey levels, of which every frame takes a part."""
        return sensor_noise(self._settings.size, self._settings.noise)

    def apply(self, image: Image, index: int) -> Image:
        """Return the image (H, W, 3) with light, blur and noise of a frame."""
        if self.blur[index] > 0.2:
            sigma = float(self.blur[index])
            side = 2 * math.ceil(2.5 * sigma) + 1
            image = cv2.GaussianBlur(image, (side, side), sigma).astype(np.uint8, copy=False)
        height, width = image.shape[:2]
        down, across = self._light(index)
        row, column = self.noise_starts[index].tolist()
        noise = self.noise[row : row + height, column : column + width].reshape(height, -1)
        finished, stripe = np.empty_like(image), np.empty((_STRIPE, 3 * width), np.float32)
        for top in range(0, height, _STRIPE):
            rows = slice(top, top + _STRIPE)
            lit = np.matmul(down[rows], across, out=stripe[: height - top])
            lit *= image[rows].reshape(len(lit), -1)
            lit += noise[rows]
            cv2.threshold(lit, 0, 0, cv2.THRESH_TOZERO, lit)
            # Rounds, and cuts off above 255.
            cv2.convertScaleAbs(lit, finished[rows].reshape(len(lit), -1))
        return finished

    def _light(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Factors (H, 2) and (2, 3 W) of the light of all pixels and colours of a frame.

        It rises along both axes; their sum is a product of two matrices.
        """
        x, y = map(_ramp, self._settings.size, LIGHT_GRID)
        colors, (along_x, along_y) = self.colors[index], self.slopes[index]
        across = np.outer(1 + along_x * x, colors).ravel()
        change = np.tile(along_y * colors, len(x))
        down = np.stack([np.ones_like(y), y], 1)
        return down, np.stack([across, change]).astype(np.float32)


@lru_cache(maxsize=8)
def _ramp(length: int, count: int) -> NDArray[np.float32]:
    """From -1 to 1, interpolated between `count` points in the middles of equal parts."""
    middles = (np.arange(length, dtype=np.float32) + 0.5) * (count / length) - 0.5
    return np.asarray(np.clip(middles / ((count - 1) / 2) - 1, -1, 1), np.float32)
