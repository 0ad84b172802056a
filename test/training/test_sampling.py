"""Frame filter, pairs, and the order of an epoch."""

import numpy as np
import pytest

from training.sampling import (
    EpochSampler,
    FrameFilter,
    SharedSampler,
    draw_pair,
    plan_epoch,
)

IMAGE = (400, 600, 3)


@pytest.mark.parametrize(
    ('size', 'accepted'),
    [
        ((100, 60), True),
        ((19, 60), False),  # a side below 20 px
        ((60, 19), False),
        ((301, 100), False),  # more than half of the image's width
        ((100, 201), False),  # more than half of its height
        ((300, 200), True),
        ((101, 25), False),  # wider than 4:1
        ((100, 25), True),
        ((25, 101), False),  # narrower than 1:4
    ],
)
def test_frame_filter_follows_the_published_limits(
    size: tuple[float, float], accepted: bool
) -> None:
    assert FrameFilter().accepts((5.0, 5.0, *size), IMAGE) is accepted


def test_frame_filter_refuses_sides_over_500_and_shares_under_a_hundredth() -> None:
    assert not FrameFilter().accepts((0, 0, 501, 300), (2000, 2000, 3))
    assert FrameFilter().accepts((0, 0, 500, 300), (2000, 2000, 3))
    assert not FrameFilter().accepts((0, 0, 24, 24), (2500, 2500, 3))
    assert not FrameFilter().accepts((0, 0, 24, 24), (1000, 2500, 3))
    assert FrameFilter().accepts((0, 0, 25, 25), (2500, 2500, 3))


def test_a_target_outside_the_image_is_refused_whatever_the_limits() -> None:
    """Such a box is a mistake, e.g. in pixels of another resolution: nothing of it can be seen."""
    open_ = FrameFilter(0, 0, 1e9, 0, 1e9, 0, 1e9)
    for left, top in ((160, 5), (5, 120), (-40, 5), (5, -30)):
        assert not open_.accepts((left, top, 40, 30), (120, 160, 3)), (left, top)
        inward = left + (1 if left < 0 else -1), top + (1 if top < 0 else -1)
        assert open_.accepts((*inward, 40, 30), (120, 160, 3)), inward


def test_pairs_are_in_order_and_closer_than_the_gap() -> None:
    frames = np.arange(0, 1000, 7)
    rng = np.random.default_rng(0)
    pairs = [draw_pair(frames, 100, rng) for _ in range(300)]
    gaps = [frames[second] - frames[first] for first, second in pairs]
    assert all(0 < gap < 100 for gap in gaps)
    assert max(gaps) > 80 and min(gaps) == 7


def test_a_single_frame_and_frames_too_far_apart_are_paired_with_themselves() -> None:
    rng = np.random.default_rng(0)
    assert draw_pair(np.array([5]), 100, rng) == (0, 0)
    first, second = draw_pair(np.array([0, 100]), 100, rng)
    assert first == second


def test_equal_weights_give_every_sequence_once() -> None:
    plan = plan_epoch(np.ones(50), 50, np.random.default_rng(0))
    assert sorted(plan) == list(range(50))
    assert list(plan) != list(range(50))


def test_weights_set_the_frequency() -> None:
    plan = plan_epoch(np.array([1.0, 3.0, 0.0]), 400, np.random.default_rng(0))
    assert np.bincount(plan, minlength=3).tolist() == [100, 300, 0]


def test_sampler_starts_where_it_is_told() -> None:
    assert list(EpochSampler(3, 5, 2)) == [(3, 2), (3, 3), (3, 4)]
    assert len(EpochSampler(3, 5, 2)) == 3


@pytest.mark.parametrize('processes', [1, 2, 4])
def test_processes_share_every_batch_without_overlap(processes: int) -> None:
    shares = [list(SharedSampler(3, 30, 8, 8, (number, processes))) for number in range(processes)]
    part = 8 // processes
    for batch in range(2):  # positions 8..23; the last six fill no batch
        positions = [
            position
            for share in shares
            for _, position in share[batch * part : (batch + 1) * part]
        ]
        assert positions == list(range(8 + 8 * batch, 16 + 8 * batch))
    assert all(len(share) == 2 * part and share[0][0] == 3 for share in shares)


def test_validation_is_shared_out_completely() -> None:
    shares = [list(EpochSampler(1, 7, number, 3)) for number in range(3)]
    assert sorted(position for share in shares for _, position in share) == list(range(7))
