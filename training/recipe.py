"""The recipe of a run: one YAML file, read strictly."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from tracker_core.settings import override
from training.augmentation import AugmentationSettings
from training.crops import CropSettings, Source
from training.sampling import FrameFilter
from training.siamfc import SiamFCSettings


class RecipeError(ValueError):
    """A recipe cannot be used; the message names the key and the valid ones."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast; the defaults are the published values."""

    epochs: int = 50
    pairs_per_epoch: int = 0
    """0: as many as there are sequences."""
    batch_size: int = 8
    initial_rate: float = 1e-2
    final_rate: float = 1e-5
    """The learning rate falls geometrically, once per epoch, towards this."""
    momentum: float = 0.9
    weight_decay: float = 5e-4
    average: float = 0.0
    """Decay per step of a running average of the weights, which is then validated and exported
    (0: none, as published; 0.999 averages over about 1000 steps)."""
    precision: Literal['float32', 'bfloat16'] = 'float32'
    device: str = 'auto'
    workers: int = 1
    seed: int = 1
    checkpoint_minutes: float = 5.0
    validation_pairs: int = 400


@dataclass(frozen=True)
class Recipe:
    """A whole run. `data` is the folder below which the paths of the sources lie."""

    recipe: Literal['siamfc'] = 'siamfc'
    data: str = '../shared/data'
    output: str = 'runs/siamfc'
    cache: str = '.cache/training'
    training_data: tuple[str, ...] = ()
    """What the weights were trained on, for their metadata."""
    licence: str = ''
    """Under which terms the weights may be used, for their metadata."""
    held_out: tuple[str, ...] = ()
    """Scenes that are used for validation only."""
    sources: tuple[Source, ...] = ()
    frames: FrameFilter = field(default_factory=FrameFilter)
    crops: CropSettings = field(default_factory=CropSettings)
    schedule: Schedule = field(default_factory=Schedule)
    settings: SiamFCSettings = field(default_factory=SiamFCSettings)
    augmentation: AugmentationSettings = field(default_factory=AugmentationSettings)


_SECTIONS = ('frames', 'crops', 'schedule', 'settings', 'augmentation')


def read_recipe(path: Path, changes: Mapping[str, Any] | None = None) -> Recipe:
    """Read a recipe file and apply changes given as {'section.key' or 'key': value}.

    Raises RecipeError for a missing file, bad YAML, unknown keys and wrong types.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise RecipeError(f'the recipe {path} cannot be read: {error.strerror}') from error
    except yaml.YAMLError as error:
        raise RecipeError(f'{path} is no valid YAML: {error}') from error
    if not isinstance(content, dict):
        raise RecipeError(f'{path} must be a mapping of keys to values')
    for key, value in (changes or {}).items():
        section, _, name = key.rpartition('.')
        inner = content.setdefault(section, {}) if section else content
        if not isinstance(inner, dict):
            raise RecipeError(f'{key}: {section!r} is no section of a recipe')
        inner[name] = value
    return parse_recipe(content)


def parse_recipe(content: Mapping[str, Any]) -> Recipe:
    """Build a recipe from plain values as they stand in the YAML file."""
    try:
        plain = {k: v for k, v in content.items() if k not in ('sources', *_SECTIONS)}
        recipe = override(Recipe(), plain)
        sections = {
            name: override(getattr(recipe, name), _mapping(content, name)) for name in _SECTIONS
        }
        sources = tuple(_parse_source(entry) for entry in content.get('sources') or ())
    except ValueError as error:
        raise RecipeError(f'recipe: {error}') from error
    if not sources:
        raise RecipeError('recipe: `sources` is empty: name at least one folder to train on')
    return dataclasses.replace(recipe, sources=sources, **sections)


def as_plain(recipe: Recipe) -> dict[str, Any]:
    """Recipe as nested dictionaries and lists, the inverse of `parse_recipe`."""
    return _listed(dataclasses.asdict(recipe))  # type: ignore[no-any-return]


def _mapping(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = content.get(name) or {}
    if not isinstance(section, dict):
        raise ValueError(f'{name} must be a mapping of keys to values, not {section!r}')
    return section


def _parse_source(entry: Any) -> Source:
    if not isinstance(entry, dict) or not {'path', 'kind'} <= entry.keys():
        raise ValueError(f'every source needs `path` and `kind`, unlike {entry!r}')
    return override(Source(path='', kind='clips'), entry)


def _listed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _listed(item) for key, item in value.items()}
    return [_listed(item) for item in value] if isinstance(value, (list, tuple)) else value
