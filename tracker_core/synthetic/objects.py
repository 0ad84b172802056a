"""Procedural painted objects as cut-outs, and look-alikes of given ones."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker_core.synthetic.textures import fractal_noise

Image = NDArray[np.uint8]
Plane = NDArray[np.float32]

#: Side of a painted cut-out in pixels.
_SIDE = 192


def painted_object(rng: np.random.Generator) -> Image:
    """Draw a toy-like object (h, w, 4) RGBA: random shape, two or three colours, shading."""
    mask = _SHAPES[int(rng.integers(len(_SHAPES)))](rng)
    colors = _paint(rng)
    pattern = _PATTERNS[int(rng.integers(len(_PATTERNS)))](rng)
    surface = colors[0] * (1 - pattern[..., None]) + colors[1] * pattern[..., None]
    _details(rng, surface, mask, colors[2])
    return _shaded(rng, surface, mask)


def look_alike(rng: np.random.Generator, rgba: Image) -> Image:
    """Return a mirrored, slightly recoloured copy of a cut-out (h, w, 4)."""
    hsv = cv2.cvtColor(np.ascontiguousarray(rgba[:, ::-1, :3]), cv2.COLOR_RGB2HSV).astype(np.int16)
    hsv[..., 0] = (hsv[..., 0] + int(rng.integers(6, 20)) * int(rng.choice((-1, 1)))) % 180
    hsv[..., 2] = np.clip(hsv[..., 2] * rng.uniform(0.75, 1.15), 0, 255)
    rgb = cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB)
    return np.dstack([rgb, rgba[:, ::-1, 3]]).astype(np.uint8)


def _grid() -> tuple[Plane, Plane]:
    """x and y (side, side) of the canvas, each from -1 to 1."""
    line = ((np.arange(_SIDE) + 0.5) / _SIDE * 2 - 1).astype(np.float32)
    x, y = np.meshgrid(line, line)
    return x, y


def _filled(outlines: list[NDArray[np.float64]]) -> Plane:
    """Anti-aliased mask (side, side) in [0, 1] of polygons with corners in [-1, 1]."""
    big = np.zeros((_SIDE * 4, _SIDE * 4), np.uint8)
    for outline in outlines:
        cv2.fillPoly(big, [np.rint((outline + 1) * 2 * _SIDE).astype(np.int32)], 255)
    small = cv2.resize(big, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(small / np.float32(255), np.float32)


def _ring(radius: NDArray[np.float64] | float, squash: float = 1.0) -> NDArray[np.float64]:
    angles = np.linspace(0, 2 * np.pi, 240, endpoint=False)
    return np.stack([radius * np.cos(angles), radius * np.sin(angles) * squash], axis=1)


def _ball(rng: np.random.Generator) -> Plane:
    return _filled([_ring(0.92, float(rng.uniform(0.75, 1.0)))])


def _blob(rng: np.random.Generator) -> Plane:
    angles = np.linspace(0, 2 * np.pi, 240, endpoint=False)
    radius = np.full(240, 0.7)
    for lobe in range(2, 6):
        radius += rng.uniform(0, 0.16 / (lobe - 1)) * np.sin(lobe * angles + rng.uniform(0, 6.3))
    return _filled([_ring(radius / radius.max() * 0.93, float(rng.uniform(0.55, 1.0)))])


def _fish(rng: np.random.Generator) -> Plane:
    slim = float(rng.uniform(0.5, 0.75))
    body = _ring(0.66, slim) - np.array((0.22, 0.0))
    high = 0.42 + 0.2 * rng.random()
    tail = np.array([[0.25, 0.0], [0.9, -high], [0.75, 0.0], [0.9, high]])
    fin = np.array([[-0.4, -0.55 * slim], [0.05, -0.9 * slim - 0.12], [0.25, -0.4 * slim]])
    belly = np.array([[-0.3, 0.55 * slim], [-0.02, 0.8 * slim + 0.1], [0.1, 0.5 * slim]])
    return _filled([body, tail, fin, belly])


def _vehicle(rng: np.random.Generator) -> Plane:
    long, wide, sharp = 0.9, float(rng.uniform(0.4, 0.6)), float(rng.uniform(3, 6))
    angles = np.linspace(0, 2 * np.pi, 240, endpoint=False)
    cosine, sine = np.cos(angles), np.sin(angles)
    round_box = (np.abs(cosine) ** sharp + np.abs(sine) ** sharp) ** (-1 / sharp)
    body = np.stack([long * round_box * cosine, wide * round_box * sine], axis=1)
    wheels = [
        _ring(0.17, 0.6) + np.array((0.52 * side_x, (wide + 0.02) * side_y))
        for side_x in (-1, 1)
        for side_y in (-1, 1)
    ]
    return _filled([body, *wheels])


def _bird(rng: np.random.Generator) -> Plane:
    body = _ring(0.62, 0.42)
    sweep = float(rng.uniform(-0.3, 0.3))
    wings = [
        np.array(
            [[-0.32, 0.0], [sweep - 0.05, 0.92 * side], [sweep + 0.3, 0.8 * side], [0.34, 0.0]]
        )
        for side in (-1, 1)
    ]
    tail = np.array([[0.45, 0.0], [0.9, -0.28], [0.9, 0.28]])
    return _filled([body, *wings, tail])


_SHAPES = (_ball, _blob, _fish, _vehicle, _bird)


def _warped(rng: np.random.Generator) -> tuple[Plane, Plane]:
    """Canvas coordinates, turned and bent a little so that no pattern is ruler-straight."""
    x, y = _grid()
    angle = float(rng.uniform(0, np.pi))
    bend = 0.25 * (fractal_noise(rng, (_SIDE, _SIDE), cell=90, octaves=2) - 0.5)
    turned = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    return (turned[0] + bend).astype(np.float32), (turned[1] - bend).astype(np.float32)


def _stripes(rng: np.random.Generator) -> Plane:
    x, _ = _warped(rng)
    return np.asarray(_soft(np.sin(x * rng.uniform(6, 13) + rng.uniform(0, 6.3))))


def _dots(rng: np.random.Generator) -> Plane:
    x, y = _warped(rng)
    pitch = float(rng.uniform(5, 9))
    return np.asarray(_soft(np.sin(x * pitch) * np.sin(y * pitch) - 0.15))


def _halves(rng: np.random.Generator) -> Plane:
    x, y = _warped(rng)
    return np.asarray(_soft(x + float(rng.uniform(-0.2, 0.2))) * _soft(y + 0.5))


def _camouflage(rng: np.random.Generator) -> Plane:
    return np.asarray(_soft(fractal_noise(rng, (_SIDE, _SIDE), cell=70, octaves=3) - 0.5))


def _soft(values: Plane) -> Plane:
    """1 where values are positive, 0 where negative, with a steep smooth edge."""
    return np.asarray(np.clip(values * 8 + 0.5, 0, 1), np.float32)


_PATTERNS = (_stripes, _stripes, _dots, _halves, _camouflage)


def _paint(rng: np.random.Generator) -> NDArray[np.float32]:
    """Three colours (3, 3): a saturated one, one that differs, and a dark or light one."""
    hue = float(rng.uniform(0, 180))
    hues = (hue, (hue + rng.uniform(30, 150)) % 180, hue)
    light = rng.random() < 0.5
    saturations = rng.uniform(150, 240), rng.choice((25, 200)), 40
    values = rng.uniform(150, 235), rng.uniform(90, 245), 235 if light else 35
    hsv = np.array([[*zip(hues, saturations, values, strict=True)]]).astype(np.uint8)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0], np.float32)


def _details(
    rng: np.random.Generator, surface: Plane, mask: Plane, color: NDArray[np.float32]
) -> None:
    """Paint an eye or window and a few marks into the surface in place."""
    for _ in range(int(rng.integers(1, 4))):
        x, y = rng.uniform(-0.5, 0.5, 2)
        radius = float(rng.uniform(0.06, 0.16))
        spot = _filled([_ring(radius, float(rng.uniform(0.6, 1))) + np.array((x, y))])[..., None]
        surface *= 1 - spot
        surface += spot * color
        glint = _filled([_ring(radius * 0.4) + np.array((x, y)) - radius / 3])[..., None]
        surface *= 1 - glint
        surface += glint * (255 - color)


def _shaded(rng: np.random.Generator, surface: Plane, mask: Plane) -> Image:
    """Light the surface as if the mask were inflated, with a highlight and a dark rim."""
    solid = cv2.copyMakeBorder((mask > 0.5).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    distance = cv2.distanceTransform(solid, cv2.DIST_L2, 5)[1:-1, 1:-1]
    height = np.sqrt(distance / max(float(distance.max()), 1))
    height = cv2.GaussianBlur(height, (0, 0), 5)
    slope_x = cv2.Sobel(height, cv2.CV_32F, 1, 0, scale=_SIDE / 24)
    slope_y = cv2.Sobel(height, cv2.CV_32F, 0, 1, scale=_SIDE / 24)
    length = np.sqrt(slope_x**2 + slope_y**2 + 1)
    sun = np.array([*rng.uniform(-0.6, 0.6, 2), 1.0])
    sun /= np.linalg.norm(sun)
    lambert = np.clip((sun[2] - sun[0] * slope_x - sun[1] * slope_y) / length, 0, 1)
    grain = fractal_noise(rng, (_SIDE, _SIDE), cell=12, octaves=3) - 0.5
    rim = np.clip(distance / 4, 0.35, 1)
    lit = surface * ((0.4 + 0.7 * lambert) * rim * (1 + 0.15 * grain))[..., None]
    lit += (150 * np.clip(lambert, 0, 1) ** 40)[..., None]
    return np.dstack([np.clip(lit, 0, 255), mask * 255]).astype(np.uint8)
