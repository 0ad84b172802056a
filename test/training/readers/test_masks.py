"""YouTube-VOS and DAVIS on tiny label images."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as ImageFile

from training.datasets import DataError
from training.readers.masks import boxes_of_labels
from training.readers.target import Findings


def write_labels(path: Path, labels: np.ndarray, palette: bool = True) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = ImageFile.fromarray(labels)
    if palette:
        image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0] + [255] * 759)
    image.save(path)


def labels_at(frame: int) -> np.ndarray:
    """Object 1 as in the clips; object 2 small, and only in even frames."""
    labels = np.zeros((120, 160), np.uint8)
    labels[45:75, 30 + 3 * frame : 70 + 3 * frame] = 1
    if frame % 2 == 0:
        labels[5:15, 8:28] = 2
    return labels


def write_vos(root: Path, write_frames, name: str = 'abc', frames: int = 4) -> None:
    write_frames(root / 'train' / 'JPEGImages' / name, '%05d.jpg', frames)
    for frame in range(frames):
        write_labels(root / 'train' / 'Annotations' / name / f'{frame:05d}.png', labels_at(frame))


def test_objects_of_label_images_become_targets(tmp_path: Path, write_frames, find):
    write_vos(tmp_path, write_frames)
    first, second = find('youtube_vos', tmp_path)
    assert (first.name, first.scene, second.name) == ('abc/1', 'abc', 'abc/2')
    assert first.boxes_ltwh.tolist() == [[30 + 3 * i, 45, 40, 30] for i in range(4)]
    assert second.frames.tolist() == [0, 2]
    assert second.boxes_ltwh.tolist() == [[8, 5, 20, 10]] * 2
    mask = second.mask(1)
    assert mask is not None and mask.dtype == np.uint8
    assert np.array_equal(mask, np.where(labels_at(2) == 2, 255, 0))
    view = list(first.views(2))[1]
    assert view.frame == 3 and view.box == (39, 45, 40, 30)
    assert view.mask is not None and view.mask.sum() == 255 * 40 * 30
    assert find('youtube_vos', tmp_path, without={'abc'}) == []


def test_only_annotated_frames_are_used(tmp_path: Path, write_frames, find):
    write_vos(tmp_path, write_frames, frames=6)
    for frame in (1, 2, 3, 4):
        (tmp_path / 'train' / 'Annotations' / 'abc' / f'{frame:05d}.png').unlink()
    assert find('youtube_vos', tmp_path)[0].frames.tolist() == [0, 5]


@pytest.mark.parametrize('quality', ['480p', 'Full-Resolution'])
@pytest.mark.parametrize('listing', ['bear\n', '/JPEGImages/480p/bear/00000.jpg /x/y.png\n' * 2])
def test_davis_lists_of_both_years(tmp_path: Path, write_frames, find, listing, quality):
    (tmp_path / 'ImageSets' / '2016').mkdir(parents=True)
    (tmp_path / 'ImageSets' / '2016' / 'train.txt').write_text(listing)
    write_frames(tmp_path / 'JPEGImages' / quality / 'bear', '%05d.jpg', 2)
    for frame in range(2):
        path = tmp_path / 'Annotations' / quality / 'bear' / f'{frame:05d}.png'
        write_labels(path, np.where(labels_at(frame) == 1, 255, 0).astype(np.uint8), palette=False)
    (target,) = find('davis', tmp_path, split='2016/train')
    assert target.boxes_ltwh[0].tolist() == [30, 45, 40, 30]
    assert target.value == 255, 'the only value counts as an object'


def test_wrong_masks_are_named_and_empty_ones_counted(tmp_path: Path, write_frames, find):
    write_vos(tmp_path, write_frames)
    folder = tmp_path / 'train' / 'Annotations' / 'abc'
    write_labels(folder / '00001.png', np.ones((60, 80), np.uint8))
    (folder / '00002.png').write_bytes(b'no image')
    write_labels(folder / '00003.png', np.zeros((120, 160), np.uint8))
    findings = Findings()
    targets = find('youtube_vos', tmp_path, findings)
    assert [target.frames.tolist() for target in targets] == [[0], [0]]
    assert '(80, 60), its image (160, 120)' in findings.problems[0]
    assert '00002.png is missing or no image' in findings.problems[1]
    assert findings.skipped == {'frame without any object': 1}


def test_recordings_without_photographs_and_unreadable_ones_are_named(
    tmp_path: Path, write_frames, find
):
    for name in ('abc', 'def', 'ghi'):
        write_vos(tmp_path, write_frames, name, frames=1)
    images = tmp_path / 'train' / 'JPEGImages'
    (images / 'abc' / '00000.jpg').unlink()
    (images / 'def' / '00000.jpg').write_bytes(b'no image')
    findings = Findings()
    assert [target.scene for target in find('youtube_vos', tmp_path, findings)] == ['ghi'] * 2
    first, second = findings.problems
    assert first.endswith('abc/00000.jpg is missing') and 'def/00000.jpg' in second


def test_colours_are_no_labels(tmp_path: Path, write_frames, find):
    write_vos(tmp_path, write_frames, frames=1)
    path = tmp_path / 'train' / 'Annotations' / 'abc' / '00000.png'
    ImageFile.fromarray(np.zeros((120, 160, 3), np.uint8)).save(path)
    findings = Findings()
    assert find('youtube_vos', tmp_path, findings) == []
    assert 'is no label image' in findings.problems[0]


def test_void_is_an_object_only_where_it_is_alone():
    labels = labels_at(0)
    labels[100:110, 100:120] = 255
    assert sorted(boxes_of_labels(labels, (160, 120))) == [1, 2]
    with pytest.raises(DataError, match='pixels large'):
        boxes_of_labels(labels, (120, 160))
