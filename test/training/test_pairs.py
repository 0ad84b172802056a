"""Pairs of crops: which frames, and how the test frame is cut."""

import numpy as np
import pytest

from training.augmentation import AppearanceSettings, Image
from training.dcfst_settings import PairSettings
from training.pairs import cut_square, draw_two, jitter_box, make_pair

SETTINGS = PairSettings()
BOX = np.array([80.0, 60.0, 40.0, 20.0])


FRAMES = np.arange(0, 100, 10)


class StillTrack:
    """A red target on a grey gradient in each of ten frames."""

    name = scene = 'still'
    frames = FRAMES
    boxes_ltwh = np.tile(BOX, (10, 1))
    weight = 1.0

    def image(self, position: int) -> Image:
        image = np.empty((150, 200, 3), np.uint8)
        image[:] = np.arange(200, dtype=np.uint8)[:, None]
        image[60:80, 80:120] = 255, 0, 0
        return image


TRACK = StillTrack()


def test_two_frames_are_near_each_other_in_any_order() -> None:
    rng = np.random.default_rng(0)
    pairs = [draw_two(FRAMES, 20, rng) for _ in range(300)]
    gaps = {second - first for first, second in pairs}
    assert gaps == {-2, -1, 1, 2}
    assert {first for first, _ in pairs} == set(range(10))
    assert draw_two(np.array([7]), 20, rng) == (0, 0)
    assert draw_two(np.array([0, 90]), 20, rng) in ((0, 0), (1, 1))


def test_the_target_stays_inside_the_test_crop() -> None:
    """Within nine tenths of it, and it uses all of that room, at every scale."""
    rng = np.random.default_rng(1)
    offsets, sides = [], []
    for _ in range(2000):
        around = jitter_box(BOX, SETTINGS, rng)
        side = np.sqrt(around[2] * around[3]) * SETTINGS.factor
        center = around[:2] + around[2:] / 2 - BOX[:2] - BOX[2:] / 2
        room = np.maximum(0.9 * side - BOX[2:], 0) / 2
        assert (np.abs(center) <= room + 1e-9).all()
        offsets.append(np.abs(center) / np.maximum(room, 1e-9))
        sides.append(np.log(around[2:] / BOX[2:]))
    assert 0.45 < np.median(offsets) < 0.55 and np.max(offsets) > 0.99
    assert np.std(sides) == pytest.approx(0.5, abs=0.02)
    assert np.abs(sides).max() <= np.log(4) + 1e-9


def _red_box(crop: Image) -> tuple[float, ...]:
    rows, columns = np.nonzero(crop[..., 0].astype(int) - crop[..., 1] > 127)
    return columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1


def _visible(box: np.ndarray) -> np.ndarray:
    low = np.maximum(box[:2], 0)
    return np.concatenate([low, np.minimum(box[:2] + box[2:], 288) - low])


@pytest.mark.parametrize('around', [BOX, np.array([-30.0, -20.0, 50.0, 30.0])])
def test_the_box_is_mapped_with_the_pixels(around: np.ndarray) -> None:
    crop, box = cut_square(TRACK.image(0), BOX, around, SETTINGS)
    assert crop.shape == (288, 288, 3)
    np.testing.assert_allclose(_red_box(crop), _visible(box), atol=3)


def test_pairs_follow_the_seed_and_mirror_each_frame_on_its_own() -> None:
    appearance = AppearanceSettings(flip=0.5)
    first, again, other = (
        make_pair(TRACK, np.random.default_rng(seed), SETTINGS, appearance) for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first['images'], again['images'])
    assert not np.array_equal(first['boxes_ltwh'], other['boxes_ltwh'])
    assert first['images'].shape == (2, 288, 288, 3) and first['boxes_ltwh'].shape == (2, 4)
    np.testing.assert_allclose(
        first['boxes_ltwh'][0, :2] + first['boxes_ltwh'][0, 2:] / 2, (288 - 1) / 2, atol=1e-4
    )
    rising = set()
    for seed in range(40):
        rng = np.random.default_rng(seed)
        pair = make_pair(TRACK, rng, SETTINGS, appearance)
        images = pair['images']
        for image, box in zip(images, pair['boxes_ltwh'], strict=True):
            np.testing.assert_allclose(_red_box(image), _visible(box), atol=3)
        # Grey rises to the right unless mirrored.
        rising.add(tuple(bool(i[280, 200, 1] > i[280, 80, 1]) for i in images))
    assert rising == {(False, False), (False, True), (True, False), (True, True)}
