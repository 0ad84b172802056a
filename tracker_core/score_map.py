"""What a score map says: the peak, and whether something else looks like the target."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]


class Flag(Enum):
    """Decision of the distractor test; values as in the published code."""

    NORMAL = 'normal'
    HARD_NEGATIVE = 'hard_negative'
    """The target is there, and something else scores high: learn from it now."""
    UNCERTAIN = 'uncertain'
    """Two peaks are equally plausible: do not learn."""
    NOT_FOUND = 'not_found'
    """Nothing scores high enough: do not move."""


@dataclass(frozen=True, slots=True)
class Peak:
    """A cell of a score map (rows, columns); offsets are relative to the centre of the map."""

    row: int
    column: int
    score: float
    offset: tuple[float, float]
    """(x, y) in cells."""


@dataclass(frozen=True, slots=True)
class DistractorThresholds:
    """When a second peak matters; scores are those of the map, ratios relative to its peak."""

    not_found: float
    """Peak below which the target is not found."""
    distractor: float
    """Ratio of two peaks above which their places decide."""
    hard_negative: float
    """Ratio above which the second peak is a hard negative."""
    neighborhood: float
    """Size of the region around the peak that belongs to it, relative to the target."""
    displacement: float
    """Plausible displacement relative to half of the map."""


def hann_window(size: int, amplitude: float = 0.5, period: int | None = None) -> Map:
    """Outer product (size, size) of amplitude * (1 - cos(2 pi k / period)), k = 1 ... size.

    period: size + 1 unless given, which makes the window symmetric and nowhere zero.
    """
    steps = np.arange(1, size + 1)
    row = amplitude * (1 - np.cos(2 * np.pi * steps / (period or size + 1)))
    window: Map = np.outer(row, row).astype(np.float32)
    return window


def find_peak(scores: Map) -> Peak:
    """Highest cell of a map (H, W); of equal ones the leftmost, then the uppermost."""
    column, row = np.unravel_index(int(np.argmax(scores.T)), scores.shape[::-1])
    return _peak_at(scores, int(row), int(column))


def mask_neighborhood(scores: Map, peak: Peak, size: tuple[float, float]) -> Map:
    """Copy of a map with `size` = (width, height) cells around a peak set to zero."""
    masked: Map = scores.copy()
    rows = _around(peak.row, size[1])
    columns = _around(peak.column, size[0])
    masked[rows, columns] = 0
    return masked


def judge_peaks(
    scores: Map,
    thresholds: DistractorThresholds,
    target_size: tuple[float, float],
    previous: tuple[float, float] = (0.0, 0.0),
    unwindowed: Map | None = None,
    prefer_near: bool = False,
) -> tuple[Peak, Flag]:
    """Choose the peak that is the target and say how sure that is (ATOM, PyTracking).

    scores: (H, W). target_size: (width, height) in cells. previous: (x, y) offset in cells where
    the target was. unwindowed: the map to look for the second peak in, where `scores` was
    multiplied by a window. Equally high peaks are told apart by which one is plausibly near; where
    both are or neither is, the higher one is chosen, or with `prefer_near` (not published) the
    nearer one, if it is a peak of its own and not the flank of the higher.
    """
    first = find_peak(scores)
    if first.score < thresholds.not_found:
        return first, Flag.NOT_FOUND
    region = thresholds.neighborhood * target_size[0], thresholds.neighborhood * target_size[1]
    others = scores if unwindowed is None else unwindowed
    second = find_peak(mask_neighborhood(others, first, region))
    if second.score > thresholds.distractor * first.score:
        limit = thresholds.displacement * math.sqrt(scores.size) / 2
        near = [math.dist(peak.offset, previous) for peak in (first, second)]
        if near[1] > limit and near[0] < limit:
            return first, Flag.HARD_NEGATIVE
        if near[1] < limit and near[0] > limit:
            return second, Flag.HARD_NEGATIVE
        if prefer_near and near[1] < near[0]:
            first = _nearer(others, first, second)
        return first, Flag.UNCERTAIN
    if second.score > max(thresholds.hard_negative * first.score, thresholds.not_found):
        return first, Flag.HARD_NEGATIVE
    return first, Flag.NORMAL


def _nearer(scores: Map, higher: Peak, near: Peak) -> Peak:
    """Top of the nearer hill, unless both cells are on the same one.

    Its top may lie within the neighbourhood of the higher peak, and `near` on its flank.
    """
    top = _uphill(scores, near)
    return higher if top == _uphill(scores, higher) else top


def _uphill(scores: Map, peak: Peak) -> Peak:
    """Top of the hill that a cell of a map belongs to, by steps to the highest neighbour."""
    row, column = max(peak.row - 1, 0), max(peak.column - 1, 0)
    step = find_peak(scores[row : peak.row + 2, column : peak.column + 2])
    if step.score <= scores[peak.row, peak.column]:
        return peak
    return _uphill(scores, _peak_at(scores, row + step.row, column + step.column))


def _peak_at(scores: Map, row: int, column: int) -> Peak:
    height, width = scores.shape
    offset = float(column - (width - 1) / 2), float(row - (height - 1) / 2)
    return Peak(row, column, float(scores[row, column]), offset)


def _around(cell: int, size: float) -> slice:
    """Cells of a neighbourhood; halves round to even."""
    return slice(max(round(cell - size / 2), 0), max(round(cell + size / 2 + 1), 0))
