"""Sources of training data: what a recipe names, found on disk in parts that are read at once."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from tqdm import tqdm

from tracker_core.settings import override
from training.cache import call_on_all_cores, filled_alone, keep_out_of_version_control
from training.datasets import (
    DataError,
    UnreadableError,
    View,
    collect,
    count_photographs,
    find_folders,
    read_backgrounds,
    read_clip,
    read_instances,
    spread,
)
from training.readers.folder import read_folder
from training.readers.index import LAYOUTS, Index, load_index
from training.readers.recording import box_file, is_recording, read_recording
from training.readers.target import Selection, Target, Visibility
from training.sampling import FrameFilter
from training.synthetic import SCENES, WIDE_SCENE, read_synthetic
from training.tracklets import read_unlabelled
from training.windows import WindowSettings, read_windows

T = TypeVar('T')
Kind = Literal[
    'clips',
    'folders',
    'recordings',
    'unlabelled',
    'windows',
    'images',
    'synthetic',
    'synthetic_wide',
    'backgrounds',
    'got10k',
    'lasot',
    'trackingnet',
    'coco',
    'vid',
    'youtube_vos',
    'davis',
]


def _read_instances(folder: Path, _: int) -> Iterator[View]:
    return read_instances(folder)


def _read_backgrounds(folder: Path, _: int) -> Iterator[View]:
    return read_backgrounds(folder)


#: Kinds of which every folder is read by itself; the others are recordings and data sets.
READERS: dict[Kind, Callable[[Path, int], Iterator[View]]] = {
    'clips': read_clip,
    'folders': read_folder,
    'unlabelled': read_unlabelled,
    'images': _read_instances,
    'synthetic': read_synthetic,
    'synthetic_wide': partial(read_synthetic, settings=WIDE_SCENE),
    'backgrounds': _read_backgrounds,
}
_VOT_LIST = (
    '. For results on VOT it is the list of about 1000 training sequences of GOT-10k that its '
    'organisers exclude, published with the pages of the challenges of 2019 and 2020'
)
#: About how many views of a data set are kept in one entry of the cache.
_VIEWS_PER_PART = 1000
_UNREADABLE_PER_PART = 10
#: How many photographs are rendered together.
_PHOTOGRAPHS_PER_PART = 40


@dataclass(frozen=True)
class Source:
    """One entry of `sources` in a recipe."""

    path: str
    """Glob pattern of folders, relative to the data folder."""
    kind: Kind
    """How the folders are read."""
    share: float = 1.0
    """Part of all training pairs, relative to the shares of the other sources."""
    exclude: tuple[str, ...] = ()
    """Patterns of folder names to leave out."""
    max_frames: int = 200
    """Frames kept of a longer clip, evenly spaced."""


@dataclass(frozen=True)
class RecordingSource(Source):
    """Videos with a box file, and rosbag2 recordings."""

    topic: str = ''
    """Topic of the images; may be left out where a recording has but one."""


@dataclass(frozen=True)
class WindowSource(RecordingSource, WindowSettings):
    """Recordings without boxes, for training without labels."""


@dataclass(frozen=True)
class DataSetSource(Source):
    """A published data set, whose root folder `path` names."""

    max_frames: int = 0
    """Frames kept of a longer recording; 0: all."""
    split: str = ''
    """Part of the data set, as its reader says; empty: the published training part."""
    without: str = ''
    """Text file, below the data folder, with the names of recordings that are left out."""
    visibility: Visibility = 'visible'
    """'clear': only frames in which most of the target is seen, where the data set says so."""


@dataclass(frozen=True)
class Part:
    """Views that are read together, and kept together in the cache under a name."""

    name: str
    read: Callable[[], Iterator[View]]


def parse_source(entry: Mapping[str, Any]) -> Source:
    """Build a source from plain values; ValueError for an unknown kind, key or type."""
    kind = entry.get('kind')
    default = Source(path='', kind='clips')
    if kind == 'recordings':
        default = RecordingSource(path='', kind='recordings')
    elif kind == 'windows':
        default = WindowSource(path='', kind='windows')
    elif kind in LAYOUTS:
        default = DataSetSource(path='', kind='got10k')
    return override(default, entry)


def load_each(
    sources: Iterable[Source], load: Callable[[Source], list[T]]
) -> list[tuple[Source, list[T]]]:
    """Load all sources; where some fail, one DataError has the messages of all of them."""
    return collect(sources, lambda source: (source, load(source)))


def find_parts(source: Source, data: Path, cache: Path, key: list[Any]) -> list[Part]:
    """Parts of a source, in order.

    key: everything else that what is stored depends on. Raises DataError where nothing is found,
    and for a data set that lists all files that are missing.
    """
    if isinstance(source, DataSetSource):
        targets = chain.from_iterable(i.targets for i in find_indices(source, data, cache))
        return list(_target_parts(tuple(targets), source.max_frames, key))
    if isinstance(source, WindowSource):
        own = {f.name: getattr(source, f.name) for f in dataclasses.fields(WindowSettings)}
        windows = WindowSettings(**own)
        key = [*key, source.topic, own]
        look = partial(
            read_windows, max_frames=source.max_frames, topic=source.topic, settings=windows
        )
        return [Part(cache_name(p, key), partial(look, p)) for p in _recordings(source, data)]
    if isinstance(source, RecordingSource):
        read = partial(read_recording, max_frames=source.max_frames, topic=source.topic)
        return [
            Part(
                cache_name(path, [*key, source.topic, _state(box_file(path))]), partial(read, path)
            )
            for path in _recordings(source, data)
        ]
    folders = find_folders(data, source.path, source.exclude)
    return [part for folder in folders for part in _folder_parts(source, folder, key)]


def _folder_parts(source: Source, folder: Path, key: list[Any]) -> Iterator[Part]:
    """One part of a folder that is read, several of one whose photographs are rendered."""
    read = partial(READERS[source.kind], folder, source.max_frames)
    if source.kind not in SCENES:
        yield Part(cache_name(folder, key), read)
        return
    for chosen in photograph_blocks(folder):
        scene = dataclasses.asdict(SCENES[source.kind])
        name = cache_name(folder, [*key, chosen.start, _PHOTOGRAPHS_PER_PART, scene])
        yield Part(name, partial(read, chosen=chosen))


def photograph_blocks(folder: Path) -> Iterator[slice]:
    """Which photographs of a folder are rendered together."""
    for start in range(0, count_photographs(folder), _PHOTOGRAPHS_PER_PART):
        yield slice(start, start + _PHOTOGRAPHS_PER_PART)


def store_missing(
    source: Source, parts: Iterable[Part], cache: Path, store: Callable[[Part, Path], None]
) -> None:
    """Store the parts that are not in the cache yet, on all cores; `store` must be a module's.

    Where some cannot be read, one DataError says so of all of them; the others are stored.
    """
    parts = list(parts)
    if not _missing(parts, cache):
        return
    with filled_alone(cache):
        missing = _missing(parts, cache)
        call_on_all_cores(partial(_store, store, cache), missing, f'reading {source.path}')


def _store(store: Callable[[Part, Path], None], cache: Path, part: Part) -> None:
    store(part, cache / part.name)


def _missing(parts: list[Part], cache: Path) -> list[Part]:
    return [part for part in parts if not (cache / part.name).is_dir()]


def find_indices(source: DataSetSource, data: Path, cache: Path) -> list[Index]:
    """Indices of the data sets that a source names, read now or found in the cache folder."""
    keep_out_of_version_control(cache)
    selection = Selection(source.split, _names(source, data), source.visibility)
    roots = find_folders(data, source.path, source.exclude)
    return collect(roots, lambda root: load_index(source.kind, root, selection, cache))


def accepted_targets(
    source: DataSetSource, data: Path, cache: Path, frames: FrameFilter
) -> list[Target]:
    """Targets of the data sets of a source with the frames that a filter accepts.

    Of a longer recording `max_frames` of these, evenly spaced.
    """
    kept = []
    for target in chain.from_iterable(i.targets for i in find_indices(source, data, cache)):
        shape = target.size[::-1]
        accepted = [frames.accepts(box, shape) for box in target.boxes_ltwh.tolist()]
        fits = np.flatnonzero(accepted)
        if len(fits):
            chosen = fits[spread(len(fits), source.max_frames or len(fits))]
            numbers, boxes = target.frames[chosen], target.boxes_ltwh[chosen]
            kept.append(dataclasses.replace(target, frames=numbers, boxes_ltwh=boxes))
    return kept


def cache_name(path: Path, key: list[Any]) -> str:
    """Name that changes with everything stored data depend on: a file or folder, and a key."""
    inner = sorted(path.rglob('*')) if path.is_dir() else [path]
    files = [(str(each.relative_to(path)), each.stat().st_size, each.stat().st_mtime_ns)
             for each in inner if each.is_file()]  # fmt: skip
    return _named(path.name, [files, *key])


def _named(name: str, key: list[Any]) -> str:
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
    return f'{re.sub(r"[^A-Za-z0-9.-]", "_", name)}-{digest}'


def _state(path: Path) -> list[int]:
    """Size and time of a file that may be missing."""
    return [path.stat().st_size, path.stat().st_mtime_ns] if path.is_file() else []


def _target_parts(targets: tuple[Target, ...], limit: int, key: list[Any]) -> Iterator[Part]:
    """Neighbouring targets with about a thousand views each."""
    start = views = 0
    for stop, target in enumerate(targets, start=1):
        views += min(len(target.frames), limit or len(target.frames))
        if views >= _VIEWS_PER_PART or stop == len(targets):
            group = targets[start:stop]
            name = _named(group[0].name, [_digest(group), limit, *key])
            yield Part(name, partial(_read_targets, group, limit))
            start, views = stop, 0


def _digest(targets: tuple[Target, ...]) -> str:
    found = hashlib.sha256()
    for target in targets:
        found.update(f'{target.name} {target.folder}'.encode())
        found.update(target.frames.tobytes() + target.boxes_ltwh.tobytes())
    return found.hexdigest()


def _read_targets(targets: tuple[Target, ...], limit: int) -> Iterator[View]:
    """Views of targets; the few that cannot be read are told and left out."""
    failures = 0
    for target in targets:
        count = len(target.frames)
        for position in spread(count, limit or count).tolist():
            try:
                yield target.view(position)
            except UnreadableError as error:
                failures += 1
                if failures > _UNREADABLE_PER_PART:
                    raise
                tqdm.write(f'{error}; it is left out', file=sys.stderr)


def _recordings(source: Source, data: Path) -> list[Path]:
    if not data.exists():
        raise DataError(f'the data folder {data} does not exist: set `data` or pass --data')
    if is_recording(data):
        return [data]
    found = [path for path in sorted(data.glob(source.path)) if is_recording(path)]
    kept = [path for path in found if not any(path.match(each) for each in source.exclude)]
    if not kept:
        raise DataError(f'no video or rosbag2 recording in {data} matches {source.path!r}')
    return kept


def _names(source: DataSetSource, data: Path) -> frozenset[str]:
    path = data / source.without
    if not source.without:
        return frozenset()
    if not path.is_file():
        vot = _VOT_LIST if source.kind == 'got10k' else ''
        raise DataError(
            f'{path} is missing: `without` names a text file below the data folder with the names '
            f"of recordings to leave out{vot}; `without: ''` in the source leaves out none"
        )
    return frozenset(path.read_text('utf-8').split())
