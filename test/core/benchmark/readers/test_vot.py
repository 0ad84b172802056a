"""VOT folders with polygons and boxes."""

from pathlib import Path

import numpy as np
import pytest

from tracker_core.benchmark.readers import open_dataset
from tracker_core.benchmark.readers.vot import as_polygons, start_box, upright_boxes


@pytest.mark.parametrize('color', [True, False])
def test_images_lie_in_color_or_in_the_folder(tiny, tmp_path: Path, color):
    folder = tmp_path / 'ants1'
    tiny.write_images(folder / 'color' if color else folder, range(1, 5), '{:08d}.jpg')
    tiny.write_rows(folder / 'groundtruth.txt', as_polygons(tiny.truth(4)))
    dataset = open_dataset('vot2018', tmp_path, ['ants1'])
    sequence = dataset.sequences[0]
    np.testing.assert_array_equal(sequence.truth, tiny.truth(4))
    assert sequence.polygons.shape == (4, 8)
    assert sequence.first_box == start_box(sequence.polygons[0])
    assert (dataset.protocol, dataset.layout) == ('vot', 'nested')
    assert dataset.eao_interval == (100, 356)


def test_only_listed_sequences_are_read(tiny, tmp_path: Path):
    for name in ('ants1', 'bag'):
        tiny.write_images(tmp_path / name, range(1, 4), '{:08d}.jpg')
        tiny.write_rows(tmp_path / name / 'groundtruth.txt', tiny.truth(3))
    (tmp_path / 'list.txt').write_text('bag\n')
    dataset = open_dataset('vot2019', tmp_path)
    assert [each.name for each in dataset.sequences] == ['bag']
    assert dataset.sequences[0].first_box.as_ltwh() == (10, 20, 16, 14)


def test_start_box_keeps_the_area_of_a_rotated_target():
    """A square of side sqrt(2) * 10 on its tip: hull 20 x 20, area 200."""
    diamond = np.array([10, 0, 20, 10, 10, 20, 0, 10], dtype=float)
    box = start_box(diamond)
    assert box.center == (10, 10)
    assert (box.width - 1) * (box.height - 1) == pytest.approx(200)
    np.testing.assert_array_equal(upright_boxes(diamond[None]), [[0, 0, 20, 20]])


def test_mismatch_and_absence_are_errors(tiny, tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r'list\.txt or'):
        open_dataset('vot2019', tmp_path)
    tiny.write_images(tmp_path / 'ants1', range(1, 4), '{:08d}.jpg')
    tiny.write_rows(tmp_path / 'ants1' / 'groundtruth.txt', tiny.truth(5))
    with pytest.raises(ValueError, match='5 regions for 3 images'):
        open_dataset('vot2019', tmp_path)


def test_a_flat_polygon_is_no_start(tiny, tmp_path: Path):
    tiny.write_images(tmp_path / 'ants1', range(1, 2), '{:08d}.jpg')
    (tmp_path / 'ants1' / 'groundtruth.txt').write_text('1,2,5,2,9,2,7,2\n')
    with pytest.raises(ValueError, match=r'first region in .*groundtruth\.txt must be a box'):
        open_dataset('vot2019', tmp_path)


def test_vot2018_without_a_list_has_sixty_sequences(tiny, tmp_path: Path):
    tiny.write_images(tmp_path / 'ants1', range(1, 4), '{:08d}.jpg')
    tiny.write_rows(tmp_path / 'ants1' / 'groundtruth.txt', tiny.truth(3))
    with pytest.raises(FileNotFoundError, match=r'expected .*ants3/groundtruth\.txt'):
        open_dataset('vot2018', tmp_path)
    with pytest.raises(ValueError, match='no sequence x') as caught:
        open_dataset('vot2018', tmp_path, ['x'])
    assert str(caught.value).count(',') == 59
