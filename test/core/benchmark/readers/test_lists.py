"""LaSOT, TrackingNet, GOT-10k and TC-128 on tiny folders in their layouts."""

from pathlib import Path

import numpy as np
import pytest

from tracker_core.benchmark.readers import open_dataset


@pytest.mark.parametrize('by_class', [True, False])
def test_lasot_frames_are_visible_unless_a_file_says_otherwise(tiny, tmp_path: Path, by_class):
    folder = tmp_path / 'dog' / 'dog-1' if by_class else tmp_path / 'dog-1'
    tiny.write_images(folder / 'img', range(1, 6), '{:08d}.jpg')
    tiny.write_rows(folder / 'groundtruth.txt', tiny.truth(5))
    tiny.write_rows(folder / 'full_occlusion.txt', np.array([0, 1, 0, 0, 0]))
    tiny.write_rows(folder / 'out_of_view.txt', np.array([0, 0, 0, 1, 0]))
    dataset = open_dataset('lasot', tmp_path, ['dog-1'])
    assert dataset.sequences[0].visible.tolist() == [True, False, True, False, True]
    assert dataset.family == 'lasot'
    assert dataset.sequences[0].attributes == ('full occlusion', 'out of view')


def test_lasot_has_280_test_sequences_and_says_which_file_is_missing(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r'airplane-1/groundtruth\.txt'):
        open_dataset('lasot', tmp_path)
    with pytest.raises(ValueError, match='has no sequence dog-2') as caught:
        open_dataset('lasot', tmp_path, ['dog-2'])
    assert str(caught.value).count(',') == 279


def test_flags_of_another_length_are_an_error(tiny, tmp_path: Path):
    folder = tmp_path / 'dog-1'
    tiny.write_images(folder / 'img', range(1, 6), '{:08d}.jpg')
    tiny.write_rows(folder / 'groundtruth.txt', tiny.truth(5))
    tiny.write_rows(folder / 'full_occlusion.txt', np.zeros(4))
    with pytest.raises(ValueError, match=r'full_occlusion\.txt has 4 values for 5 frames'):
        open_dataset('lasot', tmp_path, ['dog-1'])


@pytest.mark.parametrize('inside', [True, False])
def test_trackingnet_sorts_frames_by_number_and_has_one_box(tiny, tmp_path: Path, inside):
    folder = tmp_path / 'TEST'
    tiny.write_images(folder / 'frames' / 'abc_0', range(12), '{}.jpg')
    tiny.write_rows(folder / 'anno' / 'abc_0.txt', tiny.truth(1))
    dataset = open_dataset('trackingnet', folder if inside else tmp_path)
    sequence = dataset.sequences[0]
    assert [path.stem for path in sequence.frames.paths] == [str(i) for i in range(12)]
    assert not sequence.is_public and sequence.length == 12
    assert (dataset.layout, dataset.decimals) == ('flat', 2)


def make_got10k(tiny, root: Path, part: str, count: int = 6) -> Path:
    """One sequence of GOT-10k."""
    folder = root / part / 'GOT-10k_Val_000001'
    tiny.write_images(folder, range(1, count + 1), '{:08d}.jpg')
    tiny.write_rows(folder / 'groundtruth.txt', tiny.truth(count if part == 'val' else 1))
    (folder / 'cover.label').write_text('8\n8\n0\n' + '5\n' * (count - 3))
    (folder / 'absence.label').write_text('0\n' * count)
    (folder / 'meta_info.ini').write_text(
        '[METAINFO]\nurl: x\nanno_fps: 10Hz\nresolution: (80, 60)\n'
    )
    (root / part / 'list.txt').write_text(folder.name + '\n')
    return folder


def test_got10k_validation(tiny, tmp_path: Path):
    make_got10k(tiny, tmp_path, 'val')
    dataset = open_dataset('got10k_val', tmp_path)
    sequence = dataset.sequences[0]
    assert sequence.visible.tolist() == [True, True, False, True, True, True]
    assert sequence.frames.fps == 10
    assert dataset.layout == 'nested'
    assert sequence.attributes == (), 'absence.label is 0 everywhere'


def test_got10k_labels_are_attributes(tiny, tmp_path: Path):
    folder = make_got10k(tiny, tmp_path, 'val')
    (folder / 'absence.label').write_text('0\n0\n1\n0\n0\n0\n')
    (folder / 'cut_by_image.label').write_text('1\n' * 6)
    sequence = open_dataset('got10k_val', tmp_path).sequences[0]
    assert sequence.attributes == ('absence', 'cut by the image border')


def test_got10k_test_has_one_public_box(tiny, tmp_path: Path):
    make_got10k(tiny, tmp_path, 'test')
    assert not open_dataset('got10k_test', tmp_path).sequences[0].is_public


def test_got10k_without_list_or_cover(tiny, tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r'val/list\.txt'):
        open_dataset('got10k_val', tmp_path)
    (make_got10k(tiny, tmp_path, 'val') / 'cover.label').unlink()
    with pytest.raises(FileNotFoundError, match=r'cover\.label'):
        open_dataset('got10k_val', tmp_path)


@pytest.mark.parametrize(
    ('text', 'fps'),
    [
        ('[METAINFO]\nanno_fps: -1Hz\n', 30),
        ('[METAINFO]\nanno_fps: 5Hz\nurl: a%20b\n', 5),
        ('anno_fps: 10Hz\n', None),
        ('[METAINFO]\nanno_fps: 10Hz\nanno_fps: 10Hz\n', None),
    ],
)
def test_got10k_odd_meta_info(tiny, tmp_path: Path, text, fps):
    (make_got10k(tiny, tmp_path, 'val') / 'meta_info.ini').write_text(text)
    if fps:
        assert open_dataset('got10k_val', tmp_path).sequences[0].frames.fps == fps
        return
    with pytest.raises(ValueError, match=r'^cannot read .*meta_info\.ini: .*$'):
        open_dataset('got10k_val', tmp_path)


def test_an_empty_list_is_an_error(tiny, tmp_path: Path):
    make_got10k(tiny, tmp_path, 'val')
    (tmp_path / 'val' / 'list.txt').write_text('\n')
    with pytest.raises(ValueError, match=r'list\.txt is empty'):
        open_dataset('got10k_val', tmp_path)


@pytest.mark.parametrize('part', ['val', 'test'])
def test_the_first_box_must_have_an_area(tiny, tmp_path: Path, part):
    folder = make_got10k(tiny, tmp_path, part)
    text = (folder / 'groundtruth.txt').read_text().splitlines()
    (folder / 'groundtruth.txt').write_text('\n'.join(['0,0,0,0', *text[1:]]))
    with pytest.raises(ValueError, match=r'first region in .*groundtruth\.txt must be a box'):
        open_dataset(f'got10k_{part}', tmp_path)


def test_tc128_has_a_frame_range_per_sequence(tiny, tmp_path: Path):
    folder = tmp_path / 'Ball_ce1'
    tiny.write_images(folder / 'img', range(1, 11), '{:04d}.jpg')
    tiny.write_rows(folder / 'Ball_ce1_gt.txt', tiny.truth(6))
    tiny.write_rows(folder / 'Ball_ce1_frames.txt', np.array([3, 8]))
    sequence = open_dataset('tc128', tmp_path).sequences[0]
    assert sequence.frames.paths[0].name == '0003.jpg'
    assert sequence.length == len(sequence.truth) == 6
    assert sequence.attributes == ()
    tiny.write_rows(folder / 'Ball_ce1_att.txt', np.array([1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0]))
    sequence = open_dataset('tc128', tmp_path).sequences[0]
    assert sequence.attributes == ('illumination variation', 'out of view')


def test_tc128_that_is_not_there(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r'NAME_gt\.txt'):
        open_dataset('tc128', tmp_path)
