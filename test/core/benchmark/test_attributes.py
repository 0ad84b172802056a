"""Attributes computed from annotations."""

import numpy as np
import pytest

from tracker_core.benchmark.attributes import (
    Attribute,
    collect_attributes,
    computed_attributes,
)
from tracker_core.benchmark.dataset import BenchmarkSequence, ImageList

STILL = np.array([[50.0, 50, 30, 20]] * 5)


def attributes(truth: np.ndarray, **more) -> tuple[str, ...]:
    return computed_attributes(sequence(truth, **more))


def sequence(truth: np.ndarray, name: str = 's', **more) -> BenchmarkSequence:
    return BenchmarkSequence(name, ImageList(name, []), truth, **more)


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
    truth[2] = [60, 55, 15, 20]
    truth[3] = [57.5, 50, 20, 25]
    assert attributes(truth) == ('low resolution',)


def test_hidden_frames_count_as_absence():
    visible = np.array([True, True, False, True, True])
    assert attributes(STILL, visible=visible) == ('absence',)


def test_published_attributes_replace_computed_ones_of_the_same_name():
    jump = STILL.copy()
    jump[2] = [75, 50, 26, 15]
    found = collect_attributes(
        [
            sequence(jump, 'a', attributes=('blur', 'low resolution')),
            sequence(jump, 'b', attributes=('blur',)),
            sequence(STILL, 'c'),
        ]
    )
    assert found == [
        Attribute('blur', 'published', ('a', 'b')),
        Attribute('fast motion', 'computed', ('a', 'b')),
        Attribute('low resolution', 'published', ('a',)),
    ]
