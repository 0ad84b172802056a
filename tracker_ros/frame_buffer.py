"""The recent frames of one camera, bounded in time and in memory."""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from typing import Any


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

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def size_bytes(self) -> int:
        """Memory that the kept frames take."""
        return self._bytes

    @property
    def newest(self) -> Frame | None:
        """The frame that arrived last."""
        return self._frames[-1] if self._frames else None

    @property
    def oldest(self) -> Frame | None:
        """The frame furthest in the past."""
        return self._frames[0] if self._frames else None

    def add(self, frame: Frame, seconds: float, max_bytes: int) -> bool:
        """Keep a frame, and of the earlier ones those within `seconds` and `max_bytes`.

        Returns whether its stamp lies before that of the last one: time jumped back, for example
        because a recording started again. All earlier frames are then forgotten.
        """
        jumped_back = bool(self._frames) and frame.stamp < self._frames[-1].stamp
        if jumped_back:
            self._frames.clear()
            self._bytes = 0
        self._frames.append(frame)
        self._bytes += frame.size_bytes
        self._forget_before(frame.stamp - round(seconds * 1e9))
        while self._bytes > max_bytes and len(self._frames) > 1:
            self._remove(self._most_redundant())
        return jumped_back

    def nearest(self, stamp: int) -> Frame:
        """Frame whose stamp is nearest to `stamp` (ns). The buffer must not be empty."""
        index = bisect.bisect_left(self._frames, stamp, key=_stamp)
        around = self._frames[max(index - 1, 0) : index + 1]
        return min(around, key=lambda frame: abs(frame.stamp - stamp))

    def next_after(self, frame: Frame, advance: int) -> Frame | None:
        """First frame that arrived after `frame` and is at least `advance` ns younger.

        Where none is that young it is the newest; None where nothing arrived after `frame`.
        """
        newest = self.newest
        if newest is None or newest.number <= frame.number:
            return None
        later = (f for f in self._frames if f.number > frame.number)
        return next((f for f in later if f.stamp - frame.stamp >= advance), newest)

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
