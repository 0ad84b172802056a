"""A cut-out that is drawn into images at any size, place and perspective."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker_core.synthetic.motion import similarity, size_at_origin, transform

Image = NDArray[np.uint8]
Matrix = NDArray[np.float64]

LEVELS = 5
_BANDS = 4


@dataclass(frozen=True, slots=True)
class Patch:
    """Part of an image: premultiplied RGBA (h, w, 4) whose first pixel is at (left, top)."""

    rgba: Image
    left: int
    top: int

    @property
    def alpha(self) -> Image:
        """Opacity (h, w), 0..255."""
        return self.rgba[..., 3]


class Sprite:
    """An RGBA cut-out prepared for drawing; the origin of its coordinates is its middle."""

    def __init__(self, rgba: Image) -> None:
        """Take a cut-out (h, w, 4) uint8, not premultiplied. Raises ValueError if it is empty."""
        if rgba.ndim != 3 or rgba.shape[2] != 4 or rgba.dtype != np.uint8:
            raise ValueError(f'a cut-out must be RGBA uint8, not {rgba.shape} {rgba.dtype}')
        solid = rgba[..., 3] >= 128
        if not solid.any():
            raise ValueError('a cut-out must have opaque pixels; this one is transparent')
        rows, columns = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
        cut = rgba[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        self.width, self.height = cut.shape[1], cut.shape[0]
        step = 2 ** (LEVELS - 1)
        padding = step, -self.height % step + step, step, -self.width % step + step
        padded = cv2.copyMakeBorder(_premultiplied(cut), *padding, cv2.BORDER_CONSTANT)
        levels = [padded.astype(np.uint8, copy=False)]
        for _ in range(LEVELS - 1):
            half = cv2.resize(levels[-1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
            levels.append(half.astype(np.uint8, copy=False))
        self.levels = levels
        self.middle = step + self.width / 2, step + self.height / 2
        self.outline = _hull(cut[..., 3]) - (self.width / 2, self.height / 2)
        self.corners = self.outline_of_padding()

    @property
    def size(self) -> float:
        """Square root of the area of the upright box, in pixels of the cut-out."""
        return float(np.sqrt(self.width * self.height))

    @property
    def diameter(self) -> float:
        """Twice the distance of the furthest point from the middle."""
        return float(2 * np.hypot(*self.outline.T).max())

    def outline_of_padding(self) -> NDArray[np.float64]:
        """Corners (4, 2) of everything that is not transparent, one pixel of margin included."""
        x, y = self.width / 2 + 1, self.height / 2 + 1
        return np.array([[-x, -y], [x, -y], [x, y], [-x, y]])

    def bounds(self, matrix: Matrix) -> NDArray[np.float64]:
        """Tight box (left, top, right, bottom) after the mapping of its coordinates to pixels."""
        points = transform(matrix, self.outline)
        return np.concatenate([points.min(0), points.max(0)])

    def may_be_within(self, corners: NDArray[np.float64], matrix: Matrix) -> bool:
        """Return False where an affine mapping leaves all of it outside a convex area (N, 2).

        What is long and aslant may be outside although its upright box is not.
        """
        # Seen from the sprite, in whose coordinates it is a box; two pixels for interpolation.
        seen = transform(np.asarray(np.linalg.inv(matrix), np.float64), corners)
        room = self.corners.max(0) + 2 / float(size_at_origin(matrix))
        return bool((seen.min(0) < room).all() and (seen.max(0) > -room).all())

    def warp(self, matrix: Matrix, *, margin: int = 0) -> Patch:
        """Draw it with the homography (3, 3) from its coordinates to image coordinates.

        `margin` widens the patch (pixels).
        """
        corners = transform(matrix, self.corners)
        left, top = np.floor(corners.min(0)).astype(int) - margin - 1
        right, bottom = np.ceil(corners.max(0)).astype(int) + margin + 1
        return self._draw(matrix, int(left), int(top), int(right), int(bottom))

    def warp_in_bands(self, matrix: Matrix, size: tuple[int, int]) -> list[Patch]:
        """Draw what is in an image of (width, height) as patches one above the other.

        They are as wide as it is there: the box of what is long and aslant is nearly empty.
        """
        corners = transform(matrix, self.corners)
        low, high = np.clip((corners[:, 1].min() - 1, corners[:, 1].max() + 1), 0, size[1])
        edges = np.linspace(math.floor(low), math.ceil(high), _BANDS + 1).astype(int).tolist()
        bands = []
        for top, bottom in itertools.pairwise(edges):
            extent = _extent_between(corners, top - 1, bottom + 1)
            left, right = np.clip((extent[0] - 1, extent[1] + 1), 0, size[0])
            bands.append(self._draw(matrix, math.floor(left), top, math.ceil(right), bottom))
        return [band for band in bands if band.rgba.size]

    def _draw(self, matrix: Matrix, left: int, top: int, right: int, bottom: int) -> Patch:
        if right <= left or bottom <= top:
            return Patch(np.zeros((0, 0, 4), np.uint8), left, top)
        level = self.level(matrix)
        to_patch = (
            similarity(-0.5 - left, -0.5 - top)
            @ matrix
            @ similarity(-self.middle[0], -self.middle[1])
            @ np.diag([2.0**level, 2.0**level, 1.0])
            @ similarity(0.5, 0.5)
        )
        size = right - left, bottom - top
        if to_patch[2, 0] == to_patch[2, 1] == 0:
            to_patch /= to_patch[2, 2]
            rgba = cv2.warpAffine(self.levels[level], to_patch[:2], size, flags=cv2.INTER_LINEAR)
        else:
            rgba = cv2.warpPerspective(self.levels[level], to_patch, size, flags=cv2.INTER_LINEAR)
        return Patch(rgba.astype(np.uint8, copy=False), left, top)

    def level(self, matrix: Matrix) -> int:
        """Pyramid level that is shrunk by no more than two when drawn (no aliasing)."""
        scale = float(size_at_origin(matrix))
        return int(np.clip(np.floor(-np.log2(max(scale, 1e-6)) + 0.25), 0, LEVELS - 1))


def _extent_between(corners: NDArray[np.float64], low: float, high: float) -> tuple[float, float]:
    """Smallest and largest x of a polygon (N, 2) between two values of y, or zeros."""
    steps = np.roll(corners, -1, 0) - corners
    rise = np.where(np.abs(steps[:, 1]) < 1e-9, 1e-9, steps[:, 1])
    parts = (np.array([[low], [high]]) - corners[:, 1]) / rise
    crossed = (parts.min(0) <= 1) & (parts.max(0) >= 0)
    if not crossed.any():
        return 0.0, 0.0
    x = (corners[:, 0] + parts.clip(0, 1) * steps[:, 0])[:, crossed]
    return float(x.min()), float(x.max())


def paste(image: Image, patch: Patch) -> None:
    """Blend a patch into an image (H, W, 3) in place."""
    window = _window(image.shape[:2], patch.rgba, patch.left, patch.top)
    if window is None:
        return
    rows, columns, inside = window
    rgba = patch.rgba[inside]
    rest = cv2.cvtColor(cv2.bitwise_not(cv2.extractChannel(rgba, 3)), cv2.COLOR_GRAY2RGB)
    below = cv2.multiply(image[rows, columns], rest, scale=1 / 255)
    cv2.add(below, cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB), image[rows, columns])


def darken(image: Image, patch: Patch, strength: float, spread: float) -> None:
    """Draw the soft shadow of a patch (blurred by `spread` pixels) into an image in place."""
    border = int(3 * spread)
    alpha = cv2.extractChannel(patch.rgba, 3)
    alpha = cv2.copyMakeBorder(alpha, *(border,) * 4, cv2.BORDER_CONSTANT)
    soft = _soften(alpha.astype(np.uint8, copy=False), max(spread, 0.5))
    shade = cv2.convertScaleAbs(soft, alpha=strength).astype(np.uint8, copy=False)
    window = _window(image.shape[:2], shade, patch.left - border, patch.top - border)
    if window is None:
        return
    rows, columns, inside = window
    rest = cv2.cvtColor(cv2.bitwise_not(shade[inside]), cv2.COLOR_GRAY2RGB)
    cv2.multiply(image[rows, columns], rest, image[rows, columns], scale=1 / 255)


def _soften(alpha: Image, sigma: float) -> Image:
    """Blur (h, w) by a Gaussian; wide ones on a smaller image, which shows nothing less."""
    factor = 1
    while sigma / factor >= 4:
        factor *= 2
    height, width = alpha.shape
    small = alpha
    if factor > 1:
        size = -(-width // factor), -(-height // factor)
        small = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    soft = cv2.GaussianBlur(small, (0, 0), sigma / factor)
    if factor > 1:
        soft = cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR)
    return soft.astype(np.uint8, copy=False)


def seen_through(patch: Patch, opacity: Image) -> float:
    """Sum of a patch's alpha (0..1 per pixel) left by an opacity map (H, W) uint8 above it."""
    window = _window(opacity.shape[:2], patch.rgba, patch.left, patch.top)
    if window is None:
        return 0.0
    rows, columns, inside = window
    free = (255 - opacity[rows, columns]).astype(np.float32)
    return float((patch.alpha[inside] * free).sum() / 255**2)


def _window(
    shape: tuple[int, ...], patch: Image, x: int, y: int
) -> tuple[slice, slice, tuple[slice, slice]] | None:
    """Rows and columns of an image that a patch at (x, y) covers, and that part of the patch."""
    height, width = patch.shape[:2]
    top, bottom = max(y, 0), min(y + height, shape[0])
    left, right = max(x, 0), min(x + width, shape[1])
    if bottom <= top or right <= left:
        return None
    inside = (
        slice(top - y, bottom - y),
        slice(left - x, right - x),
    )
    return slice(top, bottom), slice(left, right), inside


def _premultiplied(rgba: Image) -> Image:
    alpha = rgba[..., 3:].astype(np.float32) / 255
    return np.concatenate([np.rint(rgba[..., :3] * alpha).astype(np.uint8), rgba[..., 3:]], axis=2)


def _hull(alpha: Image) -> NDArray[np.float64]:
    """Convex hull (N, 2) of the corners of all pixels with an alpha of at least one half."""
    contours, _ = cv2.findContours(
        (alpha >= 128).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    pixels = np.concatenate(contours)[:, 0]
    corners = np.concatenate([pixels + np.array((dx, dy)) for dx in (0, 1) for dy in (0, 1)])
    return cv2.convexHull(corners.astype(np.float32))[:, 0].astype(np.float64)
