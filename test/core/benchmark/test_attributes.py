"""Attributes computed from annotations."""

import numpy as np
import pytest

from tracker_core.benchmark.attributes import sequence_attributes
from tracker_core.benchmark.dataset import BenchmarkSequence, ImageList

STILL = np.array([[50.0, 50, 30, 20]] * 5)


def attributes(truth: np.ndarray, **more) -> tuple[str, ...]:
    return sequence_attributes(BenchmarkSequence('s', ImageList('s', []), truth, **more))


def test_a_still_target_has_none():
    assert attributes(STILL) == ()


@pytest.mark.parametrize(
    ('frame', 'name'),
    [
        ([50, 50, 61, 41], 'scale variation'),
        ([50, 50, 65, 20], 'aspect change'),
        ([71, 50, 30, 20], 'fast motion'),
        ([50, 50, 26, 15], 'low resolution'),
        ([np.nan] * 4, 'absence'),
    ],
)
def test_one_frame_is_enough(frame, name):
    truth = STILL.copy()
    truth[2] = frame
    assert name in attributes(truth)


def test_limits_are_not_crossed_by_reaching_them():
    truth = STILL.copy()
    truth[2] = [35, 40, 60, 40]
    assert attributes(truth) == ()


def test_published_and_hidden():
    visible = np.array([True, True, False, True, True])
    assert attributes(STILL, visible=visible, attributes=('blur',)) == ('blur', 'absence')
