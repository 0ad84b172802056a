import json

import numpy as np
import pytest

from tracker_core.score_map import (
    DistractorThresholds,
    Flag,
    find_peak,
    hann_window,
    judge_peaks,
    mask_neighborhood,
)

THRESHOLDS = DistractorThresholds(0.25, 0.8, 0.5, 2.2, 0.8)
TARGET = (2.0, 2.0)


def scores(*peaks, size=19):
    """Map with the given (row, column, score) cells."""
    values = np.zeros((size, size), np.float32)
    for row, column, score in peaks:
        values[row, column] = score
    return values


@pytest.mark.parametrize('size', [18, 19])
def test_published_windows(parity, size):
    reference = np.load(parity / 'primitives.npz')
    expected = reference[f'window/hann2d_{size}'][0, 0]
    np.testing.assert_allclose(hann_window(size), expected, rtol=0, atol=1e-6)


def test_a_window_of_another_height_and_period():
    """FCOT's: 0.2 (1 - cos(2 pi k / (N + 2))), not symmetric."""
    window = hann_window(6, 0.2, 8)
    assert window[3, 3] == pytest.approx(0.16)
    assert window[0, 3] == pytest.approx(0.2 * (1 - np.sqrt(0.5)) * 0.4)
    assert window[5, 3] == pytest.approx(0.08)


def test_peak_and_its_offset_from_the_centre():
    peak = find_peak(scores((3, 12, 0.7)))
    assert (peak.row, peak.column, peak.offset) == (3, 12, (3.0, -6.0))
    assert peak.score == pytest.approx(0.7)
    assert find_peak(np.eye(4, dtype=np.float32)[::-1]).offset == (-1.5, 1.5)
    wide = find_peak(scores((3, 12, 0.7))[:6])
    assert (wide.row, wide.column, wide.offset) == (3, 12, (3.0, 0.5))


def test_of_equal_peaks_the_leftmost_then_the_uppermost():
    peak = find_peak(scores((2, 9, 1.0), (8, 4, 1.0), (7, 4, 1.0)))
    assert (peak.row, peak.column) == (7, 4)


def test_the_neighbourhood_rounds_halves_to_even_and_stays_inside():
    ones = np.ones((9, 9), np.float32)
    masked = mask_neighborhood(ones, find_peak(scores((4, 4, 1), size=9)), (3, 4.4))
    rows, columns = np.nonzero(masked == 0)
    assert (rows.min(), rows.max()) == (2, 6)  # 1.8 -> 2 and 7.2 -> 7, exclusive
    assert (columns.min(), columns.max()) == (2, 5)  # 2.5 -> 2 and 6.5 -> 6, exclusive
    corner = mask_neighborhood(ones, find_peak(scores((0, 8, 1), size=9)), (50, 1))
    assert (corner[:2] == 0).all() and (corner[2:] == 1).all()
    assert (ones == 1).all(), 'the map itself is unchanged'


def test_nothing_high_enough_is_not_found():
    assert judge_peaks(scores((4, 4, 0.24)), THRESHOLDS, TARGET)[1] is Flag.NOT_FOUND
    assert judge_peaks(scores((4, 4, 0.26)), THRESHOLDS, TARGET)[1] is Flag.NORMAL


def test_a_lower_second_peak_is_a_hard_negative_only_above_both_thresholds():
    def flag(first, second):
        values = scores((9, 9, first), (2, 2, second))
        return judge_peaks(values, THRESHOLDS, TARGET)[1]

    assert flag(1.0, 0.45) is Flag.NORMAL
    assert flag(1.0, 0.55) is Flag.HARD_NEGATIVE
    assert flag(0.4, 0.24) is Flag.NORMAL, 'more than half of the peak, but itself not found'


def test_a_second_peak_on_the_target_itself_does_not_count():
    values = scores((9, 9, 1.0), (10, 10, 0.95))
    assert judge_peaks(values, THRESHOLDS, TARGET)[1] is Flag.NORMAL


def test_equal_peaks_are_told_apart_by_distance():
    """Half of the map is 9.5 cells, of which 0.8 are plausible: 7.6 cells."""
    near_first = scores((9, 9, 1.0), (0, 9, 0.9))
    peak, flag = judge_peaks(near_first, THRESHOLDS, TARGET)
    assert flag is Flag.HARD_NEGATIVE and peak.row == 9
    peak, flag = judge_peaks(near_first, THRESHOLDS, TARGET, previous=(0.0, -9.0))
    assert flag is Flag.HARD_NEGATIVE and peak.row == 0, 'the target was up there'
    peak, flag = judge_peaks(near_first, THRESHOLDS, TARGET, previous=(0.0, -4.0))
    assert flag is Flag.UNCERTAIN and peak.row == 9, 'both are near'
    peak, flag = judge_peaks(near_first, THRESHOLDS, TARGET, previous=(30.0, 0.0))
    assert flag is Flag.UNCERTAIN and peak.row == 9, 'both are far'


@pytest.mark.parametrize(
    ('previous', 'row', 'nearer'),
    [((0.0, -4.0), 9, 9), ((0.0, -5.0), 9, 0), ((30.0, 0.0), 9, 9), ((-30.0, -9.0), 9, 0)],
)
def test_the_nearer_of_two_equally_plausible_peaks_is_chosen_on_demand(previous, row, nearer):
    """Peaks at offsets (0, 0), the higher, and (0, -9): both plausible, or neither."""
    values = scores((9, 9, 1.0), (0, 9, 0.9))
    peak, flag = judge_peaks(values, THRESHOLDS, TARGET, previous)
    assert (peak.row, flag) == (row, Flag.UNCERTAIN)
    peak, flag = judge_peaks(values, THRESHOLDS, TARGET, previous, prefer_near=True)
    assert (peak.row, flag) == (nearer, Flag.UNCERTAIN)
    assert peak.score == pytest.approx(0.9 if nearer == 0 else 1.0)


def test_the_flank_of_the_higher_peak_is_no_nearer_peak():
    """Of a target so small that the flank reaches beyond its neighbourhood of 3 x 3 cells."""
    values = scores((4, 9, 1.0), (5, 9, 0.96), (6, 9, 0.93), (7, 9, 0.9), (9, 9, 0.88))
    peak, flag = judge_peaks(values, THRESHOLDS, (0.5, 0.5), prefer_near=True)
    assert (peak.row, flag) == (4, Flag.UNCERTAIN)
    values[6, 9] = values[7, 9] = 0.2
    peak, flag = judge_peaks(values, THRESHOLDS, (0.5, 0.5), prefer_near=True)
    assert (peak.row, flag) == (9, Flag.UNCERTAIN)


def test_the_nearer_peak_is_the_top_of_its_hill_though_the_higher_one_hides_it():
    """Seen in the demo: the neighbourhood of the look-alike covers the peak of the target."""
    values = scores((9, 14, 0.9), (9, 9, 0.86), (9, 8, 0.84))
    wide = (4.2, 3.1)
    assert mask_neighborhood(values, find_peak(values), (9.2, 6.8))[9, 9] == 0
    peak, flag = judge_peaks(values, THRESHOLDS, wide, prefer_near=True)
    assert (peak.row, peak.column, flag) == (9, 9, Flag.UNCERTAIN)
    assert peak.score == pytest.approx(0.86) and peak.offset == (0.0, 0.0)
    values[9, 10:14] = 0.865, 0.87, 0.88, 0.89
    peak, flag = judge_peaks(values, THRESHOLDS, wide, prefer_near=True)
    assert (peak.column, flag) == (14, Flag.UNCERTAIN), 'one hill'


def test_the_second_peak_is_looked_for_without_the_window():
    values = scores((9, 9, 1.0), (0, 0, 0.9))
    windowed = values * hann_window(19)
    assert judge_peaks(windowed, THRESHOLDS, TARGET)[1] is Flag.NORMAL
    assert judge_peaks(windowed, THRESHOLDS, TARGET, unwindowed=values)[1] is Flag.HARD_NEGATIVE


@pytest.mark.parametrize('trace', ['dimp18', 'dimp18_vot18', 'prdimp18'])
def test_published_decisions(parity, trace):
    """Flag and translation of every frame of a trace, from its stored scores and state."""
    data = np.load(parity / f'tracker_{trace}_int.npz')
    for frame in range(1, 23):
        flag, translation = _decide(data, json.loads(str(data['params'])), frame)
        assert flag == data['step/flag'][frame], frame
        np.testing.assert_allclose(translation, data['step/translation'][frame], atol=1e-3)


def _decide(data, params, frame):
    top, left, bottom, right = data['step/coords'][frame, 0]
    side = params['image_sample_size']
    scale = np.sqrt((bottom - top) * (right - left)) / side
    raw = data['step/scores'][frame, 0, 0]
    if params.get('score_preprocess') == 'softmax':
        raw = np.exp(raw) / np.exp(raw).sum()
    pixels = side / (len(raw) - 1) * scale
    center = np.array([top + bottom - 1, left + right - 1]) / 2
    previous = (data['step/pos'][frame - 1] - center) / pixels
    thresholds = DistractorThresholds(
        params['target_not_found_threshold'],
        params['distractor_threshold'],
        params['hard_negative_threshold'],
        params['target_neighborhood_scale'],
        params['dispalcement_scale'],
    )
    windowed = raw * hann_window(len(raw)) if params['window_output'] else raw
    peak, flag = judge_peaks(
        windowed,
        thresholds,
        tuple(data['step/target_sz'][frame - 1][::-1] / pixels),
        tuple(previous[::-1]),
        raw,
    )
    return flag.value, np.array(peak.offset[::-1]) * pixels
