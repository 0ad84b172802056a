"""GOT-10k, LaSOT and TrackingNet: a folder of images and a file of boxes per recording."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracker_core.benchmark.readers.files import subset
from training.datasets import DataError
from training.readers.target import Findings, Flags, Selection, Target

Boxes = NDArray[np.float64]


def read_got10k(root: Path, selection: Selection, findings: Findings) -> Iterator[Target]:
    """Targets of GOT-10k: ``<split>/list.txt`` and ``<split>/<name>/00000001.jpg``, ....

    Splits: ``train`` (default) and ``val``. For the VOT challenges leave out the thousand
    recordings of their list (`without`). A frame is visible where ``absence.label`` is 0 and
    ``cover.label`` above 0; clear where its cover is more than both 1 and 0.3 of the largest
    (SiamFC's published rule). Boxes in the files count pixels from 1.
    """
    folder = root / (selection.split or 'train')
    if not findings.has(folder / 'list.txt'):
        return
    for name in (folder / 'list.txt').read_text('utf-8').split():
        if name in selection.without:
            continue
        boxes = findings.read_numbers(folder / name / 'groundtruth.txt')
        if boxes is None:
            continue
        hidden = _hidden_got10k(folder / name, len(boxes), selection, findings)
        boxes[:, :2] -= 1
        yield from _target(name, folder / name, '%08d.jpg', 1, boxes, hidden, findings)


def read_lasot(root: Path, selection: Selection, findings: Findings) -> Iterator[Target]:
    """Targets of LaSOT: ``<class>/<class-n>/img/00000001.jpg``, or ``<class-n>/img/...``.

    Splits: ``train`` (default: all but the published test part), ``test``, ``all``. A frame is
    visible where neither ``full_occlusion.txt`` nor ``out_of_view.txt`` says 1.
    """
    test = set(subset('lasot_test'))
    wanted = {'train': False, '': False, 'test': True, 'all': None}
    if selection.split not in wanted:
        raise DataError(f'LaSOT has no split {selection.split!r}; valid: train, test, all')
    found = sorted({*root.glob('*/groundtruth.txt'), *root.glob('*/*/groundtruth.txt')})
    if not found:
        findings.has(root / 'CLASS' / 'CLASS-N' / 'groundtruth.txt')
    for path in found:
        folder, is_test = path.parent, wanted[selection.split]
        if folder.name in selection.without or is_test not in (None, folder.name in test):
            continue
        boxes = findings.read_numbers(path)
        if boxes is None:
            continue
        hidden = {
            reason: _flags(folder / file, len(boxes), findings)
            for reason, file in (
                ('fully occluded', 'full_occlusion.txt'),
                ('out of view', 'out_of_view.txt'),
            )
        }
        images = folder / 'img'
        yield from _target(folder.name, images, '%08d.jpg', 1, boxes, hidden, findings)


def read_trackingnet(root: Path, selection: Selection, findings: Findings) -> Iterator[Target]:
    """Targets of TrackingNet: ``TRAIN_0/anno/<video>.txt``, ``TRAIN_0/frames/<video>/0.jpg``.

    Splits: numbers of the chunks with commas, ``0,1,2,3`` by default (published for DiMP and
    ATOM); ``all`` for those that are there.
    """
    if selection.split == 'all':
        chunks = sorted(root.glob('TRAIN_*'))
    else:
        numbers = (selection.split or '0,1,2,3').split(',')
        chunks = [root / f'TRAIN_{number.strip()}' for number in numbers]
    for chunk in chunks:
        if not findings.has(chunk / 'anno'):
            continue
        for path in sorted((chunk / 'anno').glob('*.txt')):
            if path.stem in selection.without:
                continue
            boxes = findings.read_numbers(path)
            if boxes is not None:
                images = chunk / 'frames' / path.stem
                yield from _target(path.stem, images, '%d.jpg', 0, boxes, {}, findings)


def _target(
    name: str,
    folder: Path,
    pattern: str,
    first: int,
    boxes: Boxes,
    hidden: dict[str, Flags],
    findings: Findings,
) -> Iterator[Target]:
    """The target of a recording whose files are numbered from `first`, unless none is usable."""
    if boxes.shape[1] != 4:
        findings.problems.append(f'{folder}: boxes have {boxes.shape[1]} numbers, expected 4')
        return
    frames = np.arange(first, first + len(boxes))
    there = findings.existing(folder, [pattern % number for number in frames.tolist()])
    size = findings.image_size(folder / (pattern % first)) if there[0] else None
    kept = findings.usable(boxes, hidden) & there
    if size is not None and kept.any():
        yield Target(name, name, folder, pattern, frames[kept], boxes[kept], size)


def _hidden_got10k(
    folder: Path, count: int, selection: Selection, findings: Findings
) -> dict[str, Flags]:
    absent = _flags(folder / 'absence.label', count, findings)
    cover = findings.read_numbers(folder / 'cover.label', count)
    if cover is None:
        return {'target absent by label': absent}
    least = max(1.0, 0.3 * float(cover.max())) if selection.visibility == 'clear' else 0.0
    return {'target absent by label': absent, 'target covered': cover.ravel() <= least}


def _flags(path: Path, count: int, findings: Findings) -> Flags:
    values = findings.read_numbers(path, count)
    return np.zeros(count, bool) if values is None else values.ravel() > 0
