"""Folders with groundtruth.txt, and a video with a box file."""

from pathlib import Path

import numpy as np
import pytest

from tracker_core.benchmark.readers import dataset_names, open_dataset
from tracker_core.video import VideoWriter


def test_every_folder_with_an_annotation_is_a_sequence(tiny, folders):
    root = folders('b', 'a')
    (root / 'notes').mkdir()
    dataset = open_dataset('folders', root)
    assert [each.name for each in dataset.sequences] == ['a', 'b']
    np.testing.assert_array_equal(dataset.sequences[0].truth, tiny.truth(8))
    assert dataset.name == 'sequences', 'results on different folders are kept apart'
    alone = open_dataset('folders', root / 'a')
    assert [each.name for each in alone.sequences] == ['a']
    assert next(iter(alone.sequences[0].frames)).shape == (60, 80, 3)


def test_a_folder_without_sequences_says_what_is_expected(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r'expected .*NAME/groundtruth\.txt'):
        open_dataset('folders', tmp_path)


def test_the_first_box_must_be_there(tiny, folders):
    root = folders('a')
    boxes = tiny.truth(8)
    boxes[0] = np.nan
    tiny.write_rows(root / 'a' / 'groundtruth.txt', boxes)
    with pytest.raises(ValueError, match=r'a: the first region in .*groundtruth\.txt'):
        open_dataset('folders', root)


def test_boxes_and_images_of_different_number(tiny, folders):
    root = folders('a')
    tiny.write_rows(root / 'a' / 'groundtruth.txt', tiny.truth(7))
    with pytest.warns(UserWarning, match='a: 7 boxes for 8 images'):
        open_dataset('folders', root)


def test_a_blank_line_in_a_box_file(tiny, tmp_path: Path):
    with VideoWriter(tmp_path / 'clip.avi') as writer:
        writer.write(tiny.picture(0)[..., ::-1])
    (tmp_path / 'clip.txt').write_text('1,2,3,4\n\n1,2,3,4\n')
    with pytest.raises(ValueError, match=r'clip\.txt:2 is blank'):
        open_dataset('video', tmp_path / 'clip.avi')


def test_a_video_with_a_box_file(tiny, tmp_path: Path):
    with VideoWriter(tmp_path / 'clip.avi') as writer:
        for index in range(4):
            writer.write(tiny.picture(index)[..., ::-1])
    with pytest.raises(FileNotFoundError, match=r'clip\.txt'):
        open_dataset('video', tmp_path / 'clip.avi')
    tiny.write_rows(tmp_path / 'clip.txt', tiny.truth(4))
    sequence = open_dataset('video', tmp_path / 'clip.avi').sequences[0]
    assert (sequence.name, sequence.length) == ('clip', 4)


def test_unknown_names_and_roots(tmp_path: Path):
    with pytest.raises(ValueError, match=f'valid: {", ".join(dataset_names())}'):
        open_dataset('otb', tmp_path)
    with pytest.raises(FileNotFoundError, match='no folder'):
        open_dataset('folders', tmp_path / 'nowhere')


@pytest.mark.data
def test_real_sequences(eval_folder: Path):
    dataset = open_dataset('folders', eval_folder)
    assert len(dataset.sequences) == 13
    assert sum(each.length for each in dataset.sequences) == 3780
    for sequence in dataset.sequences:
        assert len(sequence.truth) == sequence.length, sequence.name
