"""Curated crops: every view cut once around its target and kept on disk as raw pixels."""

from __future__ import annotations

import json
import math
import sys
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from tracker_core.search_region import crop_square
from training.cache import positions_by_target, read_views, written_whole
from training.datasets import DataError, Image, View
from training.sampling import FrameFilter
from training.sources import (
    Kind,
    Part,
    Source,
    find_parts,
    store_missing,
)

#: Change when the stored pixels change, so that old caches are not used.
VERSION = 1
EXEMPLAR_SIZE = 127
_INTERPOLATIONS = (
    cv2.INTER_LINEAR,
    cv2.INTER_CUBIC,
    cv2.INTER_AREA,
    cv2.INTER_NEAREST,
    cv2.INTER_LANCZOS4,
)


@dataclass(frozen=True)
class CropSettings:
    """Geometry of the stored crops."""

    context: float = 0.5
    """Margin around the target as a share of width + height."""
    size: int = 303
    """Side in pixels, at the scale where the exemplar region has 127: 255 and room to shift."""


@dataclass(frozen=True)
class Sequence:
    """One target: its stored crops, RGB and mask (n, size, size, 4), and their frame numbers."""

    name: str
    scene: str
    crops: NDArray[np.uint8]
    frames: NDArray[np.int64]
    has_mask: bool
    weight: float = 1.0


def exemplar_side(width: float, height: float, context: float) -> float:
    """Side in image pixels of the exemplar region of a target (paper section 2.3)."""
    margin = context * (width + height)
    return math.sqrt((width + margin) * (height + margin))


def cut_view(view: View, settings: CropSettings) -> Image:
    """Crop of a view, uint8 (size, size, 4): RGB and mask, target centred and at exemplar scale.

    Outside the image the mean colour is filled in; the interpolation is one of five, chosen by the
    name of the view (published code: at random).
    """
    left, top, width, height = view.box
    center = left + (width - 1) / 2, top + (height - 1) / 2
    side = exemplar_side(width, height, settings.context) * settings.size / EXEMPLAR_SIZE
    draw = zlib.crc32(f'{view.sequence} {view.frame}'.encode())
    interpolation = _INTERPOLATIONS[draw % len(_INTERPOLATIONS)]
    crop = np.zeros((settings.size, settings.size, 4), np.uint8)
    fill = view.image.mean((0, 1))
    crop[..., :3] = crop_square(view.image, center, side, settings.size, fill, interpolation)
    if view.mask is not None:
        mask = crop_square(view.mask[..., None], center, side, settings.size, (0.0,))
        crop[..., 3] = mask.reshape(settings.size, settings.size)
    return crop


def cut_background(view: View, settings: CropSettings) -> Image:
    """Largest central square of an image, resized to (size, size, 4) with an empty mask."""
    height, width = view.image.shape[:2]
    center = (width - 1) / 2, (height - 1) / 2
    crop = np.zeros((settings.size, settings.size, 4), np.uint8)
    side = min(height, width)
    crop[..., :3] = crop_square(
        view.image, center, side, settings.size, (0.0,) * 3, cv2.INTER_AREA
    )
    return crop


def load_source(
    source: Source, data: Path, cache: Path, settings: CropSettings, frames: FrameFilter
) -> list[Sequence]:
    """Sequences of a source, cut now or found in the cache folder."""
    sequences: list[Sequence] = []
    empty = 0
    key: list[Any] = [VERSION, source.kind, source.max_frames, asdict(settings), asdict(frames)]
    if source.kind == 'recordings':
        key.append('one target after another')  # they were stored as in the recording before
    parts = find_parts(source, data, cache, key)
    store = partial(_store, kind=source.kind, settings=settings, frames=frames)
    store_missing(source, parts, cache, store)
    for part in parts:
        found = _read(cache / part.name, settings)
        sequences += found
        empty += not found
    if not sequences:
        raise DataError(
            f'no usable target in {data / source.path}: every one was absent or refused by the '
            'frame filter (section `frames` of the recipe)'
            + (', or recordings are too short' if source.kind == 'windows' else '')
        )
    if empty:
        where = f'{source.path} ({source.kind})'
        text = f'{where}: {empty} of {len(parts)} parts hold no usable target'
        tqdm.write(text, file=sys.stderr)
    weight = source.share / len(sequences)
    return [Sequence(**{**vars(sequence), 'weight': weight}) for sequence in sequences]


def _store(
    part: Part, target: Path, kind: Kind, settings: CropSettings, frames: FrameFilter
) -> None:
    """Store the crops of a part in a folder of the cache."""
    cv2.setNumThreads(0)
    _write(target, part.read(), kind, settings, frames)


def _write(
    target: Path, views: Iterable[View], kind: Kind, settings: CropSettings, frames: FrameFilter
) -> None:
    """Cut all accepted views into `crops.bin` and describe them in `views.json`."""
    rows = []
    with written_whole(target) as unfinished:
        with (unfinished / 'crops.bin').open('wb') as file:
            for view in _accepted(views, kind, frames):
                cut = cut_background if kind == 'backgrounds' else cut_view
                file.write(cut(view, settings).tobytes())
                rows.append([view.sequence, view.scene, view.frame, view.mask is not None])
        order = list(chain.from_iterable(positions_by_target(rows)))
        if order != list(range(len(rows))):
            _reorder(unfinished / 'crops.bin', order)
        (unfinished / 'views.json').write_text(json.dumps([rows[each] for each in order]))


def _reorder(path: Path, order: list[int]) -> None:
    """Bring stored crops into another order."""
    before = path.with_suffix('.unordered')
    path.rename(before)
    crops = np.memmap(before, np.uint8, 'r').reshape(len(order), -1)
    with path.open('wb') as file:
        for position in order:
            file.write(crops[position].tobytes())
    del crops
    before.unlink()


def _accepted(views: Iterable[View], kind: Kind, frames: FrameFilter) -> Iterator[View]:
    return (v for v in views if kind == 'backgrounds' or frames.accepts(v.box, v.image.shape))


def _read(stored: Path, settings: CropSettings) -> list[Sequence]:
    """Sequences of a cache entry; pixels stay on disk until they are used."""
    rows = read_views(stored)
    if not rows:
        return []
    shape = (len(rows), settings.size, settings.size, 4)
    if (stored / 'crops.bin').stat().st_size != math.prod(shape):
        raise DataError(f'{stored} is damaged: delete this folder of the cache')
    crops = np.memmap(stored / 'crops.bin', np.uint8, 'r', shape=shape)
    starts = [i for i, row in enumerate(rows) if i == 0 or row[0] != rows[i - 1][0]]
    sequences = []
    for start, stop in zip(starts, [*starts[1:], len(rows)], strict=True):
        name, scene, _, _ = rows[start]
        numbers = np.array([row[2] for row in rows[start:stop]])
        has_mask = all(row[3] for row in rows[start:stop])
        sequences.append(Sequence(name, scene, crops[start:stop], numbers, has_mask))
    return sequences
