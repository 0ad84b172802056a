"""Whether images can be decoded, while nobody needs their pixels."""

from __future__ import annotations

from typing import Any

from sensor_msgs.msg import CompressedImage

from tracker_ros.conversions import decode
from tracker_ros.frame_buffer import Frame


class ImageCheck:
    """Decodes the first of all images alike, and of compressed ones one per second."""

    def __init__(self) -> None:
        self._kind: tuple[Any, ...] = ()
        self._problem = ''

    def check(self, frame: Frame) -> None:
        """Raise ValueError, saying what is wrong, for an image like one that cannot be decoded."""
        kind = _kind(frame)
        if kind != self._kind:
            self._kind, self._problem = kind, ''
            try:
                decode(frame.message)
            except ValueError as error:
                self._problem = str(error)
        if self._problem:
            raise ValueError(self._problem)


def _kind(frame: Frame) -> tuple[Any, ...]:
    message = frame.message
    if isinstance(message, CompressedImage):
        return (message.format, int(frame.received))
    return (message.encoding, message.width, message.height, message.step, len(message.data))
