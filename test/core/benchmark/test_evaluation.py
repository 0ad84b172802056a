"""Scoring result files."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tracker_core.benchmark.dataset import BenchmarkSequence, Dataset, ImageList
from tracker_core.benchmark.evaluation import evaluate
from tracker_core.benchmark.one_pass import Convention
from tracker_core.benchmark.readers import open_dataset
from tracker_core.benchmark.results import ResultFolder


def sequence(name: str, count: int) -> BenchmarkSequence:
    frames = ImageList(name, [Path(f'{index}.png') for index in range(count)])
    return BenchmarkSequence(name, frames, np.tile([50.0, 50, 20, 20], (count, 1)))


def test_a_hundred_sequences_are_scored_in_less_than_ten_seconds(tmp_path: Path):
    """As many frames as OTB-100 has, of CPU time, as the machine may have other work."""
    dataset = Dataset('many', 'Many', tuple(sequence(f's{i}', 590) for i in range(100)))
    folder = ResultFolder.of(tmp_path, dataset, 'tracker')
    for each in dataset.sequences:
        boxes = each.truth + np.array([10.0, 0, 0, 0])
        folder.write(each.name, 1, boxes, np.full(len(boxes), 0.01))
    start = time.process_time()
    evaluation = evaluate(dataset, folder)
    assert time.process_time() - start < 10
    assert len(evaluation.scores) == 100
    assert evaluation.scores['s5'].overlaps[1] == pytest.approx(1 / 3)
    assert evaluation.speed is not None
    assert evaluation.speed.total == pytest.approx(100)
    assert evaluation.speed.mean == pytest.approx(100)


def test_sequences_without_results_or_annotation_are_left_out(tmp_path: Path):
    hidden = replace(sequence('hidden', 5), truth=np.array([[50.0, 50, 20, 20]]))
    dataset = Dataset('some', 'Some', (sequence('a', 5), sequence('b', 5), hidden))
    folder = ResultFolder.of(tmp_path, dataset, 'tracker')
    for name in ('a', 'hidden'):
        folder.write(name, 1, np.tile([50.0, 50, 20, 20], (5, 1)), np.full(5, 0.01))
    (folder.times_path('a')).unlink()
    evaluation = evaluate(dataset, folder)
    assert (list(evaluation.scores), evaluation.missing) == (['a'], ('b',))
    assert evaluation.speed is None


def test_all_repetitions_count_on_got10k(folders, tiny, tmp_path: Path):
    dataset = replace(open_dataset('folders', folders('a')), family='got10k')
    folder = ResultFolder.of(tmp_path, dataset, 'tracker')
    for repetition, boxes in ((1, tiny.truth(8)), (2, np.tile([60.0, 0, 5, 5], (8, 1)))):
        folder.write('a', repetition, boxes, np.ones(8))
    score = evaluate(dataset, folder).got10k
    assert score is not None and score.average_overlap == 0.5


def test_results_of_another_length_are_cut_or_padded_but_for_lasot(tmp_path: Path, capsys):
    dataset = Dataset('one', 'One', (sequence('s', 10),))
    folder = ResultFolder.of(tmp_path, dataset, 'tracker')
    folder.write('s', 1, np.tile([50.0, 50, 20, 20], (12, 1)), np.ones(12))
    assert evaluate(dataset, folder).summary.precision20 == 1
    assert 's.txt: 12 boxes for 10 frames, cut' in capsys.readouterr().err
    folder.write('s', 1, np.tile([50.0, 50, 20, 20], (5, 1)), np.ones(5))
    assert evaluate(dataset, folder).summary.precision20 == 0.5
    assert 's.txt: 5 boxes for 10 frames, padded' in capsys.readouterr().err
    padded = evaluate(dataset, folder, Convention('pytracking'))
    assert padded.summary.precision20 == 0.5, 'missing boxes do not repeat the last one'
    with pytest.raises(ValueError, match='5 boxes for 10 frames'):
        evaluate(dataset, folder, Convention(family='lasot'))


def test_results_are_not_scored_against_another_annotation(tmp_path: Path):
    dataset = Dataset('clips', 'Clips', (sequence('s', 10),))
    folder = ResultFolder.of(tmp_path, dataset, 'tracker')
    folder.claim({'seed': 0}, ('seed',), dataset.sequences)
    other = Dataset('clips', 'Clips', (sequence('s', 9),))
    folder.claim({'seed': 0}, ('seed',), other.sequences)  # No results were there to contradict.
    folder.claim({'seed': 0}, ('seed',), dataset.sequences)
    folder.write('s', 1, dataset.sequences[0].truth, np.ones(10))
    assert evaluate(dataset, folder).summary.precision20 == 1
    with pytest.raises(ValueError, match=r's\.txt was made with another annotation'):
        evaluate(other, folder)
    with pytest.raises(ValueError, match=r's\.txt was made with another annotation'):
        folder.claim({'seed': 0}, ('seed',), other.sequences)
    (folder.path / 'run.json').write_text('{"seed": 0}')
    assert evaluate(other, folder).summary.precision20 == 1, 'old results have no digest'


def test_digests_tell_annotations_apart():
    one = sequence('s', 10)
    assert one.annotation_digest == sequence('other', 10).annotation_digest
    assert one.annotation_digest != sequence('s', 11).annotation_digest
    moved = BenchmarkSequence('s', one.frames, one.truth + 0.01)
    assert one.annotation_digest != moved.annotation_digest
    first, longer = (
        BenchmarkSequence('s', sequence('s', n).frames, one.truth[:1]) for n in (5, 6)
    )
    assert first.annotation_digest != longer.annotation_digest
