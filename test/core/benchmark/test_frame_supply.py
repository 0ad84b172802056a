"""Reading ahead or keeping changes when images are read, and nothing else."""

import threading
import time

import numpy as np
import pytest

from tracker_core.benchmark.frame_supply import FrameSupply, KeptFrames


class Slow:
    """Frames 0, 1, ... that take a while to read; the one called `bad` cannot be."""

    name, fps = 'slow', 25.0

    def __init__(self, count: int, seconds: float = 0.0, bad: int = -1) -> None:
        self.count, self.seconds, self.bad = count, seconds, bad
        self.read = 0

    def __iter__(self):
        for index in range(self.count):
            time.sleep(self.seconds)
            if index == self.bad:
                raise ValueError(f'cannot read frame {index}')
            self.read += 1
            yield np.full((2, 2, 3), index, np.uint8)


@pytest.mark.parametrize('ahead', [0, 3])
def test_frames_come_in_order_as_often_as_wanted(ahead):
    supply = FrameSupply(Slow(10), ahead)
    assert (supply.name, supply.fps, supply.count) == ('slow', 25.0, 10)
    for _ in range(2):
        assert [int(image[0, 0, 0]) for image in supply] == list(range(10))


@pytest.mark.parametrize('ahead', [0, 3])
def test_an_unreadable_frame_fails_at_its_place(ahead):
    seen = []
    with pytest.raises(ValueError, match='frame 4'):
        for image in FrameSupply(Slow(10, bad=4), ahead):
            seen.append(int(image[0, 0, 0]))
    assert seen == [0, 1, 2, 3]


def test_reading_runs_beside_the_tracker():
    """20 ms to read and 20 ms to track: one after the other they take 0.8 s, else about 0.42 s."""
    waited = {}
    for ahead in (0, 2):
        supply = FrameSupply(Slow(20, seconds=0.02), ahead)
        for _ in supply:
            time.sleep(0.02)
        waited[ahead] = supply.waited
    assert waited[0] >= 0.4
    assert waited[2] < 0.5 * waited[0]


def test_nothing_goes_on_reading_after_an_early_end():
    frames = Slow(1000, seconds=0.001)
    iterator = iter(FrameSupply(frames, 4))
    next(iterator)
    iterator.close()
    read = frames.read
    time.sleep(0.02)
    assert frames.read == read <= 6
    assert not any(thread.name.startswith('frames') for thread in threading.enumerate())


def numbers(supply: FrameSupply) -> list[int]:
    return [int(image[0, 0, 0]) for image in supply]


@pytest.mark.parametrize('ahead', [0, 3])
def test_the_next_tracker_on_a_sequence_needs_no_decoding(ahead):
    kept, frames = KeptFrames(12 * 10), Slow(10)
    for _ in range(3):
        assert numbers(FrameSupply(frames, ahead, kept, 'a')) == list(range(10))
    assert frames.read == 10
    assert numbers(FrameSupply(frames, ahead, kept, 'b')) == list(range(10))
    assert numbers(FrameSupply(frames, ahead, kept, 'a')) == list(range(10))
    assert frames.read == 30, 'only the sequence that came last is kept'


def test_frames_beyond_the_limit_are_not_kept():
    kept, frames = KeptFrames(12 * 10 - 1), Slow(10)
    for _ in range(2):
        assert numbers(FrameSupply(frames, 0, kept, 'a')) == list(range(10))
        assert not kept.holds('a')
    assert frames.read == 20


def test_frames_that_were_not_reached_are_read_later():
    kept, frames = KeptFrames(1000), Slow(10)
    first = iter(FrameSupply(frames, 0, kept, 'a'))
    assert [int(next(first)[0, 0, 0]) for _ in range(4)] == [0, 1, 2, 3]
    first.close()
    assert numbers(FrameSupply(frames, 0, kept, 'a')) == list(range(10))


def test_reading_is_counted_in_whatever_thread():
    class Busy(Slow):
        def __iter__(self):
            for image in super().__iter__():
                end = time.thread_time() + 0.01
                while time.thread_time() < end:
                    pass
                yield image

    for ahead in (0, 2):
        supply = FrameSupply(Busy(5), ahead)
        list(supply)
        assert 0.05 <= supply.reading < 0.2
