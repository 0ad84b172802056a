"""A cut-out that is drawn into images at any size, place and perspective."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker_core.synthetic.motion import size_at_origin, transform

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
        """Tight boxes (..., 4) left, top, right, bottom where matrices (..., 3, 3) map it to."""
        points = transform(matrix, self.outline)
        return np.concatenate([points.min(-2), points.max(-2)], -1)

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
            low, high = _extent_between(corners.tolist(), top - 1, bottom + 1)
            left, right = math.floor(max(low - 1, 0)), math.ceil(min(high + 1, size[0]))
            if left < right and top < bottom:
                bands.append(self._draw(matrix, left, top, right, bottom))
        return bands

    def _draw(self, matrix: Matrix, left: int, top: int, right: int, bottom: int) -> Patch:
        level = self.level(matrix)
        # From the pixels of the level to the patch, both counted from the middle of the first.
        step, (x, y) = 2.0**level, self.middle
        to_sprite = np.array([[step, 0, step / 2 - x], [0, step, step / 2 - y], [0, 0, 1]])
        to_patch = np.array([[1, 0, -0.5 - left], [0, 1, -0.5 - top], [0, 0, 1]])
        to_patch = to_patch @ matrix @ to_sprite
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
        return min(max(math.floor(0.25 - math.log2(max(scale, 1e-6))), 0), LEVELS - 1)


def _extent_between(corners: list[list[float]], low: float, high: float) -> tuple[float, float]:
    """Smallest and largest x of a polygon between two values of y, or zeros."""
    reached = []
    for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
        slope = (x1 - x0) / (y1 - y0) if y0 != y1 else 0.0
        ends = sorted((min(max(y, low), high), y, x) for x, y in ((x0, y0), (x1, y1)))
        if ends[0][1] <= high and ends[1][1] >= low:
            reached += [x + (inside - y) * slope for inside, y, x in ends]
    return min(reached, default=0.0), max(reached, default=0.0)


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
    rest = _left_by(alpha.astype(np.uint8, copy=False), strength, max(spread, 0.5))
    window = _window(image.shape[:2], rest, patch.left - border, patch.top - border)
    if window is None:
        return
    rows, columns, inside = window
    rest = cv2.cvtColor(rest[inside], cv2.COLOR_GRAY2RGB).astype(np.uint8, copy=False)
    cv2.multiply(image[rows, columns], rest, image[rows, columns], scale=1 / 255)


def _left_by(alpha: Image, strength: float, sigma: float) -> Image:
    """Light (h, w), 0..255, left by a shadow that is blurred by a Gaussian.

    A wide blur is made on a smaller image, which shows nothing less.
    """
    factor = 1
    while sigma / factor >= 4:
        factor *= 2
    height, width = alpha.shape
    if factor > 1:
        size = -(-width // factor), -(-height // factor)
        alpha = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    soft = cv2.GaussianBlur(alpha, (0, 0), sigma / factor)
    rest = cv2.convertScaleAbs(soft, alpha=-strength, beta=255)
    if factor > 1:
        rest = cv2.resize(rest, (width, height), interpolation=cv2.INTER_LINEAR)
    return rest.astype(np.uint8, copy=False)


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
        (alpha >= 128).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    pixels = cv2.convexHull(np.concatenate(contours))[:, 0]
    corners = np.concatenate([pixels + np.array((dx, dy)) for dx in (0, 1) for dy in (0, 1)])
    return cv2.convexHull(corners.astype(np.float32))[:, 0].astype(np.float64)
