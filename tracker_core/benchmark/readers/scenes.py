"""Rendered scenes as a data set that needs no files, several of each challenge."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from tqdm import tqdm

from tracker_core.benchmark.dataset import BenchmarkSequence, Dataset
from tracker_core.benchmark.readers import files
from tracker_core.synthetic import DEMO_FPS, Scene, SceneSettings
from tracker_core.synthetic.challenges import CHALLENGES
from tracker_core.tracker import Image

SYNTHETIC = 'synthetic'
#: Scenes of each challenge.
_EACH = 4


class SceneFrames:
    """The images of a scene, which is laid out when they are asked for."""

    def __init__(self, name: str, settings: SceneSettings, seed: int) -> None:
        self.name = name
        self.fps = DEMO_FPS
        self.count: int | None = settings.frames
        self._settings, self._seed = settings, seed

    def __iter__(self) -> Iterator[Image]:
        """RGB frames, uint8 (H, W, 3)."""
        scene = self.lay_out()
        return (scene.render(index).image for index in range(len(scene)))

    def lay_out(self) -> Scene:
        """Lay out the scene, whose places are known without rendering it."""
        return Scene(self._settings, self._seed)


def read_scenes(only: Sequence[str] | None = None) -> Dataset:
    """Scenes with exact boxes; a target that is wholly hidden or out of view is absent."""
    scenes = {
        f'{challenge.replace(" ", "_")}-{number}': (challenge, number)
        for challenge in CHALLENGES
        for number in range(_EACH)
    }
    wanted = files.chosen(list(scenes), only, SYNTHETIC)
    bar = tqdm(wanted, desc='laying out scenes', unit='scene', leave=False)
    return Dataset(
        SYNTHETIC, 'Synthetic scenes', tuple(_read(each, *scenes[each]) for each in bar)
    )


def _read(name: str, challenge: str, number: int) -> BenchmarkSequence:
    # No two challenges show the same objects.
    seed = list(CHALLENGES).index(challenge) * _EACH + number
    frames = SceneFrames(name, CHALLENGES[challenge], seed)
    scene = frames.lay_out()
    truth = np.array([scene.box(index).as_ltwh() for index in range(len(scene))])
    truth[[index for index in range(len(scene)) if scene.visible(index) == 0]] = np.nan
    return BenchmarkSequence(name, frames, truth, attributes=(challenge,))
