import numpy as np
import pytest

from tracker_core.dcfst.place import Place, limit, size_limits

IMAGE = np.zeros((480, 640, 3), np.uint8)


def test_published_limits_of_a_size():
    low, high = size_limits(40, 60, IMAGE)
    assert low == pytest.approx((10, 15)) and high == pytest.approx((320, 480))


@pytest.mark.parametrize('size', [(3, 60), (2, 300), (6, 6), (2, 480), (9, 10)])
def test_thin_and_small_targets_keep_their_size(size):
    low, high = size_limits(*size, IMAGE)
    assert low == size and all(a <= b for a, b in zip(low, high, strict=True))
    place = limit(Place(100, 100, *size), (low, high), IMAGE)
    assert (place.width, place.height) == size


def test_sizes_are_limited_and_centres_moved_into_the_image():
    limits = size_limits(40, 60, IMAGE)
    assert limit(Place(-5, 999, 1, 999), limits, IMAGE) == Place(0, 479, 10, 480)
