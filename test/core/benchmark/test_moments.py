"""Worst moments: which frames, and what is drawn."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tracker_core.benchmark.moments import Moment, _view, draw_moments, jpeg, worst_moments
from tracker_core.benchmark.one_pass import SequenceScore
from tracker_core.benchmark.readers import open_dataset
from tracker_core.benchmark.results import ResultFolder

NAN = float('nan')


def score(name: str, overlaps: list[float]) -> SequenceScore:
    return SequenceScore(name, np.zeros(21), np.zeros(51), np.zeros(51), np.array(overlaps))


def test_the_longest_losses_come_first():
    scores = [
        score('short', [1, 0.9, 0, 0.05, 0.8]),
        score('never', [1, 0.5, 0.1]),
        score('long', [1, 1] + [0.0] * 20 + [0.5] + [0.0] * 3),
    ]
    moments = worst_moments(scores)
    assert moments == [Moment('long', 1, 12, 20), Moment('short', 1, 3, 2)]
    assert worst_moments(scores, 1) == moments[:1]


def test_frames_without_truth_do_not_end_a_loss():
    assert worst_moments([score('a', [1, 0, NAN, NAN, 0, 1])]) == [Moment('a', 0, 4, 2)]


def test_pictures_show_truth_and_box(folders, tmp_path: Path):
    dataset = open_dataset('folders', folders('a'))
    folder = ResultFolder.of(tmp_path / 'r', dataset, 'kcf')
    boxes = dataset.sequences[0].truth + np.array([20.0, 5, 0, 0])
    folder.write('a', 1, boxes, np.zeros(len(boxes)))
    (picture,) = draw_moments(dataset, folder, [Moment('a', 2, 6, 5)], (255, 0, 255))
    for image in (picture.before, picture.after):
        assert image.shape == (270, 420, 3)
        assert (image == 255).all(axis=2).any(), 'truth in white'
        assert (image == (255, 0, 255)).all(axis=2).any(), 'box in its colour'


def test_pictures_keep_their_colours():
    red = np.tile(np.uint8([250, 20, 20]), (16, 16, 1))
    decoded = cv2.imdecode(np.frombuffer(jpeg(red), np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(decoded[..., ::-1].astype(int) - red).max() < 10


@pytest.mark.parametrize('size', [(300, 60), (60, 300), (640, 480)])
def test_what_is_shown_lies_in_the_image_and_is_not_distorted(size):
    image = np.zeros((size[1], size[0], 3), np.uint8)
    truth, box = np.array([10.0, 20, 30, 25]), np.array([20.0, 25, 30, 25])
    left, top, width, height = _view(image, truth, box)
    assert left >= 0 and top >= 0 and left + width <= size[0] and top + height <= size[1]
    assert width / height == pytest.approx(420 / 270, rel=0.03)


def test_boxes_far_outside_and_absent_truth_can_be_drawn(folders, tmp_path: Path):
    dataset = open_dataset('folders', folders('a'))
    sequence = dataset.sequences[0]
    sequence.truth[2] = np.nan
    dataset = replace(dataset, sequences=(sequence,))
    folder = ResultFolder.of(tmp_path / 'r', dataset, 'kcf')
    boxes = np.full((8, 4), 5000.0)
    boxes[3] = -900, -900, 1, 1
    folder.write('a', 1, boxes, np.zeros(8))
    (picture,) = draw_moments(dataset, folder, [Moment('a', 2, 3, 5)], (255, 0, 255))
    assert picture.before.shape == picture.after.shape == (270, 420, 3)


def test_short_results_and_missing_images_end_no_report(folders, tmp_path: Path):
    root = folders('a', 'gone')
    dataset = open_dataset('folders', root)
    folder = ResultFolder.of(tmp_path / 'r', dataset, 'kcf')
    for name in ('a', 'gone'):
        folder.write(name, 1, dataset.names[name].truth[:4], np.zeros(4))
    (root / 'gone' / '0006.png').unlink()
    moments = [Moment('gone', 2, 6, 5), Moment('a', 2, 6, 5)]
    (picture,) = draw_moments(dataset, folder, moments, (255, 0, 255))
    assert picture.moment.sequence == 'a'
    dataset.names['gone'].frames.paths = dataset.names['gone'].frames.paths[:4]
    assert draw_moments(dataset, folder, moments[:1], (255, 0, 255)) == []
