"""Recipes are read strictly."""

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
    recipe = read_recipe(CONFIG / 'siamfc_got10k.yaml')
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
    path.write_text('- 1')
    with pytest.raises(RecipeError, match='must be a mapping'):
        read_recipe(path)
