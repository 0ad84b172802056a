"""Validation by tracking: clips followed by the ordinary tracker with the exported weights."""

from __future__ import annotations

import glob
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor

from tracker_core import build_tracker, weights
from tracker_core.benchmark.dataset import BenchmarkSequence
from tracker_core.benchmark.one_pass import score
from tracker_core.benchmark.tracking import seed_everything, track_once
from tracker_core.sequence import open_sequence
from training.checkpoint import random_kept
from training.datasets import DataError


@dataclass(frozen=True)
class TrackingSettings:
    """Which clips are tracked during training, how often, and whether that decides."""

    every: int = 0
    """Epochs from one time to the next (0: never)."""
    clips: tuple[str, ...] = ()
    """Glob patterns of folders with frames and `groundtruth.txt`, absolute or below `data`."""
    frames: int = 0
    """Frames of each clip that are tracked, from the first on (0: all)."""
    best: bool = False
    """Whether `best.pt` is what tracked best instead of what had the lowest validation loss."""

    def is_due(self, epoch: int) -> bool:
        """Whether it is time after an epoch (the first is 0)."""
        return self.every > 0 and (epoch + 1) % self.every == 0


def find_clips(settings: TrackingSettings, data: Path) -> list[BenchmarkSequence]:
    """Clips that the settings name; none where nothing is to be tracked.

    Raises DataError for a pattern that matches nothing and for clips that cannot be read.
    """
    if settings.every < 0 or settings.frames < 0:
        raise DataError('tracking.every and tracking.frames must be at least 0')
    if not settings.every:
        if settings.best:
            raise DataError('tracking.best needs tracking.every and tracking.clips')
        return []
    if not settings.clips:
        raise DataError('tracking.every is set, but tracking.clips names no clip')
    return [_open(path, settings.frames) for path in _match(settings.clips, data)]


def _match(patterns: Sequence[str], data: Path) -> list[Path]:
    found: set[Path] = set()
    for pattern in patterns:
        # An absolute pattern stands for itself; the data folder is no pattern.
        whole = Path(glob.escape(str(data.resolve()))) / pattern
        inside = whole.relative_to(whole.anchor)
        folders = {path for path in Path(whole.anchor).glob(str(inside)) if path.is_dir()}
        if not folders:
            raise DataError(f'tracking.clips: no folder matches {data / pattern}')
        found |= folders
    return sorted(found)


def _open(path: Path, frames: int) -> BenchmarkSequence:
    try:
        sequence = open_sequence(path)
    except (OSError, ValueError) as error:
        raise DataError(f'tracking.clips: {error}') from error
    truth = sequence.boxes[: frames or None]
    if len(truth) < 2 or not np.isfinite(truth[0]).all() or min(truth[0, 2:]) <= 0:
        raise DataError(
            f'tracking.clips: {path} needs two frames or more and a target in the first'
        )
    return BenchmarkSequence(sequence.name, sequence.frames, truth)


def mean_overlaps(
    info: weights.WeightsInfo,
    tensors: Mapping[str, Tensor],
    clips: Sequence[BenchmarkSequence],
    device: torch.device,
    before_each: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """Mean overlap of box and truth by name of the clip, over the frames that show the target.

    The tracker is built from a weights file, as it would be later; the global random generators
    are as they were afterwards. info: of the weights, with their settings. before_each: called
    before every clip; may raise to end it.
    """
    with TemporaryDirectory() as folder, random_kept():
        path = Path(folder) / 'weights.safetensors'
        weights.save(path, tensors, info)
        overlaps = {}
        for clip in clips:
            before_each()
            overlaps[clip.name] = _mean_overlap(info.tracker, path, clip, device)
        return overlaps


def _mean_overlap(
    tracker: str, path: Path, clip: BenchmarkSequence, device: torch.device
) -> float:
    seed = seed_everything(0, clip.name, 0)
    where = str(device) if device.type in ('cpu', 'cuda') else 'cpu'
    follower = build_tracker(tracker, path, device=where, seed=seed)
    try:
        boxes, _ = track_once(follower, clip)
    except ValueError as error:
        raise DataError(f'tracking.clips: {error}') from error
    return float(np.nanmean(score(clip.name, boxes, clip.truth).overlaps[1:]))
