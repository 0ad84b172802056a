"""Recipes are read strictly."""

import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from tracker_core.factory import default_settings
from training.recipe import (
    DiMPRecipe,
    FallingRate,
    RecipeError,
    as_plain,
    parse_recipe,
    read_recipe,
)
from training.sampling import FrameFilter
from training.siamfc import SiamFCSettings

CONFIG = Path(__file__).parents[2] / 'config' / 'training'


@pytest.mark.parametrize('path', sorted(CONFIG.glob('*.yaml')), ids=lambda path: path.name)
def test_shipped_recipes_are_valid(path: Path) -> None:
    recipe = read_recipe(path)
    assert recipe.sources and recipe.licence and recipe.training_data


def test_published_recipe_changes_no_published_value() -> None:
    recipe = read_recipe(CONFIG / 'siamfc.yaml')
    assert recipe.settings == SiamFCSettings()
    assert recipe.frames == FrameFilter()
    published = FallingRate()
    assert (published.epochs, published.batch_size) == (50, 8)
    for name in ('epochs', 'batch_size', 'initial_rate', 'final_rate', 'momentum', 'weight_decay'):
        assert getattr(recipe.schedule, name) == getattr(published, name)


def test_probabilistic_recipe_has_the_published_losses() -> None:
    recipe = read_recipe(CONFIG / 'prdimp50.yaml')
    assert isinstance(recipe, DiMPRecipe)
    settings, areas = recipe.settings, recipe.areas
    assert (settings.classification, settings.boxes) == ('density', 'density')
    assert (settings.proposals, areas.max_gap) == (128, 200)
    weights = settings.initial_weight, settings.intermediate_weight, settings.final_weight
    assert (*weights, settings.box_weight) == (0.25, 1.0, 0.25, 0.0025)
    assert settings.density_sigma == (0.05, 0.05)
    assert settings.mixture_sigmas == ((0.05, 0.05), (0.5, 0.5))
    tracking = default_settings('prdimp50')
    assert (areas.size, areas.factor) == (tracking.image_size, tracking.search_factor)


def test_plain_values_and_back(content: dict[str, Any]) -> None:
    recipe = parse_recipe(content)
    assert parse_recipe(yaml.safe_load(yaml.safe_dump(as_plain(recipe)))) == recipe


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('epochs', 3, "unknown setting 'epochs'.*valid settings.*schedule"),
        ('schedule.epoch', 3, "unknown setting 'epoch'.*valid settings: epochs"),
        ('schedule.epochs', 'many', 'FallingRate.epochs must be int'),
        ('schedule', 7, 'schedule must be a mapping'),
        ('sources', [], '`sources` is empty'),
        ('sources', [{'path': 'x'}], 'needs `path` and `kind`'),
        ('sources', [{'path': 'x', 'kind': 'films'}], "'clips' or"),
        ('sources', 3, 'sources must be a list of sources, not 3'),
        ('sources', [{'path': 'x', 'kind': 'clips', 'share': 0}], "share of the source 'x'"),
        ('sources', [{'path': 'x', 'kind': 'clips', 'share': -1.0}], 'above 0, not -1.0'),
        ('validation', [{'path': 'x'}], 'needs `path` and `kind`'),
        ('validation', [{'path': 'x', 'kind': 'clips'}], 'exclude each other'),
        ('schedule.epochs', 0, r'schedule\.epochs must be at least 1, not 0'),
        ('schedule.batch_size', 0, r'schedule\.batch_size must be at least 1, not 0'),
        ('schedule.workers', -1, r'schedule\.workers must be at least 0, not -1'),
        ('schedule.average', 1.5, r'schedule\.average must be at least 0 and below 1, not 1.5'),
        ('schedule.clip_gradient', math.nan, r'schedule\.clip_gradient must be finite, not nan'),
        ('schedule.initial_rate', 0.0, r'schedule\.initial_rate must be at least 1e-12'),
        ('recipe', ['siamfc'], "\\['siamfc'\\] is none of siamfc"),
        ('recipe', 'yolo', "'yolo' is none of siamfc, dimp18"),
    ],
)
def test_mistakes_are_named(
    content: dict[str, Any], tmp_path: Path, key: str, value: Any, message: str
) -> None:
    path = tmp_path / 'recipe.yaml'
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(RecipeError, match=message):
        read_recipe(path, {key: value})


def test_files_that_are_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match='cannot be read'):
        read_recipe(tmp_path / 'absent.yaml')
    path = tmp_path / 'recipe.yaml'
    path.write_text('a: [')
    with pytest.raises(RecipeError, match='no valid YAML'):
        read_recipe(path)
    path.write_bytes(b'\x89PNG\xff\xfe\x00')
    with pytest.raises(RecipeError, match='no valid YAML'):
        read_recipe(path)
    path.write_text('schedule: {epochs: 1}\nschedule:\n  epochs: 2')
    with pytest.raises(RecipeError, match=r"key 'schedule' stands twice.*line 2") as told:
        read_recipe(path)
    assert '\n' not in str(told.value)
    path.write_text('- 1')
    with pytest.raises(RecipeError, match='must be a mapping'):
        read_recipe(path)


def test_a_recipe_may_extend_another(content: dict[str, Any], tmp_path: Path) -> None:
    content['schedule']['workers'] = 3
    (tmp_path / 'base.yaml').write_text(yaml.safe_dump(content))
    changes = {'extends': 'base.yaml', 'schedule': {'epochs': 9, 'workers': None}, 'held_out': []}
    path = tmp_path / 'other.yaml'
    path.write_text(yaml.safe_dump(changes))
    found = read_recipe(path, {'schedule.batch_size': 4})
    base = read_recipe(tmp_path / 'base.yaml')
    assert (found.schedule.epochs, found.schedule.batch_size) == (9, 4)
    assert found.schedule.workers == 1 != base.schedule.workers  # null: as if it were not there
    assert found.held_out == () != base.held_out
    assert found.sources == base.sources and found.training_data == base.training_data
    assert found.schedule.examples_per_epoch == base.schedule.examples_per_epoch


def test_extending_in_a_circle_or_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / 'a.yaml').write_text('extends: b.yaml')
    (tmp_path / 'b.yaml').write_text('extends: a.yaml')
    with pytest.raises(RecipeError, match=r'a\.yaml extends itself'):
        read_recipe(tmp_path / 'a.yaml')
    (tmp_path / 'c.yaml').write_text('extends: absent.yaml')
    with pytest.raises(RecipeError, match=r'absent\.yaml cannot be read'):
        read_recipe(tmp_path / 'c.yaml')
