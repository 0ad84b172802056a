"""Between ROS messages and what tracker_core works with."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image, RegionOfInterest
from std_msgs.msg import Header

from tracker_core import Box, Estimate, TrackState
from tracker_core.camera_image import ENCODINGS, decode_compressed, decode_raw
from tracker_ros.msg import Target

Pixels = NDArray[np.uint8]
ResponseMap = NDArray[np.float32]


def decode(message: Image | CompressedImage) -> Pixels:
    """Return the pixels of a message as uint8 (H, W, 3) RGB.

    rgb8, bgr8, rgba8 and bgra8 are views of the message's memory, not copies. mono16 counts 65535
    as white. Encodings outside `image_encodings()` go through cv_bridge where it is installed.

    Raises ValueError, saying what is wrong, for an image that cannot be decoded.
    """
    if isinstance(message, CompressedImage):
        return decode_compressed(message)
    if message.encoding in ENCODINGS:
        return decode_raw(message)
    return _decode_with_cv_bridge(message)


def image_encodings() -> tuple[str, ...]:
    """Encodings of ``sensor_msgs/Image`` that need nothing but this package."""
    return tuple(ENCODINGS)


def encode(pixels: NDArray[Any], encoding: str, header: Header) -> Image:
    """Return an image message of contiguous pixels, (H, W) or (H, W, C)."""
    message = Image(header=header, encoding=encoding)
    message.height, message.width = pixels.shape[:2]
    message.step = pixels.strides[0]
    # Assigning an array is a hundred times slower: it is converted element by element.
    message.data.frombytes(np.ascontiguousarray(pixels).data.cast('B'))
    return message


def box_of(message: Any) -> Box:
    """Return the box of a ``TargetInit`` or ``Target`` message."""
    return Box(message.left, message.top, message.width, message.height)


def box_of_roi(roi: RegionOfInterest) -> Box:
    """Return the box of a region of interest, whose offsets are whole pixels."""
    return Box(float(roi.x_offset), float(roi.y_offset), float(roi.width), float(roi.height))


def roi_of_box(box: Box, image_width: int, image_height: int) -> RegionOfInterest | None:
    """Return the whole pixels that a box touches within the image, None where there are none."""
    left, top = max(math.floor(box.left), 0), max(math.floor(box.top), 0)
    right = min(math.ceil(box.right), image_width)
    bottom = min(math.ceil(box.bottom), image_height)
    if right <= left or bottom <= top:
        return None
    return RegionOfInterest(x_offset=left, y_offset=top, width=right - left, height=bottom - top)


def target_message(
    header: Header, target_id: str, estimate: Estimate, processing_time: float
) -> Target:
    """Return the ``Target`` message of an estimate for the image with the given header."""
    box = estimate.box
    return Target(
        header=header,
        target_id=target_id,
        left=float(box.left),
        top=float(box.top),
        width=float(box.width),
        height=float(box.height),
        confidence=float(estimate.confidence),
        state=int(estimate.state),
        processing_time=processing_time,
    )


def state_name(state: TrackState | None) -> str:
    """Return the state for people; None stands for no target."""
    return 'no target' if state is None else state.name.lower()


def nanoseconds(stamp: Any) -> int:
    """Return a ``builtin_interfaces/Time`` in nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def _decode_with_cv_bridge(message: Image) -> Pixels:
    try:
        from cv_bridge import CvBridge
    except ImportError:
        raise ValueError(
            f'unknown image encoding {message.encoding!r}; known: '
            f'{", ".join(ENCODINGS)}; more with cv_bridge installed'
        ) from None
    try:
        return np.asarray(CvBridge().imgmsg_to_cv2(message, 'rgb8'), np.uint8)
    except Exception as error:  # of many kinds: truncated data, another NumPy, ...
        raise ValueError(f'image encoding {message.encoding!r}: {error}') from None
