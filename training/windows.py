"""Windows of recordings without labels: one place through some frames, with something to follow.

Wang et al. 2019 (UDT) crop the same place from neighbouring frames and take whatever is there in
the first of them for the target. Here it is a patch with texture, where possible one that moves.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from training.datasets import Image, View, spread
from training.readers.recording import count_frames, read_frames
from training.tracklets import TrackletSettings, choose_patches


@dataclass(frozen=True, kw_only=True)
class WindowSettings:
    """Which frames a window has, and how many windows there are."""

    span: int = 10
    """Frames of the recording from the first to the last frame of a window (published: 10)."""
    kept: int = 4
    """Frames of a window that are kept, evenly spaced, the first among them."""
    targets: int = 3
    """Windows that begin in one frame, each around another patch."""
    max_share: float = 0.25
    """Largest side of a patch as a share of the image's shorter one: a window shows four times
    the patch, and should lie in the image."""


def read_windows(
    path: Path, max_frames: int, topic: str = '', settings: WindowSettings | None = None
) -> Iterator[View]:
    """Views of a video or rosbag2 recording: per window the same box in each kept frame.

    The box is the pseudo-target in the first frame; where it is later is not known. Windows do not
    overlap in time, and none crosses a cut; a shorter recording has none. At most `max_frames`
    views, from all of the recording, but those that begin in one frame in any case.
    """
    settings = settings or WindowSettings()
    rng = np.random.default_rng(zlib.crc32(path.name.encode()))
    offsets = spread(settings.span, settings.kept).tolist()
    for first, images in _spans(path, topic, max_frames, settings):
        grey = [np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8) for image in images]
        patches = replace(
            TrackletSettings(), per_shot=settings.targets, max_share=settings.max_share
        )
        if _has_cut(grey, patches.cut_difference):
            continue
        for number, box in enumerate(choose_patches(grey, rng, patches)):
            name = f'{path.stem}/{first}/{number}'
            for offset in offsets:
                yield View(name, path.stem, first + offset, images[offset], box.as_ltwh())


def _spans(
    path: Path, topic: str, max_frames: int, settings: WindowSettings
) -> Iterator[tuple[int, list[Image]]]:
    """(Number of the first image, `span` images in a row), evenly spread over a recording."""
    count, span = count_frames(path, topic), settings.span
    most = max(max_frames // (settings.kept * settings.targets), 1)
    images, position = read_frames(path, topic), 0
    for slot in spread(count // span, most).tolist():
        first = slot * span
        piece = list(itertools.islice(images, first - position, first - position + span))
        position = first + span
        if len(piece) == span:  # a video may end before its header says
            yield first, piece


def _has_cut(grey: list[Image], limit: float) -> bool:
    pairs = itertools.pairwise(grey)
    return any(cv2.absdiff(before, after).mean() > limit for before, after in pairs)
