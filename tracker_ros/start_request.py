"""A box to start tracking on, and the search for the image it was drawn on."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from tracker_core import Box
from tracker_ros.frame_buffer import Frame, FrameBuffer
from tracker_ros.parameters import NodeSettings

#: A box may be stamped this much (ns) before the oldest or after the newest kept image and still
#: belong to it: stamps lose digits on their way through floating point numbers.
STAMP_TOLERANCE = 50_000_000


@dataclass(eq=False)
class StartRequest:
    """A box to start on, and whom to tell what became of it."""

    box: Box
    target_id: str
    reply: Callable[[str | None], None]
    """Called once, from any thread, with None when tracking has started or else the reason."""
    stamp: int | None = None
    """Of the image the box was drawn on, in ns; None: the newest image."""
    frame: Frame | None = None
    """That image, once it is known."""
    deadline: float = float('inf')
    """``time.monotonic()`` up to which to wait for the image."""

    def find_frame(self, buffer: FrameBuffer, settings: NodeSettings) -> str | None:
        """Set `frame` to the image the box was drawn on, or return why it cannot be had.

        Neither a frame nor a reason: it may still arrive.
        """
        newest, oldest = buffer.newest, buffer.oldest
        if self.frame is not None:
            return None
        if newest is None or oldest is None:
            late = time.monotonic() > self.deadline
            return f'no image arrived within {settings.init_timeout:g} s' if late else None
        if self.stamp is None:
            return self._wait_for_fresh(newest, settings.stale_seconds)
        if self.stamp > newest.stamp:
            problem = self._wait_for_newer(newest, settings.init_timeout)
        elif oldest.stamp - self.stamp > STAMP_TOLERANCE:
            problem = (
                f'the box is stamped {(newest.stamp - self.stamp) / 1e9:.3f} s before the newest '
                f'image, but images are kept for {(newest.stamp - oldest.stamp) / 1e9:.3f} s '
                'only: see the parameters history_seconds and history_megabytes'
            )
        else:
            self.frame, problem = buffer.nearest(self.stamp), None
        kept = newest.stamp - self.stamp <= settings.history_seconds * 1e9
        if problem and kept and self.stamp <= buffer.forgotten_until:
            return 'the image of the box was forgotten because the time of the images jumped back'
        return problem

    def _wait_for_fresh(self, newest: Frame, stale_seconds: float) -> str | None:
        """Take the newest image; where the camera has stopped, wait for it to go on."""
        now = time.monotonic()
        age = now - newest.received
        if age <= stale_seconds:
            self.frame = newest
        elif now > self.deadline:
            return f'no image for {age:.0f} s'
        return None

    def _wait_for_newer(self, newest: Frame, timeout: float) -> str | None:
        """Wait for an image as new as the stamp; make do with a slightly older one in the end."""
        ahead = (self.stamp or 0) - newest.stamp
        late = time.monotonic() > self.deadline
        if late and ahead <= STAMP_TOLERANCE:
            self.frame = newest
        elif late or ahead > timeout * 1e9:
            return (
                f'the box is stamped {ahead / 1e9:.3f} s after the newest image: use the stamp '
                'of an image, or zero for the newest one'
            )
        return None
