"""Reading ahead changes when images are read, and nothing else."""

import threading
import time

import numpy as np
import pytest

from tracker_core.benchmark.frame_supply import FrameSupply


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
