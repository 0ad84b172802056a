import pytest
import torch

from tracker_core.siamfc.network import SiamFC, cross_correlate, initialize_weights


@pytest.fixture(scope='module')
def network():
    network = SiamFC().eval()
    initialize_weights(network, torch.Generator().manual_seed(0))
    return network


@pytest.mark.parametrize(('side', 'cells'), [(127, 6), (239, 20), (255, 22)])
@torch.inference_mode()
def test_feature_sizes_of_table_1(network, side, cells):
    assert network.features(torch.zeros(1, 3, side, side)).shape == (1, 256, cells, cells)


@torch.inference_mode()
def test_response_sizes(network):
    exemplar = torch.zeros(2, 3, 127, 127)
    assert network(exemplar, torch.zeros(2, 3, 255, 255)).shape == (2, 1, 17, 17)


def test_number_of_parameters_is_that_of_the_published_network(network):
    assert sum(tensor.numel() for tensor in network.state_dict().values()) == 2_338_564
    assert len(network.state_dict()) == 30


def test_cross_correlation_by_hand():
    """Batch of 2 exemplars and 4 searches: search i belongs to exemplar i % 2."""
    exemplars = torch.zeros(2, 1, 2, 2)
    exemplars[0, 0, 0, 0], exemplars[1, 0, 1, 1] = 1.0, 10.0
    searches = torch.arange(4 * 9, dtype=torch.float32).reshape(4, 1, 3, 3)
    response = cross_correlate(exemplars, searches) * 1000
    torch.testing.assert_close(response[0, 0], torch.tensor([[0.0, 1.0], [3.0, 4.0]]))
    torch.testing.assert_close(response[1, 0], torch.tensor([[130.0, 140.0], [160.0, 170.0]]))
    torch.testing.assert_close(response[2, 0], torch.tensor([[18.0, 19.0], [21.0, 22.0]]))
    torch.testing.assert_close(response[3, 0], torch.tensor([[310.0, 320.0], [340.0, 350.0]]))


def test_gradients_reach_both_branches():
    exemplars = torch.randn(2, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    searches = torch.randn(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(cross_correlate, (exemplars, searches))


def test_batches_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match='cannot correlate'):
        cross_correlate(torch.zeros(2, 3, 2, 2), torch.zeros(3, 3, 4, 4))


def test_initialisation_is_xavier_and_follows_the_generator():
    first, second = SiamFC(), SiamFC()
    for network in (first, second):
        initialize_weights(network, torch.Generator().manual_seed(7))
    weight = first.backbone.conv3[0].weight
    assert torch.equal(weight, second.backbone.conv3[0].weight)
    bound = (6 / ((256 + 384) * 9)) ** 0.5
    assert 0.98 * bound < weight.abs().max() <= bound
    assert not first.backbone.conv3[0].bias.any()
