"""A cut-out that is drawn into images at any size, place and perspective."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker_core.synthetic.bending import in_plane, on_cutout
from tracker_core.synthetic.motion import size_at_origin, transform

Image = NDArray[np.uint8]
Matrix = NDArray[np.float64]

LEVELS = 5
_BANDS = 4
#: Of what is bent: points of the outline and of each side of the box, pixels between places.
_POINTS = 64
_RIM = 8
_CELL = 8


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
        pixels = _contour(cut[..., 3])
        middle = self.width / 2, self.height / 2
        self.outline = _hull(pixels) - middle
        self._contour = _corners(pixels[:: -(-len(pixels) // _POINTS)]) - middle
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

    @property
    def half(self) -> tuple[float, float]:
        """Half the width and height of the upright box."""
        return self.width / 2, self.height / 2

    def outline_in_plane(self, bends: Matrix | None = None) -> NDArray[np.float64]:
        """Points of its outline, of which the hull is enough where it is rigid: (M, 2).

        Bent in N ways (N, 2, 3): (N, M, 2).
        """
        if bends is None:
            return np.asarray(self.outline)
        # A point within the hull may lie outside once all is bent.
        return self._bent(np.concatenate([self.outline, self._contour]), bends)

    def rim_in_plane(self, bends: Matrix | None = None) -> NDArray[np.float64]:
        """Points around everything that is not transparent, as of `outline_in_plane`."""
        if bends is None:
            return self.corners
        steps = np.linspace(0, 1, _RIM, endpoint=False)[:, None]
        sides = np.roll(self.corners, -1, 0) - self.corners
        points = self.corners[:, None] + steps * sides[:, None]
        return self._bent(points.reshape(-1, 2), bends)

    def _bent(self, points: Matrix, bends: Matrix) -> Matrix:
        """Where points (M, 2) are once bent in N ways (N, 2, 3): (N, M, 2)."""
        x, y = points.T
        bent = in_plane(x, y, self.half, bends.transpose(1, 2, 0)[..., None])
        return np.stack(bent, -1).astype(np.float64)

    def may_be_within(self, corners: NDArray[np.float64], matrix: Matrix) -> bool:
        """Return False where an affine mapping leaves all of it outside a convex area (N, 2).

        What is long and aslant may be outside although its upright box is not.
        """
        # Seen from the sprite, in whose coordinates it is a box; two pixels for interpolation.
        seen = transform(np.asarray(np.linalg.inv(matrix), np.float64), corners)
        room = self.corners.max(0) + 2 / float(size_at_origin(matrix))
        return bool((seen.min(0) < room).all() and (seen.max(0) > -room).all())

    def warp(
        self,
        matrix: Matrix,
        rim: NDArray[np.float64],
        *,
        margin: int = 0,
        bend: Matrix | None = None,
    ) -> Patch:
        """Draw it with the homography (3, 3) from its coordinates to image coordinates.

        `rim` (M, 2): points of the image around it; `margin` widens the patch (pixels). `bend`
        (2, 3): see `tracker_core.synthetic.bending`.
        """
        left, top = (np.floor(rim.min(0)).astype(int) - margin - 1).tolist()
        right, bottom = (np.ceil(rim.max(0)).astype(int) + margin + 1).tolist()
        if bend is not None:
            return self._draw_bent(matrix, bend, left, top, (right - left, bottom - top))
        return self._draw(matrix, self.level(matrix), left, top, right, bottom)

    def warp_in_bands(self, matrix: Matrix, size: tuple[int, int]) -> list[Patch]:
        """Draw what is in an image of (width, height) as patches one above the other.

        They are as wide as it is there: the box of what is long and aslant is nearly empty.
        """
        corners = transform(matrix, self.corners)
        low, high = np.clip((corners[:, 1].min() - 1, corners[:, 1].max() + 1), 0, size[1])
        edges = np.linspace(math.floor(low), math.ceil(high), _BANDS + 1).astype(int).tolist()
        bands, level = [], self.level(matrix)
        for top, bottom in itertools.pairwise(edges):
            low, high = _extent_between(corners.tolist(), top - 1, bottom + 1)
            left, right = math.floor(max(low - 1, 0)), math.ceil(min(high + 1, size[0]))
            if left < right and top < bottom:
                bands.append(self._draw(matrix, level, left, top, right, bottom))
        return bands

    def _draw(
        self, matrix: Matrix, level: int, left: int, top: int, right: int, bottom: int
    ) -> Patch:
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

    def _draw_bent(
        self, matrix: Matrix, bend: Matrix, left: int, top: int, size: tuple[int, int]
    ) -> Patch:
        # Every few pixels, from one cell outside the patch on, and interpolated between them.
        width, height = size
        columns, rows = (-(-side // _CELL) for side in size)
        x = left + _CELL * (np.arange(-1, columns + 1) + 0.5)
        y = top + _CELL * (np.arange(-1, rows + 1) + 0.5)
        plane_x, plane_y, depth = (
            a * x + (b * y + c)[:, None] for a, b, c in np.linalg.inv(matrix)
        )
        seen = on_cutout(plane_x / depth, plane_y / depth, self.half, bend)
        level = self.level(matrix)
        coarse = np.empty((*depth.shape, 2), np.float32)
        for axis in (0, 1):
            coarse[..., axis] = (seen[axis] + self.middle[axis]) / 2.0**level - 0.5
        fine = cv2.resize(coarse, ((columns + 2) * _CELL, (rows + 2) * _CELL))
        fine = fine[_CELL : _CELL + height, _CELL : _CELL + width]
        rgba = cv2.remap(self.levels[level], fine, None, cv2.INTER_LINEAR)  # type: ignore[call-overload]
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


def _contour(alpha: Image) -> NDArray[np.int32]:
    """Columns and rows (N, 2) of all pixels around those with an alpha of at least one half."""
    contours, _ = cv2.findContours(
        (alpha >= 128).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    return np.concatenate(contours)[:, 0].astype(np.int32)


def _hull(pixels: NDArray[np.int32]) -> NDArray[np.float64]:
    """Convex hull (M, 2) of the corners of pixels (N, 2)."""
    corners = _corners(cv2.convexHull(pixels)[:, 0].astype(np.int32))
    return cv2.convexHull(corners.astype(np.float32))[:, 0].astype(np.float64)


def _corners(pixels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Corners (4 N, 2) of pixels (N, 2)."""
    return np.concatenate([pixels + np.array((x, y), np.int32) for x in (0, 1) for y in (0, 1)])
