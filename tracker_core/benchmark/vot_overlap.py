"""Overlap of polygons by counting pixels, as in the VOT toolkit's region.c (also pysot's).

Regions are 8 numbers, four corners x, y; boxes go through `readers.vot.as_polygons`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Polygon = NDArray[np.float64]
_Mask = NDArray[np.bool_]
_Bounds = tuple[int, int, int, int]
_FAR = 1e9


def pixel_overlap(a: Polygon, b: Polygon, image_size: tuple[int, int] | None = None) -> float:
    """Intersection over union of the pixels that two polygons cover.

    image_size: (width, height); what lies outside is not counted. None: nothing is outside.
    Returns nan where a polygon holds nan.
    """
    if np.isnan(a).any() or np.isnan(b).any():
        return math.nan
    first, second = _bounds(a, image_size), _bounds(b, image_size)
    if not _can_overlap(first, second):
        return 0.0
    left, top = min(first[0], second[0]), min(first[1], second[1])
    right, bottom = max(first[2], second[2]), max(first[3], second[3])
    shape = (bottom - top + 1, right - left + 1)
    covered = [_rasterize(each, (left, top), shape) for each in (a, b)]
    union = np.count_nonzero(covered[0] | covered[1])
    return np.count_nonzero(covered[0] & covered[1]) / union if union else 0.0


def pixel_overlaps(
    a: NDArray[np.float64], b: NDArray[np.float64], image_size: tuple[int, int] | None = None
) -> NDArray[np.float64]:
    """`pixel_overlap` of each pair of rows (N, 8)."""
    return np.array([pixel_overlap(p, q, image_size) for p, q in zip(a, b, strict=True)])


def _bounds(polygon: Polygon, image_size: tuple[int, int] | None) -> _Bounds:
    """Whole pixels around a polygon: left, top, right, bottom."""
    x, y = polygon[::2], polygon[1::2]
    box = [math.floor(x.min()), math.floor(y.min()), math.ceil(x.max()), math.ceil(y.max())]
    if image_size is not None:
        box[:2] = max(box[0], 0), max(box[1], 0)
        box[2:] = min(box[2], image_size[0]), min(box[3], image_size[1])
    return box[0], box[1], box[2], box[3]


def _can_overlap(a: _Bounds, b: _Bounds) -> bool:
    areas = [max(right - left, 0) * max(bottom - top, 0) for left, top, right, bottom in (a, b)]
    if min(areas) / max(*areas, 1) < 1e-10:
        return False
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return width > 0 and height > 0


def _rasterize(polygon: Polygon, origin: tuple[int, int], shape: tuple[int, int]) -> _Mask:
    """Pixels of a polygon on a canvas (H, W): scan lines, filled with both ends."""
    corners = polygon.reshape(-1, 2) - np.array(origin, np.float64)
    corners = np.trunc(corners + np.copysign(0.5, corners))
    crossings = _crossings(corners, np.arange(shape[0], dtype=np.float64))
    columns = np.arange(shape[1])
    mask: _Mask = np.zeros(shape, bool)
    rows = np.arange(shape[0])
    position = np.zeros(shape[0], int)
    last = crossings.shape[1] - 1
    for _ in range(last):
        begin = crossings[rows, np.minimum(position, last)]
        end = crossings[rows, np.minimum(position + 1, last)]
        usable = (position < last) & (end < _FAR)
        filled = usable & (begin != end)
        inside = (columns >= begin[:, None]) & (columns <= end[:, None])
        mask |= inside & filled[:, None]
        position += np.where(filled, 2, 1)
    return mask


def _crossings(corners: NDArray[np.float64], rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Columns, truncated, at which the edges meet each row, sorted; far away where they do not."""
    found = []
    for (x0, y0), (x1, y1) in zip(np.roll(corners, 1, axis=0), corners, strict=True):
        if y0 == y1:
            continue
        meets = (rows >= min(y0, y1)) & (rows <= max(y0, y1))
        found.append(np.where(meets, np.trunc(x1 + (rows - y1) * (x0 - x1) / (y0 - y1)), _FAR))
    if not found:
        return np.full((len(rows), 1), _FAR)
    return np.sort(np.stack(found, axis=1), axis=1)
