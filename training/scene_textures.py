"""Synthetic scenes packed as tensors: everything that is drawn, and where it is in every frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tracker_core.synthetic import Scene
from tracker_core.synthetic.motion import similarity, size_at_origin
from tracker_core.synthetic.moving import Moving
from tracker_core.synthetic.scene import SHADOW_OFFSET, SHADOW_SPREAD
from tracker_core.synthetic.sprite import Image, Sprite

Array = NDArray[np.generic]
Matrix = NDArray[np.float64]
#: Side of the grid on which the target's area is counted.
AREA_GRID = 64


@dataclass(frozen=True)
class Shadows:
    """Shadows of one object of each of K scenes with F frames."""

    images: Tensor
    """uint8 (K, 1, h, w): soft alpha."""
    maps: Tensor
    """(K, 3): from the sprite to its shadow, shrinking and shift (x, y)."""
    offsets: Tensor
    """(K, F): how far to the right they lie, in pixels; twice as far downwards."""


@dataclass(frozen=True)
class Objects:
    """One object of each of K scenes with F frames."""

    sheets: Tensor
    """uint8 (K, 4, h, w): premultiplied RGBA at all sizes, side by side."""
    levels: Tensor
    """(K, L, 7): shrinking, shift (x, y) to and bounds (x0, y0, x1, y1) in the sheet."""
    inverses: Tensor
    """(K, F, 2 or 3, 3) from the frame to the sprite; three rows where there is perspective."""
    scales: Tensor
    """(K, F) magnification of the sprite in the frame."""
    motions: Tensor
    """(K, F, 2) movement during the exposure, stretched so that `taps` samples blur as much."""
    taps: int
    shadows: Shadows | None
    bends: Tensor | None
    """(K, F, 2, 3) as of `tracker_core.synthetic.bending`."""
    halves: Tensor
    """(K, 2): half the width and height of the sprites."""


def as_images(arrays: Sequence[Array], device: torch.device) -> Tensor:
    """Arrays (h, w, c) of several sizes as one tensor (n, c, H, W), filled up with zeros."""
    height, width = (max(a.shape[axis] for a in arrays) for axis in (0, 1))
    stack = np.zeros((len(arrays), arrays[0].shape[2], height, width), arrays[0].dtype)
    for place, array in zip(stack, arrays, strict=True):
        place[:, : array.shape[0], : array.shape[1]] = array.transpose(2, 0, 1)
    return torch.from_numpy(stack).to(device)


def as_table(rows: Sequence[Array] | Array, device: torch.device) -> Tensor:
    """Numbers as float32."""
    return torch.as_tensor(np.asarray(rows), dtype=torch.float32).to(device)


def count_bytes(packed: Any) -> int:
    """Memory of the tensors of what is packed, which may be in lists."""
    if isinstance(packed, Tensor):
        return packed.numel() * packed.element_size()
    return sum(map(count_bytes, _parts(packed)))


def moved(packed: Any, device: torch.device) -> Any:
    """What is packed, with its tensors on a device."""
    if isinstance(packed, Tensor):
        return packed.to(device)
    if isinstance(packed, list):
        return [moved(each, device) for each in packed]
    if isinstance(packed, (Objects, Shadows)):
        return type(packed)(*(moved(each, device) for each in _parts(packed)))
    return packed


def _parts(packed: Any) -> list[Any]:
    if isinstance(packed, (Objects, Shadows)):
        return list(vars(packed).values())
    return packed if isinstance(packed, list) else []


def pack_objects(
    scenes: Sequence[Scene],
    objects: Sequence[Moving],
    device: torch.device,
    *,
    is_below: bool = True,
) -> Objects:
    """Pack one object of each scene.

    What `is_below` the occluders has a shadow and motion blur.
    """
    sheets, levels = zip(*map(_sheet, objects), strict=True)
    places = np.stack([each.places for each in objects])
    bends = [each.bends for each in objects if each.bends is not None]
    motions, taps = np.zeros((*places.shape[:2], 2)), 1
    if is_below:
        pairs = zip(scenes, places, strict=True)
        motions, taps = _streaks(np.stack([scene.movement(each) for scene, each in pairs]))
    has_shadow = is_below and scenes[0].settings.shadow > 0
    return Objects(
        sheets=as_images(sheets, device),
        levels=as_table(levels, device),
        inverses=as_table(_inverses(places), device),
        scales=as_table(size_at_origin(places), device),
        motions=as_table(motions, device),
        taps=taps,
        shadows=_pack_shadows(scenes, objects, device) if has_shadow else None,
        bends=as_table(bends, device) if bends else None,
        halves=as_table([np.array(each.sprite.half) for each in objects], device),
    )


def _inverses(places: Matrix) -> Matrix:
    """Inverses (..., 3, 3), or (..., 2, 3) where all are affine."""
    inverses = np.linalg.inv(places)
    is_affine = bool((inverses[..., 2, :] == (0, 0, 1)).all())
    return np.asarray(inverses[..., :2, :] if is_affine else inverses)


def _sheet(drawn: Moving) -> tuple[Array, Array]:
    """Levels of a sprite beside each other (h, w, 4), from the finest that frames need, and where.

    The edge of every level is transparent: what is sampled beyond it is clamped to its bounds.
    """
    sprite = drawn.sprite
    finest = sprite.level(drawn.places[size_at_origin(drawn.places).argmax()])
    first, others = sprite.levels[finest], sprite.levels[finest + 1 :]
    width = first.shape[1] + max((level.shape[1] for level in others), default=0)
    height = max(first.shape[0], sum(level.shape[0] for level in others))
    sheet = np.zeros((height, width, 4), np.uint8)
    rows, x, y = [], 0, 0
    for number, level in enumerate(sprite.levels[finest:], finest):
        rows_, columns = level.shape[:2]
        sheet[y : y + rows_, x : x + columns] = level
        shift = np.array(sprite.middle) / 2**number + (x, y)
        bounds = x + 0.5, y + 0.5, x + columns - 0.5, y + rows_ - 0.5
        rows.append([0.5**number, *shift, *bounds])
        x, y = (first.shape[1], 0) if number == finest else (x, y + rows_)
    return sheet, np.array([rows[0]] * finest + rows)


def _streaks(motions: Matrix) -> tuple[Matrix, int]:
    """Movements (K, F, 2) stretched for a fixed number of samples, and that number.

    The scene averages 2 * ceil(length) + 1 evenly spaced shifts from end to end; fewer or more
    of them have the same variance along the movement when their distance is adjusted.
    """
    lengths = np.hypot(*np.moveaxis(motions, 2, 0))
    taps = max(3, math.ceil(lengths.max()) + 1) if lengths.max() >= 0.5 else 1
    wanted = _variance(2 * np.ceil(lengths) + 1)
    stretch = np.where(lengths < 0.5, 0, np.sqrt(wanted / _variance(taps)) if taps > 1 else 0)
    return motions * stretch[..., None], taps


def _variance(count: Matrix | int) -> Matrix | float:
    """Variance of `count` evenly spaced points from -0.5 to 0.5."""
    return (count + 1) / (12 * np.maximum(count - 1, 1))


def _pack_shadows(
    scenes: Sequence[Scene], objects: Sequence[Moving], device: torch.device
) -> Shadows:
    images, maps, offsets = [], [], []
    for scene, drawn in zip(scenes, objects, strict=True):
        diameters = _drawn_diameters(drawn, scene.movement(drawn.places))
        offsets.append(np.rint(SHADOW_OFFSET * diameters))
        spread = SHADOW_SPREAD * float(np.mean(diameters / size_at_origin(drawn.places)))
        image, place = _shadow(drawn.sprite, spread)
        images.append(image)
        maps.append(place)
    return Shadows(as_images(images, device), as_table(maps, device), as_table(offsets, device))


def _drawn_diameters(drawn: Moving, motions: Matrix) -> Matrix:
    """Longer sides (F,) of the patches as which a scene draws an object."""
    reach = np.ceil(np.abs(motions).max(1) / 2) + 1
    sides = np.ceil(drawn.rims.max(1)) - np.floor(drawn.rims.min(1)) + 2 * (reach[:, None] + 1)
    return np.asarray(sides.max(1))


def _shadow(sprite: Sprite, spread: float) -> tuple[Array, Array]:
    """Soft alpha (h, w, 1) with an empty edge, and the map from the sprite to it.

    `spread` is the standard deviation of the blur in pixels of the sprite. It is stored at a size
    at which that is about two pixels.
    """
    number = int(np.clip(np.floor(np.log2(max(spread, 1) / 2)), 0, len(sprite.levels) - 1))
    sigma = max(spread, 0.5) / 2**number
    border = math.ceil(3 * sigma) + 1
    alpha = np.ascontiguousarray(sprite.levels[number][..., 3])
    wide = cv2.copyMakeBorder(alpha, *(border,) * 4, cv2.BORDER_CONSTANT)
    soft = cv2.GaussianBlur(wide, (0, 0), sigma)
    soft[[0, -1]] = soft[:, [0, -1]] = 0
    shift = np.array(sprite.middle) / 2**number + border
    return soft[..., None], np.array([0.5**number, *shift])


def area_grid(sprite: Sprite) -> tuple[Array, Matrix]:
    """Mean alpha (n,), 0..1, of the cells of a grid over a sprite, and their middles (n, 2)."""
    edge = 2 ** (len(sprite.levels) - 1) - 1
    height, width = sprite.height + 2, sprite.width + 2
    full = sprite.levels[0][edge : edge + height, edge : edge + width, 3].astype(np.float32) / 255
    alpha = cv2.resize(full, (AREA_GRID, AREA_GRID), interpolation=cv2.INTER_AREA)
    steps = (np.arange(AREA_GRID) + 0.5) / AREA_GRID - 0.5
    middles = np.stack(np.meshgrid(steps * width, steps * height), -1)
    return alpha.reshape(-1), middles.reshape(-1, 2)


def pack_grounds(scenes: Sequence[Scene], device: torch.device) -> tuple[Tensor, Tensor]:
    """Backgrounds uint8 (K, 3, h, w) and the maps (K, F, 2, 3) from the frames to them.

    Each holds what the camera sees in any frame; outside the image given it is mirrored.
    """
    images, maps = [], []
    for scene in scenes:
        inverses = np.linalg.inv(scene.camera)
        width, height = scene.settings.size
        corners = [[0, width, width, 0], [0, 0, height, height], [1, 1, 1, 1]]
        seen = (inverses @ np.array(corners, np.float64))[:, :2]
        low = np.floor(seen.min((0, 2))).astype(int) - 1
        high = np.ceil(seen.max((0, 2))).astype(int) + 1
        images.append(_mirrored(scene.ground, low.tolist(), high.tolist()))
        maps.append((similarity(*-low) @ inverses)[:, :2])
    return as_images(images, device), as_table(maps, device)


def _mirrored(image: Image, low: list[int], high: list[int]) -> Image:
    """Pixels from low to high (x, y) of an image, mirrored beyond its edges."""
    rows, columns = image.shape[:2]
    left, top = (max(-each, 0) for each in low)
    right, bottom = max(high[0] - columns, 0), max(high[1] - rows, 0)
    wide = cv2.copyMakeBorder(image, top, bottom, left, right, cv2.BORDER_REFLECT_101)
    part = wide[low[1] + top : high[1] + top, low[0] + left : high[0] + left]
    return np.asarray(part, np.uint8)
