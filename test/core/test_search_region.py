import numpy as np
import pytest

from tracker_core.search_region import crop_replicate, crop_square, sample_patch


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


@pytest.fixture(scope='module')
def primitives(parity):
    return np.load(parity / 'primitives.npz')


def test_patches_equal_the_published_ones(primitives):
    """Forty crops: every border mode, over the border, decimated, wholly outside."""
    image = primitives['image'][0].transpose(1, 2, 0)
    assert primitives['crop/ok_int'].all()
    for index, (pos, size) in enumerate(
        zip(primitives['crop/pos'], primitives['crop/sample_sz'], strict=True)
    ):
        limit = primitives['crop/max_scale_change'][index]
        patch = sample_patch(
            image,
            (float(pos[1]), float(pos[0])),
            (float(size[1]), float(size[0])),
            (64, 64),
            str(primitives['crop/mode'][index]),
            None if np.isnan(limit) else float(limit),
        )
        corners = (patch.top, patch.left, patch.bottom, patch.right)
        assert corners == tuple(primitives['crop/coord_int'][index, 0]), index
        expected = primitives['crop/patch_int'][index].transpose(1, 2, 0)
        assert np.abs(patch.pixels - expected).max() <= 0.05, index


def test_a_patch_of_the_wanted_size_is_a_plain_cut(image):
    patch = sample_patch(image, (30.9, 20.2), (20, 20), (20, 20))
    assert (patch.left, patch.top, patch.right, patch.bottom) == (21, 11, 41, 31)
    np.testing.assert_array_equal(patch.pixels, image[11:31, 21:41])
    assert patch.pixels.dtype == np.float32
    assert patch.center == (30.5, 20.5) and patch.scale == 1.0


def test_large_regions_are_decimated(image):
    """60 px to 20: every second pixel, beginning so that the centre is one of them."""
    patch = sample_patch(image, (41, 31), (60, 60), (20, 20))
    assert (patch.left, patch.right) == (2 * (20 - 14), 2 * (20 + 16))
    assert patch.scale == 3.0


@pytest.mark.parametrize('center', [(-300, 20), (30, 500), (400, -400)])
def test_a_patch_far_outside_repeats_the_border(image, center):
    patch = sample_patch(image, center, (30, 30), (30, 30))
    column = 0 if center[0] < 0 else image.shape[1] - 1
    row = 0 if center[1] < 0 else image.shape[0] - 1
    if center[0] == 30:
        np.testing.assert_array_equal(patch.pixels[5], image[row, 16:46])
    elif center[1] == 20:
        np.testing.assert_array_equal(patch.pixels[:, 5], image[6:36, column])
    else:
        assert (patch.pixels == image[row, column]).all()


def test_inside_stays_inside(image):
    patch = sample_patch(image, (2, 2), (40, 40), (20, 20), 'inside')
    assert (patch.left, patch.top, patch.right, patch.bottom) == (0, 0, 40, 40)
    limited = sample_patch(image, (40, 30), (120, 120), (60, 60), 'inside', 1.5)
    assert limited.bottom - limited.top == 80, 'shrunk by 1.5, not by 2'
    assert limited.top == -10 and limited.bottom == 70


def test_a_region_larger_than_a_tiny_image_in_steps_of_it():
    tiny = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert np.isfinite(sample_patch(tiny, (1, 1), (500, 500), (8, 8)).pixels).all()


def test_only_the_patch_is_copied(image):
    """A read-only, strided view of a huge image costs no more than its patch."""
    huge = np.broadcast_to(image[:1, :1], (50_000, 50_000, 3))
    patch = sample_patch(huge, (25_000, 25_000), (64, 64), (32, 32))
    assert (patch.pixels == image[0, 0]).all()


def test_boxes_in_the_patch_and_back(image):
    """There and back moves the centre by half a patch pixel, as published."""
    patch = sample_patch(image, (30, 20), (40, 40), (20, 20))
    assert patch.center == (30.5, 20.5)
    box = patch.to_patch((30.5, 20.5), (8, 12))
    assert box == pytest.approx((9.5 - 1.5, 9.5 - 2.5, 4, 6))
    center, size = patch.to_image(box)
    assert center == pytest.approx((31.5, 21.5)) and size == pytest.approx((8, 12))


def test_crop_replicate_keeps_type_and_copies(image):
    for kind in (np.uint8, np.float32):
        crop = crop_replicate(image.astype(kind), -2, 58, 5, 4)
        assert crop.dtype == kind and crop.shape == (4, 5, 3)
        np.testing.assert_array_equal(crop[:, 0], crop[:, 2])
        np.testing.assert_array_equal(crop[2], crop[1])
    inner = crop_replicate(image, 3, 4, 5, 6)
    inner[:] = 0
    assert image[4:10, 3:8].any()
