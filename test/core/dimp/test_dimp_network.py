"""The DiMP networks against the reference values of the published code."""

import numpy as np
import pytest
import torch

from tracker_core.box_refinement import refine_boxes, refine_boxes_nearby
from tracker_core.dimp import network as networks
from tracker_core.overlap_predictor import OverlapPredictor
from tracker_core.target_filter import correlate
from tracker_core.weights import load_tensors

#: Absolute tolerances for dimp18, dimp50 and prdimp18, each 20 to 50 times the float32 noise.
TOLERANCES = {
    'conv1_te': (2e-4, 2e-4, 2e-4),
    'layer1_te': (1e-4, 2e-4, 1e-4),
    'layer2_te': (2e-4, 3e-4, 2e-4),
    'layer3_te': (3e-4, 5e-4, 3e-4),
    'clf_conv_te': (2e-4, 5e-4, 2e-4),
    'clf_feat_test': (1e-6, 1e-6, 1e-6),
    'clf_feat_train': (1e-6, 1e-6, 1e-6),
    'filter_iterates': (3e-6, 3e-6, 2e-5),
    'losses': (3e-5, 5e-5, 3e-5),
    'filter_iterates_sw': (3e-6, 3e-6, 1e-5),
    'losses_sw': (1e-4, 5e-5, 2e-5),
    'filter_10iter': (5e-6, 3e-6, 2e-5),
    'scores': (5e-6, 5e-6, 1e-4),
    'scores_352': (5e-6, 5e-6, 1e-4),
    'distance_map__bins': (3e-4, 3e-4, None),
    'label_map': (3e-5, 3e-5, None),
    'target_mask': (1e-5, 1e-5, None),
    'spatial_weight': (3e-5, 3e-5, None),
    'label_density': (None, None, 2e-6),
    'modulation3': (1e-4, 2e-4, 1e-4),
    'modulation4': (1e-4, 2e-4, 1e-4),
    'iou_feat3': (1e-4, 3e-4, 1e-4),
    'iou_feat4': (2e-4, 5e-4, 2e-4),
    'iou_pred': (5e-5, 2e-5, 5e-5),
    'iou_grad': (3e-6, 2e-6, 3e-6),
    'refine_default_boxes': (2e-3, 5e-4, 2e-3),
    'refine_default_iou': (1e-4, 2e-5, 1e-4),
    'refine_rel_boxes': (1e-3, 1e-3, 1e-3),
    'refine_rel_iou': (5e-5, 3e-5, 5e-5),
}
VARIANTS = ('dimp18', 'dimp50', 'prdimp18')


class Reference:
    """One variant's network with the weights of the rule, its inputs and stored values."""

    def __init__(self, name, parity, rule):
        self.name, self.rule = name, rule
        self.data = np.load(parity / f'{name}.npz')
        keys = rule.read_keys(parity / f'keys_{name}.txt')
        salt = str(self.data['salt'])
        state = rule.make_state_dict(keys, salt, rule.GAINS.get(name))
        np.testing.assert_allclose(
            rule.state_dict_sums(state), self.data['weights_sums'], rtol=0, atol=1e-4
        )
        self.network = getattr(networks, name)().eval().requires_grad_(False)
        tensors = {key: torch.from_numpy(np.asarray(value)) for key, value in state.items()}
        load_tensors(self.network, tensors, f'keys_{name}.txt')
        with torch.inference_mode(False), torch.no_grad():
            self.train = self._layers(rule.make_images(salt, 'train', 2))
            self.test = self._layers(rule.make_images(salt, 'test', 1))
            self.test352 = self._layers(rule.make_images(salt, 'test352', 1, 352))
        self.boxes = torch.from_numpy(self.data['train_bb']).float()
        self.proposals = torch.from_numpy(self.data['proposals']).float()

    def _layers(self, images):
        images = torch.from_numpy(images)
        layers = self.network.feature_extractor(images, ('layer1', 'layer2', 'layer3'))
        layers['clf'] = self.network.classification_features(layers['layer3'])
        stem = self.network.feature_extractor
        layers['conv1'] = torch.relu(stem.bn1(stem.conv1(images)))
        layers['clf_conv'] = self.network.classifier.feature_extractor[:-1](layers['layer3'])
        return layers

    def check(self, key, value):
        """Compare with the stored value, whole or reduced, within its tolerance."""
        tolerance = TOLERANCES[key][VARIANTS.index(self.name)]
        value = np.asarray(value.detach())
        if key in self.data:
            np.testing.assert_allclose(value, self.data[key], rtol=0, atol=tolerance, err_msg=key)
            return
        for part, reduced in self.rule.summary(value).items():
            stored = self.data[f'{key}__{part}']
            np.testing.assert_allclose(reduced, stored, rtol=0, atol=tolerance, err_msg=key)


@pytest.fixture(scope='module', params=VARIANTS)
def reference(request, parity, rule):
    return Reference(request.param, parity, rule)


def test_features(reference):
    for key in ('conv1', 'layer1', 'layer2', 'layer3', 'clf_conv'):
        reference.check(f'{key}_te', reference.test[key])
    reference.check('clf_feat_test', reference.test['clf'])
    reference.check('clf_feat_train', reference.train['clf'])


def test_optimizer_maps(reference):
    optimizer = reference.network.classifier.filter_optimizer
    boxes = reference.boxes[:, None]
    if reference.name == 'prdimp18':
        reference.check('label_density', optimizer.label(boxes, (19, 19), 4))
        return
    label, mask, weight = optimizer.maps(boxes, (19, 19), 4)
    reference.check('label_map', label)
    reference.check('target_mask', mask)
    reference.check('spatial_weight', weight)


def test_distance_bins(reference):
    """Each learned value alone gives the map of its bin."""
    if reference.name == 'prdimp18':
        pytest.skip('PrDiMP has no learned functions of the distance')
    optimizer = networks.dimp18().classifier.filter_optimizer
    maps = []
    for index in (0, 1, 5, 20, 60, 98, 99):
        one = torch.zeros(1, 100, 1, 1)
        one[0, index] = 1
        optimizer.label_map_predictor.weight.data = one
        maps.append(optimizer.maps(reference.boxes[:, None], (19, 19), 4)[0])
    reference.check('distance_map__bins', torch.cat(maps, 1))


def test_model_prediction(reference):
    classifier = reference.network.classifier
    features, boxes = reference.train['clf'][:, None], reference.boxes[:, None]
    fit = classifier.fit(features, boxes, 5, with_losses=True)
    iterates = torch.stack(fit.iterates)
    reference.check('filter_iterates', iterates)
    stored = torch.from_numpy(reference.data['filter_iterates'])
    tolerance = TOLERANCES['filter_iterates'][VARIANTS.index(reference.name)]
    torch.testing.assert_close(
        iterates[1:] - iterates[:1], stored[1:] - stored[:1], rtol=0, atol=tolerance
    )
    reference.check('losses', torch.stack(fit.losses))
    reference.check('scores', correlate(reference.test['clf'][:, None], fit.filters))
    reference.check('scores_352', correlate(reference.test352['clf'][:, None], fit.filters))
    weights = torch.from_numpy(reference.data['sample_weight']).float()[:, None]
    weighted = classifier.fit(features, boxes, 3, weights, with_losses=True)
    reference.check('filter_iterates_sw', torch.stack(weighted.iterates))
    reference.check('losses_sw', torch.stack(weighted.losses))
    reference.check('filter_10iter', classifier.fit(features, boxes, 10).filters)


def test_box_regression(reference):
    regressor = reference.network.bb_regressor
    train, test, proposals = reference.train, reference.test, reference.proposals
    modulation = regressor.modulation(
        train['layer2'][:1], train['layer3'][:1], reference.boxes[:1]
    )
    reference.check('modulation3', modulation[0])
    reference.check('modulation4', modulation[1])
    embedding = regressor.embed(test['layer2'], test['layer3'])
    reference.check('iou_feat3', embedding[0])
    reference.check('iou_feat4', embedding[1])
    boxes = proposals.clone().requires_grad_()
    predictions = regressor.predict(modulation, embedding, boxes)
    reference.check('iou_pred', predictions)
    predictions.sum().backward()
    reference.check('iou_grad', boxes.grad)
    predictor = OverlapPredictor(regressor, modulation)
    layers = test['layer2'], test['layer3']
    for space, name, length in (('default', 'default', 1.0), ('relative', 'rel', 2.5e-3)):
        how = {'steps': 5, 'step_length': (length, length), 'space': space}
        for refined, predicted in (
            refine_boxes(predictor, embedding, proposals[:, :3], **how),
            refine_boxes_nearby(regressor, predictor, layers, proposals[:, :3], **how),
        ):
            reference.check(f'refine_{name}_boxes', refined)
            reference.check(f'refine_{name}_iou', predicted)


@pytest.mark.parametrize('name', ['dimp18', 'dimp50', 'prdimp18', 'prdimp50', 'super_dimp'])
def test_published_keys_load_as_they_are(name, parity, rule):
    keys = rule.read_keys(parity / f'keys_{name}.txt')
    own = {key: tuple(t.shape) for key, t in getattr(networks, name)().state_dict().items()}
    assert own == {key: tuple(shape) for key, shape, _ in keys}
