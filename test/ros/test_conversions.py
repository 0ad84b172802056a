"""Pixels of messages, and messages of boxes."""

import array
import struct
import sys
import types
import zlib

import cv2
import numpy as np
import pytest

pytest.importorskip('tracker_ros.msg', reason='tracker_ros is not built: run colcon build')

from builtin_interfaces.msg import Time
from sensor_msgs.msg import CompressedImage, Image, RegionOfInterest
from std_msgs.msg import Header
from tracker_ros.msg import Target, TargetInit

from tracker_core import Box, Estimate, TrackState
from tracker_ros.conversions import (
    box_of,
    box_of_roi,
    decode,
    encode,
    image_encodings,
    nanoseconds,
    roi_of_box,
    target_message,
)

RGB = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
GREY = np.random.default_rng(1).integers(0, 256, (6, 8), np.uint8)
#: Luma and, shared by two pixels, chroma: packed as U Y V Y and as Y U Y V.
Y, U, V = 120, 90, 200


def message_of(pixels: np.ndarray, encoding: str, padding: int = 0) -> Image:
    """Return a message whose rows are followed by `padding` bytes of rubbish."""
    rows = np.ascontiguousarray(pixels).view(np.uint8).reshape(len(pixels), -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=99)
    message = Image(height=pixels.shape[0], width=pixels.shape[1], encoding=encoding)
    message.step = rows.shape[1]
    message.data.frombytes(rows.tobytes())
    return message


def with_alpha(pixels: np.ndarray) -> np.ndarray:
    return np.dstack([pixels, np.full(pixels.shape[:2], 7, np.uint8)])


@pytest.mark.parametrize('padding', [0, 5])
@pytest.mark.parametrize(
    ('encoding', 'pixels', 'expected'),
    [
        ('rgb8', RGB, RGB),
        ('bgr8', RGB[..., ::-1], RGB),
        ('8UC3', RGB[..., ::-1], RGB),
        ('rgba8', with_alpha(RGB), RGB),
        ('bgra8', with_alpha(RGB[..., ::-1]), RGB),
        ('mono8', GREY, np.dstack([GREY] * 3)),
        ('8UC1', GREY, np.dstack([GREY] * 3)),
    ],
)
def test_encodings(encoding, pixels, expected, padding):
    decoded = decode(message_of(pixels, encoding, padding))
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, expected)


@pytest.mark.parametrize('encoding', ['rgb8', 'bgr8', 'rgba8', 'bgra8'])
def test_colours_are_views_not_copies(encoding):
    message = message_of(
        RGB if encoding.endswith('8') and 'a' not in encoding else with_alpha(RGB), encoding, 3
    )
    decoded = decode(message)
    assert np.shares_memory(decoded, np.frombuffer(message.data, np.uint8))
    message.data[0:3] = type(message.data)('B', [1, 2, 3])
    assert set(decoded[0, 0]) == {1, 2, 3}


@pytest.mark.parametrize('padding', [0, 6])
@pytest.mark.parametrize('big', [False, True])
def test_mono16_honours_the_byte_order(big, padding):
    wide = (GREY.astype(np.uint16) << 8) | 0x12
    message = message_of(wide.astype('>u2' if big else '<u2'), 'mono16', padding)
    message.is_bigendian = int(big)
    np.testing.assert_array_equal(decode(message), np.dstack([GREY] * 3))


@pytest.mark.parametrize('padding', [0, 4])
@pytest.mark.parametrize(
    ('encoding', 'pair'),
    [
        ('yuv422', (U, Y, V, Y)),
        ('uyvy', (U, Y, V, Y)),
        ('yuv422_yuy2', (Y, U, Y, V)),
        ('yuyv', (Y, U, Y, V)),
    ],
)
def test_yuv422_by_the_formula(encoding, pair, padding):
    pixels = np.tile(np.array(pair, np.uint8).reshape(1, 2, 2), (6, 4, 1))
    decoded = decode(message_of(pixels, encoding, padding)).astype(float)
    # ITU-R BT.601, studio swing.
    y, u, v = 1.164 * (Y - 16), U - 128, V - 128
    expected = [y + 1.596 * v, y - 0.813 * v - 0.391 * u, y + 2.018 * u]
    np.testing.assert_allclose(decoded, np.broadcast_to(expected, (6, 8, 3)), atol=1.5)


def test_every_listed_encoding_is_tested_here():
    assert set(image_encodings()) == {
        'rgb8',
        'bgr8',
        '8UC3',
        'rgba8',
        'bgra8',
        'mono8',
        '8UC1',
        'mono16',
        'yuv422',
        'uyvy',
        'yuv422_yuy2',
        'yuyv',
    }


def test_the_last_row_needs_no_padding():
    message = message_of(RGB, 'rgb8', 5)
    del message.data[-5:]
    np.testing.assert_array_equal(decode(message), RGB)


@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        ({'step': 23}, 'step is 23 bytes, but a row of 8 px in rgb8 takes 24'),
        ({'step': 25}, 'data has 144 bytes, but 6 rows of 25 bytes take 149'),
        ({'height': 7}, 'data has 144 bytes'),
        ({'width': 0, 'step': 0}, 'the image is empty: 0 x 6 px'),
        ({'height': 0}, 'the image is empty: 8 x 0 px'),
        ({'encoding': '32FC1'}, "unknown image encoding '32FC1'; known: rgb8, bgr8"),
        ({'encoding': 'yuv422', 'width': 7, 'step': 24}, 'even width, not 7'),
    ],
)
def test_what_does_not_fit_is_refused(change, reason):
    message = message_of(RGB, 'rgb8')
    for name, value in change.items():
        setattr(message, name, value)
    with pytest.raises(ValueError, match=reason):
        decode(message)


@pytest.mark.parametrize('format_', ['jpeg', 'png'])
def test_compressed_images(format_):
    smooth = cv2.GaussianBlur(np.tile(RGB, (20, 20, 1)), (0, 0), 6)
    message = CompressedImage(format=format_)
    message.data.frombytes(cv2.imencode(f'.{format_}', smooth[..., ::-1])[1].tobytes())
    assert np.abs(decode(message).astype(int) - smooth).max() <= (0 if format_ == 'png' else 12)


def huge_png(_):
    """Return a PNG file that claims to have 200000 x 200000 px, more than OpenCV takes."""
    parts = [
        (b'IHDR', struct.pack('>IIBBBBB', 200_000, 200_000, 8, 2, 0, 0, 0)),
        (b'IDAT', zlib.compress(bytes(100))),
        (b'IEND', b''),
    ]
    chunks = (
        struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
        for kind, data in parts
    )
    return b'\x89PNG\r\n\x1a\n' + b''.join(chunks)


@pytest.mark.parametrize(
    'damage',
    [lambda data: data[: len(data) // 2], lambda _: b'', lambda _: bytes(500), huge_png],
)
def test_damaged_compressed_images_are_refused(damage):
    data = cv2.imencode('.jpg', np.tile(RGB, (20, 20, 1)))[1].tobytes()
    message = CompressedImage(format='jpeg')
    message.data.frombytes(damage(data))
    with pytest.raises(ValueError, match="cannot be decoded: format 'jpeg'"):
        decode(message)


def test_other_encodings_go_through_cv_bridge_where_it_is(monkeypatch):
    class CvBridgeError(Exception):
        pass

    class CvBridge:
        def imgmsg_to_cv2(self, message: Image, encoding: str) -> np.ndarray:
            if not len(message.data):
                raise TypeError('buffer is too small for requested array')
            if message.encoding != 'bayer_rggb8':
                raise CvBridgeError('cannot convert')
            return np.full((message.height, message.width, 3), 5, np.uint8)

    module = types.SimpleNamespace(CvBridge=CvBridge, CvBridgeError=CvBridgeError)
    monkeypatch.setitem(sys.modules, 'cv_bridge', module)
    assert decode(message_of(GREY, 'bayer_rggb8')).tolist() == np.full((6, 8, 3), 5).tolist()
    with pytest.raises(ValueError, match='cannot convert'):
        decode(message_of(GREY, 'strange'))
    truncated = message_of(GREY, 'bayer_rggb8')
    truncated.data = array.array('B')
    with pytest.raises(ValueError, match="'bayer_rggb8': buffer is too small"):
        decode(truncated)


def test_encode_is_the_reverse():
    header = Header(frame_id='camera')
    message = encode(RGB, 'rgb8', header)
    assert (message.step, message.header.frame_id) == (24, 'camera')
    np.testing.assert_array_equal(decode(message), RGB)
    floats = encode(np.ones((4, 5), np.float32), '32FC1', header)
    assert (floats.step, len(floats.data)) == (20, 80)


def test_boxes():
    assert box_of(TargetInit(left=1.5, top=2.0, width=3.0, height=4.0)) == Box(1.5, 2, 3, 4)
    assert box_of_roi(RegionOfInterest(x_offset=1, y_offset=2, width=3, height=4)) == Box(
        1, 2, 3, 4
    )


def test_a_region_covers_the_pixels_that_a_box_touches_in_the_image():
    roi = roi_of_box(Box(-3.5, 2.25, 10, 4.5), 320, 240)
    assert (roi.x_offset, roi.y_offset, roi.width, roi.height) == (0, 2, 7, 5)
    corner = roi_of_box(Box(310, 230, 50, 50), 320, 240)
    assert (corner.width, corner.height) == (10, 10)
    assert roi_of_box(Box(-20, 10, 10, 10), 320, 240) is None


def test_target_messages():
    header = Header(frame_id='camera')
    estimate = Estimate(Box(1, 2, 3, 4), 0.25, TrackState.LOST)
    message = target_message(header, 'cup', estimate, 0.5)
    assert box_of(message) == estimate.box
    assert (message.state, message.confidence) == (Target.LOST, 0.25)
    assert (message.target_id, message.processing_time) == ('cup', 0.5)


def test_stamps_in_nanoseconds():
    assert nanoseconds(Time(sec=3, nanosec=5)) == 3_000_000_005


def test_states_are_the_same_in_messages_and_library():
    assert {s.name: s.value for s in TrackState} == {
        'TRACKING': Target.TRACKING,
        'UNCERTAIN': Target.UNCERTAIN,
        'LOST': Target.LOST,
    }
