"""Tables: their order, and what stands in their cells."""

from dataclasses import replace

import numpy as np

from tracker_core.benchmark import one_pass
from tracker_core.benchmark.evaluation import Evaluation, Speed
from tracker_core.benchmark.tables import markdown, sequence_table, summary_table

TRUTH = np.tile([50.0, 50, 20, 20], (8, 1))


def evaluation(label: str, shift: float, names: str = 'ab') -> Evaluation:
    boxes = TRUTH + np.array([shift, 0, 0, 0])
    scores = {name: one_pass.score(name, boxes, TRUTH) for name in names}
    missing = tuple(name for name in 'ab' if name not in names)
    return Evaluation(label, scores, (), Speed(25.0, 26.0, 0.1), missing)


def test_columns_are_aligned_in_the_source_too():
    assert markdown(['Tracker', 'AUC', 'n'], [['a', '0.5', '10']]).splitlines() == [
        '| Tracker | AUC |  n |',
        '| ------- | --: | --: |',
        '| a       | 0.5 | 10 |',
    ]


def test_the_best_tracker_comes_first():
    worse, better = evaluation('worse', 10, 'ba'), evaluation('better', 0, 'b')
    header, rows = summary_table([worse, better])
    assert header[0] == 'Tracker' and header[-2:] == ['Frames/s', 'Sequences']
    assert [(row[0], *row[-2:]) for row in rows] == [
        ('better', '25.0', '1 of 2'),
        ('worse', '25.0', '2'),
    ]
    assert summary_table([replace(worse, speed=None)])[1][0][-2] == '-'
    header, rows = sequence_table([worse, better])
    assert header == ['Sequence (AUC / precision)', 'better', 'worse']
    assert rows == [['a', '-', '0.411 / 1.000'], ['b', '0.952 / 1.000', '0.411 / 1.000']]


def test_repetitions_give_a_spread():
    one, other = (evaluation('x', shift).summary for shift in (0, 10))
    made = replace(evaluation('x', 0), runs=(one, other))
    assert summary_table([made])[1][0][1] == '0.952 ± 0.383'
