"""Pixel overlap against the published rasteriser and hand-counted cases."""

from pathlib import Path

import numpy as np
import pytest

from tracker_core.benchmark.readers.vot import as_polygons
from tracker_core.benchmark.vot_overlap import pixel_overlap, pixel_overlaps


def box(*ltwh: float) -> np.ndarray:
    return as_polygons(np.array([ltwh], dtype=float))[0]


def test_a_box_covers_one_pixel_more_than_its_sides():
    """3 x 3 and 3 x 3 pixels of which 2 x 3 are common: 6 / 12."""
    assert pixel_overlap(box(0, 0, 2, 2), box(1, 0, 2, 2)) == 6 / 12
    assert pixel_overlap(box(0, 0, 2, 2), box(0, 0, 2, 2)) == 1


def test_boxes_that_only_touch_do_not_overlap():
    assert pixel_overlap(box(0, 0, 4, 4), box(4, 0, 4, 4)) == 0
    assert pixel_overlap(box(0, 0, 4, 4), box(20, 20, 4, 4)) == 0


def test_the_outside_of_the_image_does_not_count():
    inside, beyond = box(90, 0, 10, 10), box(90, 0, 60, 10)
    assert pixel_overlap(inside, beyond, (100, 50)) == 1
    assert pixel_overlap(inside, beyond) < 0.25


def test_nan_gives_nan():
    assert np.isnan(pixel_overlap(box(0, 0, 2, 2), np.full(8, np.nan)))


def test_a_diamond():
    """Rows of 0, 3, 5, 3, 0 pixels in a box of 5 x 5: the rasteriser leaves out lone tips."""
    diamond = np.array([2, 0, 4, 2, 2, 4, 0, 2], dtype=float)
    assert pixel_overlap(diamond, box(0, 0, 4, 4)) == 11 / 25


def test_many_pairs_are_scored_as_each_by_itself():
    """Crossed, degenerate and distant quadrilaterals among more pairs than are done at once."""
    rng = np.random.default_rng(3)
    a = np.round(rng.normal(0, 20, (600, 8)) + rng.uniform(-20, 120, (600, 1)))
    b = a + rng.normal(0, 6, (600, 8))
    b[::7] += 500
    b[::11] = np.nan
    together = pixel_overlaps(a, b, (100, 80))
    alone = [pixel_overlap(p, q, (100, 80)) for p, q in zip(a, b, strict=True)]
    np.testing.assert_array_equal(together, alone)
    assert 0.2 < np.mean(together > 0) < 0.8


def test_a_crossed_quadrilateral():
    """A bow tie: row 1 has the columns 0, 1 and 5, 6; rows 0 and 6 are full, as is the middle."""
    bow = np.array([0, 0, 6, 6, 6, 0, 0, 6], dtype=float)
    assert pixel_overlap(bow, box(0, 0, 6, 6)) == (7 + 4 + 6 + 7 + 6 + 4 + 7) / 49


@pytest.mark.data
@pytest.mark.parametrize(
    ('key', 'less'), [('pysot', None), ('pysot_bounded', 0), ('pysot_bounded_m1', 1)]
)
def test_reference_pairs(parity: Path, key, less):
    data = np.load(parity / 'metrics_vot.npz')
    first, second = (_polygons(data[f'overlap/{name}']) for name in 'ab')
    size = None if less is None else tuple(int(side) - less for side in data['image_size_wh'])
    found = pixel_overlaps(first, second, size)
    assert len(found) == 240
    np.testing.assert_allclose(found, data[f'overlap/{key}'], rtol=0, atol=1e-7)


def _polygons(regions: np.ndarray) -> np.ndarray:
    boxes = np.isnan(regions[:, 4:]).all(axis=1)
    polygons = regions.copy()
    polygons[boxes] = as_polygons(regions[boxes, :4])
    return polygons
