"""What a recipe will train on: counts per source, and pictures of what the network will see."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from tracker_core.atomic import replacing
from tracker_core.dcfst.grid import LABEL_SIGMA, Grid
from tracker_core.drawing import draw_text
from tracker_core.fcot import side_regression
from training import dimp_losses, siamfc
from training.crops import EXEMPLAR_SIZE, load_source
from training.datasets import DataError, Image
from training.loop import MODULES
from training.matching import TARGET_SIZE
from training.pictures import PREDICTED_COLOR, TRUE_COLOR, heat_map, sheet, with_boxes
from training.readable import ReadableExamples
from training.recipe import DCFSTRecipe, DiMPRecipe, FCOTRecipe, Recipe, SiamFCRecipe, UDTRecipe
from training.rendered_tracks import RenderedTrack, find_tracks
from training.sources import DataSetSource, Source, find_indices, load_each

_STRIDE = 16
"""Pixels per cell of the score maps of DiMP."""
_SHOWN_PROPOSALS = 3
_LOCATED = 'location_predictor'
#: Labels (h, w), pixels of the crop from cell to cell, and place in it of the first one's middle.
_Map = tuple[Tensor, int, float]


@dataclass(frozen=True)
class SourceCount:
    """What one source holds after all rules and the frame filter of the recipe."""

    source: Source
    targets: int
    scenes: int
    frames: int
    held_out: int
    """Targets that are used for validation only."""
    validates: bool
    """Whether it is one of the sources in `validation`."""
    skipped: dict[str, int]
    """Frames of a data set that its own labels rule out, by reason."""


def count_sources(recipe: Recipe) -> list[SourceCount]:
    """Count what the sources hold, at last those in `validation`.

    Raises DataError that lists all that is missing, in all sources.
    """
    loaded = load_each(_all_sources(recipe), lambda source: _load(source, recipe))
    count = len(recipe.sources)
    return [
        _count(source, targets, recipe, validates=number >= count)
        for number, (source, targets) in enumerate(loaded)
    ]


def _all_sources(recipe: Recipe) -> list[Source]:
    return [*recipe.sources, *recipe.validation]


def describe(counts: Iterable[SourceCount]) -> str:
    """The counts as lines of text, one per source, with a sum; then those that validate."""
    counts = list(counts)
    training, validation = ([c for c in counts if c.validates is v] for v in (False, True))
    tables = _table('source', training), _table('validation', validation)
    return '\n\n'.join(tables if validation else tables[:1])


def _table(title: str, counts: Sequence[SourceCount]) -> str:
    lines = [f'{title:<44}{"share":>7}{"targets":>9}{"held out":>9}{"scenes":>8}{"frames":>9}']
    # Backgrounds are behind targets, and none themselves.
    drawn = [each for each in counts if each.source.kind != 'backgrounds']
    total = sum(each.source.share for each in drawn) or 1.0
    for each in counts:
        title = f'{each.source.path} ({each.source.kind})'
        shown = f'{each.source.share / total:.1%}', each.targets, each.held_out
        share, targets, held_out = shown if each in drawn else ('-', '-', '-')
        lines.append(
            f'{title:<44}{share:>7}{targets:>9}{held_out:>9}{each.scenes:>8}{each.frames:>9}'
        )
        lines += [f'    {number} frames not used: {why}' for why, number in each.skipped.items()]
    targets, frames = (sum(getattr(c, name) for c in drawn) for name in ('targets', 'frames'))
    return '\n'.join([*lines, f'{targets} targets in {frames} frames'])


def unreadable_images(recipe: Recipe) -> list[str]:
    """Read every image that can be drawn; returns what is wrong with those that cannot be read."""
    sources = _all_sources(recipe)
    if isinstance(recipe, (SiamFCRecipe, UDTRecipe)):
        # Its crops were cut from all images already; of data sets some may have been left out.
        sources = [source for source in sources if isinstance(source, DataSetSource)]
    problems = []
    for _, tracks in load_each(sources, lambda source: find_tracks(source, recipe)):
        stored = [track for track in tracks if not isinstance(track, RenderedTrack)]
        for track in tqdm(stored, desc='reading images', unit='target', leave=False):
            for position in range(len(track.frames)):
                try:
                    track.image(position)
                except DataError as error:
                    problems.append(str(error))
    return problems


def write_contact_sheet(recipe: Recipe, path: Path, count: int) -> None:
    """Write a picture with one of the first `count` training examples per row.

    Crops as the network gets them, with the true boxes and some of the proposals, then the labels
    of the test frames; for FCOT first the coarse, then the fine labels, then the cells in which
    sides are learned, as far as these parts are trained; for SiamFC the exemplar, and the search
    image with the positive cells; without labels the frames of a window with the pseudo-target.
    """
    drawn, _ = MODULES[recipe.recipe][1](_with_images(recipe))
    examples = ReadableExamples(drawn)
    rows = []
    for position in range(min(max(count, 1), len(examples))):
        row = _panels(examples[0, position], recipe)
        draw_text(row[0], f'example {position}', (4, 16), TRUE_COLOR)
        rows.append(row)
    with replacing(path) as temporary:
        success, coded = cv2.imencode(path.suffix, np.ascontiguousarray(sheet(rows)[..., ::-1]))
        if not success:
            raise DataError(f'{path}: the name of the picture must end in .png or .jpg')
        temporary.write_bytes(coded.tobytes())


def _load(source: Source, recipe: Recipe) -> list[Any]:
    """Sequences of crops or tracks, whatever the recipe trains on."""
    if isinstance(recipe, (SiamFCRecipe, UDTRecipe)):
        data, cache = Path(recipe.data), Path(recipe.cache)
        return load_source(source, data, cache, recipe.crops, recipe.frames)
    return find_tracks(source, recipe)


def _count(source: Source, targets: list[Any], recipe: Recipe, *, validates: bool) -> SourceCount:
    skipped: dict[str, int] = {}
    if isinstance(source, DataSetSource):
        for index in find_indices(source, Path(recipe.data), Path(recipe.cache)):
            for why, number in index.skipped.items():
                skipped[why] = skipped.get(why, 0) + number
    return SourceCount(
        source=source,
        targets=len(targets),
        scenes=len({target.scene for target in targets}),
        frames=sum(len(target.frames) for target in targets),
        held_out=sum(validates or target.scene in recipe.held_out for target in targets),
        validates=validates,
        skipped=skipped,
    )


def _with_images(recipe: Recipe) -> Any:
    """The recipe with examples drawn from images where it would train on stored features."""
    changes: dict[str, Any] = {}
    if isinstance(recipe, DiMPRecipe):
        changes['features'] = type(recipe.features)()
    if hasattr(recipe, 'features_of'):
        changes['features_of'] = ''
    return replace(recipe, **changes)


def _panels(example: dict[str, Any], recipe: Recipe) -> list[Image]:
    if isinstance(recipe, SiamFCRecipe):
        return _pair_panels(example, recipe)
    if isinstance(recipe, UDTRecipe):
        return _window_panels(example)
    boxes = [[(box, TRUE_COLOR)] for box in example['boxes_ltwh']]
    proposals = example.get('proposals')
    if proposals is not None and np.ndim(proposals) == 3:
        for shown, drawn in zip(boxes[-len(proposals) :], proposals, strict=True):
            shown[:0] = [(box, PREDICTED_COLOR) for box in drawn[:_SHOWN_PROPOSALS]]
    images = [with_boxes(*each) for each in zip(example['images'], boxes, strict=True)]
    if not isinstance(recipe, (DiMPRecipe, FCOTRecipe, DCFSTRecipe)):
        return images
    train_frames = 1 if isinstance(recipe, DCFSTRecipe) else recipe.areas.train_frames
    panels = []
    for index in range(train_frames, len(images)):
        box = torch.as_tensor(np.asarray(example['boxes_ltwh'][index]), dtype=torch.float32)
        panels.append(
            [
                heat_map(labels, _pixels(example['images'][index]), stride, (first, first))
                for labels, stride, first in _label_maps(box, recipe)
            ]
        )
    return images + [panel for kind in zip(*panels, strict=True) for panel in kind]


def _label_maps(box_ltwh: Tensor, recipe: DiMPRecipe | FCOTRecipe | DCFSTRecipe) -> list[_Map]:
    """Labels of a test frame, whatever a recipe has of them."""
    if isinstance(recipe, DCFSTRecipe):
        located = _LOCATED in recipe.settings.parts
        return [(_grid_labels(box_ltwh, recipe), 1, 0.5)] if located else []
    size, factor = recipe.areas.size, recipe.areas.factor
    if isinstance(recipe, DiMPRecipe):
        return [_gaussian(box_ltwh, size, _STRIDE, recipe.settings.label_sigma / factor)]
    settings, maps = recipe.settings, []
    for part, stride, sigma in (
        ('classifier_18', _STRIDE, settings.coarse_label_sigma),
        ('classifier_72', side_regression.STRIDE, settings.fine_label_sigma),
    ):
        if part in settings.parts:
            maps.append(_gaussian(box_ltwh, size, stride, sigma / factor))
    if any(part.startswith('regressor_72') for part in settings.parts):
        stride = side_regression.STRIDE
        maps.append((_side_cells(box_ltwh, size // stride, settings.radius), stride, stride / 2))
    return maps


def _gaussian(box_ltwh: Tensor, size: int, stride: int, sigma: float) -> _Map:
    """Label of a classifier; sigma: as a share of the crop of `size` pixels."""
    cells = size // stride
    # A filter of even size gives one cell more than the features have, from edge to edge.
    return dimp_losses.make_labels(box_ltwh, cells + 1, sigma * cells, stride), stride, 0


def _side_cells(box_ltwh: Tensor, cells: int, radius: int) -> Tensor:
    """1 in the cells in which the sides of a box are learned."""
    targets = side_regression.side_targets(box_ltwh[None, None], (cells, cells), radius)
    marked = torch.zeros(cells, cells)
    marked[targets.rows[targets.valid], targets.columns[targets.valid]] = 1.0
    return marked


def _grid_labels(box_ltwh: Tensor, recipe: DCFSTRecipe) -> Tensor:
    """Labels of the proposals of DCFST where their centres lie in the crop, (size, size)."""
    size, side = recipe.areas.size, recipe.settings.grid_side
    grid = Grid(side, size)
    sigma = LABEL_SIGMA * box_ltwh[2:].prod().sqrt()
    labels = grid.labels((box_ltwh[:2] + box_ltwh[2:] / 2)[None], sigma[None]).view(side, side)
    # The pixel's nearest proposal; beyond the outermost there is none.
    first, step = grid.target_side / 2, (size - grid.target_side) / (side - 1)
    nearest = ((torch.arange(size) + 0.5 - first) / step).round().long()
    inside = (nearest >= 0) & (nearest < side)
    shown = labels[nearest.clamp(0, side - 1)][:, nearest.clamp(0, side - 1)]
    return shown * inside[:, None] * inside


def _pair_panels(example: dict[str, Any], recipe: SiamFCRecipe) -> list[Image]:
    exemplar, search = (_pixels(example[name]) for name in ('exemplar', 'search'))
    side = search.shape[0]
    canvas = np.zeros_like(search)
    margin = (side - EXEMPLAR_SIZE) // 2
    canvas[margin : margin + EXEMPLAR_SIZE, margin : margin + EXEMPLAR_SIZE] = exemplar
    cells = (side - EXEMPLAR_SIZE) // siamfc.STRIDE + 1
    labels = siamfc.make_labels(cells, recipe.settings.radius, siamfc.STRIDE)
    for row, column in labels.nonzero().tolist():
        x, y = (
            (side - 1) / 2 + (each - (cells - 1) / 2) * siamfc.STRIDE for each in (column, row)
        )
        cv2.circle(search, (round(x), round(y)), 2, TRUE_COLOR, -1, cv2.LINE_AA)
    return [canvas, search]


def _window_panels(example: dict[str, Any]) -> list[Image]:
    """The frames of a window, the pseudo-target in the first."""
    size = example['crops'].shape[1]
    box = np.array([(size - TARGET_SIZE) / 2] * 2 + [TARGET_SIZE] * 2)
    first, *later = example['crops']
    return [with_boxes(first, [(box, TRUE_COLOR)]), *map(_pixels, later)]


def _pixels(image: Any) -> NDArray[np.uint8]:
    return np.array(image, np.uint8, order='C')
