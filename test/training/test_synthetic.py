"""Rendered sequences of cut-outs."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import write_images

from tracker_core.synthetic.moving import Moving
from training.datasets import DataError, View, find_photographs, read_instances
from training.synthetic import SCENE, cut_object, lay_out, read_synthetic


def test_cut_out_has_the_colours_and_outline_of_the_instance(data: Path) -> None:
    view = list(read_instances(data / 'images' / 'photos'))[1]
    cut = cut_object(view)
    assert cut is not None and cut.shape == (50, 50, 4)
    assert np.array_equal(cut[..., :3], view.image[20:70, 90:140])
    assert (cut[..., 3] == 255).all()


def test_small_objects_and_fragments_are_not_used() -> None:
    image, mask = np.zeros((100, 100, 3), np.uint8), np.zeros((100, 100), np.uint8)
    mask[10:90, 10:14] = mask[10:14, 10:90] = 255
    assert cut_object(View('a', 'a', 0, image, (10, 10, 80, 80), mask)) is None
    assert cut_object(View('a', 'a', 0, image, (10, 10, 39, 80), mask | 255)) is None
    assert cut_object(View('a', 'a', 0, image, (10, 10, 80, 80), None)) is None


def test_rendered_views_are_spread_and_repeatable(data: Path) -> None:
    folder = data / 'images' / 'photos'
    views = list(read_synthetic(folder, 3))
    names = {view.sequence for view in views}
    # The polygon instances are 30 px high, too small: one sequence per mask instance.
    assert names == {f'synthetic/photos/{number}/1' for number in range(3)}
    assert {view.frame for view in views} <= {0, 47, 95}
    again = list(read_synthetic(folder, 3))
    assert all(np.array_equal(a.image, b.image) for a, b in zip(views, again, strict=True))
    assert [view.box for view in views] == [view.box for view in again]


def test_a_look_alike_or_another_object_moves_along(tmp_path: Path) -> None:
    def drawn(moving: Moving) -> np.ndarray:
        sprite = moving.sprite
        left = round(sprite.middle[0] - sprite.width / 2)
        top = round(sprite.middle[1] - sprite.height / 2)
        rows, columns = slice(top, top + sprite.height), slice(left, left + sprite.width)
        return sprite.levels[0][rows, columns].astype(int)

    scenes = [scene for _, scene in lay_out(write_images(tmp_path / 'photos', 12), SCENE)]
    kinds = []
    for previous, scene in zip([None, *scenes], scenes, strict=False):
        (other,) = map(drawn, scene.others)
        target, mirrored = drawn(scene.target), other[:, ::-1]
        assert not np.array_equal(mirrored, target)
        # A look-alike is recoloured, but as light and dark as the target at every place.
        values = [image[..., :3].max(2).ravel() for image in (target, mirrored)]
        kinds.append('look-alike' if np.corrcoef(*values)[0, 1] > 0.95 else 'other')
        if kinds[-1] == 'other':
            assert previous is not None and np.array_equal(other, drawn(previous.target))
    assert kinds[0] == 'look-alike' and 3 <= kinds.count('other') <= 9


def test_photographs_may_be_png_and_masks_are_none(tmp_path: Path, moving_frame) -> None:
    mask = np.zeros((120, 160), np.uint8)
    mask[20:70, 90:140] = 255
    cv2.imwrite(str(tmp_path / 'outline.png'), mask)
    cv2.imwrite(str(tmp_path / 'a.PNG'), moving_frame(1, 0))
    instances = [{'mask': 'outline.png', 'value': 255}]
    records = {'images': [{'file': 'a.PNG', 'instances': instances}]}
    (tmp_path / 'annotations.json').write_text(json.dumps(records))
    assert find_photographs(tmp_path) == [tmp_path / 'a.PNG']
    assert len(list(read_synthetic(tmp_path, 2))) > 0
    (tmp_path / 'a.PNG').unlink()
    with pytest.raises(DataError, match='holds no photograph'):
        list(read_synthetic(tmp_path, 2))
