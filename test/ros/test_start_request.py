"""Which image a box starts on, and how long it waits for it."""

import re
import time
from types import SimpleNamespace

import pytest

pytest.importorskip('tracker_ros.msg', reason='tracker_ros is not built: run colcon build')

from tracker_core import Box
from tracker_ros.frame_buffer import Frame, FrameBuffer
from tracker_ros.parameters import NodeSettings
from tracker_ros.start_request import StartRequest

SECOND = 1_000_000_000
SETTINGS = NodeSettings(init_timeout=5.0, history_seconds=10.0)
START = 100 * SECOND


def add(buffer, number, seconds):
    stamp = START + round(seconds * SECOND)
    frame = Frame(number, stamp, SimpleNamespace(data=b''), time.monotonic())
    buffer.add(frame, SETTINGS.history_seconds, 10**9)


@pytest.fixture
def buffer():
    """Images of 100 and 101 s."""
    buffer = FrameBuffer()
    add(buffer, 1, 0)
    add(buffer, 2, 1)
    return buffer


def request(seconds, *, late=False):
    stamp = START + round(seconds * SECOND)
    deadline = time.monotonic() + (-1 if late else 60)
    return StartRequest(Box(1, 2, 3, 4), '', lambda _: None, stamp=stamp, deadline=deadline)


@pytest.mark.parametrize(
    ('seconds', 'late', 'number'),
    [
        (-0.04, False, 1),
        (0.4, False, 1),
        (0.6, False, 2),
        (1.04, False, None),
        (1.04, True, 2),
        (3, False, None),
    ],
)
def test_a_box_takes_the_nearest_image_or_waits(buffer, seconds, late, number):
    made = request(seconds, late=late)
    assert made.find_frame(buffer, SETTINGS) is None
    assert (made.frame and made.frame.number) == number


@pytest.mark.parametrize(
    ('seconds', 'late', 'problem'),
    [
        (3, True, 'stamped 2.000 s after the newest image'),
        (7, False, 'stamped 6.000 s after the newest image'),
        (-0.06, False, 'stamped 1.060 s before the newest image, .* kept for 1.000 s'),
    ],
)
def test_a_box_without_an_image_is_refused(buffer, seconds, late, problem):
    made = request(seconds, late=late)
    assert re.search(problem, made.find_frame(buffer, SETTINGS))
    assert made.frame is None


def test_an_image_that_was_found_is_kept(buffer):
    made = request(0)
    made.find_frame(buffer, SETTINGS)
    found = made.frame
    add(buffer, 3, 20)
    assert made.find_frame(buffer, SETTINGS) is None
    assert made.frame is found


def test_a_jump_back_explains_recent_boxes_only(buffer):
    add(buffer, 3, -50)
    assert 'jumped back' in request(1).find_frame(buffer, SETTINGS)
    assert 'jumped back' in request(-55).find_frame(buffer, SETTINGS)
    assert 'before the newest image' in request(-65).find_frame(buffer, SETTINGS)
