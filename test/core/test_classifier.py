"""The classifier of DiMP and FCOT: norm of its features, sizes of both variants."""

import pytest
import torch

from tracker_core.classifier import (
    InstanceL2Norm,
    classifier_of_resnet18,
    classifier_of_resnet50,
)
from tracker_core.target_filter import SteepestDescent


def test_instance_norm_fixes_the_mean_square_of_every_sample():
    features = torch.randn(2, 4, 7, 5) * torch.tensor([0.1, 30.0]).view(2, 1, 1, 1)
    normed = InstanceL2Norm(0.25)(features)
    squares = normed.square().mean((1, 2, 3))
    torch.testing.assert_close(squares, torch.full((2,), 0.0625), rtol=1e-4, atol=0)
    assert InstanceL2Norm(0.25)(features.bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ('build', 'inputs', 'outputs'),
    [(classifier_of_resnet18, 256, 256), (classifier_of_resnet50, 1024, 512)],
)
def test_features_have_the_mean_square_that_a_filter_of_four_by_four_cells_expects(
    build, inputs, outputs
):
    classifier = build(SteepestDescent()).eval()
    features = classifier.feature_extractor(torch.randn(1, inputs, 6, 6))
    assert features.shape == (1, outputs, 6, 6)
    assert features.square().mean().item() == pytest.approx(1 / (16 * outputs), rel=1e-4)
    assert classifier.filter_initializer.stride == 16
    last = classifier.feature_extractor[-2].weight
    assert last.std().item() == pytest.approx((2 / (9 * outputs)) ** 0.5, rel=0.01)
