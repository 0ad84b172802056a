"""Measures of one-pass evaluation against numbers worked out by hand."""

from pathlib import Path

import numpy as np
import pytest

from tracker_core.benchmark import one_pass
from tracker_core.benchmark.one_pass import Convention

TRUTH = np.array([[10.0, 10, 20, 10]] * 4)


def test_overlap_of_hand_worked_boxes():
    boxes = np.array([[10.0, 10, 20, 10], [20, 10, 20, 10], [10, 10, 20, 20], [90, 90, 5, 5]])
    np.testing.assert_allclose(one_pass.overlaps(boxes, TRUTH), [1, 1 / 3, 1 / 2, 0])


def test_overlap_without_area_is_zero_and_with_nan_is_nan():
    empty = np.zeros((1, 4))
    assert one_pass.overlaps(empty, empty)[0] == 0
    assert np.isnan(one_pass.overlaps(empty, np.full((1, 4), np.nan))[0])


def test_equal_boxes_overlap_by_one_and_not_more():
    """Right minus left may be a little more than the width it was made from."""
    sides = np.random.default_rng(0).uniform(0, 100, (1000, 4)).round(3)
    assert ((sides[:, 0] + sides[:, 2]) - sides[:, 0] > sides[:, 2]).any()
    assert one_pass.overlaps(sides, sides).max() == 1
    assert one_pass.score('s', sides, sides).success[-1] == 0


def test_errors_of_hand_worked_boxes():
    boxes = np.array([[13.0, 14, 20, 10]])
    assert one_pass.center_errors(boxes, TRUTH[:1])[0] == pytest.approx(5)
    expected = np.hypot(3 / 20, 4 / 10)
    assert one_pass.normalized_errors(boxes, TRUTH[:1])[0] == pytest.approx(expected)
    tiny = np.array([[0.0, 0, 0.5, 0.5]])
    moved = tiny + np.array([0.5, 0, 0, 0])
    assert one_pass.normalized_errors(moved, tiny)[0] == pytest.approx(1)
    assert one_pass.normalized_errors(moved, tiny, least_size=1)[0] == pytest.approx(0.5)


def test_thresholds_are_those_of_the_toolkits():
    np.testing.assert_allclose(one_pass.OVERLAP_THRESHOLDS, np.linspace(0, 1, 21), atol=1e-12)
    assert len(one_pass.DISTANCE_THRESHOLDS) == len(one_pass.NORMALIZED_THRESHOLDS) == 51


def test_success_is_strict_and_precision_is_not():
    """Overlap exactly 0.5 is no success at 0.5; a distance of exactly 20 px is precise."""
    boxes = np.array([[10.0, 10, 20, 10], [10, 10, 20, 20]])
    score = one_pass.score('s', boxes, TRUTH[:2])
    assert score.success[10] == 0.5
    assert score.success[20] == 0.0, 'nothing overlaps by more than 1'
    far = np.array([[10.0, 10, 20, 10], [30, 10, 20, 10]])
    assert one_pass.score('s', far, TRUTH[:2]).precision20 == 1
    assert one_pass.score('s', far, TRUTH[:2]).precision[19] == 0.5
    far[1, 0] += 0.5
    assert one_pass.score('s', far, TRUTH[:2]).precision20 == 0.5


def test_scores_of_a_hand_worked_sequence():
    """Overlaps 1, 1/3, 1/2, 0 and centre errors 0, 10, 5, far."""
    boxes = np.array([[10.0, 10, 20, 10], [20, 10, 20, 10], [10, 10, 20, 20], [90, 90, 5, 5]])
    score = one_pass.score('s', boxes, TRUTH)
    above = [np.mean(np.array([1, 1 / 3, 1 / 2, 0]) > t) for t in np.arange(21) * 0.05]
    assert score.auc == pytest.approx(np.mean(above))
    assert score.precision[[4, 5, 9, 10]].tolist() == [0.25, 0.5, 0.5, 0.75]
    assert score.normalized[[0, 49, 50]].tolist() == [0.25, 0.25, 0.75]
    summary = one_pass.summarize([score])
    assert (summary.op50, summary.op75) == (0.25, 0.25)
    assert summary.normalized20 == 0.25
    assert summary.normalized_area == pytest.approx((50 * 0.25 + 0.75) / 51)


def test_sequences_weigh_equally_whatever_their_length():
    short = one_pass.score('a', TRUTH[:1], TRUTH[:1])
    lost = np.concatenate([TRUTH[:1], np.full((3, 4), 500.0)])
    long = one_pass.score('b', lost, TRUTH)
    summary = one_pass.summarize([short, long])
    assert summary.precision20 == pytest.approx((1 + 0.25) / 2)


def test_first_prediction_is_replaced_by_the_annotation():
    boxes = np.concatenate([[[500.0, 500, 3, 3]], TRUTH[1:]])
    assert one_pass.score('s', boxes, TRUTH).precision20 == 1
    assert boxes[0, 0] == 500, 'the input stays as it was'


@pytest.mark.parametrize(
    ('rule', 'family', 'success', 'precision', 'normalized'),
    [
        ('exclude', '', 1, 1, 1),
        ('pytracking', '', 0.5, 0.5, 1),
        ('pytracking', 'uav', 0.5, 1, 1),
        ('pytracking', 'lasot', 0.5, 0.5, 1),
        ('pysot', '', 0.5, 1, 1),
    ],
)
def test_frames_without_annotation(rule, family, success, precision, normalized):
    """Half of the frames have no annotation; the others are tracked perfectly."""
    annotated = TRUTH.copy()
    annotated[2:] = np.nan
    score = one_pass.score('s', TRUTH, annotated, convention=Convention(rule, family))
    assert score.success[10] == success
    assert score.precision20 == precision
    assert score.normalized[20] == normalized


def test_hidden_frames_of_lasot_are_never_precise_in_pytracking():
    visible = np.array([True, True, False, False])
    convention = Convention('pytracking', 'lasot')
    score = one_pass.score('s', TRUTH, TRUTH, visible, convention)
    assert (score.success[10], score.precision20, score.normalized[50]) == (0.5, 0.5, 0.5)
    assert one_pass.score('s', TRUTH, TRUTH, visible).success[10] == 1
    assert one_pass.score('s', TRUTH, TRUTH, visible, Convention('pysot')).precision20 == 0.5


def test_pytracking_takes_a_target_at_the_border_for_absent():
    border = TRUTH * [0, 1, 1, 1]
    assert one_pass.score('s', border, border, convention=Convention('pytracking')).auc == 0
    assert one_pass.score('s', border, border).success[10] == 1


def test_pytracking_repeats_the_box_before_an_empty_one():
    boxes = TRUTH.copy()
    boxes[2:, 2] = 0
    assert one_pass.score('s', boxes, TRUTH, convention=Convention('pytracking')).success[10] == 1
    assert one_pass.score('s', boxes, TRUTH).success[10] == 0.5


def test_pytracking_repeats_the_box_just_before():
    moving = TRUTH + 5 * np.arange(4)[:, None] * [1, 0, 0, 0]
    boxes = moving.copy()
    boxes[2, 3] = 0
    score = one_pass.score('s', boxes, moving, convention=Convention('pytracking'))
    assert score.overlaps.tolist() == pytest.approx([1, 1, 0.6, 1])


def test_truncation_cuts_toward_zero():
    boxes = TRUTH + np.array([0.9, -10.9, 0, 0])
    truncated = one_pass.score('s', boxes, TRUTH, convention=Convention(truncate=True))
    whole = one_pass.score('s', np.array([[10.0, 0, 20, 10]] * 4), TRUTH)
    np.testing.assert_array_equal(truncated.precision, whole.precision)
    np.testing.assert_array_equal(truncated.success, whole.success)


@pytest.mark.parametrize('bad', [np.nan, np.inf])
def test_impossible_predictions_are_errors_that_name_the_frame(bad):
    boxes = TRUTH.copy()
    boxes[2, 1] = bad
    with pytest.raises(ValueError, match='car: frame 2'):
        one_pass.score('car', boxes, TRUTH)
    boxes[2] = [10, 10, -1, 5]
    with pytest.raises(ValueError, match='car: frame 2'):
        one_pass.score('car', boxes, TRUTH)
    with pytest.raises(ValueError, match='car: 3 predictions for 4'):
        one_pass.score('car', TRUTH[:3], TRUTH)


def test_runs_are_averaged_before_sequences():
    good = one_pass.score('s', TRUTH, TRUTH)
    lost = one_pass.score('s', np.concatenate([TRUTH[:1], TRUTH[1:] + 500]), TRUTH)
    assert one_pass.merge([good, lost]).precision20 == pytest.approx(0.625)


@pytest.mark.data
@pytest.mark.parametrize(
    ('name', 'otb2013', 'expected'),
    [
        ('UDT', False, (0.5871, 0.7599, 0.7077, 0.7171)),
        ('UDTplus', False, (0.6231, 0.8308, 0.7407, 0.7633)),
        ('UDT', True, (0.6194, 0.8151, None, None)),
    ],
)
def test_summary_of_reference_curves(parity: Path, name, otb2013, expected):
    """Curves of published result files on OTB-100; UDT's published precision is 0.760."""
    data = np.load(parity / 'metrics_otb_udt.npz')
    kept = data[f'{name}_OTB100/is_otb2013'] | (not otb2013)
    curves = [
        data[f'{name}_OTB100/{curve}'][kept]
        for curve in ('success', 'precision', 'norm_precision')
    ]
    rows = zip(*curves, strict=True)
    empty = np.zeros(0)
    summary = one_pass.summarize([one_pass.SequenceScore('', *row, empty) for row in rows])
    found = (summary.auc, summary.precision20, summary.normalized20, summary.op50)
    for value, wanted in zip(found, expected, strict=True):
        assert wanted is None or value == pytest.approx(wanted, abs=5e-5)


def test_nothing_to_summarize_is_an_error():
    with pytest.raises(ValueError, match='no sequence'):
        one_pass.summarize([])
