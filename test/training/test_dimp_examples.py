"""DiMP from data to a trained network: examples by key, stored features, whole runs."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tracker_core.resnet import normalize, resnet18
from training import checkpoint
from training.backbone import load_backbone
from training.datasets import DataError, UnreadableError
from training.dimp_examples import (
    SearchAreaExamples,
    draw_examples,
    draw_proposals,
    feature_folder,
    load_examples,
    long_enough,
    store_features,
)
from training.features import StoredExamples
from training.frames import StoredTrack
from training.loop import Run
from training.proposals import overlap
from training.recipe import DiMPRecipe, parse_recipe
from training.sources import DataSetSource, Source


@pytest.fixture
def dimp_content(data: Path, tmp_path: Path) -> dict[str, Any]:
    """Content of a DiMP recipe that trains within seconds."""
    torch.save(resnet18().state_dict() | {'fc.weight': torch.zeros(1)}, data / 'backbone.pth')
    return {
        'recipe': 'dimp18',
        'data': str(data),
        'cache': str(tmp_path / 'cache'),
        'backbone': 'backbone.pth',
        'held_out': ['one'],
        'sources': [{'path': 'train/*', 'kind': 'clips'}],
        'areas': {'size': 96, 'train_frames': 1, 'test_frames': 2},
        'settings': {'proposals': 3, 'iterations': 1},
        'features': {'examples': 6, 'validation': 2, 'block': 4},
        'schedule': {
            'epochs': 1,
            'examples_per_epoch': 4,
            'batch_size': 2,
            'validation_examples': 2,
            'backbone_rate': 0,
            'workers': 0,
            'device': 'cpu',
        },
    }


@pytest.fixture
def recipe(dimp_content: dict[str, Any]) -> DiMPRecipe:
    return _parse(dimp_content)


def _parse(content: dict[str, Any]) -> DiMPRecipe:
    recipe = parse_recipe(content)
    assert isinstance(recipe, DiMPRecipe)
    return recipe


def test_examples_depend_on_their_key_alone(recipe: DiMPRecipe) -> None:
    training, validation = draw_examples(recipe)
    again, _ = draw_examples(recipe)
    assert validation is not None and len(validation) == 2
    for key in ((0, 3), (2, 0)):
        for name, value in training[key].items():
            assert np.array_equal(value, again[key][name]), name
    assert not np.array_equal(training[0, 3]['images'], training[1, 3]['images'])
    assert {track.scene for track in training.tracks} == {'two'}
    assert {track.scene for track in validation.tracks} == {'one'}


def test_stored_features_are_those_of_the_images(recipe: DiMPRecipe) -> None:
    folder = store_features(recipe, 0, 2)
    assert folder == feature_folder(recipe)
    store_features(recipe, 1, 2)
    stored = StoredExamples(folder / 'validation', ('layer2', 'layer3', 'boxes_ltwh'))
    assert len(StoredExamples(folder / 'training', ('scene',))) == 6 and len(stored) == 2
    _, validation = draw_examples(recipe)
    assert validation is not None
    validation.count = recipe.features.validation
    example, found = validation[2**31, 0], stored[0]
    assert torch.equal(found['boxes_ltwh'], torch.from_numpy(example['boxes_ltwh']))
    images = normalize(torch.from_numpy(example['images']).permute(0, 3, 1, 2))
    with torch.inference_mode():
        layers = load_backbone(recipe).eval()(images)
    for name, frames in (('layer2', [0, 1, 2]), ('layer3', [0, 1, 2])):
        expected = layers[name][frames].permute(0, 2, 3, 1)
        error = (found[name].float() - expected).norm() / expected.norm()
        assert found[name].shape == expected.shape and error < 0.02  # bfloat16


def test_features_of_the_next_example_are_stored_for_one_that_cannot_be_read(
    recipe: DiMPRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = SearchAreaExamples.__getitem__

    def fail_at_one(examples: SearchAreaExamples, key: tuple[int, int]) -> dict[str, Any]:
        if key[1] == 1:
            raise UnreadableError('an image is missing')
        return read(examples, key)

    monkeypatch.setattr(SearchAreaExamples, '__getitem__', fail_at_one)
    folder = store_features(recipe, 0, 1)
    stored = StoredExamples(folder / 'training', ('boxes_ltwh', 'layer3'))
    assert len(stored) == 6
    for name in ('boxes_ltwh', 'layer3'):
        assert torch.equal(stored[1][name], stored[2][name])
        assert not torch.equal(stored[1][name], stored[0][name])


def test_proposals_belong_to_the_test_frames(recipe: DiMPRecipe) -> None:
    boxes = np.array([[0, 0, 9, 9], [30, 30, 20, 20], [50, 40, 16, 30]], np.float32)
    drawn = draw_proposals(boxes, recipe, np.random.default_rng(0))
    assert drawn['proposals'].shape == (2, 3, 4)
    assert drawn['overlaps'] == pytest.approx(overlap(drawn['proposals'], boxes[1:, None]))


@pytest.mark.parametrize('source', ['features', 'images'])
def test_run_trains_its_parts_and_keeps_the_backbone(
    dimp_content: dict[str, Any], tmp_path: Path, source: str
) -> None:
    if source == 'images':
        dimp_content['features'] = {}
    recipe = _parse(dimp_content)
    if source == 'features':
        store_features(recipe, 0, 1)
    run = Run(recipe, tmp_path / 'run')
    before = {key: value.clone() for key, value in run.network.state_dict().items()}
    run.train()
    after = checkpoint.load(tmp_path / 'run' / 'last.pt')['network']
    changed = {key.split('.')[0] for key, value in after.items() if (value != before[key]).any()}
    assert changed == {'classifier', 'bb_regressor'}


def test_training_before_features_are_stored_says_what_to_do(recipe: DiMPRecipe) -> None:
    with pytest.raises(DataError, match='python -m training features'):
        load_examples(recipe)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'backbone': 'absent.pth'}, 'no backbone weights at'),
        ({'recipe': 'dimp50'}, 'is not the backbone of dimp50'),
        ({'held_out': ['three']}, 'unknown scenes: three'),
    ],
)
def test_mistakes_are_named(
    dimp_content: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    recipe = _parse(dimp_content | change)
    with pytest.raises(DataError, match=message):
        store_features(recipe, 0, 1)


def _recording(frames: int, last: int) -> Any:
    numbers = np.linspace(0, last, frames).astype(np.int64)
    boxes = np.tile([10.0, 10.0, 20.0, 20.0], (frames, 1))
    return StoredTrack('a', 'a', numbers, boxes, np.zeros((frames, 2), np.int64), Path('a'))


def test_short_recordings_of_data_sets_are_left_out() -> None:
    recipe = DiMPRecipe()  # three frames and three
    source = DataSetSource('GOT-10k', 'got10k', share=3.0)
    kept = [_recording(13, 40), _recording(30, 29)]
    tracks = [_recording(12, 40), *kept, _recording(15, 14)]
    found = long_enough(source, tracks, recipe)
    assert [len(track.frames) for track in found] == [13, 30]
    assert [track.weight for track in found] == [1.5, 1.5]
    with pytest.raises(DataError, match='13 frames of a recording of at least 20'):
        long_enough(source, tracks[:1], recipe)
    thinned = dataclasses.replace(source, max_frames=5)
    assert len(long_enough(thinned, [_recording(5, 40)], recipe)) == 1


@pytest.mark.parametrize(
    'source', [Source('x', 'clips'), DataSetSource('COCO', 'coco'), DataSetSource('VOS', 'davis')]
)
def test_still_images_and_own_clips_may_be_short(source: Source) -> None:
    tracks = [_recording(1, 0), _recording(4, 3)]
    assert long_enough(source, tracks, DiMPRecipe()) == tracks
