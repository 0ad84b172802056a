"""Rendered scenes as a data set."""

from __future__ import annotations

import pickle
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from tracker_core.benchmark.attributes import collect_attributes
from tracker_core.benchmark.readers import dataset_names, open_dataset
from tracker_core.synthetic import Scene
from tracker_core.synthetic.challenges import CHALLENGES


def test_images_and_boxes_are_those_of_the_scene() -> None:
    (sequence,) = open_dataset('synthetic', only=['similar_object-1']).sequences
    settings = CHALLENGES['similar object']
    scene = Scene(settings, list(CHALLENGES).index('similar object') * 4 + 1)
    assert sequence.length == settings.frames == len(sequence.truth)
    for index, image in islice(enumerate(sequence.frames), 3):
        assert np.array_equal(image, scene.render(index).image)
        assert tuple(sequence.truth[index]) == scene.box(index).as_ltwh()
    assert sequence.image_size() == settings.size


@pytest.mark.parametrize('name', ['full_occlusion-0', 'out_of_view-2'])
def test_a_target_that_is_not_seen_is_absent(name: str) -> None:
    (sequence,) = open_dataset('synthetic', only=[name]).sequences
    absent = np.isnan(sequence.truth).any(1)
    assert 8 <= absent.sum() <= 60
    assert not absent[0] and not absent[-1]


def test_scenes_are_grouped_by_their_challenge() -> None:
    names = ['deformation-0', 'deformation-3', 'low_resolution-0']
    dataset = open_dataset('synthetic', only=names)
    groups = {each.name: each.sequences for each in collect_attributes(dataset.sequences)}
    assert groups['deformation'] == ('deformation-0', 'deformation-3')
    assert groups['low resolution'] == ('low_resolution-0',)
    starts = [next(iter(each.frames)) for each in dataset.sequences]
    assert not np.array_equal(starts[0], starts[1])


def test_workers_get_settings_and_no_images() -> None:
    (sequence,) = open_dataset('synthetic', only=['fast_motion-0']).sequences
    assert len(pickle.dumps(sequence)) < 10_000


def test_only_what_exists_and_without_a_folder(tmp_path: Path) -> None:
    assert 'synthetic' in dataset_names()
    with pytest.raises(ValueError, match='no sequence rain-0; it has: camera_motion-0'):
        open_dataset('synthetic', only=['rain-0'])
    with pytest.raises(ValueError, match='leave out --root'):
        open_dataset('synthetic', tmp_path)
    with pytest.raises(ValueError, match='give the folder of the data set'):
        open_dataset('folders')
