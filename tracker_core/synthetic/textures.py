"""Procedural, natural-looking surfaces."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Plane = NDArray[np.float32]

#: Colours from dark to light of ground that a camera may look at.
_PALETTES = {
    'meadow': ((28, 42, 18), (58, 82, 32), (96, 118, 52), (142, 150, 84), (176, 168, 118)),
    'sand': ((92, 74, 52), (146, 122, 88), (184, 160, 122), (210, 190, 152), (232, 218, 188)),
    'asphalt': ((40, 42, 46), (70, 72, 76), (98, 100, 102), (128, 128, 126), (160, 158, 152)),
    'forest floor': ((30, 22, 14), (66, 48, 30), (104, 78, 46), (92, 96, 50), (150, 126, 84)),
    'water': ((10, 40, 52), (22, 72, 84), (48, 108, 116), (96, 150, 150), (190, 214, 206)),
    'stone': ((62, 58, 56), (98, 94, 90), (132, 128, 120), (164, 160, 150), (198, 194, 184)),
    'brick': ((70, 34, 26), (118, 60, 44), (148, 84, 62), (170, 112, 88), (198, 156, 130)),
}


def fractal_noise(
    rng: np.random.Generator,
    size: tuple[int, int],
    *,
    cell: float = 64.0,
    octaves: int = 6,
    persistence: float = 0.55,
) -> Plane:
    """Noise (height, width) float32 in [0, 1] with structure from `cell` pixels downwards."""
    width, height = size
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        step = cell / 2**octave
        if step < 1:
            break
        grid = rng.random((int(height / step) + 4, int(width / step) + 4), np.float32) - 0.5
        shift = rng.random(2)
        to_grid = np.array([[1 / step, 0, 1 + shift[0]], [0, 1 / step, 1 + shift[1]]])
        total += persistence**octave * cv2.warpAffine(
            grid, to_grid, size, flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        )
    total -= total.min()
    return np.asarray(total / max(float(total.max()), 1e-6), np.float32)


def colorize(values: Plane, palette: NDArray[np.float64]) -> Plane:
    """Map values (H, W) in [0, 1] to colours (H, W, 3) by a palette (N, 3) from 0 to 1."""
    steps = np.linspace(0, 1, 256) * (len(palette) - 1)
    table = np.stack(
        [np.interp(steps, np.arange(len(palette)), palette[:, c]) for c in range(3)], axis=1
    )
    indices = (values * 255).astype(np.uint8)
    return np.asarray(table.astype(np.float32)[indices], np.float32)


def natural_surface(rng: np.random.Generator, size: tuple[int, int]) -> Image:
    """Draw ground or wall (height, width, 3) uint8 RGB: patches, grain, things lying about."""
    kind = str(rng.choice(list(_PALETTES)))
    palette = np.array(_PALETTES[kind], np.float64) * rng.uniform(0.85, 1.15, 3)
    coarse = fractal_noise(rng, size, cell=max(size) / 3, octaves=8)
    patches = fractal_noise(rng, size, cell=max(size) / 5, octaves=5)
    surface = colorize(coarse, palette)
    other = np.array(_PALETTES[str(rng.choice(list(_PALETTES)))], np.float64)
    edge = np.clip((patches - rng.uniform(0.5, 0.65)) * 12, 0, 1)[..., None]
    surface = surface * (1 - 0.8 * edge) + 0.8 * edge * colorize(coarse, other)
    scatter(rng, surface, count=int(rng.uniform(30, 120)))
    grain = fractal_noise(rng, size, cell=4, octaves=2) - 0.5
    relief = cv2.Sobel(cv2.GaussianBlur(coarse, (0, 0), 1.5), cv2.CV_32F, 1, 1)
    surface += (grain * 36 + relief * 600)[..., None]
    return np.asarray(np.clip(surface, 0, 255), np.uint8)


def scatter(rng: np.random.Generator, surface: Plane, count: int) -> None:
    """Draw shaded pebbles and leaves with a little shadow into a surface (H, W, 3) in place."""
    height, width = surface.shape[:2]
    longest = max(width, height, 3 * 28) / 28
    for _ in range(count):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        length = float(np.exp(rng.uniform(np.log(3), np.log(longest))))
        axes = length, length * float(rng.uniform(0.35, 0.9))
        angle = float(rng.uniform(0, 180))
        local = surface[int(y), int(x)].astype(np.float64)
        color = local * rng.uniform(0.55, 1.35) + rng.uniform(-18, 18, 3)
        _ellipse(surface, (x + 0.18 * length, y + 0.22 * length), axes, angle, local * 0.5)
        _ellipse(surface, (x, y), axes, angle, color)
        inner = axes[0] * 0.6, axes[1] * 0.6
        _ellipse(surface, (x - 0.15 * length, y - 0.15 * length), inner, angle, color * 1.13)


def _ellipse(
    surface: Plane,
    center: tuple[float, float],
    axes: tuple[float, float],
    angle: float,
    color: NDArray[np.float64],
) -> None:
    outline = cv2.ellipse2Poly(
        (0, 0), (1000, int(1000 * axes[1] / axes[0])), int(angle), 0, 360, 12
    )
    points = np.asarray(outline, np.float64) * (axes[0] / 1000) + np.array(center)
    fixed = np.rint(points * 16).astype(np.int32)
    cv2.fillPoly(surface, [fixed], tuple(np.clip(color, 0, 255).tolist()), cv2.LINE_8, 4)


def _wood(rng: np.random.Generator, size: tuple[int, int]) -> Plane:
    """Grain (height, width) in [0, 1] along the height, coarse and fine."""
    width, height = size
    coarse = fractal_noise(rng, (max(width, 2), max(height // 8, 2)), cell=max(width / 3, 4))
    fine = fractal_noise(rng, (max(width, 2), max(height // 24, 2)), cell=6, octaves=3)
    grain = 0.6 * cv2.resize(coarse, size) + 0.4 * cv2.resize(fine, size)
    return np.asarray(np.clip(1.4 * grain - 0.2, 0, 1), np.float32)


def post(rng: np.random.Generator, size: tuple[int, int], source: Image | None = None) -> Image:
    """Draw an upright post (height, width, 4) RGBA, rounded by shading.

    Its surface is a strip of `source` (RGB) where given, otherwise a procedural one.
    """
    width, height = size
    if source is None:
        palette = np.array(_PALETTES[str(rng.choice(list(_PALETTES)))], np.float64)
        strip = colorize(_wood(rng, size), palette)
    else:
        row, column = rng.integers(0, np.array(source.shape[:2]) // 2)
        part = source[row : row + source.shape[0] // 2, column : column + source.shape[1] // 2]
        strip = cv2.resize(part, size).astype(np.float32) * rng.uniform(0.6, 1.2)
    across = np.linspace(-1, 1, width, dtype=np.float32)
    round_shading = 0.45 + 0.65 * np.sqrt(np.clip(1 - (0.8 * across + 0.25) ** 2, 0, 1))
    rgba = np.full((height, width, 4), 255, np.uint8)
    rgba[..., :3] = np.clip(strip * round_shading[None, :, None], 0, 255).astype(np.uint8)
    return rgba
