"""The same numbers as the published network, from the same weights."""

import numpy as np
import pytest
import torch

from tracker_core.dcfst.grid import LABEL_SIGMA, Grid
from tracker_core.dcfst.network import normalize_columns
from tracker_core.dcfst.ridge_regression import gauss_seidel, normal_matrix, solve

pytestmark = pytest.mark.data
GRID = Grid()


@pytest.fixture(scope='module')
def computed(reference, rule):
    """Features, labels and IoU predictions of the fixture's two images."""
    name, network, data = reference
    salt = str(data['salt'])
    images = [rule.make_images(salt, kind, 1) for kind in ('train', 'test')]
    train, test = (network.backbone(torch.from_numpy(image)) for image in images)
    train_box, test_box = (torch.from_numpy(data[key]) for key in ('train_bb', 'test_bb'))
    predictor = network.location_predictor
    embedded = predictor.embed(*train)
    rows = [
        predictor.describe_grid(embedded, train_box[:, 2:], GRID),
        predictor.describe(embedded, train_box[:, None]),
    ]
    return {
        'X': normalize_columns(torch.cat(rows, 1)),
        'Z': normalize_columns(
            predictor.describe_grid(predictor.embed(*test), test_box[:, 2:], GRID)
        ),
        'train': train,
        'test': test,
        'scale': 2 if name == 'dcfst50' else 1,
    }


def check(found, expected, tolerance):
    np.testing.assert_allclose(np.asarray(found), expected, rtol=0, atol=tolerance)


def labels_of(data, key):
    box = torch.from_numpy(data[key])
    return GRID.labels(box[:, :2] + box[:, 2:] / 2, LABEL_SIGMA * box[:, 2:].prod(1).sqrt())


def test_backbone(reference, computed, rule):
    for layer, tolerance, found in zip((2, 3), (2e-4, 3e-4), computed['test'], strict=True):
        summary = rule.summary(found.numpy())
        for kind in ('mean', 'rms', 'ch'):
            check(summary[kind], reference[2][f'layer{layer}_te__{kind}'],
                  tolerance * computed['scale'])  # fmt: skip


def test_proposals_and_labels(reference):
    data = reference[2]
    boxes = GRID.boxes_ltwh(torch.from_numpy(data['train_bb'][:, 2:]))[0]
    check(boxes[[0, 1, 31, 480]], data['first_proposals'][:4], 1e-5)
    check(data['train_bb'][0], data['first_proposals'][4], 0)
    check(labels_of(data, 'train_bb')[0, :, 0], data['train_labels'][:961], 1e-6)
    check(labels_of(data, 'test_bb')[0, :, 0], data['test_labels'], 1e-6)


def test_normalised_features(reference, computed):
    data, scale = reference[2], computed['scale']
    features = computed['X'][0]
    if 'X' in data:
        check(features, data['X'], 5e-4 * scale)
    else:
        check(features[rows_of(data['X__rows'], 962)], data['X__rows'], 5e-4 * scale)
        check(features[:, ::64], data['X__cols'], 5e-4 * scale)
    check(computed['Z'][0, ::31], data['Z__rows'], 2e-4 * scale)
    check(computed['Z'][0, :, ::64], data['Z__cols'], 2e-4 * scale)


def rows_of(stored, total):
    return torch.arange(0, total, 31)[: len(stored)]


def test_ridge_regression(reference, computed):
    data, scale = reference[2], computed['scale']
    labels = torch.from_numpy(data['train_labels'])[None, :, None]
    features, search = computed['X'], computed['Z']
    weights = solve(features.double(), labels.double(), 0.1)
    check(weights[0], data['w_float64'], 2e-5 * scale)
    check((search.double() @ weights)[0], data['pred_float64'], 1e-4 * scale)
    single = solve(features, labels, 0.1)
    check(single[0], data['w_float64'], 5e-2 * scale)
    check((search @ single)[0], data['pred_float64'], 1e-1 * scale)


def test_gauss_seidel(reference, computed):
    data, scale = reference[2], computed['scale']
    features, search = computed['X'][0].double(), computed['Z'][0].double()
    matrix = 0.9 * normal_matrix(features, 0.1) + 0.1 * normal_matrix(search, 0.1)
    train_labels, test_labels = (
        torch.from_numpy(data[key])[:, None].double() for key in ('train_labels', 'test_labels')
    )
    target = 0.9 * features.mT @ train_labels + 0.1 * search.mT @ test_labels
    check(target, data['gs_rhs'], 2e-3 * scale)
    start = torch.from_numpy(data['w_float64'])
    for sweeps in (1, 30):
        found = gauss_seidel(matrix, target, start, sweeps)
        check(found, data[f'gs_{sweeps}'], 2e-5 * scale)
    exact = torch.linalg.solve(matrix, target)
    check(exact, data['gs_exact'], 2e-5 * scale)
    assert (found - exact).abs().max() > 1e-3  # thirty sweeps do not converge


def test_iou_net(reference, computed):
    data, scale = reference[2], computed['scale']
    network = reference[1].bb_regressor
    modulation = network.modulation(*computed['train'], torch.from_numpy(data['train_bb']))
    check(modulation[0], data['modulation3'], 1e-4 * scale)
    check(modulation[1], data['modulation4'], 1e-4 * scale)
    boxes = torch.from_numpy(data['proposals']).requires_grad_()
    predictions = network.predict(modulation, network.embed(*computed['test']), boxes)
    check(predictions.detach(), data['iou_pred'], 1e-4 * scale)
    check(torch.autograd.grad(predictions.sum(), boxes)[0], data['iou_grad'], 5e-6 * scale)
