"""What is kept, and what is found."""

from types import SimpleNamespace

import numpy as np
import pytest

from tracker_ros.frame_buffer import Frame, FrameBuffer

MILLISECOND = 1_000_000


def frame(number, milliseconds, size=100):
    message = SimpleNamespace(data=bytes(size))
    return Frame(number, milliseconds * MILLISECOND, message, 0.0)


def filled(count, *, step=33, seconds=10.0, max_bytes=10**9):
    """Return a buffer after `count` frames, numbered from 1 and `step` ms apart."""
    buffer = FrameBuffer()
    for number in range(1, count + 1):
        assert not buffer.add(frame(number, number * step), seconds, max_bytes)
    return buffer


def numbers(buffer):
    return [f.number for f in buffer._frames]


def test_frames_are_kept_for_a_time():
    buffer = filled(100, step=100, seconds=2.0)
    assert numbers(buffer) == list(range(80, 101))
    assert buffer.size_bytes == 21 * 100


def test_the_newest_frame_is_always_kept():
    assert numbers(filled(5, seconds=0.0)) == [5]
    assert numbers(filled(5, max_bytes=1)) == [5]
    assert FrameBuffer().newest is None


def test_memory_is_bounded_by_thinning_out_not_by_forgetting():
    buffer = filled(1000, step=10, seconds=5.0, max_bytes=5000)
    assert buffer.size_bytes <= 5000
    kept = numbers(buffer)
    assert len(kept) == 50
    # Without thinning the last 0.5 s would be left of the 5 s.
    assert kept[-1] - kept[0] > 300
    assert np.diff(kept).max() <= 50
    assert numbers(filled(3, max_bytes=200)) == [1, 3]


def test_a_frame_without_space_for_another_replaces_it():
    buffer = FrameBuffer()
    buffer.add(frame(1, 0, 100), 10.0, 150)
    buffer.add(frame(2, 33, 100), 10.0, 150)
    assert numbers(buffer) == [2]


def test_nearest():
    buffer = filled(10)
    assert buffer.nearest(33 * 4 * MILLISECOND).number == 4
    assert buffer.nearest((33 * 4 + 10) * MILLISECOND).number == 4
    assert buffer.nearest((33 * 4 + 20) * MILLISECOND).number == 5
    assert buffer.nearest(0).number == 1
    assert buffer.nearest(10**12).number == 10


@pytest.mark.parametrize(
    ('advance', 'expected'), [(0, 4), (33, 4), (34, 5), (100, 7), (10**6, 10)]
)
def test_next_after_skips_by_time(advance, expected):
    buffer = filled(10)
    third = buffer.nearest(33 * 3 * MILLISECOND)
    assert buffer.next_after(third, advance * MILLISECOND).number == expected


def test_nothing_comes_after_the_newest():
    buffer = filled(10)
    assert buffer.next_after(buffer.newest, 0) is None
    assert FrameBuffer().next_after(frame(1, 0), 0) is None


def test_earlier_frames_are_forgotten_when_time_jumps_back():
    buffer = filled(40)
    last = buffer.newest
    assert buffer.add(frame(41, 5), 10.0, 10**9)
    assert numbers(buffer) == [41]
    assert buffer.forgotten_until == last.stamp
    assert buffer.size_bytes == 100
    # What follows is told by the order of arrival, not by the stamp.
    assert buffer.next_after(last, 0).number == 41
    assert buffer.next_after(buffer.newest, 0) is None


def test_a_frame_that_was_overtaken_is_put_in_its_place():
    buffer = filled(4)
    newest = buffer.newest
    before = buffer.nearest(66 * MILLISECOND)
    assert not buffer.add(frame(5, 80), 10.0, 10**9)
    assert numbers(buffer) == [1, 2, 5, 3, 4]
    assert buffer.newest is newest
    assert buffer.next_after(newest, 0) is None
    overtaken = buffer.next_after(before, 0)
    assert overtaken.number == 5
    assert buffer.next_after(overtaken, 0).number == 3
    assert buffer.next_after(overtaken, 10**12) is newest


def test_equal_stamps_are_no_jump():
    buffer = filled(3)
    assert not buffer.add(frame(4, 99), 10.0, 10**9)
    assert buffer.newest.number == 4
