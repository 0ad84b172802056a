"""Where to look for a target that is lost: around the last sure place, further and further."""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from tracker_core.score_map import Map

#: (x, y), or (width, height), in image pixels.
Point = tuple[float, float]
#: Distance between the regions that are searched, relative to their side.
SPACING = 0.6
#: Sure frames whose sizes are remembered: while a target is being covered its box gets smaller.
_REMEMBERED = 25
#: Ratio of the sizes (geometric means of the sides) of two targets up to which a search region
#: for the one will do for the other.
_SIMILAR = 1.5


class Searched(Protocol):
    """A search region that a tracker has looked at."""

    @property
    def scores(self) -> Map:
        """Of the target's filter, (rows, columns)."""
        ...


V = TypeVar('V', bound=Searched)


class Scan:
    """Places in an image of extent = (width, height) without end, the nearest first.

    They form a grid around `center`. Every pass goes one ring further than the last one, until
    the grid covers the image, so that near places are seen more often.
    """

    def __init__(self, center: Point, spacing: float, extent: tuple[int, int]) -> None:
        self.extent = extent
        x, y = (_nearby(at, spacing, length) for at, length in zip(center, extent, strict=True))
        self._center, self._spacing = (x, y), spacing
        self._reach, self._next = 1, 0
        self._places = self._grid(1)

    def __iter__(self) -> Scan:
        return self

    def __next__(self) -> Point:
        """Next place; there always is one."""
        if self._next == len(self._places):
            self._begin_pass()
        self._next += 1
        return self._places[self._next - 1]

    def _begin_pass(self) -> None:
        wider = self._grid(self._reach + 1)
        if len(wider) > len(self._places):
            self._places, self._reach = wider, self._reach + 1
        self._next = 0

    def _grid(self, reach: int) -> list[Point]:
        return _grid(self._center, self._spacing, self.extent, reach)


@dataclass
class Recovery:
    """Remembers where a target was surely seen, and names places to search while it is lost.

    A tracker that searches only around the last place never sees a target again that comes back
    elsewhere. It calls `trust` on every frame it is sure of; while its target is lost it also
    searches a region around `next_center`, at the scale of `size`.
    """

    center: Point
    size: Point
    """Of the target, the median of the last sure frames."""
    _sizes: deque[Point] = field(default_factory=lambda: deque(maxlen=_REMEMBERED), repr=False)
    _scan: Scan | None = field(default=None, repr=False)

    def trust(self, center: Point, size: Point) -> None:
        """Take over the place of a target that is surely there; the next scan begins anew."""
        self._sizes.append(size)
        widths, heights = zip(*self._sizes, strict=True)
        self.size = statistics.median(widths), statistics.median(heights)
        self.center, self._scan = center, None

    def search(
        self,
        look: Callable[[Point], V],
        view: V,
        regions: int,
        side: float,
        extent: tuple[int, int],
        searched: tuple[Point, Point],
    ) -> tuple[V, Point | None]:
        """Return the view with the highest score, and its centre; None for `view` itself.

        look: searches the region around a centre. view: that of a target of `searched` = (centre,
        size), which is searched anyway. regions: how many others to look at, of this side in
        pixels. extent: (width, height) of the image.
        """
        best, place = view, None
        around, size = searched
        ratio = math.sqrt(math.prod(size) / math.prod(self.size))
        known = around if 1 / _SIMILAR < ratio < _SIMILAR else None
        for _ in range(regions):
            center = self.next_center(SPACING * side, extent, known)
            other = look(center)
            if other.scores.max() > best.scores.max():
                best, place = other, center
        return best, place

    def next_center(
        self, spacing: float, extent: tuple[int, int], searched: Point | None
    ) -> Point:
        """Centre of the next region to search.

        spacing: distance between neighbouring centres, in pixels. extent: (width, height) of the
        image. searched: centre of the region that is searched anyway, if any; the scan leaves out
        places nearby, unless there is no other. It begins anew in an image of another size.
        """
        if self._scan is None or self._scan.extent != extent:
            self._scan = Scan(self.center, spacing, extent)
        place = next(self._scan)
        is_known = searched is not None and math.dist(place, searched) < spacing / 4
        return next(self._scan) if is_known else place


def _grid(center: Point, spacing: float, extent: tuple[int, int], reach: int) -> list[Point]:
    """Places up to `reach` steps from the middle, with surroundings in the image, by distance."""
    columns, rows = (
        _axis(at, spacing, length, reach) for at, length in zip(center, extent, strict=True)
    )
    places = [(x, y) for x in columns for y in rows]
    return sorted(places, key=lambda place: math.dist(place, center))


def _axis(middle: float, spacing: float, length: int, reach: int) -> list[float]:
    """Coordinates along one axis, moved into the image where they are just outside."""
    steps = (middle + step * spacing for step in range(-reach, reach + 1))
    inside = (at for at in steps if -spacing / 2 < at < length - 1 + spacing / 2)
    return [min(max(at, 0.0), length - 1.0) for at in inside]


def _nearby(middle: float, spacing: float, length: int) -> float:
    """Middle of a grid, moved into the image where that has shrunk away from it."""
    if -spacing / 2 < middle < length - 1 + spacing / 2:
        return middle
    return min(max(middle, 0.0), length - 1.0)
