"""Whole frames with the boxes of their targets, kept on disk as JPEG so that any can be drawn."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from training.crops import READERS, Source, cache_name, keep_out_of_version_control
from training.datasets import DataError, Image, View, as_rgb, find_folders
from training.sampling import FrameFilter

#: Change when the stored frames change, so that old caches are not used.
VERSION = 1
JPEG_QUALITY = 95


@dataclass(frozen=True)
class Track:
    """One target through a recording.

    frames: (n,) increasing frame numbers. boxes_ltwh: (n, 4) in pixels of the images. places:
    (n, 2) first byte and length of every image in `file`.
    """

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
        image = cv2.imdecode(coded, cv2.IMREAD_COLOR)
        if image is None:
            raise DataError(f'{self.file} is damaged: delete the cache folder it lies in')
        return as_rgb(image)


def load_tracks(source: Source, data: Path, cache: Path, frames: FrameFilter) -> list[Track]:
    """Tracks of a source, read now or found in the cache folder.

    Raises DataError where the source holds no usable target.
    """
    tracks: list[Track] = []
    folders = find_folders(data, source.path, source.exclude)
    for folder in tqdm(folders, desc=f'reading {source.path}', unit='folder', leave=False):
        key = [VERSION, 'frames', source.kind, source.max_frames, vars(frames)]
        stored = cache / cache_name(folder, key)
        if not stored.is_dir():
            keep_out_of_version_control(cache)
            views = READERS[source.kind](folder, source.max_frames)
            _write(stored, (v for v in views if frames.accepts(v.box, v.image.shape)))
        tracks += _read(stored)
    if not tracks:
        raise DataError(
            f'no usable target in {data / source.path}: every one was absent or refused by the '
            'frame filter (section `frames` of the recipe)'
        )
    weight = source.share / len(tracks)
    return [replace(track, weight=weight) for track in tracks]


def _write(target: Path, views: Iterable[View]) -> None:
    """Store the images of the views, each once, in `frames.bin` and the rest in `views.json`."""
    unfinished = target.with_name(f'{target.name}.{os.getpid()}.tmp')
    unfinished.mkdir(parents=True, exist_ok=True)
    rows: list[list[object]] = []
    start = length = 0
    last: Image | None = None
    try:
        with (unfinished / 'frames.bin').open('wb') as file:
            for view in views:
                if view.image is not last:
                    coded = _encode(view.image)
                    start, length, last = file.tell(), len(coded), view.image
                    file.write(coded)
                rows.append([view.sequence, view.scene, view.frame, *view.box, start, length])
        (unfinished / 'views.json').write_text(json.dumps(rows))
        unfinished.rename(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _encode(image: Image) -> bytes:
    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    success, coded = cv2.imencode('.jpg', image[..., ::-1], quality)
    if not success:
        raise DataError(f'an image of shape {image.shape} cannot be stored as JPEG')
    return coded.tobytes()


def _read(stored: Path) -> list[Track]:
    """Tracks of a cache entry; images stay on disk until they are used."""
    rows = json.loads((stored / 'views.json').read_text())
    starts = [i for i, row in enumerate(rows) if i == 0 or row[0] != rows[i - 1][0]]
    tracks = []
    for start, stop in itertools.pairwise([*starts, len(rows)]):
        name, scene = rows[start][:2]
        numbers = np.array([row[2:] for row in rows[start:stop]], np.float64)
        frames, places = numbers[:, 0].astype(np.int64), numbers[:, 5:].astype(np.int64)
        file = stored / 'frames.bin'
        tracks.append(Track(name, scene, frames, numbers[:, 1:5], places, file))
    return tracks
