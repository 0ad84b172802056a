"""Readers of clips, GOT-10k folders and photographs."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from training.datasets import (
    DataError,
    find_folders,
    read_backgrounds,
    read_boxes,
    read_clip,
    read_instances,
    scene_of,
    spread,
)

Write = Callable[..., Path]
Paint = Callable[[int, int], np.ndarray]


def test_clip_gives_rgb_frames_with_their_boxes_and_skips_absence(
    tmp_path: Path, write_clip: Write, moving_frame: Paint
) -> None:
    views = list(read_clip(write_clip(tmp_path / 'c_t3', 1, absent=(2, 5)), 100))
    assert [view.frame for view in views] == [0, 1, 3, 4, 6, 7]
    assert views[2].box == (39.0, 45.0, 40.0, 30.0)
    assert (views[2].sequence, views[2].scene) == ('c_t3', 'c')
    difference = views[2].image.astype(int) - moving_frame(1, 3)
    assert np.abs(difference).mean() < 15  # the codec is lossy; swapped channels give about 60


def test_long_clip_is_thinned_evenly(tmp_path: Path, write_clip: Write) -> None:
    views = read_clip(write_clip(tmp_path / 'c', 1), 3)
    assert [view.frame for view in views] == [0, 3, 7]


def test_clip_reads_masks_by_frame_number(tmp_path: Path, write_clip: Write) -> None:
    folder = write_clip(tmp_path / 'c', 1, frames=2)
    (folder / 'mask').mkdir()
    mask = np.zeros((120, 160), np.uint8)
    mask[45:75, 33:73] = 255
    cv2.imwrite(str(folder / 'mask' / '000002.png'), mask)
    first, second = read_clip(folder, 10)
    assert first.mask is None
    assert second.mask is not None and np.array_equal(second.mask, mask)


def test_photographs_give_polygons_and_mask_values(data: Path) -> None:
    views = list(read_instances(data / 'images' / 'photos'))
    assert len(views) == 6
    assert views[0].box == (30.0, 45.0, 40.0, 30.0)
    assert views[1].box == (90.0, 20.0, 50.0, 50.0)
    assert views[0].scene == views[1].scene != views[2].scene
    assert views[1].mask is not None and views[1].mask[30, 100] == 255


def test_photograph_with_a_missing_mask_is_an_error(data: Path) -> None:
    (data / 'images' / 'photos' / '1_mask.png').unlink()
    with pytest.raises(DataError, match=r'1_mask\.png is missing'):
        list(read_instances(data / 'images' / 'photos'))


def test_backgrounds_are_whole_images_without_masks(data: Path) -> None:
    views = list(read_backgrounds(data / 'images' / 'photos'))
    assert len(views) == 6  # three .jpg, three .png, no mask
    assert views[0].box == (0.0, 0.0, 160.0, 120.0)


def test_missing_folders_are_named(tmp_path: Path, data: Path) -> None:
    with pytest.raises(DataError, match=r'absent does not exist.*--data'):
        find_folders(tmp_path / 'absent', '*')
    with pytest.raises(DataError, match=r"matches 'trian/\*'"):
        find_folders(data, 'trian/*')
    kept = find_folders(data, 'train/*', ('two_*',))
    assert [folder.name for folder in kept] == ['one']


def test_bad_boxes_name_file(tmp_path: Path) -> None:
    path = tmp_path / 'groundtruth.txt'
    with pytest.raises(DataError, match='is missing'):
        read_boxes(path)
    path.write_text('1,2,3\n1,two,3\n')
    with pytest.raises(DataError, match='must be left,top,width,height'):
        read_boxes(path)
    path.write_text('1,2,3,4,5,6,7,8\n' * 3)
    with pytest.raises(DataError, match='must be left,top,width,height, not 8 numbers'):
        read_boxes(path)
    path.write_text(' \n')
    with pytest.raises(DataError, match='must be left,top,width,height'):
        read_boxes(path)


@pytest.mark.parametrize('lines', [5, 11])
def test_boxes_and_frames_of_a_clip_must_be_as_many(data: Path, lines: int) -> None:
    path = data / 'train' / 'one' / 'groundtruth.txt'
    path.write_text('30,45,40,30\n' * lines)
    with pytest.raises(DataError, match=f'groundtruth.txt: {lines} boxes.* 8 frames'):
        list(read_clip(path.parent, 100))


def test_boxes_that_are_not_used_are_counted(data: Path, capsys) -> None:
    path = data / 'train' / 'one' / 'groundtruth.txt'
    rows = ['30,45,40,30'] * 4 + ['nan,nan,nan,nan', '1,1,0,3', '1,1,3,-3', '1,1,0,0']
    path.write_text('\n'.join(rows))
    assert [view.frame for view in read_clip(path.parent, 100)] == [0, 1, 2, 3]
    expected = f'{path}: boxes not used: 1 x without target, 3 x box without area\n'
    assert capsys.readouterr().err == expected


def test_scene_and_spread() -> None:
    assert scene_of('davis_schoolgirls_t4') == 'davis_schoolgirls'
    assert scene_of('davis_dog') == 'davis_dog'
    assert spread(10, 3).tolist() == [0, 4, 9]
    assert spread(2, 5).tolist() == [0, 1]
