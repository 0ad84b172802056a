import pytest
import torch

from tracker_core.dcfst.grid import Grid
from tracker_core.dcfst.network import (
    DCFST,
    column_norms,
    dcfst18,
    dcfst50,
    initialize_weights,
    normalize_columns,
)
from tracker_core.weights import WeightsError, import_checkpoint

GRID = Grid()
SIZES = torch.tensor([[40.0, 83.0], [70.0, 45.0]])


@pytest.fixture(scope='module')
def network():
    network = dcfst18().eval().requires_grad_(False)
    initialize_weights(network, torch.Generator().manual_seed(0))
    torch.nn.init.normal_(network.location_predictor.fc3.linear.bias)
    torch.nn.init.normal_(network.location_predictor.fc4.linear.bias)
    return network


@pytest.fixture(scope='module')
def maps():
    generator = torch.Generator().manual_seed(1)
    shapes = (2, 128, 36, 36), (2, 256, 18, 18)
    return tuple(torch.rand(shape, generator=generator) for shape in shapes)


def test_grid_features_equal_those_of_its_boxes(network, maps):
    predictor = network.location_predictor
    expected = predictor.describe(maps, GRID.boxes_ltwh(SIZES))
    found = predictor.describe_grid(maps, SIZES, GRID)
    assert found.shape == (2, 961, 1024)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_every_third_proposal(network, maps):
    """Few enough to be pooled in another order."""
    predictor = network.location_predictor
    every = predictor.describe_grid(maps, SIZES, GRID).view(2, 31, 31, 1024)
    third = predictor.describe_grid(maps, SIZES, GRID.thinned())
    torch.testing.assert_close(third, every[:, ::3, ::3].reshape(2, 121, 1024), rtol=0, atol=1e-4)


def test_scores_without_features(network, maps):
    predictor = network.location_predictor
    weights = torch.randn(1024, 1, generator=torch.Generator().manual_seed(4))
    expected = predictor.describe_grid(maps, SIZES, GRID) @ weights
    found = predictor.score_grid(maps, SIZES, GRID, weights)
    assert found.shape == (2, 961, 1) and expected.std() > 1
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-3)


def test_frozen_weights_give_the_same_features(network, maps):
    predictor = dcfst18().location_predictor
    predictor.load_state_dict(network.location_predictor.state_dict())
    expected = predictor.describe_grid(maps, SIZES, GRID)
    predictor.freeze()
    assert torch.equal(predictor.describe_grid(maps, SIZES, GRID), expected)
    assert predictor.state_dict().keys() == network.location_predictor.state_dict().keys()


def test_gradients_of_the_grid_features_equal_those_of_its_boxes(network, maps):
    predictor = network.location_predictor
    weights = torch.rand(1, 961, 1024, generator=torch.Generator().manual_seed(2))
    found = []
    for describe in (
        lambda inputs: predictor.describe(inputs, GRID.boxes_ltwh(SIZES[:1])),
        lambda inputs: predictor.describe_grid(inputs, SIZES[:1], GRID),
    ):
        inputs = [m[:1].clone().requires_grad_() for m in maps]
        found.append(torch.autograd.grad((describe(inputs) * weights).sum(), inputs))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-2)


def test_shapes_of_the_network(network):
    layers = network.backbone(torch.zeros(1, 3, 288, 288))
    assert [tuple(layer.shape) for layer in layers] == [(1, 128, 36, 36), (1, 256, 18, 18)]
    embedded = network.location_predictor.embed(*layers)
    assert [tuple(layer.shape) for layer in embedded] == [(1, 128, 36, 36), (1, 256, 18, 18)]


@pytest.mark.parametrize(('build', 'entries'), [(dcfst18, 201), (dcfst50, 397)])
def test_number_of_entries(build, entries):
    with torch.device('meta'):
        network = build()
    assert isinstance(network, DCFST)
    assert len(network.state_dict()) == entries


def test_columns_have_a_root_mean_square_of_one():
    samples = torch.rand(2, 50, 7, generator=torch.Generator().manual_seed(3)) * 9 - 4
    normalised = normalize_columns(samples)
    torch.testing.assert_close(normalised.square().mean(1), torch.ones(2, 7))
    torch.testing.assert_close(normalised * column_norms(samples), samples)


def test_a_column_of_zeros_stays_zero():
    assert torch.equal(normalize_columns(torch.zeros(1, 5, 3)), torch.zeros(1, 5, 3))


def test_initial_weights_follow_the_generator():
    one, other, third = (dcfst18() for _ in range(3))
    for network, seed in ((one, 4), (other, 4), (third, 5)):
        initialize_weights(network, torch.Generator().manual_seed(seed))
    weights = [n.location_predictor.fc3.linear.weight for n in (one, other, third)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    assert float(weights[0].detach().std()) == pytest.approx((2 / 8192) ** 0.5, rel=0.01)
    assert not one.location_predictor.fc3.linear.bias.any()


def test_published_checkpoints_import(tmp_path, network):
    """As they are: batch norms without counters, and the rest of an ImageNet classifier."""
    state = network.state_dict()
    published = {k: v for k, v in state.items() if not k.endswith('num_batches_tracked')}
    extra = {'layer4.0.conv1.weight': torch.zeros(2), 'fc.bias': torch.zeros(3)}
    published |= {f'feature_extractor.{name}': value for name, value in extra.items()}
    torch.save({'net': published, 'epoch': 40}, tmp_path / 'dcfst18.pth')
    imported = dcfst18()
    import_checkpoint(tmp_path / 'dcfst18.pth', imported)
    for name, value in published.items():
        if name in state:
            assert torch.equal(imported.state_dict()[name], value)
    with pytest.raises(WeightsError, match='has shape'):
        import_checkpoint(tmp_path / 'dcfst18.pth', dcfst50())
