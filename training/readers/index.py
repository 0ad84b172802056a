"""The index of a data set: what its files say, read once and kept in the cache folder."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from training.cache import filled_alone, written_whole
from training.datasets import DataError
from training.readers.box_files import read_got10k, read_lasot, read_trackingnet
from training.readers.coco import read_coco
from training.readers.masks import read_davis, read_youtube_vos
from training.readers.target import Findings, Selection, Target
from training.readers.vid import read_vid

#: Change when readers find other targets, so that old indices are not used.
VERSION = 1


@dataclass(frozen=True)
class Layout:
    """How a data set is read, and which files and folders the result depends on."""

    read: Callable[[Path, Selection, Findings], Iterator[Target]]
    watch: tuple[str, ...]
    """Glob patterns below the root. A folder stands for the names of the files in it."""


LAYOUTS: dict[str, Layout] = {
    'got10k': Layout(read_got10k, ('*/list.txt', '*/*/', '*/*/*.txt', '*/*/*.label')),
    'lasot': Layout(read_lasot, ('*/img/', '*/*/img/', '*/*.txt', '*/*/*.txt')),
    'trackingnet': Layout(read_trackingnet, ('TRAIN_*/anno/*.txt', 'TRAIN_*/frames/*/')),
    'coco': Layout(read_coco, ('annotations/*.json', '*/', 'images/*/')),
    'vid': Layout(read_vid, ('*/VID/*/', '*/VID/*/*/', '*/VID/*/*/*/')),
    'youtube_vos': Layout(read_youtube_vos, ('*/JPEGImages/*/', '*/Annotations/*/')),
    'davis': Layout(read_davis, ('ImageSets/*/*.txt', 'JPEGImages/*/*/', 'Annotations/*/*/')),
}


@dataclass(frozen=True)
class Index:
    """Targets of a data set, and how many frames are not used for which reason."""

    targets: tuple[Target, ...]
    skipped: dict[str, int]


def load_index(kind: str, root: Path, selection: Selection, cache: Path) -> Index:
    """Index of a data set, read now or found in the cache folder.

    kind: key of `LAYOUTS`. Raises DataError that lists all files that are missing or damaged, or
    says that there is no target.
    """
    if not root.is_dir():
        raise DataError(
            f'the data set {root} does not exist: set `data` and `path` in the recipe, or --data'
        )
    stored = cache / _name(kind, root, selection)
    if not stored.is_dir():
        with filled_alone(cache):
            if not stored.is_dir():
                _write(stored, root, _read(kind, root, selection))
    return _open(stored, root)


def _read(kind: str, root: Path, selection: Selection) -> Index:
    findings = Findings()
    found = LAYOUTS[kind].read(root, selection, findings)
    targets = tuple(tqdm(found, desc=f'indexing {root.name}', unit='target', leave=False))
    findings.check(root)
    if not targets:
        skipped = ', '.join(f'{count} x {reason}' for reason, count in findings.skipped.items())
        raise DataError(
            f'{root} holds no usable target of kind {kind!r}, split '
            f'{selection.split or "(default)"!r}: {skipped or "nothing was found"}'
        )
    return Index(targets, dict(+findings.skipped))


def _name(kind: str, root: Path, selection: Selection) -> str:
    """Name that changes with everything the index depends on."""
    watched = sorted({path for each in LAYOUTS[kind].watch for path in root.glob(each)})
    states = [(str(path.relative_to(root)), *_state(path)) for path in watched]
    chosen = [selection.split, sorted(selection.without), selection.visibility]
    key = json.dumps([VERSION, kind, str(root.resolve()), chosen, states])
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    return f'index-{re.sub(r"[^A-Za-z0-9.-]", "_", root.name)}-{digest}'


def _state(path: Path) -> tuple[int, int]:
    """Size and time of a file; for a folder only the time, which changes with the names in it."""
    status = path.stat()
    return 0 if path.is_dir() else status.st_size, status.st_mtime_ns


def _write(stored: Path, root: Path, index: Index) -> None:
    with written_whole(stored) as unfinished:
        rows = [_describe(target, root) for target in index.targets]
        frames = np.concatenate([target.frames for target in index.targets]).astype(np.int64)
        boxes = np.concatenate([target.boxes_ltwh for target in index.targets])
        np.save(unfinished / 'frames.npy', frames)
        np.save(unfinished / 'boxes.npy', boxes.astype(np.float64))
        content = {'targets': rows, 'skipped': index.skipped}
        (unfinished / 'targets.json').write_text(json.dumps(content), encoding='utf-8')


def _describe(target: Target, root: Path) -> list[object]:
    labels = None if target.labels is None else str(target.labels.relative_to(root))
    folder = str(target.folder.relative_to(root))
    row = [target.name, target.scene, folder, target.pattern, len(target.frames)]
    return [*row, list(target.size), labels, target.value]


def _open(stored: Path, root: Path) -> Index:
    """Read an index; frame numbers and boxes stay on disk until they are used."""
    content = json.loads((stored / 'targets.json').read_text('utf-8'))
    frames = np.load(stored / 'frames.npy', mmap_mode='r')
    boxes = np.load(stored / 'boxes.npy', mmap_mode='r')
    targets, start = [], 0
    for name, scene, folder, pattern, count, size, labels, value in content['targets']:
        part = slice(start, start + count)
        targets.append(
            Target(
                name,
                scene,
                root / folder,
                pattern,
                frames[part],
                boxes[part],
                (size[0], size[1]),
                None if labels is None else root / labels,
                value,
            )
        )
        start += count
    return Index(tuple(targets), content['skipped'])
