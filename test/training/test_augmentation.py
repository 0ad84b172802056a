"""Each augmentation does what its setting says, and nothing at zero."""

import numpy as np
import pytest

from training.augmentation import (
    AugmentationSettings,
    add_noise,
    add_objects,
    blur,
    change_light,
    make_grey,
    paste,
    reduce_resolution,
    replace_background,
    warp,
)

OFF = AugmentationSettings(stretch=0.0, shift=0)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(4)


@pytest.fixture
def crop(rng: np.random.Generator) -> np.ndarray:
    """Random crop whose masked target is the central 61 x 61 px square."""
    crop = rng.integers(0, 255, (303, 303, 4), dtype=np.uint8)
    crop[..., 3] = 0
    crop[121:182, 121:182] = (250, 10, 10, 255)
    return crop


def _size_and_center(image: np.ndarray) -> tuple[float, float, float, float]:
    rows, columns = np.nonzero(image[..., 3] > 127)
    width, height = np.ptp(columns) + 1, np.ptp(rows) + 1
    return float(width), float(height), float(columns.mean()), float(rows.mean())


@pytest.mark.parametrize('size', [127, 239])
def test_warp_without_changes_is_the_central_part(
    crop: np.ndarray, rng: np.random.Generator, size: int
) -> None:
    start = (303 - size) // 2
    expected = crop[start : start + size, start : start + size]
    assert np.array_equal(warp(crop, size, rng, OFF), expected)


def test_published_warp_stays_within_stretch_and_shift(
    crop: np.ndarray, rng: np.random.Generator
) -> None:
    found = [_size_and_center(warp(crop, 239, rng, AugmentationSettings())) for _ in range(200)]
    widths, heights, x, y = np.array(found).T
    for sides in (widths, heights):
        assert sides.min() >= 61 * 0.95 - 2 and sides.max() <= 61 * 1.05 + 2
        assert np.ptp(sides) > 4
    for centers in (x, y):
        assert np.abs(centers - 119).max() <= 4.6
        assert np.ptp(centers) > 6


def test_rotation_keeps_the_centre(crop: np.ndarray) -> None:
    settings = AugmentationSettings(stretch=0.0, shift=0, rotation=45.0)
    width, _, x, y = _size_and_center(warp(crop, 239, np.random.default_rng(1), settings))
    assert (x, y) == pytest.approx((119, 119), abs=0.6)
    assert width > 63


def test_scale_changes_both_sides_alike(crop: np.ndarray) -> None:
    settings = AugmentationSettings(stretch=0.0, shift=0, scale=0.2)
    for seed in range(10):
        width, height, *_ = _size_and_center(
            warp(crop, 239, np.random.default_rng(seed), settings)
        )
        assert abs(width - height) <= 1
        assert 61 * np.exp(-0.2) - 2 <= width <= 61 * np.exp(0.2) + 2


def test_everything_is_off_at_zero(crop: np.ndarray, rng: np.random.Generator) -> None:
    image = np.ascontiguousarray(crop[..., :3])
    for change in (change_light, blur, add_noise):
        assert np.array_equal(change(image, rng, OFF), image)
    assert replace_background(crop, lambda _: crop[::-1], rng, OFF) is crop
    assert add_objects(crop, lambda _: crop, rng, OFF) is crop


def test_light_moves_the_mean_and_colour_the_channels(rng: np.random.Generator) -> None:
    image = np.full((20, 20, 3), 100, np.uint8)
    bright = AugmentationSettings(brightness=0.2)
    means = [change_light(image, rng, bright).mean() for _ in range(100)]
    assert 100 - 52 <= min(means) < 70 and 130 < max(means) <= 100 + 52
    coloured = change_light(image, rng, AugmentationSettings(colour=0.3))
    assert len(np.unique(coloured)) == 3
    assert image.min() == image.max() == 100


def test_blur_and_noise_change_the_variance(rng: np.random.Generator) -> None:
    image = rng.integers(0, 255, (80, 80, 3), dtype=np.uint8)
    for _ in range(10):
        blurred = blur(image, rng, AugmentationSettings(blur=1.0))
        assert blurred.std() < 0.95 * image.std()
        assert blurred.mean() == pytest.approx(image.mean(), abs=3)
    noisy = add_noise(np.full((80, 80, 3), 128, np.uint8), rng, AugmentationSettings(noise=20.0))
    assert 0 < noisy.std() <= 22


def test_low_resolution_keeps_size_and_colour_and_loses_detail(rng: np.random.Generator) -> None:
    image = rng.integers(0, 255, (127, 127, 3), dtype=np.uint8)
    reduced = reduce_resolution(image, 3.0)
    assert reduced.shape == image.shape
    assert reduced.mean() == pytest.approx(image.mean(), abs=2)
    assert reduced.std() < 0.5 * image.std()
    assert reduce_resolution(image, 1.0) is image


def test_grey_has_equal_channels(rng: np.random.Generator) -> None:
    image = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
    grey = make_grey(image)
    assert grey.shape == image.shape
    assert np.array_equal(grey[..., 0], grey[..., 2])


def test_paste_copies_the_masked_part_to_its_offset(crop: np.ndarray) -> None:
    background = np.zeros((303, 303, 3), np.uint8)
    paste(background, crop, (100, -30))
    assert background[121, 251].tolist() == [250, 10, 10]
    rows, columns = np.nonzero(background[..., 0] > 125)
    assert (columns.min(), columns.max()) == pytest.approx((221, 281), abs=1)
    assert (rows.min(), rows.max()) == pytest.approx((91, 151), abs=1)


def test_new_background_keeps_the_target_only(crop: np.ndarray, rng: np.random.Generator) -> None:
    background = np.full((303, 303, 4), 77, np.uint8)
    settings = AugmentationSettings(new_background=1.0)
    changed = replace_background(crop, lambda _: background, rng, settings)
    assert changed[151, 151].tolist() == [250, 10, 10, 255]
    assert changed[20, 20, :3].tolist() == [77, 77, 77]
    assert (background == 77).all()
    without_mask = crop.copy()
    without_mask[..., 3] = 0
    assert replace_background(without_mask, lambda _: background, rng, settings) is without_mask


def test_distractor_stands_beside_the_target(crop: np.ndarray) -> None:
    other = np.zeros_like(crop)
    other[141:162, 141:162] = (0, 255, 0, 255)
    settings = AugmentationSettings(distractor=1.0)
    for seed in range(20):
        changed = add_objects(crop, lambda _: other, np.random.default_rng(seed), settings)
        rows, columns = np.nonzero((changed[..., :3] == [0, 255, 0]).all(2))
        distance = np.hypot(rows.mean() - 151, columns.mean() - 151)
        assert 69 <= distance <= 121
        assert np.array_equal(changed[141:162, 141:162], crop[141:162, 141:162])
