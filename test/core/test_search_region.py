import numpy as np
import pytest

from tracker_core.search_region import crop_square


@pytest.fixture
def image():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)


def test_inside_is_a_plain_cut(image):
    crop = crop_square(image, (30, 20), 11, 11, (0, 0, 0))
    np.testing.assert_array_equal(crop, image[15:26, 25:36])


def test_even_sides_round_half_to_even(image):
    """Corner = round(centre - (side - 1) / 2): 30 - 4.5 = 25.5 -> 26 and 21 - 4.5 = 16.5 -> 16."""
    crop = crop_square(image, (30, 21), 10, 10, (0, 0, 0))
    np.testing.assert_array_equal(crop, image[16:26, 26:36])


def test_outside_is_filled_with_the_rounded_colour(image):
    crop = crop_square(image, (0, 0), 21, 21, (10.4, 20.6, 300.0))
    np.testing.assert_array_equal(crop[10:, 10:], image[:11, :11])
    assert (crop[:10] == (10, 21, 255)).all()
    assert (crop[:, :10] == (10, 21, 255)).all()


def test_far_outside_is_all_fill(image):
    assert (crop_square(image, (-500, 900), 31, 15, (1, 2, 3)) == (1, 2, 3)).all()


def test_larger_than_the_image_keeps_the_image_in_place(image):
    crop = crop_square(image, (39.5, 29.5), 200, 200, (7, 7, 7))
    np.testing.assert_array_equal(crop[70:130, 60:140], image)
    assert (crop[:70] == 7).all()


def test_strided_views_give_the_same_as_copies(image):
    flipped = image[:, ::-1, ::-1]
    expected = crop_square(np.ascontiguousarray(flipped), (20, 20), 33, 64, (0, 0, 0))
    np.testing.assert_array_equal(crop_square(flipped, (20, 20), 33, 64, (0, 0, 0)), expected)


def test_tiny_sides_give_one_pixel(image):
    assert (crop_square(image, (5, 6), 0.2, 8, (0, 0, 0)) == image[6, 5]).all()


def test_input_is_untouched_and_output_is_its_own(image):
    before = image.copy()
    crop = crop_square(image, (30, 20), 11, 11, (0, 0, 0))
    crop[:] = 0
    np.testing.assert_array_equal(image, before)
