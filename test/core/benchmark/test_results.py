"""Result files: layouts, completeness, and the record of how they were made."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tracker_core.benchmark.dataset import Dataset
from tracker_core.benchmark.results import ResultFolder, result_folders

BOXES = np.array([[1.23456, 2, 3, 4], [5, 6, 7, 8]])
SECONDS = np.array([0.5, 0.25])


@pytest.fixture
def dataset() -> Dataset:
    return Dataset('otb100', 'OTB-100', (), origin=1)


def test_flat_layout_has_published_coordinates(tmp_path: Path, dataset: Dataset):
    folder = ResultFolder.of(tmp_path, dataset, 'kcf')
    folder.write('Deer', 1, BOXES, SECONDS)
    folder.write('Deer', 2, BOXES + 1, SECONDS * 2)
    first = tmp_path / 'otb100' / 'kcf' / 'Deer.txt'
    assert first.read_text().splitlines()[0] == '2.235,3.000,3.000,4.000', 'first pixel is 1'
    assert (tmp_path / 'otb100/kcf/times/Deer_time.txt').read_text().split() == [
        '0.50000000',
        '0.25000000',
    ]
    assert (tmp_path / 'otb100/kcf/repeat_002/Deer.txt').is_file()
    np.testing.assert_allclose(folder.boxes('Deer'), BOXES, atol=5e-4)
    assert folder.repetitions('Deer') == 2
    assert folder.seconds('Deer', 2).tolist() == [1, 0.5]
    assert [each.label for each in result_folders(tmp_path, dataset)] == ['kcf']


def test_nested_layout_has_one_column_of_times_per_repetition(tmp_path: Path, dataset: Dataset):
    nested = replace(dataset, name='got10k_val', layout='nested', origin=0)
    folder = ResultFolder.of(tmp_path, nested, 'kcf')
    for repetition in (1, 2, 3):
        folder.write('a', repetition, BOXES, SECONDS * repetition)
    inner = tmp_path / 'got10k_val' / 'kcf' / 'a'
    assert sorted(path.name for path in inner.iterdir()) == [
        'a_001.txt',
        'a_002.txt',
        'a_003.txt',
        'a_time.txt',
    ]
    assert np.loadtxt(inner / 'a_time.txt', delimiter=',').shape == (2, 3)
    assert folder.seconds('a', 3).tolist() == [1.5, 0.75]
    assert folder.is_deterministic('a')


def test_vot_layout_keeps_lines(tmp_path: Path, dataset: Dataset):
    vot = replace(dataset, name='vot2018', layout='nested', protocol='vot')
    folder = ResultFolder.of(tmp_path, vot, 'kcf')
    folder.write('a', 1, ['1', '1.0,2.0,3.0,4.0'], SECONDS)
    path = tmp_path / 'vot2018' / 'kcf' / 'baseline' / 'a' / 'a_001.txt'
    assert path.read_text() == '1\n1.0,2.0,3.0,4.0\n'
    assert folder.lines('a') == ['1', '1.0,2.0,3.0,4.0']
    assert not folder.is_deterministic('a')


def test_a_sequence_is_done_when_its_boxes_are_there(tmp_path: Path, dataset: Dataset):
    folder = ResultFolder.of(tmp_path, dataset, 'kcf')
    folder.times_path('a').parent.mkdir(parents=True)
    folder.times_path('a').write_text('0.1\n')
    assert not folder.has('a')
    assert folder.repetitions('a') == 0
    folder.write('a', 1, BOXES, SECONDS)
    assert folder.has('a')
    left = [path.name for path in folder.path.rglob('*') if path.is_file()]
    assert sorted(left) == ['a.txt', 'a_time.txt'], 'no temporary files'


def test_results_from_elsewhere_need_no_times(tmp_path: Path, dataset: Dataset):
    folder = ResultFolder.of(tmp_path, dataset, 'theirs')
    folder.path.mkdir(parents=True)
    (folder.path / 'a.txt').write_text('1\t2\t3\t4\n')
    assert folder.boxes('a').tolist() == [[0, 1, 3, 4]]
    assert folder.seconds('a') is None
    assert folder.record() == {}


def test_results_made_differently_are_not_mixed(tmp_path: Path, dataset: Dataset):
    folder = ResultFolder.of(tmp_path, dataset, 'siamfc')
    folder.claim({'seed': 0, 'date': 'monday'}, ('seed',))
    folder.claim({'seed': 0, 'date': 'tuesday'}, ('seed',))
    with pytest.raises(ValueError, match=r'another seed: 0, now 1.*--label'):
        folder.claim({'seed': 1}, ('seed',))
    assert folder.record()['seed'] == 0


def test_the_record_says_what_made_the_results(tmp_path: Path, dataset: Dataset):
    folder = ResultFolder.of(tmp_path, dataset, 'siamfc')
    first = {'seed': 0, 'version': '1', 'threads': 1, 'date': 'monday'}
    folder.claim(first, ('seed',))
    folder.claim({**first, 'date': 'tuesday'}, ('seed',))
    folder.claim({**first, 'version': '2'}, ('seed',), adds=False)
    assert folder.record() == first
    later = {**first, 'version': '2', 'threads': 4, 'date': 'friday'}
    with pytest.warns(UserWarning, match="made with .*'version': '1'.* now, with .*'threads': 4"):
        folder.claim(later, ('seed',))
    folder.claim({**later, 'date': 'sunday'}, ('seed',))
    assert {key: folder.record()[key] for key in first} == first
    (entry,) = folder.record()['later']
    assert (entry['version'], entry['threads'], entry['date']) == ('2', 4, 'friday')


@pytest.mark.parametrize('text', ['', '[]', '{"weights": "dimp18"}', '3', '{'])
def test_a_foreign_record_is_named(tmp_path: Path, dataset: Dataset, text: str):
    folder = ResultFolder.of(tmp_path, dataset, 'siamfc')
    folder.path.mkdir(parents=True)
    (folder.path / 'run.json').write_text(text)
    with pytest.raises(ValueError, match=r'run\.json is not a record of results'):
        folder.record()
