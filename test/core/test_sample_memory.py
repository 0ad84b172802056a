import numpy as np
import pytest
import torch

from tracker_core.sample_memory import SampleMemory


def memory(initial=2, capacity=4, minimum=0.25):
    features = torch.arange(initial, dtype=torch.float32).view(-1, 1, 1, 1)
    return SampleMemory(features, torch.zeros(initial, 4), capacity, minimum)


def insert(samples, value, rate=0.1):
    samples.insert(torch.full((1, 1, 1), float(value)), torch.full((4,), float(value)), rate)


def test_weights_and_slots_over_the_published_run(parity):
    """120 insertions into 20 places, 15 of them of the first frame; single precision."""
    reference = np.load(parity / 'primitives.npz')
    samples = memory(int(reference['memory/num_init']), 20)
    for step, rate in enumerate(reference['memory/learning_rate']):
        insert(samples, 1000 + step, float(rate))
        expected = reference['memory/weights'][step]
        weights = np.zeros(20, np.float32)
        weights[: len(samples)] = samples.weights
        np.testing.assert_allclose(weights, expected, rtol=0, atol=1e-6)
        slot = int(reference['memory/replace'][step])
        assert samples.features[slot].item() == 1000 + step
        assert (samples.boxes_ltwh[slot] == 1000 + step).all()


@pytest.mark.parametrize('order', [torch.channels_last, torch.contiguous_format])
def test_features_keep_their_order_in_memory(order):
    features = torch.rand(2, 3, 4, 5).contiguous(memory_format=order)
    samples = SampleMemory(features, torch.zeros(2, 4), 4)
    samples.insert(torch.ones(3, 4, 5), torch.zeros(4), 0.1)
    assert samples.features.is_contiguous(memory_format=order)
    assert torch.equal(samples.features, torch.cat([features, torch.ones(1, 3, 4, 5)]))


def test_starts_with_equal_weights():
    samples = memory()
    assert samples.weights.tolist() == [0.5, 0.5] and len(samples) == 2
    assert samples.features.shape == (2, 1, 1, 1) and samples.boxes_ltwh.shape == (2, 4)


def test_newer_samples_weigh_more_by_the_rate():
    samples = memory(capacity=10, minimum=0.0)
    for value in range(2, 6):
        insert(samples, value)
    weights = samples.weights[2:]
    torch.testing.assert_close(weights[1:] / weights[:-1], torch.full((3,), 1 / 0.9))
    assert samples.weights.sum() == pytest.approx(1)


def test_full_memory_replaces_the_oldest_but_those_of_the_first_frame():
    samples = memory()
    for value in range(2, 7):
        insert(samples, value, 0.4)
    assert samples.features.flatten().tolist() == [0, 1, 6, 5]
    for value in range(7, 17):
        insert(samples, value, 0.4)
    assert samples.features.flatten().tolist() == [0, 1, 16, 15]
    assert samples.weights[:2].tolist() == [0.125, 0.125]
    assert samples.weights.sum() == pytest.approx(1, abs=0.03)


def test_without_a_minimum_the_first_samples_are_replaced_too():
    samples = memory(minimum=0.0)
    for value in range(2, 12):
        insert(samples, value, 0.4)
    assert set(samples.features.flatten().tolist()) == {8, 9, 10, 11}


def test_views_show_the_latest_state_without_copies():
    samples = memory()
    before = samples.features.data_ptr()
    insert(samples, 7)
    assert samples.features.data_ptr() == before


@pytest.mark.parametrize('count', [0, 5])
def test_first_samples_must_fit(count):
    with pytest.raises(ValueError, match=rf'{count} samples of the first frame do not fit'):
        memory(initial=count)


def test_first_samples_that_are_kept_leave_room_for_another():
    with pytest.raises(ValueError, match=r'4 samples .* a memory of 4 with room for another'):
        memory(initial=4)
    full = memory(initial=4, minimum=0.0)
    insert(full, 7)
    assert full.features.flatten().tolist().count(7) == 1
