"""The FCOT network against the reference values of the published code."""

import copy

import numpy as np
import pytest
import torch

from tracker_core.classifier import classifier_of_resnet18
from tracker_core.fcot.network import DecoderBlock, Pyramid, fcot, fcot18, fuse_scores
from tracker_core.fcot.side_regression import predict_sides
from tracker_core.target_filter import SteepestDescent, correlate

#: Absolute, 20 to 50 times the float32 noise of the reference.
TOLERANCES = {
    'layer1_te': 1e-4,
    'layer2_te': 2e-4,
    'layer3_te': 5e-4,
    'te18': 5e-4,
    'te36': 5e-4,
    'te72': 1e-3,
    'clf18_train': 1e-6,
    'clf18_test': 5e-7,
    'clf72_train': 5e-6,
    'clf72_test': 5e-6,
    'filter18_iterates': 3e-6,
    'filter72_iterates': 3e-6,
    'losses18': 5e-7,
    'losses72': 5e-7,
    'scores18': 5e-6,
    'scores72': 2e-5,
    'scores_merged': 5e-6,
    'init_reg_filter': 2e-6,
    'reg_feat_train': 1e-4,
    'reg_feat_test': 5e-5,
    'reg_iterates': 2e-6,
    'reg_losses': 5e-9,
    'offsets_init': 1e-4,
    'offsets': 2e-4,
    'dcn_in': 5e-5,
    'dcn_offset_mask': 5e-5,
    'dcn_out': 1e-4,
}


class Reference:
    """The network, the features of its inputs, and the stored values."""

    def __init__(self, build, parity, rule):
        self.rule, self.data = rule, np.load(parity / 'fcot.npz')
        self.network = build(self.data)
        self.boxes = torch.from_numpy(self.data['train_bb'])[:, None]
        salt = str(self.data['salt'])
        with torch.inference_mode():
            self.train = self._layers(rule.make_images(salt, 'train', 2))
            self.test = self._layers(rule.make_images(salt, 'test', 1))

    def _layers(self, images):
        layers = self.network.backbone(torch.from_numpy(images))
        pyramid = self.network.decode(layers)
        layers['pyramid'] = pyramid
        layers['coarse'] = self.network.coarse_features(layers)
        layers['fine'] = self.network.fine_features(pyramid)
        layers['sides'] = self.network.side_features(pyramid)
        return layers

    def check(self, key, value):
        """Compare with the stored value, whole or reduced, within its tolerance."""
        value = np.asarray(value.detach())
        tolerance = TOLERANCES[key]
        if key in self.data:
            np.testing.assert_allclose(value, self.data[key], rtol=0, atol=tolerance, err_msg=key)
            return
        for part in ('mean', 'rms', 'ch'):
            stored = self.data[f'{key}__{part}']
            keep = stored.shape[1] if part == 'ch' else 8
            reduced = self.rule.summary(value, keep)[part]
            np.testing.assert_allclose(reduced, stored, rtol=0, atol=tolerance, err_msg=key)


@pytest.fixture(scope='module')
def reference(published, parity, rule):
    return Reference(published, parity, rule)


def test_every_value_has_a_tolerance(reference):
    inputs = {'train_bb', 'norm_scale_coef', 'weights_sums', 'salt', 'source', 'torch'}
    targets = {'reg_label', 'reg_label_mask'}  # of the optimiser, see its own test
    stored = {key.partition('__')[0] for key in reference.data}
    assert stored - inputs - targets == TOLERANCES.keys()


def test_encoder_and_decoder(reference):
    for name in ('layer1', 'layer2', 'layer3'):
        reference.check(f'{name}_te', reference.test[name])
    for name, value in zip(('te18', 'te36', 'te72'), reference.test['pyramid'], strict=True):
        reference.check(name, value)


def test_features_of_the_heads(reference):
    reference.check('clf18_train', reference.train['coarse'])
    reference.check('clf18_test', reference.test['coarse'])
    reference.check('clf72_train', reference.train['fine'])
    reference.check('clf72_test', reference.test['fine'])
    reference.check('reg_feat_train', reference.train['sides'])
    reference.check('reg_feat_test', reference.test['sides'])


@torch.inference_mode()
def test_deformable_convolution_inside_the_network(reference):
    head = reference.network.regressor_72.reg_head_72
    features = head[:3](reference.test['pyramid'].map72)
    reference.check('dcn_in', features)
    reference.check('dcn_offset_mask', head[3].conv_offset_mask(features))
    reference.check('dcn_out', head[3](features))


@torch.inference_mode()
def test_classifiers(reference):
    network, scores = reference.network, {}
    for size, name, classifier in (
        (18, 'coarse', network.classifier_18),
        (72, 'fine', network.classifier_72),
    ):
        features = reference.train[name][:, None]
        fit = classifier.fit(features, reference.boxes, 3, with_losses=True)
        iterates = torch.stack(fit.iterates)
        reference.check(f'filter{size}_iterates', iterates)
        # The authors' code reports the mean over samples and cells and leaves the penalty out.
        strength = classifier.filter_optimizer.filter_reg.square()
        penalties = strength * iterates.square().sum((1, 2, 3, 4))
        cells = len(features) * (size + 1) ** 2
        reference.check(f'losses{size}', (torch.stack(fit.losses) - penalties) / cells)
        stored = torch.from_numpy(reference.data[f'filter{size}_iterates'])
        torch.testing.assert_close(
            iterates[1:] - iterates[:1], stored[1:] - stored[:1], rtol=0, atol=3e-6
        )
        scores[size] = correlate(reference.test[name][:, None], fit.filters)
        reference.check(f'scores{size}', scores[size])
    fused = fuse_scores(scores[18], scores[72], (0.6, 0.4), 72)
    reference.check('scores_merged', fused)


@torch.inference_mode()
def test_regressor(reference):
    regressor = reference.network.regressor_72
    first = type(reference.train['pyramid'])(*(m[:1] for m in reference.train['pyramid']))
    start = regressor.initialize(first, reference.boxes[0])
    reference.check('init_reg_filter', start)
    features, test = reference.train['sides'][:, None], reference.test['sides'][:, None]
    fit = regressor.filter_optimizer(start, features, reference.boxes, 4, with_losses=True)
    reference.check('reg_iterates', torch.stack(fit.iterates))
    reference.check('reg_losses', torch.stack(fit.losses))
    reference.check('offsets_init', predict_sides(test, start))
    reference.check('offsets', predict_sides(test, fit.filters))


def test_light_variant_differs_in_encoder_and_coarse_classifier_only():
    """That the full one has the published keys is held by loading the reference weights."""
    with torch.device('meta'):
        full, light = fcot().state_dict(), fcot18().state_dict()
        coarse = classifier_of_resnet18(SteepestDescent()).state_dict()
    encoders = ('feature_extractor.', 'classifier_18.')
    heads = {key for key in full if not key.startswith(encoders)}
    assert heads == {key for key in light if not key.startswith(encoders)}
    narrow = {key for key in heads if full[key].shape != light[key].shape}
    assert narrow == {
        'pyramid_first_conv.res_conv.weight',
        'pyramid_36.res_conv.weight',
        'pyramid_72.res_conv.weight',
    }
    assert {f'classifier_18.{key}' for key in coarse} == {
        key for key in light if key.startswith('classifier_18.')
    }


@pytest.mark.parametrize('levels', ['both', '36', '72'])
@torch.inference_mode()
def test_side_features_around_single_cells_equal_the_whole_map(levels):
    torch.manual_seed(0)
    with torch.random.fork_rng():
        regressor = fcot18().regressor_72
    regressor.levels = levels
    maps = regressor.maps(Pyramid(*(torch.randn(3, 256, s, s) for s in (2, 4, 8))))
    whole = torch.nn.functional.pad(regressor.features(maps), (1, 1, 1, 1))
    cells = torch.tensor([[0, 0], [7, 3], [4, 5]])
    found = regressor.around(maps, *cells.T)
    for index, (row, column) in enumerate(cells.tolist()):
        expected = whole[index, :, row : row + 3, column : column + 3]
        torch.testing.assert_close(found[index], expected, rtol=0, atol=1e-5)


def test_decoder_block_doubles_and_adds():
    torch.manual_seed(0)
    block = DecoderBlock(8)
    layer, coarser = torch.randn(1, 8, 6, 6), torch.randn(1, 256, 3, 3)
    constant = torch.ones_like(coarser)
    torch.testing.assert_close(block(layer, constant), block(layer) + 1)
    assert block(layer, coarser).shape == (1, 256, 6, 6)


@pytest.fixture(scope='module')
def light():
    torch.manual_seed(0)
    return fcot18().eval().requires_grad_(False)


def test_new_merges_average_both_levels(light):
    regressor = light.regressor_72
    for merge in (regressor.reg_initializer_merge, regressor.reg_head_merge):
        features = torch.randn(1, merge.in_channels, 2, 2)
        mean = features.unflatten(1, (2, -1)).mean(1)
        torch.testing.assert_close(merge(features), mean)


@pytest.mark.parametrize('level', ['36', '72'])
@torch.inference_mode()
def test_one_level_leaves_the_other_branch_out(light, level):
    pyramid = light.decode(light.backbone(torch.randn(1, 3, 64, 64)))
    boxes = torch.tensor([[16.0, 16.0, 30.0, 30.0]])
    regressor = copy.deepcopy(light.regressor_72)
    both = regressor.features(regressor.maps(pyramid)), regressor.initialize(pyramid, boxes)
    other = {'36': '72', '72': '36'}[level]
    for name in ('reg_head', 'reg_initializer'):
        regressor.get_submodule(f'{name}_{other}.0').register_forward_hook(
            lambda *_: pytest.fail('the other branch was computed')
        )
    regressor.levels = level
    one = regressor.features(regressor.maps(pyramid)), regressor.initialize(pyramid, boxes)
    for found, whole in zip(one, both, strict=True):
        assert found.shape == whole.shape
        assert (found - whole).norm() > 0.01 * whole.norm()


def test_a_map_may_be_left_out_of_the_fusion():
    scores = torch.arange(4.0).view(1, 1, 2, 2)
    expected = 0.5 * scores.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(fuse_scores(scores, None, (0.5, 9.0), 4), expected)
    torch.testing.assert_close(fuse_scores(None, scores, (9.0, 0.5), 4), expected)
