"""OTB, UAV123 and NfS on tiny folders in their layouts."""

from pathlib import Path

import numpy as np
import pytest

from tracker_core.benchmark.readers import open_dataset


@pytest.mark.parametrize('separator', [',', '\t', ' '])
def test_otb_counts_pixels_from_one_and_takes_any_separator(tiny, tmp_path: Path, separator):
    tiny.write_images(tmp_path / 'Deer' / 'img', range(1, 72), '{:04d}.jpg')
    one_based = tiny.truth(71) + np.array([1, 1, 0, 0])
    tiny.write_rows(tmp_path / 'Deer' / 'groundtruth_rect.txt', one_based, separator)
    dataset = open_dataset('otb100', tmp_path, ['Deer'])
    np.testing.assert_array_equal(dataset.sequences[0].truth, tiny.truth(71))
    assert dataset.origin == 1
    flags = np.array([0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1])
    tiny.write_rows(tmp_path / 'anno' / 'att' / 'Deer.txt', flags)
    deer = open_dataset('otb100', tmp_path, ['Deer']).sequences[0]
    assert deer.attributes == ('out-of-plane rotation', 'low resolution')


def test_otb_sequences_that_start_late_or_skip_frames(tiny, tmp_path: Path):
    tiny.write_images(tmp_path / 'BlurCar3' / 'img', range(1, 360), '{:04d}.jpg')
    tiny.write_rows(tmp_path / 'BlurCar3' / 'groundtruth_rect.txt', tiny.truth(357))
    tiny.write_images(tmp_path / 'Tiger1' / 'img', range(1, 355), '{:04d}.jpg')
    tiny.write_rows(tmp_path / 'Tiger1' / 'groundtruth_rect.txt', tiny.truth(354))
    dataset = open_dataset('otb2013', tmp_path, ['Tiger1'])
    tiger = dataset.names['Tiger1']
    assert tiger.frames.paths[0].name == '0006.jpg'
    np.testing.assert_array_equal(tiger.truth[0], tiny.truth(6)[5] - np.array([1, 1, 0, 0]))
    car = open_dataset('otb100', tmp_path, ['BlurCar3']).sequences[0]
    assert (car.frames.paths[0].name, car.length) == ('0003.jpg', 357)


def test_otb_sequence_with_two_targets(tiny, tmp_path: Path):
    tiny.write_images(tmp_path / 'Jogging' / 'img', range(1, 308), '{:04d}.jpg')
    for target in (1, 2):
        tiny.write_rows(
            tmp_path / 'Jogging' / f'groundtruth_rect.{target}.txt', tiny.truth(307) + target
        )
    both = open_dataset('otb2013', tmp_path, ['Jogging_1', 'Jogging_2']).sequences
    assert [each.first_box.left for each in both] == [10, 11]


def test_otb_board_has_five_digits(tiny, tmp_path: Path):
    tiny.write_images(tmp_path / 'Board' / 'img', range(1, 699), '{:05d}.jpg')
    tiny.write_rows(tmp_path / 'Board' / 'groundtruth_rect.txt', tiny.truth(698))
    assert open_dataset('otb100', tmp_path, ['Board']).sequences[0].length == 698


@pytest.mark.parametrize(
    ('name', 'count'), [('otb2013', 51), ('otb50', 50), ('otb100', 100), ('uav123', 123)]
)
def test_incomplete_data_sets_name_the_missing_file(tmp_path: Path, name, count):
    with pytest.raises(FileNotFoundError, match=f'expected {tmp_path}.*txt'):
        open_dataset(name, tmp_path)
    with pytest.raises(ValueError, match='has no sequence Nothing') as caught:
        open_dataset(name, tmp_path, ['Nothing'])
    assert str(caught.value).count(',') == count - 1, 'all names are listed'


def test_missing_images_are_counted(tiny, tmp_path: Path):
    tiny.write_images(tmp_path / 'Deer' / 'img', range(1, 70), '{:04d}.jpg')
    tiny.write_rows(tmp_path / 'Deer' / 'groundtruth_rect.txt', tiny.truth(71))
    with pytest.raises(FileNotFoundError, match=r'images 1 to 71 .* 2 are missing, .* number 70'):
        open_dataset('otb100', tmp_path, ['Deer'])


def test_annotation_of_the_wrong_length_is_an_error(tiny, tmp_path: Path):
    tiny.write_images(tmp_path / 'Deer' / 'img', range(1, 72), '{:04d}.jpg')
    tiny.write_rows(tmp_path / 'Deer' / 'groundtruth_rect.txt', tiny.truth(70))
    with pytest.raises(ValueError, match='70 boxes for frames 1 to 71'):
        open_dataset('otb100', tmp_path, ['Deer'])


def test_annotation_that_is_not_numbers_is_an_error(tiny, tmp_path: Path):
    tiny.write_images(tmp_path / 'Deer' / 'img', range(1, 72), '{:04d}.jpg')
    path = tmp_path / 'Deer' / 'groundtruth_rect.txt'
    path.write_text('1,2,3,4\n1,2,three,4\n')
    with pytest.raises(ValueError, match=r'groundtruth_rect\.txt:2'):
        open_dataset('otb100', tmp_path, ['Deer'])
    path.write_text('1,2,3\n')
    with pytest.raises(ValueError, match='row 1: expected 4 numbers'):
        open_dataset('otb100', tmp_path, ['Deer'])


def test_uav_sequences_are_cuts_of_a_folder_and_may_lack_the_target(tiny, tmp_path: Path):
    """car8_2 is frames 1357 to 2575 of the folder car8; every third of them at 10 fps."""
    folder = tmp_path / 'data_seq' / 'UAV123_10fps' / 'car8'
    tiny.write_images(folder, range(440, 860), '{:06d}.jpg')
    boxes = tiny.truth(407)
    boxes[3] = np.nan
    tiny.write_rows(tmp_path / 'anno' / 'UAV123_10fps' / 'car8_2.txt', boxes)
    dataset = open_dataset('uav123_10fps', tmp_path, ['car8_2'])
    sequence = dataset.sequences[0]
    assert sequence.frames.paths[0].name == '000453.jpg'
    assert sequence.length == 407
    assert np.isnan(sequence.truth[3]).all() and not np.isnan(sequence.truth[2]).any()
    assert dataset.family == 'uav'
    assert sequence.attributes == ()


def test_uav_attributes_stand_in_the_published_order(tiny, tmp_path: Path):
    folder = tmp_path / 'data_seq' / 'UAV123_10fps' / 'car8'
    tiny.write_images(folder, range(440, 860), '{:06d}.jpg')
    annotation = tmp_path / 'anno' / 'UAV123_10fps'
    tiny.write_rows(annotation / 'car8_2.txt', tiny.truth(407))
    flags = np.zeros(12)
    flags[[0, 1, 11]] = 1
    tiny.write_rows(annotation / 'att' / 'car8_2.txt', flags)
    sequence = open_dataset('uav123_10fps', tmp_path, ['car8_2']).sequences[0]
    assert sequence.attributes == ('scale variation', 'aspect ratio change', 'similar object')
    tiny.write_rows(annotation / 'att' / 'car8_2.txt', flags[:11])
    with pytest.raises(ValueError, match=r'car8_2\.txt has 11 flags, expected 12'):
        open_dataset('uav123_10fps', tmp_path, ['car8_2'])


def test_uav20l_has_its_own_annotation(tiny, tmp_path: Path):
    folder = tmp_path / 'data_seq' / 'UAV123' / 'uav1'
    entry = next(e for e in _uav20l() if e.name == 'uav1')
    count = entry.end - entry.start + 1
    tiny.write_images(folder, range(entry.start, entry.start + 3), '{:06d}.jpg')
    for number in range(entry.start + 3, entry.end + 1):
        (folder / f'{number:06d}.jpg').touch()
    tiny.write_rows(tmp_path / 'anno' / 'UAV20L' / 'uav1.txt', tiny.truth(count))
    assert open_dataset('uav20l', tmp_path, ['uav1']).sequences[0].length == count


def _uav20l():
    from tracker_core.benchmark.readers.files import table

    return table('uav20l')


def test_nfs_in_pytracking_conversion(tiny, tmp_path: Path):
    tiny.write_images(tmp_path / 'sequences' / 'Skiing_red', range(1, 70), '{:05d}.jpg')
    tiny.write_rows(tmp_path / 'anno' / 'nfs_Skiing_red.txt', tiny.truth(69), '\t')
    sequence = open_dataset('nfs', tmp_path, ['Skiing_red']).sequences[0]
    np.testing.assert_array_equal(sequence.truth, tiny.truth(69))


@pytest.mark.parametrize('extra', [-1, 0, 1])
def test_original_nfs_keeps_every_eighth_annotation(tiny, tmp_path: Path, extra):
    """240 fps corners with words behind them; lengths may differ by one."""
    folder = tmp_path / 'Skiing_red' / '30'
    tiny.write_images(folder / 'Skiing_red', range(1, 21 + extra), '{:05d}.jpg')
    boxes = tiny.truth(160)
    lines = [
        f'0 {x:g} {y:g} {x + w:g} {y + h:g} {i} 0 {i // 100} 0 "person"'
        for i, (x, y, w, h) in enumerate(boxes)
    ]
    (folder / 'Skiing_red.txt').write_text('\n'.join(lines))
    sequence = open_dataset('nfs', tmp_path, ['Skiing_red']).sequences[0]
    np.testing.assert_array_equal(sequence.truth, boxes[::8][: 20 + extra])
    assert sequence.length == len(sequence.truth)
    assert sequence.attributes == ('occlusion',)


def test_original_nfs_of_another_length_is_an_error(tiny, tmp_path: Path):
    folder = tmp_path / 'Skiing_red' / '30'
    tiny.write_images(folder / 'Skiing_red', range(1, 31), '{:05d}.jpg')
    tiny.write_rows(folder / 'Skiing_red.txt', np.ones((80, 5)), ' ')
    with pytest.raises(ValueError, match='80 boxes for 30 images'):
        open_dataset('nfs', tmp_path, ['Skiing_red'])
