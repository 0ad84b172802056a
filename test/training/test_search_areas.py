"""Search areas: which frames, where they are cut, and where the box is in them."""

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from training.augmentation import AppearanceSettings
from training.frames import StoredTrack, Track
from training.search_areas import (
    SearchAreaSettings,
    cut_search_area,
    draw_causal,
    jitter_box,
    make_example,
)

SETTINGS = SearchAreaSettings()


def _painted(box: tuple[int, int, int, int], width: int = 400, height: int = 300) -> np.ndarray:
    """Dark image with a bright box (left, top, width, height)."""
    image = np.full((height, width, 3), 30, np.uint8)
    left, top, box_width, box_height = box
    image[top : top + box_height, left : left + box_width] = 220
    return image


def _bright_box(image: np.ndarray) -> np.ndarray:
    """Box (left, top, width, height) around what is brighter than the middle."""
    rows, columns = np.nonzero(image[..., 1] > 125)
    low = np.array([columns.min(), rows.min()])
    return np.concatenate([low, [columns.max() + 1, rows.max() + 1] - low])


@pytest.mark.parametrize(
    'box', [(180, 130, 40, 30), (5, 5, 30, 40), (350, 260, 44, 36), (100, 20, 200, 250)]
)
@pytest.mark.parametrize('border', ['replicate', 'inside', 'inside_major'])
def test_box_stays_on_the_target(box: tuple[int, int, int, int], border: str) -> None:
    settings = dataclasses.replace(SETTINGS, border=border)
    truth = np.array(box, float)
    around = truth + np.array([12, -9, 4, 6])
    crop, moved = cut_search_area(_painted(box), truth, around, settings)
    assert crop.shape == (288, 288, 3)
    inside = np.concatenate([moved[:2].clip(0, 288), (moved[:2] + moved[2:]).clip(0, 288)])
    seen = _bright_box(crop)
    assert [*seen[:2], *(seen[:2] + seen[2:])] == pytest.approx(inside, abs=2.5)


def test_crop_has_the_published_side_and_is_shifted_into_the_image() -> None:
    truth = np.array([100.0, 100.0, 40.0, 40.0])
    _, moved = cut_search_area(_painted((100, 100, 40, 40)), truth, truth, SETTINGS)
    assert moved[2:] == pytest.approx(288 / (5 * 40) * 40)
    assert moved[:2] + moved[2:] / 2 == pytest.approx(144)
    corner = np.array([0.0, 0.0, 40.0, 40.0])
    _, moved = cut_search_area(_painted((0, 0, 40, 40)), corner, corner, SETTINGS)
    assert moved[:2] == pytest.approx(0)  # not padded: the crop begins at the image's corner


def test_crop_larger_than_the_image_is_centred_or_made_smaller() -> None:
    truth = np.array([150.0, 100.0, 100.0, 100.0])  # a side of 500 in an image of 400 x 300
    for border, side in (('replicate', 500), ('inside_major', 400), ('inside', 333)):
        settings = dataclasses.replace(SETTINGS, border=border)
        _, moved = cut_search_area(_painted((150, 100, 100, 100)), truth, truth, settings)
        assert moved[2] == pytest.approx(100 * 288 / side)
        assert moved[1] + moved[3] / 2 == pytest.approx(144, abs=1)


@pytest.mark.parametrize('corner', [(0.0, 0.0), (361.0, 269.0), (180.3, 140.8)])
def test_classic_crop_stays_around_its_box_wherever_the_image_ends(
    corner: tuple[float, float],
) -> None:
    settings = dataclasses.replace(SETTINGS, crop='classic')
    truth = np.array([*corner, 39.0, 31.0])
    crop, moved = cut_search_area(_painted((0, 0, 1, 1)), truth, truth, settings)
    assert crop.shape == (288, 288, 3)
    # In the middle, counted from the middle of the first pixel.
    assert moved[:2] + moved[2:] / 2 == pytest.approx(143.5)
    scale = 288 / np.ceil(np.sqrt(39 * 31) * 5)
    assert moved[2:] == pytest.approx(np.array([39, 31]) * scale)
    beside = truth + np.array([12, -9, 0, 0])
    _, moved = cut_search_area(_painted((0, 0, 1, 1)), truth, beside, settings)
    middle = 143.5 - np.array([12, -9]) * scale
    assert moved[:2] + moved[2:] / 2 == pytest.approx(middle)


@pytest.mark.parametrize('box', [(180, 130, 40, 30), (0, 0, 30, 40), (360, 260, 40, 40)])
def test_classic_box_stays_on_the_target(box: tuple[int, int, int, int]) -> None:
    settings = dataclasses.replace(SETTINGS, crop='classic', clamp_boxes=True)
    truth = np.array(box, float)
    around = truth + np.array([30, -9, 4, 6])
    crop, moved = cut_search_area(_painted(box), truth, around, settings)
    assert moved[:2].min() >= 0 and (moved[:2] + moved[2:]).max() <= 287
    rows, columns = np.nonzero(crop[..., 1] > 125)
    # What is repeated beyond the image's edge does not belong to the target.
    assert columns.min() <= moved[0] + 2.5 and columns.max() >= moved[0] + moved[2] - 2.5
    assert rows.min() <= moved[1] + 2.5 and rows.max() >= moved[1] + moved[3] - 2.5


def test_a_box_far_outside_the_image_can_be_cut() -> None:
    settings = dataclasses.replace(SETTINGS, crop='classic')
    for left in (-900.0, 900.0):
        box = np.array([left, 50.0, 20.0, 20.0])
        crop, _ = cut_search_area(_painted((0, 0, 1, 1)), box, box, settings)
        assert crop.shape == (288, 288, 3)


def test_repeated_edge_continues_the_image() -> None:
    image = np.tile(np.arange(60, dtype=np.uint8)[:, None, None] * 4, (1, 60, 3))
    box = np.array([20.0, 20.0, 20.0, 20.0])
    crop, _ = cut_search_area(image, box, box, SETTINGS)
    assert (crop[:40] == 0).all() and (crop[-20:] == crop[-1]).all()


def test_jitter_has_the_published_spread() -> None:
    box, rng = np.array([50.0, 60.0, 40.0, 20.0]), np.random.default_rng(0)
    for is_test, sigma, reach in ((False, 0.25, 1.5), (True, 0.5, 2.25)):
        moved = np.array([jitter_box(box, rng, SETTINGS, is_test=is_test) for _ in range(4000)])
        assert np.log(moved[:, 2:] / box[2:]).std(0) == pytest.approx([sigma] * 2, rel=0.05)
        offset = moved[:, :2] + moved[:, 2:] / 2 - [70, 70]
        offset /= np.sqrt(moved[:, 2:].prod(1))[:, None]
        assert np.abs(offset).max() == pytest.approx(reach, rel=0.01)
        assert offset.std(0) == pytest.approx([2 * reach / np.sqrt(12)] * 2, rel=0.05)


def test_test_frames_come_after_train_frames_within_the_gap() -> None:
    frames, rng = np.arange(0, 400, 2), np.random.default_rng(0)
    for _ in range(200):
        positions = draw_causal(frames, SETTINGS, rng)
        base = positions[0]
        assert len(positions) == 6
        assert (positions[1:3] < base).all() and (positions[3:] > base).all()
        assert np.abs(frames[positions] - frames[base]).max() <= 30
        assert frames[positions[3:]].max() - frames[base] < 30


def test_gap_grows_where_frames_are_far_apart() -> None:
    positions = draw_causal(np.array([0, 500, 1000, 1500]), SETTINGS, np.random.default_rng(0))
    assert (positions[3:] > positions[0]).all()


@pytest.mark.parametrize('count', [1, 2, 3])
def test_short_recordings_have_examples(count: int) -> None:
    positions = draw_causal(np.arange(count), SETTINGS, np.random.default_rng(0))
    assert len(positions) == 6 and positions.max() < count
    assert count == 1 or (positions[3:] > positions[0]).all()


def _track(folder: Path) -> Track:
    """A still image with its target, as a recording of one frame."""
    image = _painted((180, 130, 40, 30))
    image[..., 0] = 90
    success, coded = cv2.imencode('.png', image[..., ::-1])
    assert success
    (folder / 'frames.bin').write_bytes(b'junk' + coded.tobytes())
    box = np.array([[180.0, 130.0, 40.0, 30.0]])
    places = np.array([[4, len(coded)]])
    return StoredTrack('t', 's', np.array([0]), box, places, folder / 'frames.bin')


def test_example_has_its_boxes_on_the_target_also_when_mirrored(tmp_path: Path) -> None:
    track = _track(tmp_path)
    for flip in (0.0, 1.0):
        appearance = AppearanceSettings(flip=flip)
        example = make_example(track, np.random.default_rng(3), SETTINGS, appearance)
        assert example['images'].shape == (6, 288, 288, 3)
        assert example['boxes_ltwh'].dtype == np.float32
        for image, box in zip(example['images'], example['boxes_ltwh'], strict=True):
            if (box[:2] > 0).all() and (box[:2] + box[2:] < 288).all():
                assert _bright_box(image) == pytest.approx(box, abs=2.5)


def test_grey_and_gain_change_the_light(tmp_path: Path) -> None:
    track = _track(tmp_path)
    grey = make_example(track, np.random.default_rng(0), SETTINGS, AppearanceSettings(grey=1.0))[
        'images'
    ]
    assert np.array_equal(grey[..., 0], grey[..., 2])
    plain = make_example(track, np.random.default_rng(0), SETTINGS, AppearanceSettings())
    lit = make_example(track, np.random.default_rng(0), SETTINGS, AppearanceSettings(gain=0.2))
    levels = lit['images'][:, 0, 0, 1]
    assert len(set(levels.tolist())) > 1 and (abs(levels / 30 - 1) <= 0.22).all()
    assert (plain['images'][:, 0, 0, 1] == 30).all()


@dataclasses.dataclass(frozen=True)
class _Still:
    """A still image with one object, as the sampler sees it."""

    frames: np.ndarray = dataclasses.field(default_factory=lambda: np.array([0]))
    name = scene = 'still'
    weight = 1.0
    boxes_ltwh: np.ndarray = dataclasses.field(
        default_factory=lambda: np.array([[150.0, 100.0, 80.0, 100.0]])
    )

    def image(self, position: int) -> np.ndarray:
        return _painted((150, 100, 80, 100))


def test_part_of_a_still_object_is_the_same_in_all_frames() -> None:
    """The part lies in the object, and all crops of an example are cut around the same one."""
    plain = AppearanceSettings()
    settings = dataclasses.replace(
        SETTINGS, part=1.0, train_scale_jitter=0, test_scale_jitter=0, train_center_jitter=0,
        test_center_jitter=0,
    )  # fmt: skip
    aspects = set()
    for seed in range(5):
        example = make_example(_Still(), np.random.default_rng(seed), settings, plain)
        boxes = example['boxes_ltwh']
        assert boxes == pytest.approx(np.repeat(boxes[:1], 6, 0))
        left, top, width, height = boxes[0].astype(int)
        inside = example['images'][0][top + 2 : top + height - 2, left + 2 : left + width - 2]
        assert inside.min() > 150
        aspects.add(round(float(boxes[0, 2] / boxes[0, 3]), 3))
    assert len(aspects) == 5


def test_recordings_and_the_default_keep_the_whole_object() -> None:
    settings = dataclasses.replace(SETTINGS, part=1.0)
    plain = AppearanceSettings()
    boxes = np.array([[150.0, 100.0, 80.0, 100.0]] * 3)
    recording = _Still(np.arange(3), boxes)
    for track, chosen in ((recording, settings), (_Still(), SETTINGS)):
        example = make_example(track, np.random.default_rng(1), chosen, plain)
        aspect = example['boxes_ltwh'][:, 2] / example['boxes_ltwh'][:, 3]
        assert aspect == pytest.approx(np.full(6, 0.8), rel=1e-5)
