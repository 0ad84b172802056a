"""Objects that change their shape."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from tracker_core.synthetic import Scene, SceneSettings
from tracker_core.synthetic.bending import (
    MOST,
    area_on_cutout,
    in_plane,
    on_cutout,
    random_bends,
)

SIZE = (40, 90)
HALF = (20.0, 45.0)
PLAIN = SceneSettings(
    frames=60, shadow=0, shutter=0, blur=0, noise=0, light=0, tint=0, shading=0, tilt=0, rotation=0
)


def bends() -> np.ndarray:
    return random_bends(np.random.default_rng(1), 50, 25.0, MOST, SIZE)


def points() -> tuple[np.ndarray, np.ndarray]:
    x, y = np.meshgrid(np.linspace(-20, 20, 9), np.linspace(-45, 45, 9))
    return x.ravel(), y.ravel()


def test_inverse_brings_points_back_even_where_most_is_bent() -> None:
    every = bends().transpose(1, 2, 0)[..., None]
    x, y = points()
    again = on_cutout(*in_plane(x, y, HALF, every), HALF, every)
    assert max(np.abs(again[0] - x).max(), np.abs(again[1] - y).max()) < 0.002 * np.sqrt(40 * 90)


def test_bends_are_as_strong_as_asked_for() -> None:
    every = bends().transpose(1, 2, 0)[..., None]
    x, y = points()
    seen_x, seen_y = on_cutout(x, y, HALF, every)
    shifts = np.hypot(seen_x - x, seen_y - y)
    # The bow of the longer side counts two thirds of it at the ends, the others add to that.
    assert 0.4 * MOST * 90 < shifts.max() < 1.2 * MOST * 90
    still = on_cutout(x, y, HALF, np.zeros((2, 3)))
    assert np.array_equal(still[0], x) and np.array_equal(still[1], y)


def test_area_is_that_of_small_squares() -> None:
    bend, step = bends()[20], 1e-4
    x, y = points()
    right = np.array(on_cutout(x + step, y, HALF, bend)) - on_cutout(x, y, HALF, bend)
    down = np.array(on_cutout(x, y + step, HALF, bend)) - on_cutout(x, y, HALF, bend)
    areas = (right[0] * down[1] - right[1] * down[0]) / step**2
    # On the edge the shift stops changing a little further out only.
    assert areas == pytest.approx(area_on_cutout(x, y, HALF, bend), abs=1e-3)
    assert areas.min() > 0.2, 'nothing is folded'
    assert np.ptp(areas) > 0.05


def test_tensors_give_what_arrays_give() -> None:
    bend = bends()[7]
    x, y = points()
    expected = on_cutout(x, y, HALF, bend)
    found = on_cutout(torch.tensor(x), torch.tensor(y), HALF, torch.tensor(bend))
    assert np.allclose(found[0], expected[0]) and np.allclose(found[1], expected[1])


def test_what_bends_changes_its_shape_and_not_only_its_place() -> None:
    rgba = np.full((90, 40, 4), 255, np.uint8)
    grey = np.full((100, 100, 3), 90, np.uint8)
    still = replace(PLAIN, speed=0.0, scale=(1, 1))
    unlike = []
    for deformation in (0.0, MOST):
        settings = replace(still, deformation=deformation)
        scene = Scene(settings, 4, target=rgba, background=grey)
        masks = []
        for index in (5, 35):
            with_target, box = scene.render(index).image, scene.box(index)
            changed = np.abs(with_target.astype(int) - 90).max(2) > 80
            rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
            assert rows[0] == pytest.approx(box.top, abs=1)
            assert columns[-1] + 1 == pytest.approx(box.right, abs=1)
            cut = changed[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            masks.append(cv2.resize(cut.astype(np.uint8), (60, 60)))
        unlike.append(float(np.mean(masks[0] != masks[1])))
    assert unlike[0] < 0.01
    assert unlike[1] > 0.03


def test_rigid_scenes_stay_what_they_were() -> None:
    bent, rigid = (Scene(replace(PLAIN, deformation=d, distractors=1), 3) for d in (0.05, 0.0))
    assert rigid.target.bends is None and rigid.others[0].bends is None
    assert bent.target.bends is not None and bent.others[0].bends is not None
    assert not np.array_equal(bent.target.bends, bent.others[0].bends)
    assert np.array_equal(bent.target.places, rigid.target.places)
    assert np.array_equal(bent.ground, rigid.ground)


@pytest.mark.parametrize('deformation', [-0.01, 0.2])
def test_too_much_is_refused(deformation: float) -> None:
    with pytest.raises(ValueError, match=r'deformation must be within \[0, 0.1\]'):
        SceneSettings(deformation=deformation)
