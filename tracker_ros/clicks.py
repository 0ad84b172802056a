"""Clicks into an image become a box."""

from __future__ import annotations

from dataclasses import dataclass

from tracker_core import Box
from tracker_core.tracker import MIN_SIDE
from tracker_ros.frame_buffer import Frame

#: No image has as many pixels side by side.
_FAR = 1e6


@dataclass(frozen=True)
class Corner:
    """The first of two clicks."""

    x: float
    y: float
    frame: Frame
    """The image that was clicked on."""
    time: float
    """Of the click, in s."""


class Clicks:
    """Two clicks are two opposite corners, in any order; or one is the centre of a square."""

    def __init__(self) -> None:
        self.first: Corner | None = None

    def click(
        self, x: float, y: float, frame: Frame, time: float, side: float, timeout: float
    ) -> Box | None:
        """Take a click at (x, y), in pixels of an image; returns the box that it completes.

        A positive `side` (px) makes a box of every click. A first corner that is older than
        `timeout` seconds is forgotten. Raises ValueError for a click that is nowhere, and for two
        that span no box; the next one is a first corner again.
        """
        if not (abs(x) < _FAR and abs(y) < _FAR):  # or not a number
            raise ValueError(f'a click at ({x:g}, {y:g}) is ignored: it is not in the image')
        if side > 0:
            self.first = None
            return Box.from_center(x, y, side, side)
        self.forget_after(timeout, time)
        if self.first is None:
            self.first = Corner(x, y, frame, time)
            return None
        first, self.first = self.first, None
        width, height = abs(x - first.x), abs(y - first.y)
        if min(width, height) < MIN_SIDE:
            raise ValueError(
                f'the two clicks span {width:.1f} x {height:.1f} px only: click on two opposite '
                'corners of the target'
            )
        return Box(min(x, first.x), min(y, first.y), width, height)

    def forget_after(self, timeout: float, time: float) -> bool:
        """Forget a first corner older than `timeout` seconds; returns whether there was one."""
        forgotten = self.first is not None and time - self.first.time > timeout
        if forgotten:
            self.first = None
        return forgotten
