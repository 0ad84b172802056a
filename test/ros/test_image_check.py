"""Which images are decoded, and what is said of the others."""

import numpy as np
import pytest

pytest.importorskip('tracker_ros.msg', reason='tracker_ros is not built: run colcon build')

from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header

from tracker_ros import image_check
from tracker_ros.conversions import encode
from tracker_ros.frame_buffer import Frame


@pytest.fixture
def decoded(monkeypatch):
    messages = []
    decode = image_check.decode
    monkeypatch.setattr(image_check, 'decode', lambda m: (messages.append(m), decode(m)))
    return messages


def raw(encoding='rgb8', width=8):
    return encode(np.zeros((6, width, 3), np.uint8), encoding, Header())


def test_of_raw_images_alike_only_one_is_decoded(decoded):
    check = image_check.ImageCheck()
    for number, width in enumerate([8, 8, 8, 9, 9]):
        check.check(Frame(number, 0, raw(width=width), 0.0))
    assert len(decoded) == 2
    for number in range(3):
        with pytest.raises(ValueError, match="unknown image encoding 'rgb99'"):
            check.check(Frame(number, 0, raw('rgb99'), 0.0))
    assert len(decoded) == 3


def test_compressed_images_are_decoded_once_per_second(decoded):
    check = image_check.ImageCheck()
    for number in range(30):
        with pytest.raises(ValueError, match='cannot be decoded'):
            check.check(Frame(number, 0, CompressedImage(format='jpeg'), 0.1 * number))
    assert len(decoded) == 3
