"""Whole frames with the boxes of their targets, kept on disk as JPEG so that any can be drawn."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from training.cache import positions_by_target, read_views, written_whole
from training.datasets import DataError, Image, UnreadableError, View, as_rgb
from training.sampling import FrameFilter
from training.sources import (
    DataSetSource,
    Part,
    Source,
    accepted_targets,
    find_parts,
    store_missing,
)

#: Change when the stored frames change, so that old caches are not used.
VERSION = 1
JPEG_QUALITY = 95


class Track(Protocol):
    """One target through a recording, whose images are read when they are drawn."""

    @property
    def name(self) -> str:
        """Different for every target."""

    @property
    def scene(self) -> str:
        """The same for everything that looks alike."""

    @property
    def frames(self) -> NDArray[np.int64]:
        """Increasing frame numbers (n,)."""

    @property
    def boxes_ltwh(self) -> NDArray[np.float64]:
        """Boxes (n, 4) in pixels of the images."""

    @property
    def weight(self) -> float:
        """Part of all examples, relative to the weights of the other tracks."""

    def image(self, position: int) -> Image:
        """Image uint8 (H, W, 3), RGB, of the frame at a position (0 .. n-1)."""


@dataclass(frozen=True)
class StoredTrack:
    """A track in the cache; places: (n, 2) first byte and length of every image in `file`."""

    name: str
    scene: str
    frames: NDArray[np.int64]
    boxes_ltwh: NDArray[np.float64]
    places: NDArray[np.int64]
    file: Path
    weight: float = 1.0

    def image(self, position: int) -> Image:
        """Image uint8 (H, W, 3), RGB, of the frame at a position (0 .. n-1)."""
        start, length = self.places[position].tolist()
        with self.file.open('rb') as file:
            file.seek(start)
            coded = np.frombuffer(file.read(length), np.uint8)
        image = cv2.imdecode(coded, cv2.IMREAD_COLOR) if len(coded) == length else None
        if image is None:
            raise DataError(f'{self.file} is damaged: delete the cache folder it lies in')
        return as_rgb(image)


@dataclass(frozen=True)
class PlacedTrack:
    """A track whose images are drawn by `training.device_crops.DeviceImages`.

    numbers: (n,) which of those images; shapes: (n, 2) their height and width, 0 where one cannot
    be read, for which `problems` says why by its number.
    """

    name: str
    scene: str
    frames: NDArray[np.int64]
    boxes_ltwh: NDArray[np.float64]
    weight: float
    numbers: NDArray[np.int64]
    shapes: NDArray[np.int64]
    problems: Mapping[int, str]

    def shape(self, position: int) -> tuple[int, int]:
        """Height and width of the image at a position; UnreadableError if it cannot be read."""
        height, width = self.shapes[position].tolist()
        if not height:
            raise UnreadableError(self.problems[int(self.numbers[position])])
        return height, width


def load_tracks(source: Source, data: Path, cache: Path, frames: FrameFilter) -> list[Track]:
    """Tracks of a source: those of a data set as they lie, others copied to the cache folder once.

    Raises DataError where the source holds no usable target.
    """
    tracks: list[Any] = []
    if isinstance(source, DataSetSource):
        tracks += accepted_targets(source, data, cache, frames)
    else:
        tracks += _load_stored(source, data, cache, frames)
    if not tracks:
        raise DataError(
            f'no usable target in {data / source.path}: every one was absent or refused by the '
            'frame filter (section `frames` of the recipe)'
        )
    weight = source.share / len(tracks)
    return [replace(track, weight=weight) for track in tracks]


def _load_stored(
    source: Source, data: Path, cache: Path, frames: FrameFilter
) -> list[StoredTrack]:
    tracks: list[StoredTrack] = []
    key = [VERSION, 'frames', source.kind, source.max_frames, vars(frames)]
    parts = find_parts(source, data, cache, key)
    store_missing(source, parts, cache, partial(_store, frames=frames))
    for part in parts:
        tracks += _read(cache / part.name)
    return tracks


def _store(part: Part, target: Path, frames: FrameFilter) -> None:
    """Store the accepted views of a part in a folder of the cache."""
    cv2.setNumThreads(0)
    _write(target, (v for v in part.read() if frames.accepts(v.box, v.image.shape)))


def _write(target: Path, views: Iterable[View]) -> None:
    """Store the images of the views, each once, in `frames.bin` and the rest in `views.json`."""
    rows: list[list[object]] = []
    start = length = 0
    last: Image | None = None
    with written_whole(target) as unfinished:
        with (unfinished / 'frames.bin').open('wb') as file:
            for view in views:
                if view.image is not last:
                    coded = _encode(view.image)
                    start, length, last = file.tell(), len(coded), view.image
                    file.write(coded)
                rows.append([view.sequence, view.scene, view.frame, *view.box, start, length])
        (unfinished / 'views.json').write_text(json.dumps(rows))


def _encode(image: Image) -> bytes:
    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    success, coded = cv2.imencode('.jpg', image[..., ::-1], quality)
    if not success:
        raise DataError(f'an image of shape {image.shape} cannot be stored as JPEG')
    return coded.tobytes()


def _read(stored: Path) -> list[StoredTrack]:
    """Tracks of a cache entry; images stay on disk until they are used."""
    rows = read_views(stored)
    tracks = []
    for positions in positions_by_target(rows):
        name, scene = rows[positions[0]][:2]
        numbers = np.array([rows[position][2:] for position in positions], np.float64)
        frames, places = numbers[:, 0].astype(np.int64), numbers[:, 5:].astype(np.int64)
        file = stored / 'frames.bin'
        tracks.append(StoredTrack(name, scene, frames, numbers[:, 1:5], places, file))
    return tracks
