"""Weights that a run starts from: which are taken, and what stays known of them."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tracker_core import weights
from training import checkpoint, loop
from training.export import export
from training.loop import Run
from training.recipe import Recipe, RecipeError, parse_recipe
from training.start import start_from
from training.tracking import TrackingSettings


@pytest.fixture
def recipe(content: dict[str, Any]) -> Recipe:
    """Recipe of one epoch."""
    return _with(parse_recipe(content), epochs=1)


def _with(recipe: Recipe, **changes: Any) -> Recipe:
    schedule = dataclasses.replace(recipe.schedule, **changes)
    return dataclasses.replace(recipe, schedule=schedule)


def test_a_run_starts_from_a_weights_file(recipe: Recipe, tmp_path: Path) -> None:
    Run(recipe, tmp_path / 'first').train()
    path = export([tmp_path / 'first' / 'last.pt'], tmp_path / 'mine.safetensors')
    run = Run(_with(recipe, average=0.9), tmp_path / 'second')
    run.start_from(path)
    stored = checkpoint.load(tmp_path / 'first' / 'last.pt')['exported']
    for network in (run.network, run.exported_network()):
        for name, tensor in network.state_dict().items():
            assert torch.equal(tensor, stored[name].half().to(tensor.dtype)), name
    assert (run.step, run.examples) == (0, 0)


def test_weights_keep_what_is_known_of_those_they_started_from(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their settings, data and licence: over a resume, a second start and the export."""
    Run(recipe, tmp_path / 'first').train()
    path = export([tmp_path / 'first' / 'last.pt'], tmp_path / 'mine.safetensors')
    known = dataclasses.replace(
        weights.read_info(path), settings={'confidence_slope': 5.0}, training_data=('theirs',)
    )
    weights.save(path, load_file(path), known)
    ours = dataclasses.replace(
        recipe,
        licence='ours',
        tracking=TrackingSettings(every=1, clips=('train/two_t1',), frames=2),
    )
    second = Run(ours, tmp_path / 'second')
    second.start_from(path)
    second.save('last.pt')
    resumed = Run(ours, tmp_path / 'second')
    resumed.resume(tmp_path / 'second' / 'last.pt')
    settings = []

    def note(info: weights.WeightsInfo, *_: Any) -> dict[str, float]:
        settings.append(info.settings)
        return {'two_t1': 0.5}

    monkeypatch.setattr(loop, 'mean_overlaps', note)
    resumed.train()
    assert settings == [{'confidence_slope': 5.0}]
    third = Run(ours, tmp_path / 'third')
    third.start_from(tmp_path / 'second' / 'last.pt')
    third.save('last.pt')
    for name in ('second', 'third'):
        info = weights.read_info(export([tmp_path / name / 'last.pt']))
        assert info.settings == {'confidence_slope': 5.0}
        assert info.training_data == ('theirs', *recipe.training_data)
        assert info.licence == f'{recipe.licence}; ours'
        assert info.notes.startswith(f'{known.notes}; then all: ')


def test_settings_of_one_tracker_are_not_those_of_another_with_its_network(tmp_path: Path) -> None:
    network = torch.nn.Linear(2, 2)
    state = {
        'recipe': {'recipe': 'dimp18', 'training_data': ['clips'], 'licence': 'ours'},
        'network': {},
        'exported': network.state_dict(),
        'before': {'tracker': 'dimp18', 'settings': {'confidence_slope': 5.0}},
        'examples': 8,
    }
    checkpoint.save(tmp_path / 'last.pt', state)
    same = start_from(network, tmp_path / 'last.pt', 'dimp18')
    assert same.before.settings == {'confidence_slope': 5.0} and same.examples == 8
    other = start_from(network, tmp_path / 'last.pt', 'prdimp18').before
    assert (other.tracker, other.settings) == ('prdimp18', {})
    assert (other.training_data, other.licence) == (('clips',), 'unknown; ours')


def test_a_part_may_begin_anew(recipe: Recipe, tmp_path: Path) -> None:
    Run(recipe, tmp_path / 'first').train()
    drawn = Run(recipe, tmp_path / 'second').network.state_dict()
    run = Run(recipe, tmp_path / 'second')
    run.start_from(tmp_path / 'first' / 'last.pt', ('backbone.conv2', 'backbone.conv4'))
    stored = checkpoint.load(tmp_path / 'first' / 'last.pt')['exported']
    for name, tensor in run.network.state_dict().items():
        anew = name.startswith(('backbone.conv2.', 'backbone.conv4.'))
        assert torch.equal(tensor, (drawn if anew else stored)[name]), name
    with pytest.raises(RecipeError, match=r"no part 'backbone.conv'; it has backbone"):
        run.start_from(tmp_path / 'first' / 'last.pt', ('backbone.conv',))


def test_weights_of_another_tracker_are_no_start(recipe: Recipe, tmp_path: Path) -> None:
    path = tmp_path / 'other.safetensors'
    weights.save(path, {'a': torch.ones(1)}, weights.WeightsInfo(tracker='kcf'))
    with pytest.raises(weights.WeightsError, match="weights of 'kcf', not of 'siamfc'"):
        Run(recipe, tmp_path).start_from(path)


def test_checkpoint_of_another_network_is_no_start(recipe: Recipe, tmp_path: Path) -> None:
    path = tmp_path / 'other.pt'
    state = {'network': {}, 'recipe': {'recipe': 'dimp18'}, 'exported': {'a': torch.ones(1)}}
    checkpoint.save(path, state)
    with pytest.raises(weights.WeightsError, match=r'a checkpoint of dimp18, belongs to'):
        Run(recipe, tmp_path).start_from(path)
