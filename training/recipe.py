"""The recipe of a run: one YAML file, read strictly."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from tracker_core.settings import override
from training import strict_yaml
from training.augmentation import AppearanceSettings, AugmentationSettings
from training.crops import CropSettings
from training.dcfst_settings import DCFSTSettings, PairSettings
from training.dimp_settings import DiMPSettings
from training.fcot_settings import FCOTAreaSettings, FCOTSettings
from training.sampling import FrameFilter
from training.schedules import (
    DCFSTSchedule,
    FallingRate,
    FCOTSchedule,
    Schedule,
    SteppedRates,
    UDTSchedule,
)
from training.search_areas import SearchAreaSettings
from training.siamfc import SiamFCSettings
from training.sources import Source, parse_source
from training.tracking import TrackingSettings
from training.udt_settings import UDTSettings


class RecipeError(ValueError):
    """A recipe cannot be used; the message names the key and the valid ones."""


@dataclass(frozen=True)
class Recipe:
    """What every recipe has. `data` is the folder below which the paths of the sources lie."""

    recipe: str
    data: str = '../shared/data'
    output: str = 'runs/run'
    cache: str = '.cache/training'
    training_data: tuple[str, ...] = ()
    """What the weights were trained on, for their metadata."""
    licence: str = ''
    """Under which terms the weights may be used, for their metadata."""
    held_out: tuple[str, ...] = ()
    """Scenes of the sources that are used for validation only."""
    sources: tuple[Source, ...] = ()
    validation: tuple[Source, ...] = ()
    """Sources that are used for validation only, instead of `held_out`."""
    frames: FrameFilter = field(default_factory=FrameFilter)
    schedule: Schedule = field(default_factory=Schedule)
    tracking: TrackingSettings = field(default_factory=TrackingSettings)

    @property
    def tracker(self) -> str:
        """Name of the tracker whose network is trained."""
        return self.recipe


@dataclass(frozen=True)
class SiamFCRecipe(Recipe):
    """Training of SiamFC."""

    recipe: Literal['siamfc'] = 'siamfc'
    output: str = 'runs/siamfc'
    crops: CropSettings = field(default_factory=CropSettings)
    schedule: FallingRate = field(default_factory=FallingRate)
    settings: SiamFCSettings = field(default_factory=SiamFCSettings)
    augmentation: AugmentationSettings = field(default_factory=AugmentationSettings)


@dataclass(frozen=True)
class FeatureSettings:
    """Features of a frozen backbone that are computed once and kept on disk."""

    examples: int = 0
    """How many examples are stored (0: none, every example is drawn and computed anew)."""
    validation: int = 240
    block: int = 500
    """Examples over which the shares of the sources hold."""


@dataclass(frozen=True)
class DiMPRecipe(Recipe):
    """Training of DiMP."""

    recipe: Literal['dimp18', 'dimp50', 'prdimp18', 'prdimp50', 'super_dimp'] = 'dimp18'
    output: str = 'runs/dimp'
    backbone: str = ''
    """Weights the backbone starts from, with torchvision's key names; below `data`."""
    areas: SearchAreaSettings = field(default_factory=SearchAreaSettings)
    schedule: SteppedRates = field(default_factory=SteppedRates)
    settings: DiMPSettings = field(default_factory=DiMPSettings)
    features: FeatureSettings = field(default_factory=FeatureSettings)
    augmentation: AppearanceSettings = field(default_factory=AppearanceSettings)


@dataclass(frozen=True)
class DCFSTRecipe(Recipe):
    """Training of DCFST."""

    recipe: Literal['dcfst18', 'dcfst50'] = 'dcfst18'
    output: str = 'runs/dcfst'
    backbone: str = ''
    """Weights of the frozen backbone, with torchvision's key names; below `data`."""
    features_of: str = ''
    """Recipe of DiMP whose stored features are used, instead of images."""
    areas: PairSettings = field(default_factory=PairSettings)
    schedule: DCFSTSchedule = field(default_factory=DCFSTSchedule)
    settings: DCFSTSettings = field(default_factory=DCFSTSettings)
    augmentation: AppearanceSettings = field(default_factory=AppearanceSettings)


@dataclass(frozen=True)
class FCOTRecipe(Recipe):
    """Training of FCOT."""

    recipe: Literal['fcot', 'fcot18'] = 'fcot'
    output: str = 'runs/fcot'
    backbone: str = ''
    """Weights the backbone starts from, with torchvision's key names; below `data`."""
    areas: FCOTAreaSettings = field(default_factory=FCOTAreaSettings)
    schedule: FCOTSchedule = field(default_factory=FCOTSchedule)
    settings: FCOTSettings = field(default_factory=FCOTSettings)
    augmentation: AppearanceSettings = field(default_factory=AppearanceSettings)


@dataclass(frozen=True)
class UDTRecipe(Recipe):
    """Training without labels."""

    recipe: Literal['udt'] = 'udt'
    output: str = 'runs/udt'
    network: Literal['siamfc'] = 'siamfc'
    """What is trained."""
    weights: str = 'siamfc'
    """What it starts from: a .safetensors file, or the name of installed or shipped weights."""
    crops: CropSettings = field(default_factory=CropSettings)
    schedule: UDTSchedule = field(default_factory=UDTSchedule)
    settings: UDTSettings = field(default_factory=UDTSettings)

    @property
    def tracker(self) -> str:
        """Name of the tracker whose network is trained."""
        return self.network


RECIPES: dict[str, Callable[[], Recipe]] = {
    'siamfc': SiamFCRecipe,
    'dimp18': DiMPRecipe,
    'dimp50': lambda: DiMPRecipe(recipe='dimp50'),
    'prdimp18': lambda: DiMPRecipe(recipe='prdimp18'),
    'prdimp50': lambda: DiMPRecipe(recipe='prdimp50'),
    'super_dimp': lambda: DiMPRecipe(recipe='super_dimp'),
    'dcfst18': DCFSTRecipe,
    'dcfst50': lambda: DCFSTRecipe(recipe='dcfst50'),
    'fcot': FCOTRecipe,
    'fcot18': lambda: FCOTRecipe(recipe='fcot18', output='runs/fcot18'),
    'udt': UDTRecipe,
}


#: Keys whose values are lists of sources.
_SOURCES = ('sources', 'validation')


def read_recipe(path: Path, changes: Mapping[str, Any] | None = None) -> Recipe:
    """Read a recipe file and apply changes given as {'section.key' or 'key': value}.

    A recipe that `extends` another, a file beside it, has its values but for those it gives;
    sections are merged, and what is null in it is left out. Raises RecipeError for a missing file,
    bad YAML, unknown keys and wrong types.
    """
    content = _read_content(path)
    for key, value in (changes or {}).items():
        section, _, name = key.rpartition('.')
        inner = content.setdefault(section, {}) if section else content
        if not isinstance(inner, dict):
            raise RecipeError(f'{key}: {section!r} is no section of a recipe')
        inner[name] = value
    return parse_recipe(content)


def _read_content(path: Path, extending: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Plain values of a recipe file and of those it extends."""
    if path in extending:
        raise RecipeError(f'{path} extends itself')
    try:
        content = strict_yaml.load(path.read_text('utf-8'))
    except OSError as error:
        raise RecipeError(f'the recipe {path} cannot be read: {error.strerror}') from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f'{path} is no valid YAML: {" ".join(str(error).split())}') from error
    if not isinstance(content, dict):
        raise RecipeError(f'{path} must be a mapping of keys to values')
    if 'extends' not in content:
        return content
    base = _read_content(path.parent / str(content.pop('extends')), (*extending, path))
    return _merged(base, content)


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Mapping with changes to another; sections are merged, and what is None is left out."""
    both = {**base, **changes}
    for key, inner in base.items():
        if isinstance(inner, dict) and isinstance(changes.get(key), dict):
            both[key] = _merged(inner, changes[key])
    return {key: value for key, value in both.items() if value is not None}


def parse_recipe(content: Mapping[str, Any]) -> Recipe:
    """Build a recipe from plain values as they stand in the YAML file."""
    name = content.get('recipe')
    if not isinstance(name, str) or name not in RECIPES:
        raise RecipeError(f'recipe: {name!r} is none of {", ".join(RECIPES)}')
    default = RECIPES[name]()
    names = [f.name for f in dataclasses.fields(default)]
    sections = [n for n in names if dataclasses.is_dataclass(getattr(default, n))]
    try:
        plain = {k: v for k, v in content.items() if k not in (*_SOURCES, *sections)}
        recipe = override(default, plain)
        changed = {n: override(getattr(default, n), _mapping(content, n)) for n in sections}
        sources, validation = (_parse_sources(content, name) for name in _SOURCES)
    except ValueError as error:
        raise RecipeError(f'recipe: {error}') from error
    if not sources:
        raise RecipeError('recipe: `sources` is empty: name at least one folder to train on')
    if recipe.held_out and validation:
        raise RecipeError('recipe: `held_out` and `validation` exclude each other: name one')
    return dataclasses.replace(recipe, sources=sources, validation=validation, **changed)


def as_plain(recipe: Recipe) -> dict[str, Any]:
    """Recipe as nested dictionaries and lists, the inverse of `parse_recipe`."""
    return _listed(dataclasses.asdict(recipe))


def _mapping(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = content.get(name) or {}
    if not isinstance(section, dict):
        raise ValueError(f'{name} must be a mapping of keys to values, not {section!r}')
    return section


def _parse_sources(content: Mapping[str, Any], name: str) -> tuple[Source, ...]:
    entries = content.get(name) or ()
    if not isinstance(entries, (list, tuple)):
        raise ValueError(f'{name} must be a list of sources, not {entries!r}')
    return tuple(_parse_source(entry) for entry in entries)


def _parse_source(entry: Any) -> Source:
    if not isinstance(entry, dict) or not {'path', 'kind'} <= entry.keys():
        raise ValueError(f'every source needs `path` and `kind`, unlike {entry!r}')
    source = parse_source(entry)
    if not 0 < source.share < math.inf:
        raise ValueError(
            f'the share of the source {source.path!r} must be above 0, not {source.share}'
        )
    return source


def _listed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _listed(item) for key, item in value.items()}
    return [_listed(item) for item in value] if isinstance(value, (list, tuple)) else value
