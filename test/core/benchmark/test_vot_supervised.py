"""The supervised protocol: restarts, and the measures against reference values."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tracker_core import Box, Estimate, TrackState
from tracker_core.benchmark.dataset import BenchmarkSequence, ImageList
from tracker_core.benchmark.readers.vot import as_polygons, start_box
from tracker_core.benchmark.vot_supervised import (
    Trajectory,
    VotSequence,
    run_supervised,
    score_vot,
)


class Frames(ImageList):
    """Blank images of 200 x 100."""

    def __init__(self, count: int) -> None:
        super().__init__('blank', [Path()] * count)

    def __iter__(self):
        return (np.zeros((100, 200, 3), np.uint8) for _ in self.paths)


class Scripted:
    """Reports the true box, but a far one in the given calls of `track` after each start."""

    response_map = None

    def __init__(self, *lost_calls: int) -> None:
        self.lost_calls = lost_calls
        self.calls = 0
        self.starts: list[Box] = []

    def initialize(self, image: np.ndarray, box: Box) -> None:
        self.starts.append(box)

    def track(self, image: np.ndarray) -> Estimate:
        self.calls += 1
        box = Box(150, 50, 5, 5) if self.calls in self.lost_calls else Box(20, 20, 30, 20)
        return Estimate(box, 1.0, TrackState.TRACKING)


def sequence(count: int) -> BenchmarkSequence:
    boxes = np.array([[20.0, 20, 30, 20]] * count)
    return BenchmarkSequence('s', Frames(count), boxes, polygons=as_polygons(boxes))


def test_a_tracker_is_restarted_five_frames_after_a_failure():
    tracker = Scripted(3)
    lines, seconds = run_supervised(tracker, sequence(12), lambda amount: None)
    codes = ''.join(line if len(line) == 1 else '.' for line in lines)
    assert codes == '1..20000' + '1...'
    assert lines[1] == '20.0000,20.0000,30.0000,20.0000'
    assert len(tracker.starts) == 2
    assert (seconds > 0).tolist() == [line != '0' for line in lines]


def test_boxes_start_as_they_are_and_polygons_as_boxes_of_their_area():
    boxes, polygons = Scripted(3), Scripted(3)
    run_supervised(boxes, sequence(12), lambda amount: None)
    assert boxes.starts == [Box(20, 20, 30, 20)] * 2
    first = start_box(sequence(1).polygons[0])
    run_supervised(polygons, replace(sequence(12), start=first), lambda amount: None)
    assert polygons.starts == [first] * 2
    assert first.width == 31, 'one pixel more, as in pysot'


def test_a_failure_near_the_end_ends_the_run():
    lines, _ = run_supervised(Scripted(3), sequence(6), lambda amount: None)
    assert lines[3:] == ['2', '0', '0']


def test_too_few_frames_are_an_error():
    short = BenchmarkSequence(
        's', Frames(3), np.zeros((5, 4)), polygons=as_polygons(np.array([[20.0, 20, 30, 20]] * 5))
    )
    with pytest.raises(ValueError, match='3 frames for 5 regions'):
        run_supervised(Scripted(), short, lambda amount: None)


def test_accuracy_leaves_out_the_burn_in_and_robustness_counts_failures():
    """20 frames: start, 9 perfect (burn-in), 10 with half of the box."""
    truth = as_polygons(np.array([[20.0, 20, 30, 20]] * 20))
    half = as_polygons(np.array([[20.0, 20, 30, 20]] * 10 + [[20.0, 20, 30, 9.5]] * 10))
    codes = np.full(20, -1)
    codes[0] = 1
    half[0] = np.nan
    runs = (Trajectory(codes, half),)
    scored = VotSequence('s', truth, (200, 100), runs)
    score = score_vot([scored], (5, 15))
    assert score.accuracies == {'s': pytest.approx(11 / 21)}
    assert score.failure_counts == {'s': 0}
    assert (score.robustness, score.failures) == (0, 0)
    assert score.curve[:10].tolist() == [1] * 10
    failed = Trajectory(np.array([1] + [-1] * 18 + [2]), half)
    assert score_vot([VotSequence('s', truth, (200, 100), (failed,))], (5, 15)).robustness == 5


def test_damaged_lines_are_named():
    with pytest.raises(ValueError, match='run, line 2:'):
        Trajectory.parse(['1', '1,2,x,4'], 'run')
    with pytest.raises(ValueError, match='line 1:'):
        Trajectory.parse(['1,2,3'])


def test_runs_must_be_complete():
    truth = as_polygons(np.array([[20.0, 20, 30, 20]] * 3))
    run = Trajectory(np.array([1, -1, -1]), truth)
    two = VotSequence('a', truth, (200, 100), (run, run))
    one = VotSequence('b', truth, (200, 100), (run,))
    with pytest.raises(ValueError, match='same number of runs'):
        score_vot([two, one], (1, 2))


@pytest.mark.data
def test_reference_measures(parity: Path):
    """Accuracy, robustness and EAO of six sequences with three runs each, as pysot has them."""
    data = np.load(parity / 'metrics_vot.npz')
    sequences = [_reference(data, index) for index in range(6)]
    score = score_vot(sequences, (100, 356))
    assert score.eao == pytest.approx(float(data['pysot/eao_vot2018']), abs=1e-7)
    assert score.accuracy == pytest.approx(float(data['pysot/accuracy']), abs=1e-7)
    assert score.robustness == pytest.approx(float(data['pysot/robustness']), abs=1e-12)
    assert score.failures == pytest.approx(float(data['pysot/lost_number']), abs=1e-12)
    for each in sequences:
        counts = [len(run.failures) for run in each.runs]
        assert counts == data[f'pysot/failures/{each.name}'].tolist()


def _reference(data: dict[str, np.ndarray], index: int) -> VotSequence:
    prefix = f'sequence{index}/'
    runs = []
    for rows in data[prefix + 'trajectories']:
        lines = [
            str(int(row[0])) if np.isnan(row[1]) else ','.join(map(repr, row.tolist()))
            for row in rows
        ]
        runs.append(Trajectory.parse(lines))
    width, height = (int(side) for side in data[prefix + 'size_wh'])
    return VotSequence(
        str(data[prefix + 'name']), data[prefix + 'gt'], (width, height), tuple(runs)
    )
