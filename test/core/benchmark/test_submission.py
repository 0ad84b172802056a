"""Zips as the servers want them."""

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tracker_core.benchmark.dataset import BenchmarkSequence, Dataset, ImageList
from tracker_core.benchmark.results import ResultFolder
from tracker_core.benchmark.submission import pack

SECONDS = np.full(3, 0.01)
BOXES = np.array([[1.0, 2, 3, 4], [1.234, 2, 3, 4], [5, 6, 7, 8]])


@pytest.fixture
def dataset() -> Dataset:
    paths = [Path('x')] * 3
    sequences = tuple(
        BenchmarkSequence(name, ImageList(name, paths), BOXES[:1]) for name in ('a', 'b')
    )
    return Dataset('trackingnet', 'TrackingNet', sequences, decimals=2)


def test_trackingnet_has_one_file_per_video_with_two_digits(dataset: Dataset, tmp_path: Path):
    folder = ResultFolder.of(tmp_path, dataset, 'kcf')
    folder.write('a', 1, BOXES, SECONDS)
    with pytest.raises(FileNotFoundError, match=r'lacks 1 of 2 .* first is b'):
        pack(dataset, folder, tmp_path / 'kcf.zip')
    folder.write('b', 1, BOXES, SECONDS)
    assert pack(dataset, folder, tmp_path / 'kcf.zip') == 2
    with zipfile.ZipFile(tmp_path / 'kcf.zip') as archive:
        assert sorted(archive.namelist()) == ['a.txt', 'b.txt']
        assert archive.read('a.txt').split() == [
            b'1.00,2.00,3.00,4.00',
            b'1.23,2.00,3.00,4.00',
            b'5.00,6.00,7.00,8.00',
        ]


def test_got10k_has_a_folder_per_sequence_with_times(dataset: Dataset, tmp_path: Path):
    nested = replace(dataset, name='got10k_test', layout='nested', decimals=3)
    folder = ResultFolder.of(tmp_path, nested, 'kcf')
    folder.claim({'seed': 0}, ())
    for name in ('a', 'b'):
        for repetition in (1, 2):
            folder.write(name, repetition, BOXES, SECONDS)
    assert pack(nested, folder, tmp_path / 'kcf.zip') == 6
    with zipfile.ZipFile(tmp_path / 'kcf.zip') as archive:
        names = set(archive.namelist())
        assert names == {f'{n}/{n}_{end}.txt' for n in 'ab' for end in ('001', '002', 'time')}
        assert archive.read('a/a_time.txt').split()[0] == b'0.01000000,0.01000000'


def test_incomplete_results_are_refused(dataset: Dataset, tmp_path: Path):
    folder = ResultFolder.of(tmp_path, dataset, 'kcf')
    folder.write('a', 1, BOXES, SECONDS)
    folder.write('b', 1, BOXES[:2], SECONDS[:2])
    with pytest.raises(ValueError, match=r'b\.txt has 2 lines for 3 frames'):
        pack(dataset, folder, tmp_path / 'kcf.zip')
    assert not (tmp_path / 'kcf.zip').exists()


def test_every_repetition_must_be_complete(dataset: Dataset, tmp_path: Path):
    nested = replace(dataset, name='got10k_test', layout='nested')
    folder = ResultFolder.of(tmp_path, nested, 'kcf')
    for name in ('a', 'b'):
        folder.write(name, 1, BOXES, SECONDS)
    folder.write('b', 2, BOXES[:2], SECONDS)
    with pytest.raises(ValueError, match=r'b_002\.txt has 2 lines for 3 frames'):
        pack(nested, folder, tmp_path / 'kcf.zip')


def test_results_made_with_another_annotation_are_refused(dataset: Dataset, tmp_path: Path):
    folder = ResultFolder.of(tmp_path, dataset, 'kcf')
    folder.claim({'seed': 0}, (), dataset.sequences)
    for name in ('a', 'b'):
        folder.write(name, 1, BOXES, SECONDS)
    assert pack(dataset, folder, tmp_path / 'kcf.zip') == 2
    moved = tuple(replace(each, truth=each.truth + 1) for each in dataset.sequences)
    other = replace(dataset, sequences=moved)
    with pytest.raises(ValueError, match=r'a\.txt was made with another annotation of a'):
        pack(other, folder, tmp_path / 'other.zip')
    assert not (tmp_path / 'other.zip').exists()
