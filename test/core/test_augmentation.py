import numpy as np
import pytest
import torch

from tracker_core.augmentation import (
    Augmentation,
    AugmentationPlan,
    blur,
    draw_augmentations,
    drop_channels,
    expanded_size,
    flip_horizontally,
    rotate,
)

DIMP = AugmentationPlan(
    relative_shifts=((0.6, 0.6), (-0.6, 0.6), (0.6, -0.6), (-0.6, -0.6)),
    blurs=((3, 1), (1, 3), (2, 2)),
    rotations=(10, -10, 45, -45),
)


class Recorded:
    """Draws that were written down."""

    def __init__(self, *values):
        self.values = list(values)

    def random(self, size):
        value = np.asarray(self.values.pop(0), dtype=np.float64)
        assert value.shape == size
        return value


#: name of the reference -> augmentation; the shifts are those the references were made with.
PUBLISHED = {
    'identity': Augmentation(),
    'translation': Augmentation((-7, 12)),
    'translation_shift': Augmentation((-2, 15)),
    'fliplr': Augmentation((-9, 5), flip_horizontally),
    'blur_3_1': Augmentation((-6, 4), lambda pixels: blur(pixels, (3, 1))),
    'blur_2_2': Augmentation((0, 0), lambda pixels: blur(pixels, (2, 2))),
    'blur_02_2': Augmentation((0, 0), lambda pixels: blur(pixels, (0.2, 2))),
    'rotate10': Augmentation((0, 0), lambda pixels: rotate(pixels, 10)),
    'rotate_m45': Augmentation((8, -3), lambda pixels: rotate(pixels, -45)),
}


@pytest.mark.parametrize('name', PUBLISHED)
def test_published_augmentations(parity, name):
    reference = np.load(parity / 'primitives.npz')
    expanded = reference['aug/base'][0].transpose(1, 2, 0).astype(np.float32)
    result = PUBLISHED[name](expanded, (64, 64))
    expected = reference[f'aug/{name}'][0].transpose(1, 2, 0)
    # The reference rounds the source of a turned pixel to single precision.
    tolerance = 3e-3 if name.startswith('rotate') else 1e-3
    assert np.abs(result - expected).max() <= tolerance


def test_published_order_and_shifts():
    """Identity, shifts, flip, blurs, rotations; the latter shift by (draw - 1/2) / 3, cut down."""
    draws = Recorded(*[(0.9, 0.1)] * 8)
    augmentations = draw_augmentations(DIMP, (288, 300), draws)
    assert not draws.values and len(augmentations) == 13
    assert augmentations[0] == Augmentation()
    assert [each.shift for each in augmentations[1:5]] == [
        (86, 90),
        (86, -90),
        (-86, 90),
        (-86, -90),
    ]
    assert all(each.warp is None for each in augmentations[:5])
    assert augmentations[5].warp is flip_horizontally
    assert {each.shift for each in augmentations[5:]} == {(-38, 40)}


def test_each_warp_has_its_own_parameter():
    expanded = np.random.default_rng(0).uniform(0, 255, (64, 64, 3)).astype(np.float32)
    plan = AugmentationPlan(flip=False, rotations=(90, -90), random_shift=0)
    draws = np.random.default_rng(0)
    left, right = (a(expanded, (64, 64)) for a in draw_augmentations(plan, (64, 64), draws)[1:])
    np.testing.assert_allclose(left, np.rot90(expanded, 1), atol=1e-3)
    np.testing.assert_allclose(right, np.rot90(expanded, -1), atol=1e-3)


def test_a_positive_shift_moves_the_content_right_and_down():
    expanded = np.zeros((8, 8, 3), np.float32)
    expanded[4, 3] = 1
    shifted = Augmentation((1, -2))(expanded, (4, 4))
    assert np.argwhere(shifted[..., 0]).tolist() == [[0, 2]]


def test_a_shift_beyond_the_expanded_patch_repeats_its_border():
    expanded = np.arange(36, dtype=np.float32).reshape(6, 6, 1).repeat(3, 2)
    shifted = Augmentation((20, 0))(expanded, (4, 4))
    np.testing.assert_array_equal(shifted, expanded[1:5, :1].repeat(4, 1))


@pytest.mark.parametrize(
    ('size', 'factor', 'expected'),
    [((288, 288), 2, (576, 576)), ((256, 256), 1.4, (358, 358)), ((7, 8), 2, (15, 16))],
)
def test_expanded_size_keeps_the_parity(size, factor, expected):
    assert expanded_size(size, factor) == expected


def test_dropped_channels_are_zero_and_the_others_scaled():
    features = torch.rand(1, 4, 2, 2)
    draws = Recorded([[0.1, 0.2, 0.9, 0.5], [0.3, 0.19, 0.0, 1.0]])
    first, second = drop_channels(features, 2, 0.2, draws)
    torch.testing.assert_close(
        first, features[0] * torch.tensor([0, 1.25, 1.25, 1.25])[:, None, None]
    )
    torch.testing.assert_close(
        second, features[0] * torch.tensor([1.25, 0, 0, 1.25])[:, None, None]
    )
