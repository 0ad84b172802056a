"""Scenes rendered in batches, compared with the scenes' own rendering."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from second_device import SecondDevice
from torch import Tensor

from tracker_core.synthetic import Scene, SceneSettings
from training.device_scenes import DeviceScenes, main

FULL = SceneSettings(
    frames=90,
    size=(200, 150),
    target_size=(0.2, 0.35),
    tilt=30.0,
    speed=0.12,
    shutter=1.0,
    distractors=2,
    distractor_distance=(0.8, 1.5),
    partial_occlusions=1,
    occlusion_frames=(8, 12),
)
SETTINGS = {
    'everything': FULL,
    'hidden': replace(FULL, full_occlusions=1, partial_occlusions=0),
    'leaves': replace(FULL, leave_and_return=True, partial_occlusions=0),
    'bent': replace(FULL, deformation=0.1),
    'bent and affine': replace(FULL, deformation=0.08, tilt=0.0),
    'bent and hidden': replace(FULL, deformation=0.1, full_occlusions=1, partial_occlusions=0),
    'beyond the ground': replace(FULL, camera_roll=60.0, camera_zoom=1.0),
    'affine': replace(FULL, tilt=0.0),
    'bare': replace(FULL, shadow=0, shutter=0, blur=0, noise=0, light=0, tint=0, shading=0),
}
FRAMES = range(0, 90, 11)
#: Grey levels. A scene rounds to whole ones after every object and to 1/32 of a pixel in between
#: (a quarter of a level) and interpolates what moves once more when it is streaked, which happens
#: a lot here (another quarter). Half a pixel of displacement gives several times as much (tested).
CLOSE = 0.7
#: The same without rounding in between, noise, light and streaks.
CLOSE_BARE = 0.15


def render_all(scenes: list[Scene]) -> tuple[DeviceScenes, Tensor, Tensor, Tensor, Tensor]:
    packed = DeviceScenes(scenes)
    numbers = torch.arange(len(scenes)).repeat_interleave(len(FRAMES))
    frames = torch.tensor(FRAMES).repeat(len(scenes))
    return packed, numbers, frames, *packed.render_frames(numbers, frames)


def error(image: Tensor, expected: np.ndarray) -> float:
    return float(np.abs(image.numpy().astype(int) - expected).mean())


@pytest.mark.parametrize('name', SETTINGS)
def test_frames_are_those_of_the_scenes(name: str) -> None:
    scenes = [Scene(SETTINGS[name], seed) for seed in (3, 4)]
    packed, numbers, frames, images, visible = render_all(scenes)
    assert images.dtype == torch.uint8 and images.shape == (2 * len(FRAMES), 150, 200, 3)
    for k, f, image, share in zip(numbers, frames, images, visible.tolist(), strict=True):
        expected = scenes[k].render(int(f))
        assert error(image, expected.image) < (CLOSE_BARE if name == 'bare' else CLOSE)
        assert share == pytest.approx(expected.visible, abs=0.02)
        assert tuple(packed.boxes_ltwh[k, f]) == expected.box.as_ltwh()


@pytest.mark.parametrize('name', ['hidden', 'leaves', 'bent and hidden'])
def test_visibility_is_right_through_an_event(name: str) -> None:
    scene = Scene(SETTINGS[name], 3)
    frames = torch.arange(len(scene))
    shares = DeviceScenes([scene]).visible(torch.zeros_like(frames), frames)
    expected = [scene.visible(frame) for frame in range(len(scene))]
    assert min(expected) == 0 and max(expected) == 1
    assert shares.tolist() == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize('name', ['everything', 'bent'])
def test_target_itself_is_where_it_should_be(name: str) -> None:
    """The whole image says little about a small part of it."""
    scenes = [Scene(SETTINGS[name], seed) for seed in (3, 4)]
    _, numbers, frames, images, _ = render_all(scenes)
    for k, f, image in zip(numbers, frames, images, strict=True):
        expected = scenes[k].render(int(f)).image
        around = scenes[k].box(int(f))
        rows = slice(max(int(around.top), 0), max(int(around.bottom) + 1, 1))
        columns = slice(max(int(around.left), 0), max(int(around.right) + 1, 1))
        part = expected[rows, columns]
        empty = scenes[k].render(int(f), with_target=False).image[rows, columns]
        assert error(image[rows, columns], part) < 2.5
        assert error(torch.from_numpy(empty), part) > 10


def test_comparison_notices_half_a_pixel() -> None:
    scene = Scene(FULL, 3)
    packed, one = DeviceScenes([scene]), torch.tensor([0])
    expected = scene.render(20).image[20:120, 20:120]
    errors = []
    for shift in (0, 0.5):
        window = torch.tensor([[20 + shift, 20, 100]])
        image, _ = packed.render_crops(one, torch.tensor([20]), window, 100)
        errors.append(error(image[0], expected))
    assert errors[0] < CLOSE and errors[1] > 5 * CLOSE


@pytest.mark.parametrize(('side', 'limit'), [(64, 2.5), (96, CLOSE), (150, 2.0), (260, 3.0)])
def test_crops_are_cut_from_the_same_frames(side: int, limit: float) -> None:
    """Larger and smaller ones are interpolated once, not twice, and so a little sharper."""
    scenes = [Scene(FULL, seed) for seed in (3, 4)]
    numbers, frames = torch.tensor([0, 0, 1, 1]), torch.tensor([5, 45, 20, 80])
    corners = torch.tensor([[-30, 10], [60, 40], [110, 90], [20, -25]])
    windows = torch.cat([corners, torch.full((4, 1), side)], 1).float()
    crops, _ = DeviceScenes(scenes).render_crops(numbers, frames, windows, 96)
    for k, f, (x, y), crop in zip(numbers, frames, corners.tolist(), crops, strict=True):
        image = scenes[k].render(int(f)).image
        wide = cv2.copyMakeBorder(image, *(300,) * 4, cv2.BORDER_REPLICATE)
        part = wide[y + 300 : y + 300 + side, x + 300 : x + 300 + side]
        assert error(crop, cv2.resize(part, (96, 96))) < limit


def test_same_seeds_give_the_same_bytes_in_any_batch() -> None:
    numbers, frames = torch.tensor([0, 1, 1]), torch.tensor([7, 7, 60])
    windows = torch.tensor([[10.0, 20, 90], [0, 0, 120], [-20, 30, 100]])
    first, again = (DeviceScenes([Scene(FULL, seed) for seed in (3, 4)]) for _ in range(2))
    images, visible = first.render_crops(numbers, frames, windows, 48)
    for order in ([0, 1, 2], [2, 0, 1]):
        others, shares = again.render_crops(numbers[order], frames[order], windows[order], 48)
        assert torch.equal(others, images[order]) and torch.equal(shares, visible[order])
    assert not torch.equal(images[0], images[1])


def test_large_batches_are_drawn_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = DeviceScenes([Scene(FULL, 3)])
    frames = torch.arange(5)
    whole, shares = packed.render_frames(torch.zeros_like(frames), frames)
    monkeypatch.setattr('training.device_scenes._PIXELS', 2 * 200 * 150 + 1)
    parts, same = packed.render_frames(torch.zeros_like(frames), frames)
    assert torch.equal(whole, parts) and torch.equal(shares, same)


def test_what_does_not_exist_is_refused() -> None:
    packed = DeviceScenes([Scene(FULL, 3)])
    zero = torch.tensor([0])
    with pytest.raises(IndexError, match='scenes go from 0 to 0'):
        packed.render_frames(torch.tensor([1]), zero)
    with pytest.raises(IndexError, match='frames go from 0 to 89'):
        packed.visible(zero, torch.tensor([-1]))
    with pytest.raises(ValueError, match='same settings'):
        DeviceScenes([Scene(FULL, 0), Scene(replace(FULL, noise=0), 1)])
    with pytest.raises(ValueError, match='same settings'):
        DeviceScenes([])


def assert_drawn_alike(name: str) -> None:
    """Crops on the device `cuda` are those of the CPU."""
    scenes = [Scene(SETTINGS[name], seed) for seed in (3, 4)]
    numbers, frames = torch.tensor([0, 1, 1]), torch.tensor([7, 45, 60])
    windows = torch.tensor([[10.0, 20, 90], [0, 0, 120], [-20, 30, 100]])
    on_cpu, on_gpu = (
        DeviceScenes(scenes, device).render_crops(numbers, frames, windows, 96)
        for device in ('cpu', 'cuda')
    )
    assert on_gpu[0].is_cuda and not on_cpu[0].is_cuda
    assert error(on_gpu[0].cpu(), on_cpu[0].numpy()) < 0.05
    assert torch.allclose(on_gpu[1].cpu(), on_cpu[1], atol=1e-3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
@pytest.mark.parametrize('name', ['everything', 'bent', 'bent and affine'])
def test_gpu_draws_what_the_cpu_draws(name: str) -> None:
    assert_drawn_alike(name)


@pytest.mark.parametrize('name', SETTINGS)
def test_another_device_draws_without_being_waited_for(
    name: str, second_device: SecondDevice
) -> None:
    assert_drawn_alike(name)
    assert second_device.waits == []


def test_command_prints_rates(capsys: pytest.CaptureFixture[str]) -> None:
    main(['--device=cpu', '--scenes=1', '--batch=1', '--size=32', '--seconds=0.01'])
    text = capsys.readouterr().out
    assert text.count('one core: ') == 4
    assert text.count('crops of 32 px/s') == text.count('whole frames/s') == 2
