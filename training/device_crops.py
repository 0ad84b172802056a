"""Crops cut by the device that trains, out of frames that lie in its memory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from training.datasets import DataError, Image
from training.frames import StoredTrack, Track

Batch = dict[str, Tensor]
#: Part of the memory that is free which frames may take; the rest is for the training.
_LARGEST_SHARE = 0.6


@dataclass(frozen=True)
class PlacedTrack:
    """A track whose images lie in `DeviceFrames`.

    numbers: (n,) which of those frames; shapes: (n, 2) their height and width.
    """

    name: str
    scene: str
    frames: NDArray[np.int64]
    boxes_ltwh: NDArray[np.float64]
    weight: float
    numbers: NDArray[np.int64]
    shapes: NDArray[np.int64]


class Placeable(Protocol):
    """Examples whose tracks can be replaced by placed ones."""

    tracks: list[Any]


AnyExamples = TypeVar('AnyExamples', bound=Placeable)


@dataclass(frozen=True)
class DeviceFrames:
    """Images of many tracks, one after another.

    pixels: uint8 (P, 3) RGB, row by row; starts, widths: (F,) first pixel and width of each image.
    """

    pixels: Tensor
    starts: Tensor
    widths: Tensor

    def cut(self, batch: Batch, size: int) -> Batch:
        """Replace the plan of a batch of B examples by its `images` uint8 (B, n, size, size, 3).

        batch: `frames` (B, n) numbers of images; `windows` (B, n, 3) left, top and side of the
        squares in their pixels; `last` (B, n, 2) last column and row that are used, which are
        repeated beyond; `mirrored` (B, n), and `reduction` (B,), 1 or more: see `reduce`. What is
        cut is resized with bilinear interpolation, as OpenCV does, up to rounding.
        """
        names = ('frames', 'windows', 'last', 'mirrored')
        frames, windows, last, mirrored = (batch[name].flatten(0, 1) for name in names)
        images = self._cut(frames, windows, last, mirrored, size)
        images = images.unflatten(0, batch['frames'].shape)
        rest = {k: v for k, v in batch.items() if k not in (*names, 'reduction')}
        return {**rest, 'images': reduce(images, batch['reduction'])}

    def _cut(
        self, frames: Tensor, windows: Tensor, last: Tensor, mirrored: Tensor, size: int
    ) -> Tensor:
        columns, rows = (
            _neighbours(windows[:, axis], windows[:, 2], last[:, axis], size) for axis in (0, 1)
        )
        flipped = mirrored[:, None]
        left, right, across = (torch.where(flipped, c.flip(1), c) for c in columns)
        start, width = self.starts[frames, None], self.widths[frames, None]
        above, below = (start + width * row for row in rows[:2])
        across, down = across[:, None, :, None], rows[2][:, :, None, None]
        upper = torch.lerp(self._at(above, left), self._at(above, right), across)
        lower = torch.lerp(self._at(below, left), self._at(below, right), across)
        return torch.lerp(upper, lower, down).round_().byte()

    def _at(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Pixels float (N, S, S, 3); rows: (N, S) the first pixel of each."""
        return self.pixels[rows[:, :, None] + columns[:, None]].float()


def _neighbours(start: Tensor, side: Tensor, last: Tensor, size: int) -> tuple[Tensor, ...]:
    """Pixels before and after each of `size` places along a window, and the share of the second.

    All (N, size); start, side: of the windows; last: largest pixel. Half pixels as in OpenCV.
    """
    side, start = side[:, None], start[:, None]
    steps = torch.arange(size, device=start.device) + 0.5
    place = (steps * side / size - 0.5).clamp(min=0)
    before = place.long().minimum(side - 1)
    share = (place - before).float()
    after = (before + 1).minimum(side - 1)
    before, after = (
        (start + each).clamp(min=0).minimum(last[:, None]) for each in (before, after)
    )
    return before, after, share


def reduce(images: Tensor, factors: Tensor) -> Tensor:
    """Images uint8 (B, n, S, S, 3) as if they had been stored `factors` (B,) times smaller."""
    size = images.shape[2]
    factors = factors.cpu()
    for index in torch.nonzero(factors > 1).flatten().tolist():
        small = round(size / float(factors[index]))
        values = images[index].permute(0, 3, 1, 2).float()
        values = functional.interpolate(values, size=(small, small), mode='area')
        values = functional.interpolate(values, size=(size, size), mode='bilinear')
        images[index] = values.round_().byte().permute(0, 2, 3, 1)
    return images


def load_frames(tracks: Sequence[Track], device: torch.device) -> tuple[DeviceFrames, list[Any]]:
    """Decode all images of tracks into the memory of a device; returns the placed tracks too.

    An image that several tracks share is stored once. Raises DataError where they do not fit.
    """
    numbers: dict[tuple[Any, ...], int] = {}
    first: list[tuple[Track, int]] = []
    places = []
    for track in tracks:
        keys = [_key(track, position) for position in range(len(track.frames))]
        for position, key in enumerate(keys):
            if key not in numbers:
                numbers[key] = len(first)
                first.append((track, position))
        places.append(np.array([numbers[key] for key in keys], np.int64))
    images = _decode(first)
    shapes = np.array([image.shape[:2] for image in images], np.int64)
    frames = _upload(images, shapes, device)
    placed = [
        PlacedTrack(
            track.name,
            track.scene,
            track.frames,
            track.boxes_ltwh,
            track.weight,
            place,
            shapes[place],
        )
        for track, place in zip(tracks, places, strict=True)
    ]
    return frames, placed


def place_all(examples: Sequence[AnyExamples | None], device: torch.device) -> DeviceFrames:
    """Move the images of all examples to a device; their tracks become placed ones.

    Raises DataError for examples that are not cut out of frames.
    """
    used = [each for each in examples if each is not None]
    if not all(hasattr(each, 'tracks') for each in used):
        raise DataError('schedule.crop_on_device needs a recipe that cuts search areas of frames')
    tracks = [track for each in used for track in each.tracks]
    frames, placed = load_frames(tracks, device)
    for each in used:
        each.tracks, placed = placed[: len(each.tracks)], placed[len(each.tracks) :]
    return frames


def _key(track: Track, position: int) -> tuple[Any, ...]:
    if isinstance(track, StoredTrack):
        return track.file, int(track.places[position, 0])
    return id(track), position


def _decode(wanted: list[tuple[Track, int]]) -> list[Image]:
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        decoded = pool.map(lambda each: each[0].image(each[1]), wanted)
        return list(tqdm(decoded, 'decoding frames', len(wanted), unit='frame', leave=False))


def _upload(images: list[Image], shapes: NDArray[np.int64], device: torch.device) -> DeviceFrames:
    """Move images to the device; the list is emptied."""
    lengths = shapes.prod(1)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    if device.type == 'cuda':
        needed, free = 3 * int(starts[-1]), torch.cuda.mem_get_info(device)[0]
        if needed > _LARGEST_SHARE * free:
            raise DataError(
                f'the frames need {needed / 1e9:.1f} GB of the {free / 1e9:.1f} GB that are free '
                'on the device: lower max_frames of the sources, or leave out '
                'schedule.crop_on_device'
            )
    pixels = torch.empty((int(starts[-1]), 3), dtype=torch.uint8, device=device)
    for index in reversed(range(len(images))):
        start, stop = starts[index : index + 2].tolist()
        pixels[start:stop] = torch.from_numpy(images.pop()).view(-1, 3)
    widths = torch.from_numpy(shapes[:, 1]).to(device)
    return DeviceFrames(pixels, torch.from_numpy(starts[:-1]).to(device), widths)
