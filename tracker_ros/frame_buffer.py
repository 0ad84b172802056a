"""The recent frames of one camera, bounded in time and in memory."""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from typing import Any

#: A stamp less than this (ns) before that of the newest frame is one that was overtaken on its
#: way; with more, time itself jumped back.
REORDERED = 1_000_000_000


@dataclass(frozen=True, eq=False, slots=True)
class Frame:
    """One image as it arrived; decoded only when somebody needs its pixels."""

    number: int
    """Order of arrival, counted from 1 per camera."""
    stamp: int
    """Time of the image in nanoseconds."""
    message: Any
    """``sensor_msgs/Image`` or ``sensor_msgs/CompressedImage``."""
    received: float
    """``time.monotonic()`` of arrival."""

    @property
    def size_bytes(self) -> int:
        """Memory that the pixels take."""
        return len(self.message.data)


class FrameBuffer:
    """Frames ordered by stamp. Holds at least the newest one. Not thread-safe: see CameraTrack."""

    def __init__(self) -> None:
        self._frames: list[Frame] = []
        self._bytes = 0
        self._first_number = 0  # of those that arrived since time jumped back
        self.forgotten_until = 0
        """Stamp (ns) up to which frames were forgotten when time last jumped back; 0: never."""

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def size_bytes(self) -> int:
        """Memory that the kept frames take."""
        return self._bytes

    @property
    def newest(self) -> Frame | None:
        """The frame with the latest stamp; of several the one that arrived last."""
        return self._frames[-1] if self._frames else None

    @property
    def oldest(self) -> Frame | None:
        """The frame furthest in the past."""
        return self._frames[0] if self._frames else None

    def add(self, frame: Frame, seconds: float, max_bytes: int) -> bool:
        """Keep a frame, and of the earlier ones those within `seconds` and `max_bytes`.

        One that was overtaken by others is put in its place. Returns whether time jumped back,
        for example because a recording started again: all earlier frames are then forgotten.
        """
        newest = self.newest
        jumped_back = newest is not None and frame.stamp <= newest.stamp - REORDERED
        if newest is not None and jumped_back:
            self.forgotten_until, self._first_number = newest.stamp, frame.number
            self._frames.clear()
            self._bytes = 0
        bisect.insort(self._frames, frame, key=_order)
        self._bytes += frame.size_bytes
        self._forget_before(self._frames[-1].stamp - round(seconds * 1e9))
        while self._bytes > max_bytes and len(self._frames) > 1:
            self._remove(self._most_redundant())
        return jumped_back

    def nearest(self, stamp: int) -> Frame:
        """Frame whose stamp is nearest to `stamp` (ns). The buffer must not be empty."""
        index = bisect.bisect_left(self._frames, stamp, key=_stamp)
        around = self._frames[max(index - 1, 0) : index + 1]
        return min(around, key=lambda frame: abs(frame.stamp - stamp))

    def next_after(self, frame: Frame, advance: int) -> Frame | None:
        """First frame that follows `frame` and is at least `advance` ns younger.

        Where none is that young it is the newest; None where nothing follows. After a jump back
        all frames follow those before it.
        """
        follows = 0
        if frame.number >= self._first_number:
            follows = bisect.bisect_right(self._frames, _order(frame), key=_order)
        later = self._frames[follows:]
        if not later:
            return None
        return next((f for f in later if f.stamp - frame.stamp >= advance), later[-1])

    def _forget_before(self, stamp: int) -> None:
        first = bisect.bisect_left(self._frames, stamp, hi=len(self._frames) - 1, key=_stamp)
        self._bytes -= sum(frame.size_bytes for frame in self._frames[:first])
        del self._frames[:first]

    def _most_redundant(self) -> int:
        """Index of the frame whose removal leaves the shortest gap.

        Thinning out keeps the whole time span reachable, more coarsely, where dropping the oldest
        frames would cut it short. The oldest frame goes only when nothing lies between.
        """
        frames = self._frames
        inner = range(1, len(frames) - 1)
        return min(inner, key=lambda i: frames[i + 1].stamp - frames[i - 1].stamp, default=0)

    def _remove(self, index: int) -> None:
        self._bytes -= self._frames.pop(index).size_bytes


def _stamp(frame: Frame) -> int:
    return frame.stamp


def _order(frame: Frame) -> tuple[int, int]:
    return frame.stamp, frame.number
