"""Crops made by the device that trains, of frames and scenes that lie in its memory."""

from __future__ import annotations

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

from tracker_core.benchmark.process_pool import usable_cores
from tracker_core.synthetic import SceneSettings
from training.datasets import DataError, Image, UnreadableError
from training.device_scenes import DeviceScenes
from training.frames import PlacedTrack, StoredTrack, Track
from training.rendered_tracks import RenderedTrack

Batch = dict[str, Tensor]
#: Part of the memory that is free which frames and scenes may take; the rest is for the training.
_LARGEST_SHARE = 0.6


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

    def __len__(self) -> int:
        return len(self.widths)

    def crops(self, plan: Batch, size: int) -> Tensor:
        """Crops uint8 (N, size, size, 3) of N places of a plan; see `DeviceImages.cut`."""
        names = ('frames', 'windows', 'last', 'mirrored')
        frames, windows, last, mirrored = (
            plan[name].to(self.pixels.device, non_blocking=True) for name in names
        )
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


@dataclass(frozen=True)
class RenderedFrames:
    """The frames of scenes, numbered scene by scene, of which crops are rendered."""

    scenes: DeviceScenes

    def __len__(self) -> int:
        return len(self.scenes) * self.scenes.settings.frames

    def crops(self, plan: Batch, size: int) -> Tensor:
        """Crops uint8 (N, size, size, 3) of N places of a plan; see `DeviceImages.cut`."""
        count = self.scenes.settings.frames
        scenes, frames = plan['frames'] // count, plan['frames'] % count
        images, _ = self.scenes.render_crops(scenes, frames, plan['windows'], size)
        mirrored = plan['mirrored'].to(images.device, non_blocking=True)
        return torch.where(mirrored[:, None, None, None], images.flip(2), images)


@dataclass(frozen=True)
class DeviceImages:
    """Images of several origins on one device, numbered one after another."""

    origins: Sequence[DeviceFrames | RenderedFrames]
    device: torch.device

    def cut(self, batch: Batch, size: int) -> Batch:
        """Move a batch of B examples to the device, with `images` instead of plans.

        images: uint8 (B, n, size, size, 3). batch: `frames` (B, n) numbers of images; `windows`
        (B, n, 3) left, top and side of the squares in their pixels; `last` (B, n, 2) last column
        and row that are used, which are repeated beyond; `mirrored` (B, n), and `reduction` (B,),
        1 or more: see `reduce`. Frames are resized with bilinear interpolation, as OpenCV does, up
        to rounding; what is rendered is drawn at that size, and uses all columns and rows. The
        device is not waited for if the batch is on the CPU.
        """
        names = ('frames', 'windows', 'last', 'mirrored')
        plan = {name: batch[name].flatten(0, 1) for name in names}
        images = self._crops(plan, size).unflatten(0, batch['frames'].shape)
        rest = {
            name: value.to(self.device, non_blocking=True)
            for name, value in batch.items()
            if name not in (*names, 'reduction')
        }
        return {**rest, 'images': reduce(images, batch['reduction'])}

    def _crops(self, plan: Batch, size: int) -> Tensor:
        chosen, crops, first = [], [], 0
        for origin in self.origins:
            numbers = plan['frames'] - first
            own = torch.nonzero((numbers >= 0) & (numbers < len(origin))).flatten()
            if len(own):
                part = {name: value[own] for name, value in {**plan, 'frames': numbers}.items()}
                crops.append(origin.crops(part, size))
                chosen.append(own)
            first += len(origin)
        if len(crops) == 1:
            return crops[0]
        order = torch.cat(chosen).argsort().to(self.device, non_blocking=True)
        return torch.cat(crops)[order]


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


def load_frames(
    tracks: Sequence[Track | RenderedTrack], device: torch.device
) -> tuple[DeviceImages, list[PlacedTrack]]:
    """Decode all images of tracks into the memory of a device; returns the placed tracks too.

    An image that several tracks share is stored once. Of rendered tracks the scenes are moved
    there. Raises DataError where all that does not fit.
    """
    stored = [track for track in tracks if not isinstance(track, RenderedTrack)]
    groups: dict[SceneSettings, list[RenderedTrack]] = {}
    for track in tracks:
        if isinstance(track, RenderedTrack):
            groups.setdefault(track.layout.settings, []).append(track)
    first, numbers = _number(stored)
    images, problems = _decode(first)
    shapes = np.array([image.shape[:2] for image in images], np.int64).reshape(-1, 2)
    scenes = [DeviceScenes([each.layout for each in group]) for group in groups.values()]
    _check_room(3 * int(shapes.prod(1).sum()), sum(each.bytes() for each in scenes), device)
    frames = _upload(images, shapes, device)
    rendered = [RenderedFrames(each.to(device)) for each in scenes]
    pairs = zip(stored, numbers, strict=True)
    placed = {id(track): _placed(track, own, shapes[own], problems) for track, own in pairs}
    placed |= _place_rendered(groups, len(frames))
    return DeviceImages([frames, *rendered], device), [placed[id(track)] for track in tracks]


def _place_rendered(
    groups: dict[SceneSettings, list[RenderedTrack]], start: int
) -> dict[int, PlacedTrack]:
    """Placed tracks by id; the first frame of the first scene has number `start`."""
    placed = {}
    for settings, group in groups.items():
        for track in group:
            shapes = np.tile(np.array(settings.size[::-1], np.int64), (len(track.frames), 1))
            placed[id(track)] = _placed(track, start + track.frames, shapes, {})
            start += settings.frames
    return placed


def _placed(
    track: Track | RenderedTrack,
    numbers: NDArray[np.int64],
    shapes: NDArray[np.int64],
    problems: dict[int, str],
) -> PlacedTrack:
    own = track.name, track.scene, track.frames, track.boxes_ltwh, track.weight
    return PlacedTrack(*own, numbers, shapes, problems)


def _number(tracks: Sequence[Track]) -> tuple[list[tuple[Track, int]], list[NDArray[np.int64]]]:
    """Track and position of every image, and the numbers of the images of each track."""
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
    return first, places


def place_all(examples: Sequence[AnyExamples | None], device: torch.device) -> DeviceImages:
    """Move the images of all examples to a device; their tracks become placed ones.

    Raises DataError for examples that are not cut out of frames.
    """
    used = [each for each in examples if each is not None]
    if not all(hasattr(each, 'tracks') for each in used):
        raise DataError('schedule.crop_on_device needs a recipe that cuts search areas of frames')
    tracks = [track for each in used for track in each.tracks]
    images, placed = load_frames(tracks, device)
    for each in used:
        each.tracks, placed = placed[: len(each.tracks)], placed[len(each.tracks) :]
    return images


def _key(track: Track, position: int) -> tuple[Any, ...]:
    if isinstance(track, StoredTrack):
        return track.file, int(track.places[position, 0])
    return id(track), position


def _decode(wanted: list[tuple[Track, int]]) -> tuple[list[Image], dict[int, str]]:
    """Images, empty where one cannot be read, and what is wrong with those, by their number."""
    problems: dict[int, str] = {}

    def read(number: int) -> Image:
        track, position = wanted[number]
        try:
            return track.image(position)
        except UnreadableError as error:
            problems[number] = str(error)
            return np.zeros((0, 0, 3), np.uint8)

    count = len(wanted)
    with ThreadPoolExecutor(usable_cores()) as pool:
        decoded = tqdm(
            pool.map(read, range(count)), 'decoding frames', count, unit='frame', leave=False
        )
        return list(decoded), problems


def _check_room(frames: int, scenes: int, device: torch.device) -> None:
    """Raise DataError where so many bytes would leave a device too little for the training."""
    if device.type != 'cuda':
        return
    free = torch.cuda.mem_get_info(device)[0]
    if frames + scenes > _LARGEST_SHARE * free:
        raise DataError(
            f'the frames need {frames / 1e9:.1f} GB and the synthetic scenes '
            f'{scenes / 1e9:.1f} GB of the {free / 1e9:.1f} GB that are free on the device: lower '
            'max_frames of the sources, leave out synthetic ones, or leave out '
            'schedule.crop_on_device'
        )


def _upload(images: list[Image], shapes: NDArray[np.int64], device: torch.device) -> DeviceFrames:
    """Move images to the device; the list is emptied."""
    starts = np.concatenate([[0], np.cumsum(shapes.prod(1))])
    pixels = torch.empty((int(starts[-1]), 3), dtype=torch.uint8, device=device)
    for index in reversed(range(len(images))):
        start, stop = starts[index : index + 2].tolist()
        pixels[start:stop] = torch.from_numpy(images.pop()).view(-1, 3)
    widths = torch.from_numpy(shapes[:, 1]).to(device)
    return DeviceFrames(pixels, torch.from_numpy(starts[:-1]).to(device), widths)
