"""The sequences of `training.synthetic`, rendered into the memory of the device that trains."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tracker_core.synthetic import Scene, SceneSettings
from training.datasets import Image, View, spread
from training.device_scenes import DeviceScenes
from training.synthetic import MIN_VISIBLE, SCENE, lay_out

#: Scenes that are uploaded together; they leave the device when their frames are rendered.
_GROUP = 16


@dataclass(frozen=True)
class RenderedTrack:
    """A `training.frames.Track` whose images uint8 (n, H, W, 3) lie on a device."""

    name: str
    scene: str
    frames: NDArray[np.int64]
    boxes_ltwh: NDArray[np.float64]
    images: Tensor
    weight: float = 1.0

    def image(self, position: int) -> Image:
        """Image uint8 (H, W, 3), RGB, of the frame at a position (0 .. n-1)."""
        return np.asarray(self.images[position].cpu().numpy(), np.uint8)


def render_tracks(
    folder: Path,
    max_frames: int,
    device: torch.device | str,
    settings: SceneSettings = SCENE,
) -> Iterator[RenderedTrack]:
    """The sequences that `read_synthetic` gives for a folder with `annotations.json`."""
    laid_out = lay_out(folder, settings)
    while group := list(islice(laid_out, _GROUP)):
        yield from _render(group, spread(settings.frames, max_frames), device)


def _render(
    group: list[tuple[View, Scene]], frames: NDArray[np.int64], device: torch.device | str
) -> Iterator[RenderedTrack]:
    scenes = DeviceScenes([scene for _, scene in group], device)
    numbers = torch.arange(len(group)).repeat_interleave(len(frames))
    visible = scenes.visible(numbers, torch.from_numpy(frames).repeat(len(group))).cpu().numpy()
    for number, (view, _) in enumerate(group):
        clear = frames[visible.reshape(len(group), -1)[number] >= MIN_VISIBLE]
        if not len(clear):
            continue
        images, _ = scenes.render_frames(
            torch.full((len(clear),), number), torch.from_numpy(clear)
        )
        boxes = scenes.boxes_ltwh[number, clear]
        yield RenderedTrack(f'synthetic/{view.sequence}', view.scene, clear, boxes, images)
