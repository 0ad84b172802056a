"""Warping, blending and blurring of images of a device, compared with OpenCV."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from training.device_warp import blend, blur, positions, sample, shrink_and_shift


def picture(seed: int, height: int = 40, width: int = 60) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (height // 5, width // 5, 3)).astype(np.float32)
    return cv2.resize(coarse, (width, height))


def tensors(*images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


def grid(count: int, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    return positions(torch.zeros(count, 3), torch.ones(count), (height, width), (width, height))


@pytest.mark.parametrize('last', [(0.0, 0.0), (0.004, -0.003)])
def test_sampling_is_a_warp(last: tuple[float, float]) -> None:
    image = picture(0)
    to_image = np.array([[0.9, 0.2, 3.0], [-0.1, 1.1, 2.0], [*last, 1.0]])
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    inverse = np.linalg.inv(half) @ to_image @ half
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    expected = cv2.warpPerspective(
        image, inverse, (50, 30), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    rows = 3 if any(last) else 2
    matrices = torch.from_numpy(to_image[None, :rows]).float()
    warped = sample(tensors(image), matrices, grid(1, 30, 50))[0].permute(1, 2, 0).numpy()
    # OpenCV counts in 1/32 of a pixel.
    assert np.abs(warped - expected).max() < 3 and np.abs(warped - expected).mean() < 0.3


def test_nothing_is_sampled_beyond_the_bounds() -> None:
    image = np.zeros((20, 30, 1), np.float32)
    image[:, 15:] = 100.0
    identity = torch.eye(3)[None, :2]
    bounds = torch.tensor([[0.5, 0.5, 14.5, 19.5]])
    assert sample(tensors(image), identity, grid(1, 20, 30)).max() == 100
    assert sample(tensors(image), identity, grid(1, 20, 30), bounds).abs().max() < 1e-3


def test_what_lies_behind_the_camera_is_at_the_edge() -> None:
    image = np.zeros((20, 30, 1), np.float32)
    image[8:12, 13:17] = 100.0
    matrices = torch.tensor([[[1.0, 0, 0], [0, 1, 0], [-0.05, 0, 1]]])
    seen = sample(tensors(image), matrices, grid(1, 20, 60))
    assert seen.isfinite().all() and seen[..., :20].max() > 50
    assert seen[..., 21:].abs().max() == 0


@pytest.mark.parametrize('rows', [2, 3])
def test_shrinking_and_shifting_follow_the_matrix(rows: int) -> None:
    matrix = torch.tensor([[[0.9, 0.2, 3], [-0.1, 1.1, 2], [0.01, 0.02, 1]]])
    if rows == 2:
        matrix[:, 2] = torch.tensor([0.0, 0, 1])
    then = torch.tensor([[0.25, 0, 7], [0, 0.25, 9], [0, 0, 1]])
    moved = shrink_and_shift(matrix[:, :rows], torch.tensor([[0.25, 7, 9]]))
    assert torch.allclose(moved, (then @ matrix)[:, :rows])


def test_positions_are_middles_of_pixels_within_the_image() -> None:
    x, y = positions(torch.tensor([[-2.0, 10, 8]]), torch.tensor([2.0]), (4, 4), (60, 15))
    assert x.tolist() == [[[0.5, 1, 3, 5]]]
    assert y.tolist() == [[[11], [13], [14.5], [14.5]]]


def test_blending_is_premultiplied() -> None:
    image = torch.full((1, 3, 1, 3), 100.0)
    rgba = torch.zeros(1, 4, 1, 3)
    rgba[..., 1] = 255
    rgba[..., 2] = 51
    blend(image, rgba)
    assert image[0, 0, 0].tolist() == pytest.approx([100, 255, 131])


def test_each_image_is_blurred_by_its_own_sigma() -> None:
    images = [picture(seed) for seed in range(3)]
    blurred = blur(tensors(*images), torch.tensor([0.0, 0.7, 1.3]), 4)
    result = blurred.permute(0, 2, 3, 1).numpy()
    assert np.array_equal(result[0], images[0])
    for sigma, side, image, found in zip((0.7, 1.3), (5, 9), images[1:], result[1:], strict=True):
        wanted = cv2.GaussianBlur(image, (side, side), sigma, borderType=cv2.BORDER_REPLICATE)
        assert np.abs(found - wanted).max() < 1e-2


def test_blur_does_not_depend_on_the_other_images() -> None:
    image = tensors(picture(1))
    alone, beside = blur(image, torch.tensor([0.9]), 3), blur(image, torch.tensor([0.9]), 7)
    assert torch.equal(alone, beside) and not torch.equal(alone, image)
