"""Where the time of a run went."""

import math
import time

import numpy as np
import pytest

from tracker_core import Box, Estimate, TrackState
from tracker_core.benchmark.spent import CpuClock, Seconds, Spent, processes_line, spent_table


def test_what_is_added_is_all_that_is_not_the_tracker():
    seconds = Seconds(10.0, 8.0, 1.5) + Seconds(2.0, 1.5, 0.0)
    assert seconds == Seconds(12.0, 9.5, 1.5)
    assert seconds.rest == pytest.approx(1.0)
    assert seconds.added == pytest.approx(2.5 / 9.5)
    assert math.isnan(Seconds().added)


def test_a_row_per_tracker_and_their_sum():
    spent = {
        'kcf': Spent(Seconds(10.0, 8.0, 1.5), Seconds(6.0, 5.0, 0.5)),
        'mil': Spent(Seconds(2.0, 2.0), Seconds(2.0, 2.0)),
    }
    lines = spent_table(spent).splitlines()[2:]
    assert [[cell.strip() for cell in line.split('|')[1:-1]] for line in lines] == [
        ['kcf', '8.00', '1.50', '0.50', '25.0%', '5.00', '0.50', '0.50', '20.0%'],
        ['mil', '2.00', '0.00', '0.00', '0.0%', '2.00', '0.00', '0.00', '0.0%'],
        ['all', '10.00', '1.50', '0.50', '20.0%', '7.00', '0.50', '0.50', '14.3%'],
    ]
    assert 'all' not in spent_table({'kcf': Spent()})


def test_processes_that_wait():
    line = processes_line(Spent(Seconds(total=12.0)), wall=8.0, workers=2)
    assert line == '8.0 s in 2 process(es); starting them, and idle: 4.0 s'


def test_work_of_a_tracker_is_counted_and_sleep_is_not():
    class Tracker:
        response_map = np.ones((2, 2), np.float32)

        def initialize(self, image, box):
            time.sleep(0.2)

        def track(self, image):
            end = time.thread_time() + 0.02
            while time.thread_time() < end:
                pass
            return Estimate(Box(1, 2, 3, 4), 1.0, TrackState.TRACKING)

    clock, image = CpuClock(Tracker()), np.zeros((4, 4, 3), np.uint8)
    clock.initialize(image, Box(0, 0, 2, 2))
    assert clock.track(image).box == Box(1, 2, 3, 4)
    assert 0.02 <= clock.seconds < 0.1
    assert clock.response_map is Tracker.response_map
