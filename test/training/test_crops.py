"""Cutting views around their target, and the cache of the cuts."""

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from training import crops, sources
from training.crops import (
    CropSettings,
    cut_background,
    cut_view,
    exemplar_side,
    load_source,
)
from training.datasets import DataError, View
from training.sampling import FrameFilter
from training.sources import Source

SETTINGS = CropSettings()


def _view(box: tuple[float, float, float, float], color: int = 255) -> View:
    """Grey image with a bright target."""
    image = np.full((240, 320, 3), 50, np.uint8)
    left, top, width, height = (round(value) for value in box)
    image[top : top + height, left : left + width] = color
    mask = np.zeros((240, 320), np.uint8)
    mask[top : top + height, left : left + width] = 255
    return View('name', 'name', 0, image, box, mask)


def test_exemplar_side_by_hand() -> None:
    # (40 + 30) * (20 + 30) = 3500
    assert exemplar_side(40, 20, 0.5) == pytest.approx(3500**0.5)
    assert exemplar_side(30, 30, 0.5) == pytest.approx(60)


@pytest.mark.parametrize('box', [(100.0, 80.0, 40.0, 20.0), (60.0, 100.0, 31.0, 51.0)])
def test_target_is_centred_and_has_the_published_scale(
    box: tuple[float, float, float, float],
) -> None:
    crop = cut_view(_view(box), SETTINGS)
    assert crop.shape == (303, 303, 4)
    rows, columns = np.nonzero(crop[..., 0] > 150)
    scale = 127 / exemplar_side(box[2], box[3], 0.5)
    assert (columns.min() + columns.max()) / 2 == pytest.approx(151, abs=2)
    assert (rows.min() + rows.max()) / 2 == pytest.approx(151, abs=2)
    assert columns.max() - columns.min() + 1 == pytest.approx(box[2] * scale, abs=3)
    assert rows.max() - rows.min() + 1 == pytest.approx(box[3] * scale, abs=3)
    assert np.abs((crop[..., 0] > 150).astype(int) - (crop[..., 3] > 127)).mean() < 0.01


def test_outside_of_the_image_is_its_mean_colour() -> None:
    view = _view((2.0, 2.0, 40.0, 40.0))
    corner = cut_view(view, SETTINGS)[5, 5]
    assert corner[:3] == pytest.approx(np.round(view.image.mean((0, 1))), abs=1)
    assert corner[3] == 0


def test_background_is_the_central_square() -> None:
    image = np.zeros((100, 200, 3), np.uint8)
    image[:, 50:150] = 200
    crop = cut_background(View('b', 'b', 0, image, (0.0, 0.0, 200.0, 100.0)), SETTINGS)
    assert crop.shape == (303, 303, 4)
    assert (crop[..., :3] == 200).all() and not crop[..., 3].any()


def test_source_is_cut_once_and_then_read_from_the_cache(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Source('train/*', 'clips', share=3.0)
    first = _load(source, data, tmp_path)
    monkeypatch.setitem(sources.READERS, 'clips', lambda *_: pytest.fail('read again'))
    second = _load(source, data, tmp_path)
    assert [s.name for s in second] == ['one', 'two_t1', 'two_t2']
    assert [s.scene for s in second] == ['one', 'two', 'two']
    assert [s.frames.tolist() for s in second] == [list(range(8))] * 3
    assert all(np.array_equal(a.crops, b.crops) for a, b in zip(first, second, strict=True))
    assert sum(s.weight for s in second) == pytest.approx(3.0)
    assert not list((tmp_path / 'cache').glob('*.tmp'))


def test_changed_data_and_settings_are_cut_again(data: Path, tmp_path: Path) -> None:
    source = Source('train/one', 'clips')
    before = _load(source, data, tmp_path)[0]
    assert _load(dataclasses.replace(source, max_frames=3), data, tmp_path)[0].crops.shape[0] == 3
    truth = data / 'train' / 'one' / 'groundtruth.txt'
    truth.write_text(truth.read_text().replace('30,45,40,30', '35,45,40,30'))
    after = _load(source, data, tmp_path)[0]
    assert not np.array_equal(before.crops[0], after.crops[0])


def test_interrupted_cutting_leaves_nothing(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(crops, 'cut_view', interrupt)
    with pytest.raises(KeyboardInterrupt):
        _load(Source('train/one', 'clips'), data, tmp_path)
    assert [path.name for path in (tmp_path / 'cache').iterdir()] == ['.gitignore']


def test_source_without_usable_target_is_an_error(data: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match='frame filter'):
        _load(Source('train/*', 'clips'), data, tmp_path, FrameFilter(min_side=100))


def test_masks_survive_the_cache(data: Path, tmp_path: Path) -> None:
    found = _load(Source('images/*', 'images'), data, tmp_path)
    assert len(found) == 6 and all(sequence.has_mask for sequence in found)
    center = found[0].crops[0, 151, 151]
    assert center[3] == 255
    assert cv2.countNonZero(found[0].crops[0, ..., 3]) < 303 * 303 / 4


def _load(
    source: Source, data: Path, tmp_path: Path, frames: FrameFilter | None = None
) -> list[crops.Sequence]:
    return load_source(source, data, tmp_path / 'cache', SETTINGS, frames or FrameFilter())
