"""Pixels of camera images as ROS transports them, from a live topic or a recording.

Messages are known by their attributes only, so those of any ROS library will do.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


class RawImage(Protocol):
    """What is needed of a ``sensor_msgs/Image``."""

    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    """Bytes from one row to the next."""
    data: Any


class CompressedImage(Protocol):
    """What is needed of a ``sensor_msgs/CompressedImage``."""

    format: str
    data: Any


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
ENCODINGS = {
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


def decode_raw(message: RawImage) -> Pixels:
    """Return the pixels of a message as uint8 (H, W, 3) RGB.

    rgb8, bgr8, rgba8 and bgra8 are views of the message's memory, not copies. mono16 counts 65535
    as white. Raises ValueError, saying what is wrong, for an encoding that is not in `ENCODINGS`
    and for data that do not fit.
    """
    encoding = ENCODINGS.get(message.encoding)
    if encoding is None:
        raise ValueError(
            f'unknown image encoding {message.encoding!r}; known: {", ".join(ENCODINGS)}'
        )
    pixels = _channels(message, encoding)
    if encoding.code is None:
        return pixels[..., 2::-1] if encoding.blue_first else pixels[..., :3]
    if encoding.dtype == 'u2':
        pixels = (pixels >> 8).astype(np.uint8)
    # OpenCV takes only rows without padding between them here.
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(pixels), encoding.code), np.uint8)


def decode_compressed(message: CompressedImage) -> Pixels:
    """Return the pixels of a message as uint8 (H, W, 3) RGB; ValueError where it is damaged."""
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


def _channels(message: RawImage, encoding: _Encoding) -> NDArray[Any]:
    """Return a view (H, W, C) of the message's memory, one element per channel."""
    dtype = np.dtype(encoding.dtype).newbyteorder('>' if message.is_bigendian else '<')
    height, width = message.height, message.width
    row = width * encoding.channels * dtype.itemsize
    _check_layout(message, row)
    if encoding.channels == 2 and width % 2:
        raise ValueError(f'{message.encoding} needs an even width, not {width}')
    strides = (message.step, encoding.channels * dtype.itemsize, dtype.itemsize)
    shape = (height, width, encoding.channels)
    view: NDArray[Any] = np.ndarray(shape, dtype, message.data, strides=strides)
    return view


def _check_layout(message: RawImage, row: int) -> None:
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
