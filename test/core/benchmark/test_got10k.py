"""GOT-10k's measures against numbers worked out by hand."""

import numpy as np
import pytest

from tracker_core.benchmark.got10k import score_got10k, sequence_overlaps

SIZE = (100, 50)
TRUTH = np.array([[10.0, 10, 20, 10]] * 4)


def test_first_and_hidden_frames_do_not_count():
    boxes = TRUTH.copy()
    boxes[0] = 0, 0, 1, 1
    boxes[2] = 0, 0, 1, 1
    visible = np.array([True, True, False, True])
    assert sequence_overlaps(boxes, TRUTH, visible, SIZE).tolist() == [1, 1]
    assert sequence_overlaps(boxes, TRUTH, None, SIZE).tolist() == [1, 0, 1]


def test_frames_without_a_box_do_not_count_even_where_the_target_is_said_to_be_visible():
    truth = TRUTH.copy()
    truth[2] = np.nan
    assert sequence_overlaps(TRUTH, truth, np.ones(4, bool), SIZE).tolist() == [1, 1]


def test_frames_after_the_last_result_do_not_count():
    assert sequence_overlaps(TRUTH[:3], TRUTH, None, SIZE).tolist() == [1, 1]
    assert sequence_overlaps(TRUTH[:3], TRUTH, np.ones(4, bool), SIZE).tolist() == [1, 1]


def test_boxes_are_cut_at_the_border_as_the_toolkit_does():
    """x = -10 becomes 0 with the width kept; beyond the right border the width shrinks."""
    boxes = np.array([[0, 0, 1, 1], [-10, 10, 20, 10], [90, 10, 40, 10]], dtype=float)
    truth = np.array([[0, 0, 1, 1], [0, 10, 20, 10], [90, 10, 10, 10]], dtype=float)
    assert sequence_overlaps(boxes, truth, None, SIZE).tolist() == [1, 1]


def test_frames_are_pooled_over_sequences():
    score = score_got10k([np.array([1.0, 0.6, 0.5]), np.array([0.0])])
    assert score.average_overlap == pytest.approx(2.1 / 4)
    assert (score.success50, score.success75) == (0.5, 0.25)
    assert len(score.curve) == 101
    assert (score.curve[0], score.curve[50], score.curve[100]) == (0.75, 0.5, 0.0)


def test_nothing_to_score_is_an_error():
    with pytest.raises(ValueError, match='no sequence'):
        score_got10k([])
