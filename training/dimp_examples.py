"""Examples of DiMP: search areas drawn anew for every key, or stored features of some of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence as Sequences
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from tracker_core.resnet import ResNet, normalize
from training.augmentation import AppearanceSettings
from training.backbone import load_backbone
from training.datasets import DataError
from training.features import Record, StoredExamples, write_shard
from training.frames import PlacedTrack, Track
from training.proposals import draw_from_mixture, perturb_box
from training.readable import ReadableExamples
from training.rendered_tracks import find_tracks
from training.sampling import plan_epoch
from training.search_areas import make_example
from training.sources import DataSetSource, Source, load_each

if TYPE_CHECKING:
    from training.recipe import DiMPRecipe

#: Kinds of data sets of which short recordings are left out.
_LONG = ('got10k', 'lasot', 'trackingnet', 'vid')
#: Shortest recording of a data set that is used.
LEAST_FRAMES = 20
#: Epochs of the keys of stored examples; no epoch of a run has them.
_STORED, _STORED_VALIDATION = 2**30, 2**31


class SearchAreaExamples(Dataset[dict[str, Any]]):
    """Examples by key (epoch, position) on which alone they depend, with the recipe's seed."""

    def __init__(
        self,
        tracks: Sequences[Track | PlacedTrack],
        count: int,
        recipe: DiMPRecipe,
        appearance: AppearanceSettings,
    ) -> None:
        self.tracks: list[Track | PlacedTrack] = list(tracks)
        self.count, self.recipe = count, recipe
        self.appearance = appearance
        self._weights = np.array([track.weight for track in tracks])
        scenes = sorted({track.scene for track in tracks})
        self._scenes = {scene: number for number, scene in enumerate(scenes)}
        self._plan: tuple[int, np.ndarray[Any, np.dtype[np.intp]]] | None = None

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        """Return crops, boxes, proposals and scene of example `position` of `epoch`."""
        epoch, position = key
        cv2.setNumThreads(0)  # the cores belong to the training step
        track = self.tracks[self._track_at(epoch, position)]
        rng = np.random.default_rng([self.recipe.schedule.seed, epoch, position])
        example = make_example(track, rng, self.recipe.areas, self.appearance)
        example |= draw_proposals(example['boxes_ltwh'], self.recipe, rng)
        return {**example, 'scene': self._scenes[track.scene]}

    def _track_at(self, epoch: int, position: int) -> int:
        if self._plan is None or self._plan[0] != epoch:
            rng = np.random.default_rng([self.recipe.schedule.seed, epoch])
            self._plan = epoch, plan_epoch(self._weights, self.count, rng)
        return int(self._plan[1][position])


class StoredFeatureExamples(Dataset[dict[str, Any]]):
    """Examples by key (epoch, position) out of stored ones, each with new proposals.

    An epoch draws from what is stored when its first example is asked for, none twice before all
    were used.
    """

    def __init__(self, folder: Path, count: int, recipe: DiMPRecipe) -> None:
        names = ['layer3', 'boxes_ltwh', 'scene']
        if 'bb_regressor' in recipe.settings.parts:
            names.append('layer2')
        self.stored, self.recipe, self.count = StoredExamples(folder, tuple(names)), recipe, count
        self._plan: tuple[int, np.ndarray[Any, np.dtype[np.intp]]] | None = None

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        """Return stored features, boxes, proposals and scene of an example."""
        epoch, position = key
        if self._plan is None or self._plan[0] != epoch:
            self.stored.refresh()
            rng = np.random.default_rng([self.recipe.schedule.seed, epoch])
            self._plan = epoch, rng.permutation(len(self.stored))
        order = self._plan[1]
        example = self.stored[int(order[position % len(order)])]
        rng = np.random.default_rng([self.recipe.schedule.seed, epoch, position])
        boxes = example['boxes_ltwh'].numpy()
        return {**example, **draw_proposals(boxes, self.recipe, rng)}


def draw_proposals(
    boxes_ltwh: NDArray[np.floating], recipe: DiMPRecipe, rng: np.random.Generator
) -> dict[str, Any]:
    """`proposals` (tests, K, 4) around the boxes of the test frames, and what is known of each.

    That is their `overlaps`, or the log densities `drawn` and `wanted`, all (tests, K).
    """
    settings = recipe.settings
    tests = boxes_ltwh[recipe.areas.train_frames :].astype(np.float64)
    if settings.boxes == 'density':
        sigmas, wanted = settings.mixture_sigmas, settings.density_sigma
        names: tuple[str, ...] = ('proposals', 'drawn', 'wanted')
        found: list[tuple[Any, ...]] = [
            draw_from_mixture(box, settings.proposals, sigmas, wanted, rng) for box in tests
        ]
    else:
        sides, least = settings.proposal_sigmas, settings.proposal_min_iou
        names = ('proposals', 'overlaps')
        found = [perturb_box(box, settings.proposals, sides, least, rng) for box in tests]
    columns = zip(*found, strict=True)
    return {
        name: np.stack(column).astype(np.float32)
        for name, column in zip(names, columns, strict=True)
    }


def load_examples(recipe: DiMPRecipe) -> tuple[Dataset[Any], Dataset[Any] | None]:
    """Training examples, and those of the held-out scenes without changes of light.

    Raises DataError where the sources, or the stored features, do not hold what is asked for.
    """
    schedule = recipe.schedule
    if not recipe.features.examples:
        return draw_examples(recipe)
    folder = feature_folder(recipe)
    count = schedule.examples_per_epoch
    training = StoredFeatureExamples(folder / 'training', count, recipe)
    validation = StoredFeatureExamples(folder / 'validation', schedule.validation_examples, recipe)
    if not len(training.stored) or len(validation.stored) < schedule.validation_examples:
        raise DataError(
            f'{folder} does not hold enough features yet: run python -m training features RECIPE'
        )
    return training, validation


def draw_examples(recipe: DiMPRecipe) -> tuple[SearchAreaExamples, SearchAreaExamples | None]:
    """Examples with images, for training and validation."""
    loaded = load_each(recipe.sources, lambda source: find_tracks(source, recipe))
    tracks = [track for source, found in loaded for track in long_enough(source, found, recipe)]
    unknown = set(recipe.held_out) - {track.scene for track in tracks}
    if unknown:
        raise DataError(f'held_out names unknown scenes: {", ".join(sorted(unknown))}')
    kept = [track for track in tracks if track.scene not in recipe.held_out]
    if not kept:
        raise DataError('no track is left to train on: shorten `held_out` or add sources')
    schedule = recipe.schedule
    count = schedule.examples_per_epoch or len(kept)
    training = SearchAreaExamples(kept, count, recipe, recipe.augmentation)
    held_out = [track for track in tracks if track.scene in recipe.held_out]
    if not held_out:
        return training, None
    plain = AppearanceSettings()
    return training, SearchAreaExamples(held_out, schedule.validation_examples, recipe, plain)


def long_enough(source: Source, tracks: list[Any], recipe: DiMPRecipe) -> list[Any]:
    """Tracks of a source, of a data set that trackers are published with those long enough.

    They have 20 frames, and the target is there in more than twice as many as an example shows.
    Raises DataError where nothing is left.
    """
    if not isinstance(source, DataSetSource) or source.kind not in _LONG:
        return tracks
    least = 2 * recipe.areas.frames + 1
    if source.max_frames:
        least = min(least, source.max_frames)
    kept = [t for t in tracks if len(t.frames) >= least and t.frames[-1] + 1 >= LEAST_FRAMES]
    if not kept:
        raise DataError(
            f'{source.path}: no target is seen in {least} frames of a recording of at least '
            f'{LEAST_FRAMES}'
        )
    return [replace(track, weight=source.share / len(kept)) for track in kept]


def feature_folder(recipe: DiMPRecipe) -> Path:
    """Folder of the stored features: its name changes with everything they depend on."""
    parts = [recipe.recipe, recipe.backbone, recipe.held_out, recipe.schedule.seed]
    sections = [asdict(recipe.areas), asdict(recipe.augmentation), asdict(recipe.frames)]
    key = [*parts, *sections, *(asdict(source) for source in recipe.sources)]
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
    return Path(recipe.cache) / f'features-{digest}'


def store_features(recipe: DiMPRecipe, shard: int, shards: int) -> Path:
    """Compute and store this shard's part of the features that are missing; returns the folder."""
    training, validation = draw_examples(recipe)
    backbone = load_backbone(recipe).eval()
    folder = feature_folder(recipe)
    if validation is not None:
        validation.count = recipe.features.validation
        _store(validation, backbone, folder / 'validation', _STORED_VALIDATION, shard, shards)
    # The share of every source is kept in each block, so that a part of them is a fair sample.
    training.count = min(recipe.features.block, recipe.features.examples)
    _store(training, backbone, folder / 'training', _STORED, shard, shards)
    return folder


def _store(
    examples: SearchAreaExamples,
    backbone: ResNet,
    folder: Path,
    epoch: int,
    shard: int,
    shards: int,
) -> None:
    recipe, block = examples.recipe, examples.count
    is_validation = epoch == _STORED_VALIDATION
    total = block if is_validation else recipe.features.examples
    readable = ReadableExamples(examples, total)

    def compute(number: int) -> Record:
        example = readable[epoch + number // block, number % block]
        return _describe(example, backbone, recipe.areas.train_frames)

    write_shard(folder, shard, shards, total, compute)


@torch.inference_mode()
def _describe(example: dict[str, Any], backbone: ResNet, train: int) -> Record:
    """Features of an example, float16 and channels last, with boxes and scene."""
    images = torch.from_numpy(example['images']).permute(0, 3, 1, 2)
    inputs = normalize(images).contiguous(memory_format=torch.channels_last)
    with torch.autocast('cpu', torch.bfloat16):
        layers = backbone(inputs)
    layer2, layer3 = (
        layers[name].permute(0, 2, 3, 1).half().numpy() for name in ('layer2', 'layer3')
    )
    return {
        'layer2': np.concatenate([layer2[:1], layer2[train:]]),
        'layer3': layer3,
        'boxes_ltwh': example['boxes_ltwh'],
        'scene': np.array(example['scene'], np.int64),
    }
