"""Scenes packed as tensors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from tracker_core.synthetic import Scene, SceneSettings
from tracker_core.synthetic.moving import Moving
from training.scene_textures import area_grid, as_images, pack_grounds, pack_objects

SETTINGS = SceneSettings(frames=12, size=(160, 120), distractors=1)
CPU = torch.device('cpu')


def scenes(settings: SceneSettings = SETTINGS) -> list[Scene]:
    return [Scene(settings, seed) for seed in (1, 2)]


def test_images_of_several_sizes_are_filled_up() -> None:
    small, large = np.full((2, 5, 1), 7, np.uint8), np.full((4, 3, 1), 9, np.uint8)
    stack = as_images([small, large], CPU)
    assert stack.shape == (2, 1, 4, 5)
    assert torch.equal(stack[0, 0, :2], torch.full((2, 5), 7, dtype=torch.uint8))
    assert stack[0].sum() == 70 and stack[1].sum() == 108 and stack[1, 0, 3, 2] == 9


def test_sheets_hold_the_levels_that_frames_need() -> None:
    both = scenes()
    packed = pack_objects(both, [scene.target for scene in both], CPU)
    for scene, sheet, levels in zip(both, packed.sheets, packed.levels, strict=True):
        sprite = scene.target.sprite
        finest = min(sprite.level(place) for place in scene.target.places)
        assert finest > 0, 'painted objects are larger than these images need'
        assert torch.equal(levels[0], levels[finest])
        for level, (shrink, *_, x0, y0, x1, y1) in zip(
            sprite.levels[finest:], levels[finest:].tolist(), strict=True
        ):
            assert level.shape[1] / sprite.levels[0].shape[1] == shrink
            part = sheet[:, int(y0) : int(y1) + 1, int(x0) : int(x1) + 1]
            assert np.array_equal(part.permute(1, 2, 0).numpy(), level)


def test_only_perspective_takes_three_rows() -> None:
    for tilt, rows in ((0.0, 2), (15.0, 3)):
        both = scenes(replace(SETTINGS, tilt=tilt))
        packed = pack_objects(both, [scene.target for scene in both], CPU)
        assert packed.inverses.shape == (2, 12, rows, 3)


def test_streaks_have_the_spread_of_the_scene() -> None:
    both = scenes(replace(SETTINGS, speed=0.2, shutter=1.0))
    packed = pack_objects(both, [scene.target for scene in both], CPU)
    motions = np.stack([scene.movement(scene.target.places) for scene in both])
    lengths = np.hypot(motions[..., 0], motions[..., 1])
    assert packed.taps >= lengths.max() > 1
    spread = np.linspace(-0.5, 0.5, packed.taps).std() * packed.motions.numpy()
    for length, motion, found in zip(
        lengths.ravel(), motions.reshape(-1, 2), spread.reshape(-1, 2), strict=True
    ):
        samples = np.linspace(-0.5, 0.5, 2 * int(np.ceil(length)) + 1)
        wanted = samples.std() * motion if length >= 0.5 else np.zeros(2)
        assert np.allclose(found, wanted, atol=1e-5)


def test_occluders_have_neither_shadow_nor_streak() -> None:
    both = scenes(replace(SETTINGS, frames=90, partial_occlusions=1, occlusion_frames=(4, 6)))
    posts = [scene.occluders[0] for scene in both]
    packed = pack_objects(both, [Moving(p.sprite, p.matrices) for p in posts], CPU, is_below=False)
    assert packed.shadows is None and packed.taps == 1 and not packed.motions.any()


def test_grounds_hold_what_the_camera_sees() -> None:
    both = scenes(replace(SETTINGS, camera_roll=70.0))
    images, maps = pack_grounds(both, CPU)
    corners = torch.tensor([[0.0, 160, 160, 0], [0, 0, 120, 120], [1, 1, 1, 1]])
    seen = maps @ corners
    assert seen.min() >= 1
    assert (seen.amax((1, 3)) <= torch.tensor(images.shape[:1:-1]) - 1).all(), 'within the texture'


def test_area_grid_holds_the_area_of_the_sprite() -> None:
    sprite = scenes()[0].target.sprite
    alpha, middles = area_grid(sprite)
    cell = (sprite.width + 2) * (sprite.height + 2) / len(alpha)
    area = float(sprite.levels[0][..., 3].sum(dtype=np.float64)) / 255
    assert abs(alpha.sum() * cell / area - 1) < 0.01
    assert np.allclose(middles.mean(0), 0)
    assert np.allclose(
        np.ptp(middles, 0), np.array([sprite.width + 2, sprite.height + 2]) * 63 / 64
    )
