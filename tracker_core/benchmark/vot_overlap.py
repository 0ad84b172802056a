"""Overlap of polygons by counting pixels, as in the VOT toolkit's region.c (also pysot's).

Regions are 8 numbers, four corners x, y; boxes go through `readers.vot.as_polygons`. Nothing is
drawn: a row of pixels crosses a quadrilateral in at most two spans, and spans can be counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Polygon = NDArray[np.float64]
_Numbers = NDArray[np.float64]
_FAR = 1e9
#: Pairs that are worked on at once, so that memory stays small.
_CHUNK = 256


@dataclass(frozen=True)
class _Rows:
    """The rows of the canvases of many pairs, one after the other."""

    pair: NDArray[np.intp]
    """(R,) index of the pair that a row belongs to."""
    height: _Numbers
    """(R,) number of the row on its canvas."""
    width: _Numbers
    """(R,) columns of the canvas."""


def pixel_overlap(a: Polygon, b: Polygon, image_size: tuple[int, int] | None = None) -> float:
    """Intersection over union of the pixels that two polygons cover.

    image_size: (width, height); what lies outside is not counted. None: nothing is outside.
    Returns nan where a polygon holds nan.
    """
    return float(pixel_overlaps(a[None], b[None], image_size)[0])


def pixel_overlaps(
    a: NDArray[np.float64], b: NDArray[np.float64], image_size: tuple[int, int] | None = None
) -> NDArray[np.float64]:
    """`pixel_overlap` of each pair of rows (N, 8)."""
    shares = np.full(len(a), np.nan)
    known = np.flatnonzero(~np.isnan(a).any(axis=1) & ~np.isnan(b).any(axis=1))
    bounds = [_bounds(each[known], image_size) for each in (a, b)]
    near = _can_overlap(*bounds)
    shares[known[~near]] = 0.0
    for start in range(0, np.count_nonzero(near), _CHUNK):
        part = np.flatnonzero(near)[start : start + _CHUNK]
        rows = known[part]
        shares[rows] = _count(a[rows], b[rows], bounds[0][part], bounds[1][part])
    return shares


def _bounds(polygons: _Numbers, image_size: tuple[int, int] | None) -> _Numbers:
    """Whole pixels around polygons: (N, 4) left, top, right, bottom."""
    corners = polygons.reshape(-1, 4, 2)
    low, high = np.floor(corners.min(axis=1)), np.ceil(corners.max(axis=1))
    if image_size is not None:
        low, high = np.maximum(low, 0), np.minimum(high, image_size)
    return np.concatenate([low, high], axis=1)


def _can_overlap(a: _Numbers, b: _Numbers) -> NDArray[np.bool_]:
    areas = np.stack(
        [np.prod(np.maximum(each[:, 2:] - each[:, :2], 0), axis=1) for each in (a, b)]
    )
    sized = areas.min(axis=0) / np.maximum(areas.max(axis=0), 1) >= 1e-10
    common = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    meeting: NDArray[np.bool_] = sized & (common > 0).all(axis=1)
    return meeting


def _count(a: _Numbers, b: _Numbers, first: _Numbers, second: _Numbers) -> _Numbers:
    """Overlaps (N,) of polygons (N, 8) with bounds (N, 4) on canvases that hold both bounds."""
    origin = np.minimum(first, second)[:, :2]
    width, height = (np.maximum(first, second)[:, 2:] - origin + 1).astype(int).T
    pair = np.repeat(np.arange(len(a)), height)
    number = np.arange(len(pair)) - np.repeat(np.cumsum(height) - height, height)
    rows = _Rows(pair, number.astype(np.float64), width[pair].astype(np.float64))
    spans = [_spans(each, origin, rows) for each in (a, b)]
    common = sum(
        _length(np.maximum(s[0], t[0]), np.minimum(s[1], t[1])) for s in spans[0] for t in spans[1]
    )
    covered = sum(_length(*span) for each in spans for span in each)
    shared, total = (np.bincount(pair, each, len(a)) for each in (common, covered))
    union = total - shared
    overlaps: _Numbers = np.divide(shared, union, out=np.zeros(len(a)), where=union > 0)
    return overlaps


def _spans(polygons: _Numbers, origin: _Numbers, rows: _Rows) -> list[tuple[_Numbers, _Numbers]]:
    """Two disjoint spans of columns, first and last (R,), that a polygon covers in each row.

    Of the sorted crossings, equal neighbours count once; between each two of the rest all pixels
    are filled, both ends included. The last lies before the first where there is no span.
    """
    corners = polygons.reshape(-1, 4, 2) - origin[:, None]
    a, b, c, d = _crossings(np.trunc(corners + np.copysign(0.5, corners)), rows)
    apart = a != b
    begin, end = np.where(apart, a, b), np.where(apart, b, c)
    ends = np.where((begin != end) & (end < _FAR), end, -1.0)
    later = np.where((c != d) & (d < _FAR) & (apart | (b == c)), d, -1.0)
    limit = rows.width - 1
    return [
        (np.maximum(begin, 0), np.minimum(ends, limit)),
        (np.maximum(np.maximum(c, ends + 1), 0), np.minimum(later, limit)),
    ]


def _crossings(corners: _Numbers, rows: _Rows) -> _Numbers:
    """Columns (4, R), truncated, at which the edges meet each row, in ascending order.

    Far away where an edge does not meet the row, or lies in it.
    """
    x1, y1 = corners.transpose(2, 1, 0)[..., rows.pair]
    x0, y0 = np.roll(x1, 1, axis=0), np.roll(y1, 1, axis=0)
    meets = (rows.height >= np.minimum(y0, y1)) & (rows.height <= np.maximum(y0, y1)) & (y0 != y1)
    slope = np.where(y0 == y1, 1.0, y0 - y1)
    columns = np.trunc(x1 + (rows.height - y1) * (x0 - x1) / slope)
    return np.sort(np.where(meets, columns, _FAR), axis=0)


def _length(first: _Numbers, last: _Numbers) -> _Numbers:
    return np.maximum(last - first + 1, 0)
