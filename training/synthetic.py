"""Rendered sequences: cut-outs of a folder's photographs moving before its other photographs."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from tracker_core.synthetic import Scene, SceneSettings
from training.datasets import Image, View, find_photographs, read_image, read_instances, spread

#: About one swing of every motion, and no two frames further apart than a pair may be.
SCENE = SceneSettings(
    frames=96,
    target_size=(0.12, 0.35),
    scale=(0.7, 1.4),
    rotation=15.0,
    tilt=30.0,
    deformation=0.06,
    light=0.25,
    partial_occlusions=1,
    occlusion_frames=(15, 35),
    distractors=1,
    distractor_distance=(0.8, 2.2),
)
#: Targets of as many pixels with more around them, for search areas of several times their size.
WIDE_SCENE = replace(SCENE, size=(432, 324), target_size=(0.09, 0.27), scale=(0.6, 1.6))
#: By kind of source.
SCENES = {'synthetic': SCENE, 'synthetic_wide': WIDE_SCENE}
MIN_SIDE = 40
"""Smaller cut-outs, in pixels, are too coarse to be enlarged."""
MIN_COVER = 0.3
"""Smallest share of its box that a cut-out fills; less is a fragment."""
MIN_VISIBLE = 0.5
"""Share of the target that must be in the image and not covered."""


def read_synthetic(
    folder: Path,
    max_frames: int,
    settings: SceneSettings = SCENE,
    chosen: slice = slice(None),
) -> Iterator[View]:
    """Views of one rendered sequence per cut-out of a folder with `annotations.json`.

    Other photographs of the folder are the backgrounds; one of its other objects moves along, or a
    look-alike of the target, as often.
    chosen: of which of its photographs the cut-outs are taken.
    """
    for view, scene in lay_out(folder, settings, chosen):
        for frame in spread(len(scene), max_frames).tolist():
            shown = scene.render(frame)
            if shown.visible >= MIN_VISIBLE:
                name = f'synthetic/{view.sequence}'
                yield View(name, view.scene, frame, shown.image, shown.box.as_ltwh())


def lay_out(
    folder: Path, settings: SceneSettings, chosen: slice = slice(None)
) -> Iterator[tuple[View, Scene]]:
    """Views of a folder whose targets can be cut out, each with the scene in which it moves."""
    photographs = find_photographs(folder)
    previous: Image | None = None
    for view in read_instances(folder, chosen):
        cut_out = cut_object(view)
        if cut_out is None:
            continue
        number = zlib.crc32(view.sequence.encode())
        background = read_image(photographs[number % len(photographs)])
        others = [previous] if previous is not None and number % 2 else None
        scene = Scene(settings, number, target=cut_out, distractors=others, background=background)
        previous = cut_out
        yield view, scene


def cut_object(view: View) -> Image | None:
    """RGBA cut-out (h, w, 4) of the target of a view; None where it is too small or a fragment."""
    if view.mask is None:
        return None
    left, top, width, height = (round(value) for value in view.box)
    alpha = view.mask[top : top + height, left : left + width]
    if min(width, height) < MIN_SIDE or np.count_nonzero(alpha) < MIN_COVER * alpha.size:
        return None
    image = view.image[top : top + height, left : left + width]
    softened = cv2.GaussianBlur(alpha, (0, 0), 0.7)
    return np.dstack([image, softened])
