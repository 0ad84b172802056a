"""Pixels of camera messages without ROS; test/ros/test_conversions.py has every encoding."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from tracker_core.camera_image import ENCODINGS, decode_compressed, decode_raw


def message(pixels: np.ndarray, encoding: str, padding: int = 3) -> SimpleNamespace:
    """A message with some bytes between the rows, as a recording gives it."""
    rows = pixels.reshape(len(pixels), -1).view(np.uint8)
    data = np.pad(rows, ((0, 0), (0, padding)))
    height, width = pixels.shape[:2]
    return SimpleNamespace(
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=0,
        step=data.shape[1],
        data=data.ravel(),
    )


COLOURS = np.random.default_rng(0).integers(0, 255, (4, 6, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ('encoding', 'stored', 'expected'),
    [
        ('rgb8', COLOURS, COLOURS),
        ('bgr8', COLOURS, COLOURS[..., ::-1]),
        ('mono8', COLOURS[..., 0], COLOURS[..., :1].repeat(3, -1)),
        ('mono16', COLOURS[..., 0].astype(np.uint16) * 256, COLOURS[..., :1].repeat(3, -1)),
    ],
)
def test_rows_may_be_padded(encoding, stored, expected):
    np.testing.assert_array_equal(decode_raw(message(stored, encoding)), expected)


def test_what_cannot_be_decoded_is_said():
    with pytest.raises(ValueError, match=f'known: {", ".join(ENCODINGS)}'):
        decode_raw(message(COLOURS, 'bayer_nonsense'))
    short = message(COLOURS, 'rgb8')
    short.data = short.data[:20]
    with pytest.raises(ValueError, match='data has 20 bytes'):
        decode_raw(short)
    with pytest.raises(ValueError, match="format 'jpeg', 3 bytes"):
        decode_compressed(SimpleNamespace(format='jpeg', data=b'abc'))


def test_compressed_images_are_rgb():
    _, data = cv2.imencode('.png', COLOURS[..., ::-1])
    decoded = decode_compressed(SimpleNamespace(format='png', data=data.tobytes()))
    np.testing.assert_array_equal(decoded, COLOURS)
