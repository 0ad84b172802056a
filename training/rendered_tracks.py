"""The sequences of `training.synthetic` as scenes, of which any frame can be rendered any time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker_core.synthetic import Scene, SceneSettings
from training.cache import call_on_all_cores
from training.datasets import DataError, Image, find_folders
from training.frames import load_tracks
from training.sampling import FrameFilter
from training.sources import Source, photograph_blocks
from training.synthetic import MIN_VISIBLE, SCENES, lay_out

if TYPE_CHECKING:
    from training.recipe import Recipe


@dataclass(frozen=True)
class RenderedTrack:
    """A `training.frames.Track` of the frames of a scene in which the target is seen."""

    name: str
    scene: str
    frames: NDArray[np.int64]
    boxes_ltwh: NDArray[np.float64]
    layout: Scene
    weight: float = 1.0

    def image(self, position: int) -> Image:
        """Image uint8 (H, W, 3), RGB, of the frame at a position (0 .. n-1)."""
        return self.layout.render(int(self.frames[position])).image


def find_tracks(source: Source, recipe: Recipe) -> list[Any]:
    """Tracks of a source of a recipe: stored ones, or where it says so rendered ones.

    Raises DataError where the source holds no usable target.
    """
    data, schedule = Path(recipe.data), recipe.schedule
    if schedule.crop_on_device and schedule.render_on_device and source.kind in SCENES:
        return lay_out_tracks(source, data, recipe.frames)
    return load_tracks(source, data, Path(recipe.cache), recipe.frames)


def lay_out_tracks(source: Source, data: Path, frames: FrameFilter) -> list[RenderedTrack]:
    """Tracks of a source whose photographs are rendered, with all frames that a filter accepts.

    They are laid out on all cores. Raises DataError where there is no usable target.
    """
    folders = find_folders(data, source.path, source.exclude)
    blocks = [(folder, chosen) for folder in folders for chosen in photograph_blocks(folder)]
    work = partial(_lay_out, settings=SCENES[source.kind], frames=frames)
    found = call_on_all_cores(work, blocks, f'laying out {source.path}')
    tracks = list(chain.from_iterable(found))
    if not tracks:
        raise DataError(
            f'no usable target in {data / source.path}: every one was too small, hidden or '
            'refused by the frame filter (section `frames` of the recipe)'
        )
    return [replace(track, weight=source.share / len(tracks)) for track in tracks]


def _lay_out(
    block: tuple[Path, slice], settings: SceneSettings, frames: FrameFilter
) -> list[RenderedTrack]:
    """Tracks of some photographs of a folder."""
    cv2.setNumThreads(0)
    tracks = []
    shape = settings.size[::-1]
    folder, chosen = block
    for view, scene in lay_out(folder, settings, chosen):
        boxes = [scene.box(frame).as_ltwh() for frame in range(len(scene))]
        used = [
            frame
            for frame, box in enumerate(boxes)
            if frames.accepts(box, shape) and scene.visible(frame) >= MIN_VISIBLE
        ]
        if used:
            name, numbers = f'synthetic/{view.sequence}', np.array(used, np.int64)
            ltwh = np.array(boxes, np.float64)[used]
            tracks.append(RenderedTrack(name, view.scene, numbers, ltwh, scene))
    return tracks
