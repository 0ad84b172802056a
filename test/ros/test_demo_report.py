"""Counting, the line per second and the verdict of the demo."""

from __future__ import annotations

import pytest

from tracker_core import Box, Estimate, TrackState

pytest.importorskip('tracker_ros.msg', reason='tracker_ros is not built: run colcon build')

from tracker_ros.demo_report import (
    HEADER,
    SECOND,
    LiveLine,
    Record,
    Result,
    Truth,
    judge,
    percentile,
    summary,
)

TARGET = Box(10, 10, 40, 30)
ELSEWHERE = Box(200, 200, 40, 30)


def record(
    boxes: list[Box | None],
    *,
    truth: bool = True,
    state: TrackState = TrackState.TRACKING,
    visible: float = 1.0,
) -> Record:
    """Record ten images per second; None stands for an image that was not tracked."""
    made = Record()
    for index, box in enumerate(boxes):
        stamp = index * SECOND // 10
        made.images.append(stamp)
        if truth:
            made.truths[stamp] = Truth(TARGET, visible)
        if box is not None:
            made.results[stamp] = Result(Estimate(box, 0.9, state), stamp + 50_000_000)
    return made


def test_a_target_in_its_box_is_followed() -> None:
    verdict = judge(record([TARGET] * 30))
    assert verdict.followed
    assert 'mean IoU 1.00 over 30 images' in verdict.reason


def test_a_box_elsewhere_is_not_following() -> None:
    assert not judge(record([ELSEWHERE] * 30)).followed


def test_a_target_lost_at_the_end_is_not_followed() -> None:
    verdict = judge(record([TARGET] * 80 + [ELSEWHERE] * 12))
    assert not verdict.followed
    assert '0.00 in the last second' in verdict.reason


def test_a_target_found_at_the_end_only_was_not_followed() -> None:
    verdict = judge(record([ELSEWHERE] * 30 + [TARGET] * 12))
    assert not verdict.followed
    assert '1.00 in the last second' in verdict.reason


def test_a_tracker_that_stopped_is_not_following() -> None:
    verdict = judge(record([TARGET] * 30 + [None] * 20))
    assert not verdict.followed
    assert 'last second' in verdict.reason


def test_few_results_say_nothing() -> None:
    verdict = judge(record([TARGET] * 9))
    assert not verdict.followed
    assert 'only 9 images' in verdict.reason


def test_a_hidden_target_is_not_judged() -> None:
    made = record([TARGET] * 30)
    for stamp in made.images[10:15]:
        made.truths[stamp] = Truth(ELSEWHERE, 0.0)
    del made.truths[made.images[20]]
    assert summary(made)['judged_images'] == 24
    assert judge(made).followed
    assert not judge(record([TARGET] * 30, visible=0.2)).followed, 'nothing could be judged'


def test_without_truth_the_states_decide() -> None:
    sure = judge(record([TARGET] * 30, truth=False))
    assert sure.followed
    assert 'without truth' in sure.reason
    lost = record([TARGET] * 50, truth=False)
    for stamp in lost.images[-8:]:
        estimate = Estimate(TARGET, 0.1, TrackState.LOST)
        lost.results[stamp] = Result(estimate, stamp)
    assert not judge(lost).followed
    unsure = record([TARGET] * 30, truth=False, state=TrackState.UNCERTAIN)
    assert not judge(unsure).followed


def test_dropped_images_are_those_between_tracked_ones() -> None:
    made = record([None, None, TARGET, None, None, TARGET, TARGET, None])
    assert made.dropped() == 2
    assert Record().dropped() == 0


def test_summary_of_a_run() -> None:
    numbers = summary(record([TARGET, None] * 20))
    assert numbers['images'] == 40
    assert numbers['tracked'] == 20
    assert numbers['fps'] == pytest.approx(5)
    assert numbers['latency_median_ms'] == pytest.approx(50)
    assert numbers['mean_iou'] == pytest.approx(1)
    assert summary(Record())['fps'] is None


def test_a_line_tells_what_is_new() -> None:
    made, line = record([TARGET, None] * 5), LiveLine()
    words = ' '.join(line.text(made, SECOND).split())
    assert words == '1s 10 5 4 5.0 50 / 50 ms 0.90 tracking 1.00'
    words = ' '.join(line.text(made, 2 * SECOND).split())
    assert words == '2s 0 0 0 0.0 - - - -'
    made.images.append(2 * SECOND)
    estimate = Estimate(TARGET, 0.5, TrackState.UNCERTAIN)
    made.results[2 * SECOND] = Result(estimate, 2 * SECOND + 70_000_000)
    words = ' '.join(line.text(made, 4 * SECOND).split())
    assert words == '4s 1 1 1 0.5 70 / 70 ms 0.50 uncertain -'


def test_columns_stand_below_their_heading() -> None:
    made, line = record([TARGET] * 10), LiveLine()
    text = line.text(made, SECOND)
    for word, heading in (('1s', ' time'), ('10', '   in'), ('tracking', 'state')):
        assert word in text
        assert heading in HEADER
    assert abs(len(text) - len(HEADER)) <= 1


def test_percentile() -> None:
    values = [float(v) for v in range(1, 101)]
    assert percentile(values, 0.95) == 96
    assert percentile([3.0], 0.95) == 3
