"""Export puts the parts of one network together from the runs that trained them."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tracker_core import weights
from training import checkpoint
from training.checkpoint import CheckpointError
from training.export import export


def _checkpoint(folder: Path, value: float, parts: list[str], name: str = 'dimp18') -> Path:
    names = ('feature_extractor.a', 'classifier.feature_extractor.b', 'bb_regressor.c')
    recipe: dict[str, Any] = {
        'recipe': name,
        'training_data': ['clips'],
        'licence': 'tests only',
        'held_out': [],
        'schedule': {'batch_size': 4, 'epochs': 2},
        'settings': {'parts': parts},
    }
    tensors = {name: torch.full((2,), value) for name in names}
    state = {'recipe': recipe, 'network': tensors, 'exported': tensors}
    path = folder / f'{value:g}.pt'
    checkpoint.save(path, {**state, 'examples': 8, 'step': 2, 'epoch': 1})
    return path


def test_every_part_comes_from_the_run_that_trained_it(tmp_path: Path) -> None:
    first = _checkpoint(tmp_path, 1.0, ['classifier'])
    second = _checkpoint(tmp_path, 2.0, ['bb_regressor'])
    target = export([first, second], tmp_path / 'merged.safetensors')
    values = {name: float(tensor[0]) for name, tensor in load_file(target).items()}
    assert values == {
        'feature_extractor.a': 1.0,
        'classifier.feature_extractor.b': 1.0,
        'bb_regressor.c': 2.0,
    }
    notes = weights.read_info(target).notes
    assert 'classifier: 8 training examples' in notes and 'bb_regressor: 8' in notes


def test_runs_from_the_same_weights_keep_their_settings(tmp_path: Path) -> None:
    runs = [_checkpoint(tmp_path, 1.0, ['classifier']), _checkpoint(tmp_path, 2.0, ['backbone'])]
    known = weights.WeightsInfo(
        'dimp18', ('theirs',), 'MIT', {'min_region': 64.0}, notes='all: 7 examples'
    )
    for path in runs:
        checkpoint.save(path, checkpoint.load(path) | {'before': dataclasses.asdict(known)})
    info = weights.read_info(export(runs, tmp_path / 'merged.safetensors'))
    assert (info.tracker, info.settings) == ('dimp18', {'min_region': 64.0})
    assert (info.training_data, info.licence) == (('theirs', 'clips'), 'MIT; tests only')
    assert info.notes.startswith('all: 7 examples; then classifier: 8 training examples')


def test_backbone_is_the_one_of_the_network_not_of_the_classifier(tmp_path: Path) -> None:
    runs = [_checkpoint(tmp_path, 1.0, ['classifier']), _checkpoint(tmp_path, 2.0, ['backbone'])]
    merged = load_file(export(runs, tmp_path / 'merged.safetensors'))
    assert float(merged['feature_extractor.a'][0]) == 2.0
    assert float(merged['classifier.feature_extractor.b'][0]) == 1.0


def test_a_part_of_a_part_comes_from_its_own_run_in_any_order(tmp_path: Path) -> None:
    """FCOT's second stage trains the regressor's optimiser, which the first leaves as drawn."""
    whole = _checkpoint(tmp_path, 1.0, ['classifier'])
    part = _checkpoint(tmp_path, 2.0, ['classifier.feature_extractor'])
    for runs in ([whole, part], [part, whole]):
        merged = load_file(export(runs, tmp_path / 'merged.safetensors'))
        assert float(merged['classifier.feature_extractor.b'][0]) == 2.0


def test_runs_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    one = _checkpoint(tmp_path, 1.0, ['classifier'])
    with pytest.raises(CheckpointError, match=r'same part .*classifier'):
        export([one, _checkpoint(tmp_path, 2.0, ['classifier'])], tmp_path / 'x.safetensors')
    with pytest.raises(CheckpointError, match='different networks'):
        export(
            [one, _checkpoint(tmp_path, 3.0, ['bb_regressor'], 'dimp50')],
            tmp_path / 'x.safetensors',
        )
    assert not (tmp_path / 'x.safetensors').exists()
