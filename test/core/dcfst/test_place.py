import numpy as np
import pytest

from tracker_core.dcfst.place import Place, limit, size_limits

IMAGE = np.zeros((480, 640, 3), np.uint8)


def test_published_limits_of_a_size():
    low, high = size_limits(40, 60, IMAGE)
    assert low == pytest.approx((10, 15)) and high == pytest.approx((320, 480))


@pytest.mark.parametrize(
    ('size', 'least'),
    [((6, 6), (10, 10)), ((5, 60), (10, 120)), ((2, 300), (3.2, 480)), ((2, 480), (2, 480))],
)
def test_small_targets_grow_but_never_beyond_the_image(size, least):
    low, high = size_limits(*size, IMAGE)
    assert low == pytest.approx(least) and all(a <= b for a, b in zip(low, high, strict=True))
    place = limit(Place(100, 100, *size), (low, high), IMAGE)
    assert (place.width, place.height) == pytest.approx(least)


def test_sizes_are_limited_and_centres_moved_into_the_image():
    limits = size_limits(40, 60, IMAGE)
    assert limit(Place(-5, 999, 1, 999), limits, IMAGE) == Place(0, 479, 10, 480)
