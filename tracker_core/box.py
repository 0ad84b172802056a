"""The box and its one coordinate convention."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Box:
    """Axis-aligned box in pixels: x to the right, y down, pixel i covers [i, i + 1).

    A box that covers exactly the first pixel of an image is ``Box(0, 0, 1, 1)``. The half-pixel
    conventions of the published trackers live inside the trackers, never here.
    """

    left: float
    top: float
    width: float
    height: float

    @classmethod
    def from_center(cls, x: float, y: float, width: float, height: float) -> Box:
        """Box of the given size (pixels) around the point (x, y)."""
        return cls(x - width / 2, y - height / 2, width, height)

    @property
    def right(self) -> float:
        """First x that is no longer covered."""
        return self.left + self.width

    @property
    def bottom(self) -> float:
        """First y that is no longer covered."""
        return self.top + self.height

    @property
    def center(self) -> tuple[float, float]:
        """Centre as (x, y)."""
        return self.left + self.width / 2, self.top + self.height / 2

    @property
    def area(self) -> float:
        """Area in square pixels."""
        return self.width * self.height

    def as_ltwh(self) -> tuple[float, float, float, float]:
        """(left, top, width, height)."""
        return self.left, self.top, self.width, self.height

    def is_finite(self) -> bool:
        """Whether all four numbers are finite."""
        return all(math.isfinite(value) for value in self.as_ltwh())

    def intersection(self, other: Box) -> float:
        """Common area with another box in square pixels, 0 where they do not meet."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(width, 0.0) * max(height, 0.0)

    def iou(self, other: Box) -> float:
        """Intersection over union with another box, in [0, 1]."""
        common = self.intersection(other)
        union = self.area + other.area - common
        # Rounding would make a little more than 1 of some equal boxes.
        return min(common / union, 1.0) if union > 0 else 0.0
