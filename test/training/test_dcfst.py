"""Recipe of DCFST: loss, parts, start, examples from stored features."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tracker_core.dcfst.network import normalize_columns
from tracker_core.weights import WeightsInfo, save
from training import dcfst
from training.dcfst_examples import StoredPairs, draw_boxes
from training.dcfst_settings import DCFSTSettings, PairSettings
from training.features import ShardWriter
from training.recipe import DCFSTRecipe, DCFSTSchedule, read_recipe

RECIPES = Path(__file__).parents[2] / 'config' / 'training'


def _recipe(**changes: Any) -> DCFSTRecipe:
    settings = {'grid_side': 5, 'proposals': 2} | changes
    return DCFSTRecipe(areas=PairSettings(size=96), settings=DCFSTSettings(**settings))


def _batch(count: int = 2) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    boxes = torch.tensor([[38.0, 36, 20, 24], [30.0, 40, 22, 20]]).expand(count, 2, 4)
    return {
        'images': torch.randint(
            0, 255, (count, 2, 96, 96, 3), dtype=torch.uint8, generator=generator
        ),
        'boxes_ltwh': boxes,
        'grid_sizes': torch.tensor([25.0, 17.0]).expand(count, 2),
        'proposals': boxes[:, 1:] + torch.tensor([[0.0, 0, 0, 0], [8, 0, 2, 2]]),
        'overlaps': torch.tensor([1.0, 0.4]).expand(count, 2),
    }


@pytest.fixture(scope='module')
def network() -> Any:
    return dcfst.build_network(_recipe()).eval()


def test_the_location_loss_is_that_of_the_ridge_regression(network: Any) -> None:
    """Written out for one pair: fit the train frame, predict the test frame, compare."""
    recipe, batch = _recipe(parts=('location_predictor',), loss='mse'), _batch(1)
    value, watched = dcfst.loss(network, batch, recipe)
    samples, labels = [], []
    for index, size in enumerate((batch['boxes_ltwh'][0, 0, 2:], batch['grid_sizes'][0])):
        box = batch['boxes_ltwh'][0, index]
        at = torch.linspace(9.6, 86.4, 5)
        centers = torch.cartesian_prod(at, at).flip(1)
        boxes = torch.cat([centers - size / 2, size.expand(25, 2)], 1)
        boxes = torch.cat([boxes, box[None]])
        images = batch['images'][:, index].permute(0, 3, 1, 2)
        layers = network.backbone(dcfst.normalize(images))
        embedded = network.location_predictor.embed(*layers)
        samples.append(
            normalize_columns(network.location_predictor.describe(embedded, boxes[None]))
        )
        distance = (centers - box[:2] - box[2:] / 2).norm(dim=1)
        sigma = 0.25 * box[2:].prod().sqrt()
        gaussian = torch.exp(-0.5 * (distance / sigma) ** 2)
        labels.append(torch.cat([gaussian, torch.ones(1)])[None, :, None])
    x, z = (each[0].double() for each in samples)
    matrix = x.T @ x + 0.1 * torch.eye(1024, dtype=torch.float64)
    model = torch.linalg.solve(matrix, x.T @ labels[0][0].double())
    expected = (z @ model - labels[1][0]).square().mean()
    assert value.item() == pytest.approx(expected.item(), rel=2e-3)
    assert watched.keys() == {'location', 'hit'}


def test_every_part_but_the_backbone_learns_from_the_loss() -> None:
    recipe = _recipe()
    network = dcfst.build_network(recipe)
    groups = dcfst.build_optimizer(network, recipe).param_groups
    assert [group['lr'] for group in groups] == [5e-3, 1e-3]
    dcfst.start_training(network, recipe)
    value, watched = dcfst.loss(network, _batch(), recipe)
    assert value.item() == pytest.approx((watched['location'] + watched['box']).item())
    value.backward()
    learning = {n.split('.')[0] for n, p in network.named_parameters() if p.grad is not None}
    assert learning == {'location_predictor', 'bb_regressor'}
    assert not network.feature_extractor.training and network.location_predictor.training


def test_parts_that_are_not_trained_stay_as_they_are() -> None:
    recipe = _recipe(parts=('location_predictor',))
    network = dcfst.build_network(recipe)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    optimizer = dcfst.build_optimizer(network, recipe)
    dcfst.start_training(network, recipe)
    value, watched = dcfst.loss(network, _batch(), recipe)
    value.backward()
    optimizer.step()
    assert watched.keys() == {'location', 'hit'}
    changed = {k.split('.')[0] for k, v in network.state_dict().items() if (v != before[k]).any()}
    assert changed == {'location_predictor'}


def test_the_loss_is_a_choice(network: Any) -> None:
    values = [
        dcfst.loss(network, _batch(), _recipe(parts=('location_predictor',), loss=loss))[0].item()
        for loss in ('shrinkage', 'signed_shrinkage', 'mse')
    ]
    assert len(set(values)) == 3 and min(values) > 0


def test_box_regressor_of_other_weights(tmp_path: Path, network: Any) -> None:
    path = tmp_path / 'dimp18.safetensors'
    state = {f'bb_regressor.{k}': v for k, v in network.bb_regressor.state_dict().items()}
    state |= {'classifier.weight': torch.zeros(2)}
    save(path, state, WeightsInfo('dimp18'), dtype=None)
    recipe = _recipe(box_regressor=str(path))
    recipe = dataclasses.replace(recipe, schedule=DCFSTSchedule(seed=5))
    built = dcfst.build_network(recipe)
    for name, value in network.bb_regressor.state_dict().items():
        assert torch.equal(built.bb_regressor.state_dict()[name], value)
    ours, theirs = (n.location_predictor.fc3.linear.weight for n in (built, network))
    assert not torch.equal(ours, theirs)
    with pytest.raises(FileNotFoundError, match='no weights file'):
        dcfst.build_network(_recipe(box_regressor=str(tmp_path / 'absent.safetensors')))


def test_box_regressor_of_weights_in_8_bits(tmp_path: Path, network: Any) -> None:
    path = tmp_path / 'dimp18.safetensors'
    state = {f'bb_regressor.{k}': v for k, v in network.bb_regressor.state_dict().items()}
    save(path, state, WeightsInfo('dimp18'), max_bytes=1)
    built = dcfst.build_network(_recipe(box_regressor=str(path)))
    for name, value in network.bb_regressor.state_dict().items():
        step = value.abs().max() / 127 if value.is_floating_point() else 0
        assert (built.bb_regressor.state_dict()[name] - value).abs().max() <= step


def test_boxes_to_judge_belong_to_the_test_frame() -> None:
    boxes = np.array([[38.0, 36, 20, 24], [30.0, 40, 22, 20]])
    rng = np.random.default_rng(0)
    drawn = [draw_boxes(boxes, _recipe(proposals=16), rng) for _ in range(200)]
    factors = np.array([each['grid_sizes'] for each in drawn]) / boxes[1, 2:]
    assert factors.min() >= 0.5 and factors.max() <= 2
    assert np.log(factors).std() == pytest.approx(0.3, abs=0.03)
    assert drawn[0]['proposals'].shape == (16, 4) and drawn[0]['overlaps'].shape == (16,)
    assert min(each['overlaps'].min() for each in drawn) > 0.1


def test_pairs_out_of_stored_features(tmp_path: Path) -> None:
    """The first train frame and any of the test frames, `layer2` and `layer3` of the same ones."""
    frames = np.arange(4)
    records = [
        {
            'layer2': 100 * n + np.array([0, 3, 4, 5], 'f4')[frames][:, None, None, None],
            'layer3': 100 * n + np.arange(6, dtype='f4')[:, None, None, None],
            'boxes_ltwh': np.repeat(100 * n + np.arange(6, dtype='f4')[:, None] + 9, 4, 1),
            'scene': np.array(n),
        }
        for n in range(5)
    ]
    ShardWriter(tmp_path / '0-of-1').append(records)
    pairs = StoredPairs(tmp_path, 10, 3, _recipe())
    found = [pairs[0, position] for position in range(10)]
    assert sorted(int(pair['scene']) for pair in found) == sorted([0, 1, 2, 3, 4] * 2)
    tests = set()
    for pair in found:
        base = 100 * int(pair['scene'])
        for key, offset in (('layer2', 0), ('layer3', 0), ('boxes_ltwh', 9)):
            first, second = pair[key].flatten(1)[:, 0].tolist()
            assert first == base + offset
            tests.add(second - base - offset)
            assert second == pair['layer3'].flatten().tolist()[1] + offset
    assert tests == {3, 4, 5}


@pytest.mark.parametrize('name', ['dcfst18', 'dcfst50'])
def test_published_recipes(name: str) -> None:
    recipe = read_recipe(RECIPES / {'dcfst18': 'dcfst.yaml', 'dcfst50': 'dcfst50.yaml'}[name])
    assert isinstance(recipe, DCFSTRecipe) and recipe.recipe == name
    schedule, settings = recipe.schedule, recipe.settings
    expected = (40, 3000, 50) if name == 'dcfst18' else (50, 2000, 60)
    steps = schedule.examples_per_epoch // schedule.batch_size
    assert (schedule.epochs, steps, recipe.areas.max_gap) == expected
    assert (schedule.location_predictor_rate, schedule.bb_regressor_rate) == (5e-3, 1e-3)
    assert [schedule.rate_factor(e) for e in (0, 15, 30)] == pytest.approx([1, 0.2, 0.04])
    assert (settings.loss, settings.regularization, settings.grid_side) == ('shrinkage', 0.1, 31)
    assert [source.share for source in recipe.sources] == [1, 4, 4]


def test_the_small_recipe_uses_the_features_of_dimp() -> None:
    recipe = read_recipe(RECIPES / 'dcfst18_small.yaml')
    assert isinstance(recipe, DCFSTRecipe)
    other = read_recipe(RECIPES / Path(recipe.features_of).name)
    assert (recipe.backbone, recipe.held_out) == (other.backbone, other.held_out)  # type: ignore[attr-defined]
    assert recipe.training_data == other.training_data
    assert recipe.settings.regularization == pytest.approx(0.1 * 145 / 962, rel=0.02)
