"""Recipe of FCOT: loss of the sides, the two stages, the schedule."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tracker_core.deform_conv import DeformConv
from tracker_core.fcot.network import FCOT
from tracker_core.fcot.side_regression import side_targets
from tracker_core.weights import WeightsInfo, save
from training import fcot
from training.fcot_settings import FCOTSettings
from training.recipe import FCOTRecipe, FCOTSchedule
from training.search_areas import SearchAreaSettings

AREAS = SearchAreaSettings(train_frames=1, test_frames=1, size=64)
STAGE_2: Any = {'parts': ('regressor_72.filter_optimizer',), 'side_iterations': 3}


def _recipe(**changes: Any) -> FCOTRecipe:
    settings = FCOTSettings(**{'iterations': 1, **changes})
    schedule = FCOTSchedule(backbone_rate=0.0)
    return FCOTRecipe(recipe='fcot18', areas=AREAS, settings=settings, schedule=schedule)


@pytest.fixture(scope='module')
def network() -> FCOT:
    return fcot.build_network(_recipe())


@pytest.fixture(scope='module')
def batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 255, (2, 2, 64, 64, 3), dtype=torch.uint8, generator=generator)
    boxes = torch.tensor([20.0, 24.0, 24.0, 20.0]).expand(2, 2, 4)
    return {'images': images, 'boxes_ltwh': boxes, 'scene': torch.arange(2)}


def test_coarse_classifier_of_other_weights(tmp_path: Path, network: FCOT) -> None:
    path = tmp_path / 'dimp18.safetensors'
    state = {f'classifier.{k}': v for k, v in network.classifier_18.state_dict().items()}
    save(path, {**state, 'bb_regressor.weight': torch.zeros(2)}, WeightsInfo('dimp18'), None)
    recipe = _recipe(coarse_classifier=str(path))
    recipe = dataclasses.replace(recipe, schedule=FCOTSchedule(seed=5))
    built = fcot.build_network(recipe)
    for name, value in network.classifier_18.state_dict().items():
        assert torch.equal(built.classifier_18.state_dict()[name], value)
    ours, theirs = (n.classifier_72.filter_initializer.filter_conv for n in (built, network))
    assert not torch.equal(ours.weight, theirs.weight)
    with pytest.raises(FileNotFoundError, match='no weights file'):
        fcot.build_network(_recipe(coarse_classifier=str(tmp_path / 'absent.safetensors')))


@pytest.mark.parametrize('plain', [False, True])
def test_plain_start_leaves_the_taps_on_the_grid(plain: bool) -> None:
    head = fcot.build_network(_recipe(plain_start=plain)).regressor_72.reg_head_36
    layer = head[3]
    assert isinstance(layer, DeformConv)
    features = torch.randn(1, 128, 6, 6)
    half = functional.conv2d(features, layer.weight / 2, layer.bias, padding=1)
    assert torch.allclose(layer(features), half, atol=1e-5) == plain


def test_overlap_loss_by_hand() -> None:
    """A 6 x 5 cell box predicted as 3 x 5 and, exactly, as itself."""
    wanted = side_targets(torch.tensor([[[20.0, 24.0, 24.0, 20.0]]]), (16, 16), 0)
    exact = wanted.distances
    assert fcot.overlap_loss(exact, wanted, wanted.valid.sum()).item() == 0
    left, right, top, bottom = exact.flatten().tolist()
    assert (left + right, top + bottom) == (6, 5)
    half = torch.tensor([left - 1.5, right - 1.5, top, bottom]).view(1, 1, 1, 4)
    assert fcot.overlap_loss(half, wanted, wanted.valid.sum()).item() == pytest.approx(
        -math.log(16 / 31)
    )


def test_cells_that_do_not_count_do_not_weigh() -> None:
    wanted = side_targets(torch.tensor([[[20.0, 24.0, 8.0, 8.0]]]), (16, 16), 2)
    assert 0 < wanted.valid.sum() < 25
    wrong = wanted.distances + 100 * ~wanted.valid[..., None]
    assert fcot.overlap_loss(wrong, wanted, wanted.valid.sum()).item() == pytest.approx(
        0, abs=1e-6
    )


def test_loss_of_narrow_targets_is_finite_whatever_is_predicted() -> None:
    wanted = side_targets(torch.tensor([[[137.0, 20.0, 14.0, 237.0]]]), (72, 72), 2)
    assert 0 < wanted.valid.sum() < 25
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        predicted = torch.rand(wanted.distances.shape, generator=generator) * 40
        predicted = (predicted - 10).relu().requires_grad_()
        fcot.overlap_loss(predicted, wanted, wanted.valid.sum()).backward()  # type: ignore[no-untyped-call]
        assert predicted.grad is not None and predicted.grad.isfinite().all()


@pytest.mark.parametrize(('levels', 'unused'), [('36', '_72'), ('72', '_36')])
def test_a_branch_that_is_left_out_is_not_trained(
    batch: dict[str, Tensor], levels: Any, unused: str
) -> None:
    recipe = _recipe(regression_levels=levels, parts=('regressor_72',))
    network = fcot.build_network(recipe)
    fcot.build_optimizer(network, recipe)
    frozen = {
        name
        for name, module in network.regressor_72.named_children()
        if not any(parameter.requires_grad for parameter in module.parameters())
    }
    assert frozen == {f'reg_initializer{unused}', f'reg_head{unused}', 'filter_optimizer'}


def _gradients(network: FCOT, batch: dict[str, Tensor], recipe: FCOTRecipe) -> set[str]:
    """Names of the parameters that a step of this recipe changes."""
    fcot.build_optimizer(network, recipe)
    fcot.start_training(network, recipe)
    network.zero_grad()
    value, _ = fcot.loss(network, batch, recipe)
    value.backward()  # type: ignore[no-untyped-call]
    named = network.named_parameters()
    return {name for name, p in named if p.grad is not None and p.grad.abs().sum() > 0}


def test_first_stage_trains_all_but_the_optimizer_of_the_sides(
    network: FCOT, batch: dict[str, Tensor]
) -> None:
    before = {k: v.clone() for k, v in network.feature_extractor.state_dict().items()}
    changed = _gradients(network, batch, _recipe())
    expected = {
        name
        for name, _ in network.named_parameters()
        if not name.startswith(('feature_extractor.', 'regressor_72.filter_optimizer.'))
    }
    missing = expected - changed
    # What decides about cells that no box of this batch has.
    assert all('conv_offset_mask' in name or 'predictor' in name for name in missing), missing
    assert changed <= expected
    after = network.feature_extractor.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_second_stage_trains_nothing_else(network: FCOT, batch: dict[str, Tensor]) -> None:
    recipe = _recipe(**STAGE_2)
    assert _gradients(network, batch, recipe) == {
        'regressor_72.filter_optimizer.log_step_length',
        'regressor_72.filter_optimizer.filter_reg',
    }
    value, watched = fcot.loss(network, batch, recipe)
    assert set(watched) == {'sides', 'overlap'}
    single, last = fcot.loss(network, batch, _recipe(**{**STAGE_2, 'side_iterations': 1}))
    assert single.item() == pytest.approx(last['sides'].item())
    assert value > watched['sides']  # the steps before the last count too


def test_loss_adds_up_as_published(network: FCOT, batch: dict[str, Tensor]) -> None:
    network.eval()
    with torch.no_grad():
        value, watched = fcot.loss(network, batch, _recipe())
    expected = watched['sides'] + 100 * sum(
        watched[f'{scale} {which}'] for scale in ('coarse', 'fine') for which in ('first', 'last')
    )
    torch.testing.assert_close(value, expected)


def test_a_part_alone_gives_its_part_of_the_loss(network: FCOT, batch: dict[str, Tensor]) -> None:
    network.eval()
    with torch.no_grad():
        whole, _ = fcot.loss(network, batch, _recipe())
        parts = [
            fcot.loss(network, batch, _recipe(parts=(part,)))[0]
            for part in ('classifier_18', 'classifier_72', 'regressor_72')
        ]
    torch.testing.assert_close(whole, sum(parts[1:], parts[0]))


def test_steps_lower_the_loss(batch: dict[str, Tensor]) -> None:
    recipe = _recipe()
    network = fcot.build_network(recipe)
    optimizer = fcot.build_optimizer(network, recipe)
    fcot.start_training(network, recipe)
    values = []
    for _ in range(6):
        value, watched = fcot.loss(network, batch, recipe)
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        values.append((value.item(), watched['sides'].item()))
    assert values[-1][0] < values[0][0] and values[-1][1] < values[0][1]


def test_rates_fall_at_the_milestones() -> None:
    schedule = FCOTSchedule(milestones=(2, 4), step_factor=0.5)
    assert [schedule.rate_factor(epoch) for epoch in range(6)] == [1, 1, 0.5, 0.5, 0.25, 0.25]


def test_one_level_is_built_and_trained(batch: dict[str, Tensor]) -> None:
    recipe = _recipe(regression_levels='72', parts=('pyramid', 'regressor_72'))
    changed = _gradients(fcot.build_network(recipe), batch, recipe)
    assert any('reg_head_72' in name for name in changed)
    assert not any('_36' in name and 'regressor' in name for name in changed)
