"""YouTube-VOS and DAVIS: label images, whose objects become boxes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from training.datasets import DataError
from training.readers.target import Findings, Selection, Target, read_labels

#: Value of pixels that belong to nothing in particular, in images with several objects.
_VOID = 255


def read_youtube_vos(root: Path, selection: Selection, findings: Findings) -> Iterator[Target]:
    """Targets of YouTube-VOS: ``<split>/JPEGImages/<video>/00000.jpg``, ``<split>/Annotations``.

    Splits: ``train`` (default; the only one with all masks), or another folder. Only every fifth
    frame has a mask.
    """
    folder = root / (selection.split or 'train')
    images, labels = folder / 'JPEGImages', folder / 'Annotations'
    if findings.has(images) and findings.has(labels):
        names = sorted(path.name for path in labels.iterdir() if path.is_dir())
        yield from _read(images, labels, names, selection, findings)


def read_davis(root: Path, selection: Selection, findings: Findings) -> Iterator[Target]:
    """Targets of DAVIS: ``JPEGImages/480p/<name>/00000.jpg``, ``Annotations/480p/...``.

    Splits: files of ``ImageSets``, such as ``2017/train`` (default), ``2017/val`` or
    ``2016/train``. Full resolution is used where 480p is not there.
    """
    listing = root / 'ImageSets' / f'{selection.split or "2017/train"}.txt'
    if not findings.has(listing):
        return
    quality = '480p' if (root / 'JPEGImages' / '480p').is_dir() else 'Full-Resolution'
    images, labels = root / 'JPEGImages' / quality, root / 'Annotations' / quality
    names = dict.fromkeys(map(_name, listing.read_text('utf-8').splitlines()))
    yield from _read(images, labels, [name for name in names if name], selection, findings)


def _name(line: str) -> str:
    """Name of a recording in a list of names (2017), or of pairs of files (2016)."""
    first = (line.split() or [''])[0]
    return Path(first).parent.name if '/' in first else first


def _read(
    images: Path, labels: Path, names: list[str], selection: Selection, findings: Findings
) -> Iterator[Target]:
    for name in names:
        if name in selection.without or not findings.has(labels / name):
            continue
        files = sorted((labels / name).glob('*.png'))
        there = findings.existing(images / name, [f'{path.stem}.jpg' for path in files])
        used = [path for path, found in zip(files, there.tolist(), strict=True) if found]
        size = findings.image_size(images / name / f'{used[0].stem}.jpg') if used else None
        if size is not None:
            yield from _targets(images / name, used, size, findings)


def _targets(
    images: Path, files: list[Path], size: tuple[int, int], findings: Findings
) -> Iterator[Target]:
    """One target per object of a recording, in the frames in which it can be seen."""
    rows: dict[int, list[tuple[int, NDArray[np.float64]]]] = defaultdict(list)
    for path in files:
        try:
            objects = boxes_of_labels(read_labels(path), size)
        except DataError as error:
            findings.problems.append(f'{path}: {error}')
            continue
        findings.skipped['frame without any object'] += not objects
        for value, box in objects.items():
            rows[value].append((int(path.stem), box))
    for value, found in sorted(rows.items()):
        frames, boxes = zip(*found, strict=True)
        name, labels = f'{images.name}/{value}', files[0].parent
        pattern = f'%0{len(files[0].stem)}d.jpg'
        yield Target(
            name,
            images.name,
            images,
            pattern,
            np.array(frames),
            np.array(boxes),
            size,
            labels,
            value,
        )


def boxes_of_labels(
    labels: NDArray[np.uint8], size: tuple[int, int]
) -> dict[int, NDArray[np.float64]]:
    """Box (left, top, width, height) of every object in a label image (H, W), by its value.

    0 is background; 255 is an object only where there is no other. size: (width, height) of the
    photograph; DataError where that of the labels differs.
    """
    if labels.shape[::-1] != size:
        raise DataError(f'the mask is {labels.shape[::-1]}, its image {size} pixels large')
    values = [int(value) for value in np.unique(labels) if value]
    kept = [value for value in values if value != _VOID] or values
    return {
        value: np.array(cv2.boundingRect((labels == value).astype(np.uint8)), np.float64)
        for value in kept
    }
