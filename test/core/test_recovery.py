"""Places to search for a lost target."""

import itertools
import pickle
from types import SimpleNamespace

import numpy as np
import pytest

from tracker_core.recovery import Recovery, Scan

EXTENT = (640, 480)


def take(places, count):
    return list(itertools.islice(places, count))


def test_a_scan_begins_in_the_middle_and_goes_to_the_nearest_places():
    places = take(Scan((300, 200), 100, EXTENT), 9)
    assert places[0] == (300, 200)
    assert set(places[1:5]) == {(200, 200), (400, 200), (300, 100), (300, 300)}
    assert set(places[5:]) == {(200, 100), (400, 100), (200, 300), (400, 300)}


def test_every_pass_goes_one_ring_further_until_the_image_is_covered():
    places = take(Scan((300, 200), 100, EXTENT), 500)
    starts = [i for i, place in enumerate(places) if place == (300, 200)]
    passes = [stop - start for start, stop in itertools.pairwise(starts)]
    assert passes[:2] == [9, 25] and passes[2] < 49, 'the third ring is partly outside'
    assert len(set(passes[4:])) == 1, 'the whole image, again and again'


@pytest.mark.parametrize('center', [(300, 200), (0, 0), (639, 479), (-30, 250)])
@pytest.mark.parametrize('spacing', [60.0, 333.0])
def test_the_whole_image_is_searched_sooner_or_later(center, spacing):
    places = set(take(Scan(center, spacing, EXTENT), 1000))
    for point in itertools.product(range(0, 640, 20), range(0, 480, 20)):
        assert min(max(abs(p[0] - point[0]), abs(p[1] - point[1])) for p in places) <= spacing / 2
    assert all(0 <= x < 640 and 0 <= y < 480 for x, y in places)


def test_a_target_as_large_as_the_image_is_searched_in_its_place():
    assert set(take(Scan((320, 240), 2000.0, EXTENT), 5)) == {(320, 240)}


def test_a_place_that_is_searched_anyway_is_left_out():
    recovery = Recovery((300, 200), (40, 40))
    places = [recovery.next_center(100, EXTENT, (310, 200)) for _ in range(8)]
    assert (300, 200) not in places and len(set(places)) == 8
    again = Recovery((300, 200), (40, 40))
    assert again.next_center(100, EXTENT, (500, 200)) == (300, 200)


def test_the_only_place_is_searched_even_so():
    recovery = Recovery((320, 240), (600, 400))
    assert recovery.next_center(2000, EXTENT, (320, 240)) == (320, 240)


def test_a_target_that_is_seen_again_starts_the_next_scan_there():
    recovery = Recovery((300, 200), (40, 40))
    for _ in range(20):
        recovery.next_center(100, EXTENT, (0, 0))
    recovery.trust((400, 300), (50, 60))
    assert recovery.next_center(100, EXTENT, (0, 0)) == (400, 300)
    assert recovery.size == (50, 60)


def test_a_box_that_shrinks_while_its_target_is_covered_is_not_the_size_that_is_searched():
    recovery = Recovery((300, 200), (40, 40))
    for step in range(40):
        recovery.trust((300 + step, 200), (80 + step % 3, 50))
    for size in ((70, 50), (50, 48), (30, 40), (19, 25), (15, 23)):
        recovery.trust((360, 210), size)
    assert recovery.size == (81, 50) and recovery.center == (360, 210)
    for _ in range(20):
        recovery.trust((360, 210), (40, 25))
    assert recovery.size == (40, 25)


@pytest.mark.parametrize(
    ('size', 'known'), [((40, 40), True), ((30, 30), True), ((25, 25), False)]
)
def test_the_last_place_is_searched_again_at_another_scale(size, known):
    recovery, looked = Recovery((300, 200), (40, 40)), []

    def look(center):
        looked.append(center)
        return SimpleNamespace(scores=np.zeros((1, 1)))

    here = SimpleNamespace(scores=np.ones((1, 1)))
    recovery.search(look, here, 1, 100.0, EXTENT, ((300, 200), size))
    assert (looked != [(300, 200)]) == known


@pytest.mark.parametrize(('peaks', 'best'), [((0.2, 0.7, 0.4), 1), ((0.1, 0.1, 0.1), None)])
def test_the_best_of_several_regions_is_chosen(peaks, best):
    """The regions are 0.6 of their side apart."""
    recovery, looked = Recovery((300, 200), (40, 40)), []

    def look(center):
        looked.append(center)
        return SimpleNamespace(scores=np.array([[0.0, peaks[len(looked) - 1]]]))

    here = SimpleNamespace(scores=np.array([[0.1, 0.0]]))
    view, place = recovery.search(look, here, 3, 100.0, EXTENT, ((300, 200), (40, 40)))
    assert len(looked) == 3 and (300, 200) not in looked
    assert {abs(x - 300) + abs(y - 200) for x, y in looked} == {60}
    if best is None:
        assert view is here and place is None
    else:
        assert view.scores.max() == 0.7 and place == looked[best]


@pytest.mark.parametrize(
    ('center', 'moved'),
    [((1700, 900), (319, 239)), ((-500, 200), (0, 200)), ((300, 9000), (300, 239))],
)
def test_a_center_far_outside_is_moved_into_the_image(center, moved):
    found = take(Scan(center, 60.0, (320, 240)), 200)
    assert found[0] == moved
    places = set(found)
    assert len(places) > 20
    assert all(0 <= x < 320 and 0 <= y < 240 for x, y in places)


def test_a_grid_may_begin_just_outside_the_image():
    assert {x for x, _ in take(Scan((-10, 200), 60.0, (320, 240)), 6)} == {0, 50}


def test_an_image_of_another_size_is_searched_anew():
    recovery = Recovery((600, 400), (40, 40))
    for _ in range(5):
        recovery.next_center(100, EXTENT, (0, 0))
    places = [recovery.next_center(100, (320, 240), (0, 0)) for _ in range(9)]
    assert places[0] == (319, 239)
    assert all(x < 320 and y < 240 for x, y in places)


def test_a_copy_goes_on_where_the_scan_was():
    recovery = Recovery((300, 200), (40, 40))
    recovery.next_center(100, EXTENT, (0, 0))
    copy = pickle.loads(pickle.dumps(recovery))
    for _ in range(50):
        assert copy.next_center(100, EXTENT, (0, 0)) == recovery.next_center(100, EXTENT, (0, 0))
