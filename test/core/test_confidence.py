import math

import numpy as np
import pytest

from tracker_core.confidence import StateJudge, logistic


def test_the_curve():
    assert logistic(0.4, 0.4, 10.0) == 0.5
    assert logistic(0.5, 0.4, 10.0) == pytest.approx(1 / (1 + math.exp(-1)))
    values = [logistic(value, 0.4, 10.0) for value in np.linspace(-1e6, 1e6, 101)]
    assert values == sorted(values)
    assert 0 < values[0] < 1e-12 and 1 - 1e-12 < values[-1] < 1, 'has a finite logit'


def states(*confidences, **decisions):
    judge = StateJudge(0.5, 0.2, 3)
    return ' '.join(judge.judge(each, **decisions).name[0] for each in confidences)


def test_lost_takes_three_frames_in_a_row():
    assert states(0.9, 0.3, 0.1, 0.1, 0.1, 0.1) == 'T U U U L L'
    assert states(0.1, 0.1, 0.3, 0.1, 0.9, 0.1) == 'U U U U T U'


def test_found_again_at_once_when_it_is_sure():
    assert states(0.1, 0.1, 0.1, 0.5, 0.3, 0.1) == 'U U L T U U'


def test_what_is_seen_weakly_does_not_end_the_doubt():
    assert states(0.1, 0.1, 0.1, 0.49, 0.3, 0.1, 0.9, 0.1, 0.1) == 'U U L U U L T U U'
    assert states(0.1, 0.1, 0.1, 0.9, 0.1, certain=False) == 'U U L U L'


def test_decisions_of_the_tracker_win():
    assert states(0.9, 0.9, 0.9, 0.9, found=False) == 'U U L L'
    assert states(0.9, 0.9, 0.1, 0.1, 0.1, certain=False) == 'U U U U L'


def test_a_target_that_is_astray_is_learnt_from_midway_between_the_thresholds_on():
    assert StateJudge(0.5, 0.2, 2).learning_threshold == pytest.approx(0.35)


def test_a_target_is_astray_until_it_is_surely_seen():
    judge = StateJudge(0.5, 0.2, 2)
    astray = []
    for confidence in (0.1, 0.1, 0.3, 0.5):
        judge.judge(confidence)
        astray.append(judge.astray)
    assert astray == [False, True, True, False]
