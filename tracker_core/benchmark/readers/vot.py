"""VOT up to 2019: polygons, and an evaluation that starts anew after each failure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracker_core.benchmark.dataset import BenchmarkSequence, Dataset, ImageList
from tracker_core.benchmark.readers import files
from tracker_core.box import Box
from tracker_core.sequence import Boxes

#: Sequence lengths between which the expected average overlap is taken.
EAO_INTERVALS = {
    'vot2016': (108, 371),
    'vot2017': (100, 356),
    'vot2018': (100, 356),
    'vot2019': (46, 291),
}


def read_vot(root: Path, only: Sequence[str] | None, name: str) -> Dataset:
    """Read a VOT workspace: ``<name>/groundtruth.txt`` with 8 (or 4) numbers per frame.

    Images lie in ``<name>/color`` (since 2018) or in ``<name>`` itself. ``list.txt`` names the
    sequences where it is there; otherwise VOT2018 has its sixty, others what is there.
    """
    title = name.upper()
    wanted = files.chosen(_names(root, name, title), only, title)
    return Dataset(
        name,
        title,
        tuple(_read(root / each, title) for each in wanted),
        protocol='vot',
        layout='nested',
        eao_interval=EAO_INTERVALS[name],
    )


def upright_boxes(regions: NDArray[np.float64]) -> Boxes:
    """Smallest upright boxes (N, 4) around polygons (N, 8)."""
    corners = regions.reshape(len(regions), -1, 2)
    low, high = corners.min(axis=1), corners.max(axis=1)
    return np.concatenate([low, high - low], axis=1)


def start_box(polygon: NDArray[np.float64]) -> Box:
    """Upright box with the centre and about the area of a polygon (8 numbers).

    The usual one of trackers that need a box (pytracking's 'preserve area', pysot).
    """
    corners = polygon.reshape(4, 2)
    center = corners.mean(axis=0)
    size = corners.max(axis=0) - corners.min(axis=0)
    sides = np.linalg.norm(corners[0] - corners[1]) * np.linalg.norm(corners[1] - corners[2])
    factor = math.sqrt(sides / size.prod())
    width, height = factor * size + 1
    return Box.from_center(float(center[0]), float(center[1]), float(width), float(height))


def as_polygons(regions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Polygons (N, 8) from polygons or from boxes (N, 4)."""
    if regions.shape[1] == 8:
        return regions
    left, top, width, height = regions.T
    right, bottom = left + width, top + height
    return np.stack([left, top, right, top, right, bottom, left, bottom], axis=1)


def _names(root: Path, name: str, title: str) -> list[str]:
    listing = root / 'list.txt'
    if listing.is_file():
        return files.listed(listing, title)
    if name == 'vot2018':
        return files.subset(name)
    found = sorted(path.parent.name for path in root.glob('*/groundtruth.txt'))
    if not found:
        raise FileNotFoundError(f'{title}: expected {listing} or {root}/NAME/groundtruth.txt')
    return found


def _read(folder: Path, title: str) -> BenchmarkSequence:
    label = f'{title}, {folder.name}'
    annotation = folder / 'groundtruth.txt'
    regions = files.numbers(annotation, label, (4, 8))
    images = folder / 'color' if (folder / 'color').is_dir() else folder
    paths = files.images(images, label)
    if len(paths) != len(regions):
        raise ValueError(f'{label}: {len(regions)} regions for {len(paths)} images')
    polygons = as_polygons(regions)
    return BenchmarkSequence(
        name=folder.name,
        frames=ImageList(folder.name, paths),
        truth=files.startable(upright_boxes(polygons), annotation, label),
        polygons=polygons,
        start=start_box(polygons[0]) if regions.shape[1] == 8 else None,
    )
