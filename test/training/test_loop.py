"""The loop: exact resume, stopping, checkpoints, clear errors."""

import dataclasses
import math
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from training import checkpoint, siamfc
from training.examples import make_loader
from training.loop import DivergedError, Run, StoppedError
from training.recipe import FallingRate, Recipe, RecipeError, parse_recipe
from training.sampling import EpochSampler


@pytest.fixture
def recipe(content: dict[str, Any]) -> Recipe:
    return parse_recipe(content)


def _with(recipe: Recipe, **changes: Any) -> Recipe:
    schedule = dataclasses.replace(recipe.schedule, **changes)
    return dataclasses.replace(recipe, schedule=schedule)


def _record_losses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Collect the loss of every batch."""
    losses: list[float] = []
    original = siamfc.loss

    def recorded(*arguments: Any) -> tuple[Tensor, dict[str, Tensor]]:
        value, watched = original(*arguments)
        losses.append(value.item())
        return value, watched

    monkeypatch.setattr(siamfc, 'loss', recorded)
    return losses


def _tensors(state: Any, prefix: str = '') -> dict[str, Tensor]:
    """All tensors of a nested state by path."""
    if isinstance(state, Tensor):
        return {prefix: state}
    items = state.items() if isinstance(state, dict) else enumerate(state)
    found: dict[str, Tensor] = {}
    for key, value in items:
        if isinstance(value, (Tensor, dict, list)):
            found |= _tensors(value, f'{prefix}/{key}')
    return found


def _stop_after(run: Run, steps: int) -> None:
    """Send the process SIGTERM in the given step."""
    original = run.train_on

    def step(batch: dict[str, Tensor]) -> tuple[float, dict[str, float]]:
        if run.step + 1 == steps:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(batch)

    run.train_on = step  # type: ignore[method-assign]


def test_resumed_run_is_equal_to_an_uninterrupted_one(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = _with(recipe, average=0.9)
    losses = _record_losses(monkeypatch)
    Run(recipe, tmp_path / 'straight').train()
    straight, losses[:] = list(losses), []

    interrupted = Run(recipe, tmp_path / 'run')
    _stop_after(interrupted, 2)  # in the middle of the first epoch
    with pytest.raises(StoppedError, match='SIGTERM'):
        interrupted.train()
    resumed = Run(recipe, tmp_path / 'run')
    resumed.resume(tmp_path / 'run' / 'last.pt')
    assert (resumed.epoch, resumed.position, resumed.step) == (0, 4, 2)
    resumed.train()

    assert len(straight) == 2 * (4 + 1)  # two epochs of four batches and one of validation
    assert losses == straight
    expected = _tensors(checkpoint.load(tmp_path / 'straight' / 'last.pt'))
    found = _tensors(checkpoint.load(tmp_path / 'run' / 'last.pt'))
    assert expected.keys() == found.keys() and len(expected) > 80
    different = [key for key, value in expected.items() if not torch.equal(value, found[key])]
    assert different == []


def test_workers_do_not_change_the_examples(recipe: Recipe, tmp_path: Path) -> None:
    ends = []
    for workers in (0, 2):
        run = Run(_with(recipe, epochs=1, workers=workers), tmp_path / str(workers))
        ends.append(run.train())
    assert ends[0] == ends[1]


def test_training_learns_and_leaves_its_records(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = _record_losses(monkeypatch)
    recipe = dataclasses.replace(_with(recipe, epochs=5), held_out=())
    Run(recipe, tmp_path / 'run').train()
    assert sum(losses[-4:]) < 0.9 * sum(losses[:4])
    names = {path.name.split('.')[0] for path in (tmp_path / 'run').iterdir()}
    assert names == {'last', 'best', 'recipe', 'versions', 'events', 'log'}
    # Nothing tells which checkpoint is the best one.
    best, last = (checkpoint.load(tmp_path / 'run' / name) for name in ('best.pt', 'last.pt'))
    assert best['epoch'] == last['epoch'] == 5
    assert 'no validation' in (tmp_path / 'run' / 'log.txt').read_text()


def test_validation_draws_what_it_sees(recipe: Recipe, tmp_path: Path) -> None:
    Run(_with(recipe, epochs=1), tmp_path).train()
    events = EventAccumulator(str(tmp_path), {'images': 0})
    events.Reload()
    (picture,) = events.Images('validation/responses')
    assert (picture.height, picture.width) == (2 * 143, 2 * 143)  # two pairs, image above map


def test_best_checkpoint_has_the_lowest_validation_loss(recipe: Recipe, tmp_path: Path) -> None:
    Run(recipe, tmp_path).train()
    best, last = (checkpoint.load(tmp_path / name) for name in ('best.pt', 'last.pt'))
    assert best['best_loss'] <= last['best_loss'] < math.inf
    assert best['epoch'] in (1, 2) and last['epoch'] == 2


def test_signal_handlers_are_given_back(recipe: Recipe, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    Run(_with(recipe, epochs=1), tmp_path).train()
    assert signal.getsignal(signal.SIGINT) is before


def test_loss_that_is_not_finite_stops_with_advice(recipe: Recipe, tmp_path: Path) -> None:
    run = Run(recipe, tmp_path)
    with torch.no_grad():
        run.network.backbone.conv5[0].weight.fill_(math.nan)
    with pytest.raises(DivergedError, match=r'loss is nan in step 1 .*schedule.*diverged-0.pt'):
        run.train()
    assert not (tmp_path / 'last.pt').exists()
    kept = torch.load(tmp_path / 'diverged-0.pt', weights_only=True)
    assert kept.keys() == {'exemplar', 'search', 'scene'} and len(kept['search']) == 2


@pytest.mark.parametrize('limit', [0.0, 1.0])
def test_gradient_that_is_not_finite_changes_nothing(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: float
) -> None:
    original = siamfc.loss

    def loss(network: Any, *others: Any) -> Any:
        value, watched = original(network, *others)
        # Adds nothing; its derivative is 0 times infinity.
        return value + 0 * (network.backbone.conv1[0].weight.sum() * 0).sqrt(), watched

    monkeypatch.setattr(siamfc, 'loss', loss)
    run = Run(_with(recipe, clip_gradient=limit, average=0.9), tmp_path)
    before = {name: value.clone() for name, value in run.network.named_parameters()}
    with pytest.raises(DivergedError, match=r'norm of the gradient is nan in step 1 .*diverged'):
        run.train()
    for network in (run.network, run.exported_network()):
        for name, value in network.named_parameters():
            assert torch.equal(value, before[name]), name
    assert not (tmp_path / 'last.pt').exists()
    kept = torch.load(tmp_path / 'diverged-0.pt', weights_only=True)
    assert len(kept['search']) == 2


def test_gradient_is_clipped_to_the_limit(recipe: Recipe, tmp_path: Path) -> None:
    run = Run(_with(recipe, clip_gradient=1e-3, momentum=0.0, weight_decay=0.0), tmp_path)
    batch = next(iter(make_loader(run.training, EpochSampler(0, 2), run.schedule)))
    before = [parameter.detach().clone() for parameter in run.network.parameters()]
    _, watched = run.train_on(batch)
    after = list(run.network.parameters())
    change = sum(((a - b) ** 2).sum() for a, b in zip(after, before, strict=True)) ** 0.5
    assert watched['gradient'] > 1e-3
    assert change.item() == pytest.approx(1e-3 * 1e-2, rel=0.02)


def test_rates_rise_during_the_first_steps(recipe: Recipe, tmp_path: Path) -> None:
    run = Run(_with(recipe, warmup_steps=3), tmp_path)
    batch = next(iter(make_loader(run.training, EpochSampler(0, 2), run.schedule)))
    rates = []
    for _ in range(4):
        run.train_on(batch)
        rates.append(run.optimizer.param_groups[0]['lr'])
    assert rates == pytest.approx([1e-2 / 3, 2e-2 / 3, 1e-2, 1e-2])


def test_resume_with_another_recipe_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    Run(_with(recipe, epochs=1), tmp_path).train()
    changed = Run(_with(recipe, epochs=1, momentum=0.8), tmp_path)
    with pytest.raises(RecipeError, match=r'schedule.momentum.*--start-from'):
        changed.resume(tmp_path / 'last.pt')
    changed.start_from(tmp_path / 'last.pt')
    weight = checkpoint.load(tmp_path / 'last.pt')['network']['backbone.conv1.0.weight']
    assert torch.equal(changed.network.backbone.conv1[0].weight, weight)
    assert (changed.step, changed.examples) == (0, 8)


def test_unknown_device_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"schedule.device 'tpu7'"):
        Run(_with(recipe, device='tpu7'), tmp_path)


def test_rate_falls_geometrically_as_published() -> None:
    rates = [1e-2 * FallingRate().rate_factor(epoch) for epoch in (0, 1, 49)]
    assert rates[0] == 1e-2
    assert rates[1] / rates[0] == pytest.approx(0.8709636)
    assert rates[2] == pytest.approx(1e-5 / 0.8709636, rel=1e-4)
