"""Between ROS messages and what tracker_core works with."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image, RegionOfInterest
from std_msgs.msg import Header

from tracker_core import Box, Estimate, TrackState
from tracker_ros.msg import Target

Pixels = NDArray[np.uint8]
ResponseMap = NDArray[np.float32]


class _Encoding(NamedTuple):
    channels: int
    blue_first: bool = False
    code: int | None = None
    """OpenCV's code of the conversion to RGB; None: the colours are there to be viewed."""
    dtype: str = 'u1'


_GREY = _Encoding(1, code=cv2.COLOR_GRAY2RGB)
_UYVY = _Encoding(2, code=cv2.COLOR_YUV2RGB_UYVY)
_YUYV = _Encoding(2, code=cv2.COLOR_YUV2RGB_YUY2)
_BGR = _Encoding(3, blue_first=True)

#: 8UC1 and 8UC3 are what OpenCV users publish for grey and BGR; uyvy and yuyv are the newer names.
_ENCODINGS = {
    'rgb8': _Encoding(3),
    'bgr8': _BGR,
    '8UC3': _BGR,
    'rgba8': _Encoding(4),
    'bgra8': _Encoding(4, blue_first=True),
    'mono8': _GREY,
    '8UC1': _GREY,
    'mono16': _Encoding(1, code=cv2.COLOR_GRAY2RGB, dtype='u2'),
    'yuv422': _UYVY,
    'uyvy': _UYVY,
    'yuv422_yuy2': _YUYV,
    'yuyv': _YUYV,
}


def decode(message: Image | CompressedImage) -> Pixels:
    """Return the pixels of a message as uint8 (H, W, 3) RGB.

    rgb8, bgr8, rgba8 and bgra8 are views of the message's memory, not copies. mono16 counts 65535
    as white. Encodings outside `image_encodings()` go through cv_bridge where it is installed.

    Raises ValueError, saying what is wrong, for an image that cannot be decoded.
    """
    if isinstance(message, CompressedImage):
        return _decompress(message)
    encoding = _ENCODINGS.get(message.encoding)
    if encoding is None:
        return _decode_with_cv_bridge(message)
    pixels = _channels(message, encoding)
    if encoding.code is None:
        return pixels[..., 2::-1] if encoding.blue_first else pixels[..., :3]
    if encoding.dtype == 'u2':
        pixels = (pixels >> 8).astype(np.uint8)
    # OpenCV takes only rows without padding between them here.
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(pixels), encoding.code), np.uint8)


def image_encodings() -> tuple[str, ...]:
    """Encodings of ``sensor_msgs/Image`` that need nothing but this package."""
    return tuple(_ENCODINGS)


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


def _channels(message: Image, encoding: _Encoding) -> NDArray[Any]:
    """Return a view (H, W, C) of the message's memory, one element per channel."""
    dtype = np.dtype(encoding.dtype).newbyteorder('>' if message.is_bigendian else '<')
    height, width = message.height, message.width
    row = width * encoding.channels * dtype.itemsize
    _check_layout(message, row)
    if encoding.channels == 2 and width % 2:
        raise ValueError(f'{message.encoding} needs an even width, not {width}')
    strides = (message.step, encoding.channels * dtype.itemsize, dtype.itemsize)
    return np.ndarray((height, width, encoding.channels), dtype, message.data, strides=strides)


def _check_layout(message: Image, row: int) -> None:
    """Raise ValueError unless `height` rows of `row` bytes lie in the message."""
    if message.height == 0 or message.width == 0:
        raise ValueError(f'the image is empty: {message.width} x {message.height} px')
    if message.step < row:
        raise ValueError(
            f'step is {message.step} bytes, but a row of {message.width} px in '
            f'{message.encoding} takes {row}'
        )
    needed = message.step * (message.height - 1) + row
    if len(message.data) < needed:
        raise ValueError(
            f'data has {len(message.data)} bytes, but {message.height} rows of '
            f'{message.step} bytes take {needed}'
        )


def _decompress(message: CompressedImage) -> Pixels:
    data = np.frombuffer(message.data, np.uint8)
    # A camera's pixels are wanted as they are stored, whatever orientation a tag suggests.
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(data, flags) if data.size else None
    except cv2.error:  # says that it is larger than can be
        image = None
    if image is None:
        raise ValueError(
            f'the compressed image cannot be decoded: format {message.format!r}, {data.size} bytes'
        )
    return np.asarray(image, np.uint8)[..., ::-1]


def _decode_with_cv_bridge(message: Image) -> Pixels:
    try:
        from cv_bridge import CvBridge, CvBridgeError
    except ImportError:
        raise ValueError(
            f'unknown image encoding {message.encoding!r}; known: '
            f'{", ".join(_ENCODINGS)}; more with cv_bridge installed'
        ) from None
    try:
        return np.asarray(CvBridge().imgmsg_to_cv2(message, 'rgb8'), np.uint8)
    except (CvBridgeError, cv2.error) as error:
        raise ValueError(f'image encoding {message.encoding!r}: {error}') from None
