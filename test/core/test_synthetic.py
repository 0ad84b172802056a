"""Synthetic scenes: exact truth, determinism, events."""

from __future__ import annotations

import pickle
import time
from dataclasses import replace

import cv2
import numpy as np
import pytest

from tracker_core import Box
from tracker_core.synthetic import DEMO_SCENE, DEMO_SEED, Scene, SceneSettings, render_sequence
from tracker_core.synthetic.motion import similarity, transform
from tracker_core.synthetic.optics import LIGHT_GRID
from tracker_core.synthetic.sprite import Sprite

#: Without anything that changes pixels away from the target or blurs its outline.
CLEAN = SceneSettings(frames=90, shadow=0, shutter=0, blur=0, noise=0, light=0, tint=0, shading=0)


def cutout() -> np.ndarray:
    """Return an asymmetric L-shaped cut-out with empty borders."""
    rgba = np.zeros((70, 90, 4), np.uint8)
    rgba[10:60, 20:40] = (255, 0, 0, 255)
    rgba[40:60, 20:80] = (0, 0, 255, 255)
    return rgba


def difference_box(scene: Scene, index: int) -> Box | None:
    """Return the box of the pixels that at least half belong to the target, by two renderings."""
    with_target = scene.render(index).image.astype(int)
    without = scene.render(index, with_target=False).image.astype(int)
    changed = np.abs(with_target - without).max(axis=2) > 60
    if not changed.any():
        return None
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    left, top = int(columns[0]), int(rows[0])
    return Box(left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top)


def sides(box: Box) -> np.ndarray:
    return np.array([box.left, box.top, box.right, box.bottom])


@pytest.mark.parametrize('deformation', [0.0, 0.1])
@pytest.mark.parametrize('seed', range(4))
def test_box_is_where_the_pixels_of_the_target_are(seed: int, deformation: float) -> None:
    grey = np.full((100, 100, 3), 120, np.uint8)
    settings = replace(CLEAN, deformation=deformation)
    scene = Scene(settings, seed, target=cutout(), background=grey)
    errors = []
    for index in range(0, len(scene), 3):
        frame, seen = scene.render(index), difference_box(scene, index)
        assert seen is not None
        assert frame.visible > 0.99
        errors.append(np.abs(sides(frame.box) - sides(seen)).max())
    assert max(errors) <= 1.0
    assert np.mean(errors) < 0.75


def test_box_is_exact_for_a_known_placement() -> None:
    still = replace(
        CLEAN,
        frames=1,
        size=(300, 200),
        target_size=(0.25, 0.25),
        scale=(1, 1),
        rotation=0,
        tilt=0,
        speed=0,
    )
    square = np.full((40, 40, 4), 255, np.uint8)
    frame = Scene(still, 0, target=square).render(0)
    assert (frame.box.width, frame.box.height) == pytest.approx((50, 50))


def test_same_seed_gives_the_same_bytes_in_any_order() -> None:
    settings = SceneSettings(frames=40, full_occlusions=1, distractors=2, occlusion_frames=(4, 6))
    forward = list(render_sequence(settings, 3))
    scene = Scene(settings, 3)
    for index in (39, 0, 17):
        again = scene.render(index)
        assert again.image.tobytes() == forward[index].image.tobytes()
        assert (again.box, again.visible) == (forward[index].box, forward[index].visible)
    other = next(iter(render_sequence(settings, 4)))
    assert other.image.tobytes() != forward[0].image.tobytes()


def test_noise_is_as_strong_as_asked_for_and_new_in_every_frame_and_scene() -> None:
    settings = replace(CLEAN, frames=2, camera_shake=0, noise=3.0)
    grey = np.full((100, 100, 3), 120, np.uint8)
    scenes = [Scene(settings, seed, background=grey) for seed in (0, 1)]
    corners = [scene.render(i).image[:40, :40].astype(int) for scene in scenes for i in (0, 1)]
    for number, corner in enumerate(corners):
        assert corner.mean() == pytest.approx(120, abs=0.3)
        assert corner.std() == pytest.approx(np.hypot(3, 0.29), rel=0.05), 'and rounding'
        for other in corners[:number]:
            assert abs(np.corrcoef(corner.ravel(), other.ravel())[0, 1]) < 0.1


def test_light_is_interpolated_between_the_points_of_a_grid() -> None:
    settings = replace(CLEAN, light=0.3, tint=0.1, shading=0.3)
    scene = Scene(settings, 2, background=np.full((100, 100, 3), 120, np.uint8))
    (width, height), (columns, rows) = settings.size, LIGHT_GRID
    x, y = np.meshgrid(np.linspace(-1, 1, columns), np.linspace(-1, 1, rows))
    index = 50
    slope = 1 + scene.optics.slopes[index, 0] * x + scene.optics.slopes[index, 1] * y
    light = cv2.resize(slope[..., None] * scene.optics.colors[index], (width, height))
    empty = scene.render(index, with_target=False).image
    assert np.ptp(light) > 0.2
    assert np.abs(empty - 120 * light).max() < 0.51


def test_scenes_are_sent_to_other_processes_without_their_noise() -> None:
    scene = Scene(SceneSettings(frames=2), 0)
    sizes = [level.nbytes for level in scene.target.sprite.levels]
    assert len(pickle.dumps(scene)) < scene.ground.nbytes + sum(sizes) + 20_000
    again = pickle.loads(pickle.dumps(scene))
    assert again.render(1).image.tobytes() == scene.render(1).image.tobytes()


def test_places_of_many_frames_are_those_of_each() -> None:
    x, y, scale, angle = np.random.default_rng(0).uniform(0.1, 2, (4, 5))
    points = np.array([[0.0, 0.0], [3.0, -1.0]])
    mapped = transform(similarity(x, y, scale, angle), points)
    for i in range(5):
        one = similarity(x[i], y[i], scale[i], angle[i])
        assert one.shape == (3, 3)
        assert np.allclose(transform(one, points), mapped[i])
        cosine, sine = np.cos(angle[i]), np.sin(angle[i])
        turned = np.array([3 * cosine + sine, 3 * sine - cosine])
        assert np.allclose(mapped[i, 1], scale[i] * turned + (x[i], y[i]))


def test_images_have_the_size_asked_for() -> None:
    for size in ((320, 240), (101, 67)):
        frames = list(render_sequence(SceneSettings(frames=3, size=size), 0))
        assert len(frames) == 3
        assert all(f.image.shape == (size[1], size[0], 3) for f in frames)
        assert all(f.image.dtype == np.uint8 for f in frames)


@pytest.mark.parametrize('deformation', [0.0, 0.1])
@pytest.mark.parametrize('seed', range(4))
def test_full_occlusion_hides_every_pixel_of_the_target(seed: int, deformation: float) -> None:
    settings = replace(CLEAN, full_occlusions=1, occlusion_frames=(8, 12), deformation=deformation)
    scene = Scene(settings, seed)
    visible = np.array([scene.visible(i) for i in range(len(scene))])
    hidden = np.flatnonzero(visible == 0)
    assert 8 <= len(hidden) <= 40
    assert np.all(np.diff(hidden) == 1), 'one occlusion, without a gap'
    assert visible[0] > 0.99
    assert visible[-1] > 0.99
    middle = int(hidden[len(hidden) // 2])
    same = scene.render(middle).image == scene.render(middle, with_target=False).image
    assert same.all()


@pytest.mark.parametrize('seed', range(4))
def test_partial_occlusion_leaves_part_of_the_target_visible(seed: int) -> None:
    scene = Scene(replace(CLEAN, partial_occlusions=1), seed)
    visible = np.array([scene.visible(i) for i in range(len(scene))])
    assert 0.05 < visible.min() < 0.9
    assert (visible > 0.99).any()


@pytest.mark.parametrize('seed', range(4))
def test_target_leaves_the_image_and_returns(seed: int) -> None:
    scene = Scene(replace(CLEAN, frames=120, leave_and_return=True), seed)
    away = [i for i in range(len(scene)) if scene.visible(i) == 0]
    assert len(away) >= CLEAN.absence_frames[0]
    image_box = Box(0, 0, *CLEAN.size)
    assert all(scene.box(i).intersection(image_box) == 0 for i in away)
    assert scene.visible(0) > 0.99
    assert scene.visible(len(scene) - 1) > 0.99


def test_speed_of_the_target_is_limited() -> None:
    settings = replace(CLEAN, frames=200, speed=0.05, scale=(1, 1), tilt=0)
    scene = Scene(settings, 5)
    boxes = [scene.box(i) for i in range(len(scene))]
    centers = np.array([box.center for box in boxes])
    sizes = np.sqrt([box.area for box in boxes])
    steps = np.hypot(*np.diff(centers, axis=0).T)
    assert steps.max() < 0.07 * sizes.max(), 'rotation of the outline moves the box a little, too'
    assert steps.max() > 0.01 * sizes.min()


def test_tilt_shortens_no_more_than_its_cosine_and_perspective() -> None:
    settings = replace(CLEAN, frames=200, scale=(1, 1), rotation=0, tilt=20, period=40)
    square = np.full((60, 60, 4), 255, np.uint8)
    scene = Scene(settings, 0, target=square)
    boxes = [scene.box(i) for i in range(len(scene))]
    for side in ([b.width for b in boxes], [b.height for b in boxes]):
        assert 1.02 < max(side) / min(side) < 1.25


def test_distractors_look_like_the_target_and_keep_their_distance() -> None:
    crowded = replace(CLEAN, distractors=1)
    with_one, without = Scene(crowded, 2, target=cutout()), Scene(CLEAN, 2, target=cutout())
    box = with_one.render(0).box
    assert box == without.render(0).box, 'distractors do not change what the target does'
    changed = np.abs(
        with_one.render(0, with_target=False).image.astype(int)
        - without.render(0, with_target=False).image
    ).max(axis=2)
    assert (changed > 60).any()
    center = np.array(box.center).astype(int)
    assert changed[center[1], center[0]] <= 60


def test_cutouts_and_background_given_are_used() -> None:
    green = np.zeros((50, 80, 3), np.uint8)
    green[..., 1] = 200
    scene = Scene(CLEAN, 1, target=cutout(), background=green)
    frame = scene.render(10)
    assert np.array_equal(frame.image[0, 0], (0, 200, 0))
    patch = frame.image[int(frame.box.top) : int(frame.box.bottom)]
    patch = patch[:, int(frame.box.left) : int(frame.box.right)]
    assert (np.abs(patch.astype(int) - (255, 0, 0)).max(axis=2) < 20).sum() > 50
    assert (np.abs(patch.astype(int) - (0, 0, 255)).max(axis=2) < 20).sum() > 50


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: SceneSettings(frames=0), 'at least one frame'),
        (lambda: SceneSettings(size=(4, 4)), '16 x 16'),
        (lambda: SceneSettings(target_size=(0, 0.5)), 'target_size'),
        (lambda: SceneSettings(scale=(1.2, 1.5)), 'scale'),
        (lambda: SceneSettings(tilt=90), 'tilt'),
        (lambda: Scene(SceneSettings(frames=12, full_occlusions=2), 0), 'too few'),
        (lambda: Scene(CLEAN, 0, target=np.zeros((9, 9, 4), np.uint8)), 'transparent'),
        (lambda: Scene(CLEAN, 0, target=np.zeros((9, 9, 3), np.uint8)), 'RGBA'),
    ],
)
def test_impossible_scenes_are_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]


@pytest.mark.parametrize('size', [(16, 16), (48, 36), (90, 20)])
def test_scenes_may_be_as_small_as_promised(size: tuple[int, int]) -> None:
    frame = Scene(replace(CLEAN, size=size), 1).render(0)
    assert frame.image.shape == (size[1], size[0], 3) and frame.image.std() > 1
    assert frame.visible == 1


def test_truth_needs_no_rendering() -> None:
    settings = replace(CLEAN, partial_occlusions=1, occlusion_frames=(4, 8))
    scene = Scene(settings, 3)
    covered = 0
    for index in range(0, len(scene), 3):
        frame = scene.render(index)
        assert frame.box == scene.box(index)
        assert frame.visible == pytest.approx(scene.visible(index), abs=1e-6)
        covered += frame.visible < 0.95
    assert covered


def test_visibility_is_whole_only_inside_the_image() -> None:
    scene = Scene(replace(CLEAN, leave_and_return=True), 1)
    for index in range(len(scene)):
        box = scene.box(index)
        is_inside = box.intersection(Box(0, 0, *scene.settings.size)) > 0.999 * box.area
        assert (scene.visible(index) > 0.995) == is_inside


def test_a_frame_that_does_not_exist_is_refused() -> None:
    with pytest.raises(IndexError, match='0 to 89'):
        Scene(CLEAN, 0).render(90)


def test_demo_scene_has_what_it_promises() -> None:
    scene = Scene(DEMO_SCENE, DEMO_SEED)
    visible = np.array([scene.visible(i) for i in range(len(scene))])
    boxes = [scene.box(i) for i in range(len(scene))]
    hidden = np.flatnonzero(visible == 0)
    assert 12 <= len(hidden) <= 36, 'fully hidden for 0.4 to 1.2 s at 30 fps'
    assert np.all(np.diff(hidden) == 1)
    assert visible[[0, -1]] == pytest.approx(1)
    sizes = np.sqrt([box.area for box in boxes])
    assert sizes.max() / sizes.min() > 1.4
    image_box = Box(0, 0, *DEMO_SCENE.size)
    assert all(box.intersection(image_box) > 0.99 * box.area for box in boxes)
    steps = np.hypot(*np.diff([box.center for box in boxes], axis=0).T)
    assert (steps / sizes[1:]).max() * 30 / 6 < 0.4, 'fair at six tracked frames per second'


@pytest.mark.parametrize('seed', range(3))
def test_occluders_out_of_view_are_left_out_only_then(seed: int) -> None:
    settings = replace(CLEAN, partial_occlusions=1, occlusion_frames=(4, 6))
    scene = Scene(settings, seed)
    (post,) = scene.occluders
    width, height = settings.size
    frame = np.array([[0.0, 0.0], [width, 0.0], [width, height], [0.0, height]])
    left_out = 0
    for matrix in post.matrices:
        bands = post.sprite.warp_in_bands(matrix, settings.size)
        is_drawn = any(bool(band.alpha.any()) for band in bands)
        may_be = post.sprite.may_be_within(frame, matrix)
        assert may_be or not is_drawn
        left_out += not may_be
    assert left_out > len(scene) / 4


@pytest.mark.parametrize('angle', [0.0, 0.3, 0.8, 1.57, 2.6])
def test_bands_show_what_is_drawn_at_once_and_little_else(angle: float) -> None:
    rng = np.random.default_rng(0)
    rgba = cv2.GaussianBlur(rng.integers(0, 255, (500, 30, 4), dtype=np.uint8), (0, 0), 2)
    rgba[..., 3] = 255
    sprite, (width, height) = Sprite(rgba), (200, 150)
    for x, y in ((100, 75), (190, 20), (-400, -400)):
        matrix = similarity(x, y, 0.9, angle)
        whole = np.zeros((height, width, 4), np.uint8)
        once = sprite.warp(matrix, transform(matrix, sprite.corners))
        rows = slice(max(once.top, 0), max(once.top + once.rgba.shape[0], 0))
        columns = slice(max(once.left, 0), max(once.left + once.rgba.shape[1], 0))
        seen = once.rgba[max(-once.top, 0) :, max(-once.left, 0) :]
        shape = whole[rows, columns].shape
        whole[rows, columns] = seen[: shape[0], : shape[1]]
        found, drawn = np.zeros_like(whole), 0
        for band in sprite.warp_in_bands(matrix, (width, height)):
            band_rows, band_columns = band.alpha.shape
            part = (
                slice(band.top, band.top + band_rows),
                slice(band.left, band.left + band_columns),
            )
            assert not found[part].any()
            found[part] = band.rgba
            drawn += band.alpha.size
        # Positions are rounded to a few hundredths of a pixel.
        assert np.abs(found.astype(int) - whole).max() <= 16
        assert np.abs(found.astype(int) - whole).mean() < 0.1
        assert drawn <= 2.5 * (whole[..., 3] > 0).sum() + 4000


def test_rendering_is_fast() -> None:
    """A generous bound; an idle core renders more than 200 frames per second."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    scene = Scene(SceneSettings(distractors=1), 0)
    start = time.process_time()
    for index in range(60):
        scene.render(index)
    seconds = time.process_time() - start
    cv2.setNumThreads(threads)
    assert seconds < 1.5
