"""Proposals lie around the true box as the published rules say."""

import numpy as np
import pytest

from training.proposals import draw_from_mixture, overlap, perturb_box

BOX = np.array([40.0, 60.0, 50.0, 30.0])


def test_overlap_by_hand() -> None:
    others = np.array([[40, 60, 50, 30], [65, 60, 50, 30], [90, 60, 50, 30], [50, 65, 10, 10]])
    assert overlap(others.astype(float), BOX) == pytest.approx([1, 1 / 3, 0, 100 / 1500])


def test_proposals_are_whole_pixels_and_overlap_enough() -> None:
    boxes, overlaps = perturb_box(BOX, 300, (0.01, 0.3), 0.1, np.random.default_rng(0))
    assert np.array_equal(boxes, np.round(boxes)) and boxes.shape == (300, 4)
    assert overlaps == pytest.approx(overlap(boxes, BOX))
    assert overlaps.min() > 0.1
    # One half hardly moved, the other by 0.3 of the size.
    assert 0.3 < (overlaps > 0.9).mean() < 0.65 and (overlaps < 0.6).mean() > 0.25
    offsets = boxes[:, :2] + boxes[:, 2:] / 2 - BOX[:2] - BOX[2:] / 2
    assert np.abs(offsets.mean(0)).max() < 2


def test_noise_shrinks_until_a_proposal_is_accepted() -> None:
    _, overlaps = perturb_box(BOX, 200, (3.0,), 0.5, np.random.default_rng(1))
    assert overlaps.min() > 0.5
    _, only_once = perturb_box(BOX, 200, (3.0,), 0.5, np.random.default_rng(1), tries=1)
    assert (only_once > 0.5).mean() < 0.1


def test_tiny_box_gets_sides_from_its_own() -> None:
    tiny = np.array([10.0, 10.0, 2.0, 2.0])
    boxes, _ = perturb_box(tiny, 50, (1.0,), -1.0, np.random.default_rng(2))
    assert (boxes[:, 2:] >= 0).all()


def test_mixture_has_the_density_it_says() -> None:
    sigmas, count = ((0.05, 0.1), (0.5, 0.4)), 200_000
    rng = np.random.default_rng(3)
    boxes, drawn, wanted = draw_from_mixture(BOX, count, sigmas, (0.05, 0.05), rng)
    center = (boxes[:, :2] + boxes[:, 2:] / 2 - BOX[:2] - BOX[2:] / 2) / BOX[2:]
    scale = np.log(boxes[:, 2:] / BOX[2:])
    assert np.abs([center.mean(0), scale.mean(0)]).max() < 0.01
    assert center.std(0) == pytest.approx([np.sqrt((0.05**2 + 0.5**2) / 2)] * 2, rel=0.02)
    assert scale.std(0) == pytest.approx([np.sqrt((0.1**2 + 0.4**2) / 2)] * 2, rel=0.02)
    # Importance sampling integrates the wanted density, which is normalised.
    assert np.exp(wanted - drawn).mean() == pytest.approx(1.0, abs=0.03)
    at_box = draw_from_mixture(BOX, 1, ((1e-9, 1e-9),), (0.05, 0.05), rng)[2]
    assert at_box == pytest.approx(-4 * np.log(0.05 * np.sqrt(2 * np.pi)))
