"""Where the time of a run went."""

import math

import pytest

from tracker_core.benchmark.spent import Spent, processes_line, spent_table


def test_overhead_is_all_that_is_not_the_tracker():
    spent = Spent(10.0, 8.0, 1.5, 1.2) + Spent(2.0, 1.5, 0.0, 0.1)
    assert spent == Spent(12.0, 9.5, 1.5, 1.3)
    assert spent.overhead == pytest.approx(2.5 / 9.5)
    assert math.isnan(Spent().overhead)


def test_a_row_per_tracker_and_their_sum():
    text = spent_table({'kcf': Spent(10.0, 8.0, 1.5, 1.2), 'mil': Spent(2.0, 2.0)})
    rows = [[cell.strip() for cell in line.split('|')[1:-1]] for line in text.splitlines()[2:]]
    assert rows == [
        ['kcf', '8.0', '1.5', '0.5', '25.0%', '1.2'],
        ['mil', '2.0', '0.0', '0.0', '0.0%', '0.0'],
        ['all', '10.0', '1.5', '0.5', '20.0%', '1.2'],
    ]
    assert 'all' not in spent_table({'kcf': Spent(10.0, 8.0)})


def test_processes_that_wait():
    line = processes_line(Spent(total=12.0), wall=8.0, workers=2)
    assert line == '8.0 s in 2 process(es); starting them, and idle: 4.0 s'
