import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tracker_core import build_tracker
from tracker_core.factory import build_network
from tracker_core.siamfc.network import SiamFC
from tracker_core.weights import (
    WeightsError,
    WeightsInfo,
    default_path,
    import_checkpoint,
    load_into,
    read_checkpoint,
    read_info,
    save,
    shipped,
    shipped_path,
)
from tracker_core.weights.__main__ import main


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def test_round_trip_keeps_tensors_and_metadata(tmp_path, network):
    info = WeightsInfo('toy', ('clips',), 'MIT', {'slope': 3.0}, notes='n')
    path = save(tmp_path / 'new' / 'toy.safetensors', network.state_dict(), info, dtype=None)
    other = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    assert load_into(other, path, 'toy') == info == read_info(path)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name])


def test_files_are_as_readable_as_any_other(tmp_path, network):
    """Installed by root, they must be readable for everybody."""
    path = save(tmp_path / 'toy.safetensors', network.state_dict(), WeightsInfo('toy'))
    (tmp_path / 'plain').write_text('')
    assert path.stat().st_mode == (tmp_path / 'plain').stat().st_mode


def test_half_precision_is_stored_and_widened(tmp_path, network):
    path = save(tmp_path / 'toy.safetensors', network.state_dict(), WeightsInfo('toy'))
    other = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    load_into(other, path, 'toy')
    weight = other[0].weight
    assert weight.dtype == torch.float32
    assert torch.equal(weight, network[0].weight.half().float())


def test_other_trackers_weights_are_refused(tmp_path, network):
    path = save(tmp_path / 'a.safetensors', network.state_dict(), WeightsInfo('toy'))
    with pytest.raises(WeightsError, match="weights of 'toy', not of 'siamfc'"):
        load_into(SiamFC(), path, 'siamfc')


def test_every_wrong_tensor_is_named_and_nothing_is_changed(tmp_path, network):
    state = dict(network.state_dict())
    del state['1.bias']
    state['extra'] = torch.zeros(1)
    state['0.weight'] = torch.zeros(4, 3, 5, 5)
    path = save(tmp_path / 'a.safetensors', state, WeightsInfo('toy'))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    expected = r'0.weight has shape \(4, 3, 5, 5\).*missing 1.bias.*unexpected extra'
    with pytest.raises(WeightsError, match=expected):
        load_into(network, path, 'toy')
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_values_beyond_half_precision_leave_the_old_file(tmp_path, network):
    path = save(tmp_path / 'a.safetensors', network.state_dict(), WeightsInfo('toy'))
    old = path.read_bytes()
    with pytest.raises(WeightsError, match=r'0.weight is not finite as torch.float16'):
        save(path, {'0.weight': torch.full((1,), 1e6)}, WeightsInfo('toy'))
    assert path.read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == ['a.safetensors']


def test_not_a_weights_file(tmp_path):
    path = tmp_path / 'a.safetensors'
    path.write_bytes(b'nonsense')
    with pytest.raises(WeightsError, match='not a safetensors file'):
        load_into(SiamFC(), path, 'siamfc')
    with pytest.raises(FileNotFoundError, match='no weights file'):
        load_into(SiamFC(), tmp_path / 'b.safetensors', 'siamfc')


def test_a_file_that_was_cut_off_is_damaged_not_foreign(tmp_path, network):
    path = save(tmp_path / 'a.safetensors', network.state_dict(), WeightsInfo('toy'))
    content = path.read_bytes()
    for size in (50, len(content) - 10):
        path.write_bytes(content[:size])
        with pytest.raises(WeightsError, match=r'a\.safetensors is damaged') as error:
            read_info(path)
        assert 'import' not in str(error.value)
    path.write_bytes(b'')
    with pytest.raises(WeightsError, match='not a safetensors file'):
        read_info(path)


def _with_info(path, info):
    from safetensors.torch import save_file

    save_file({'a': torch.zeros(1)}, path, {'format': 'tracker_core 1', **info})
    return path


@pytest.mark.parametrize(
    ('info', 'message'),
    [
        ({}, 'does not say whose weights'),
        ({'info': '{'}, 'does not say whose weights'),
        ({'info': '[1]'}, 'does not say whose weights'),
        ({'info': '{"tracker": 3}'}, 'does not say whose weights'),
        ({'info': '{"tracker": "toy", "settings": null}'}, 'settings in its metadata is None'),
        ({'info': '{"tracker": "toy", "training_data": "x"}'}, "training_data .* is 'x'"),
    ],
)
def test_unusable_metadata_is_an_error_with_the_path(tmp_path, capsys, info, message):
    path = _with_info(tmp_path / 'a.safetensors', info)
    with pytest.raises(WeightsError, match=rf'a\.safetensors: .*{message}'):
        read_info(path)
    assert main(['show', str(path)]) == 1


def test_metadata_of_later_and_earlier_versions(tmp_path):
    text = '{"tracker": "toy", "colour": "blue"}'
    info = read_info(_with_info(tmp_path / 'a.safetensors', {'info': text}))
    assert info == WeightsInfo('toy', code_version='unknown', date='unknown')


def test_foreign_safetensors_are_refused(tmp_path):
    from safetensors.torch import save_file

    save_file({'a': torch.zeros(1)}, tmp_path / 'a.safetensors')
    with pytest.raises(WeightsError, match='not written by tracker_core'):
        read_info(tmp_path / 'a.safetensors')


def test_shipped_weights_have_honest_metadata():
    for name in shipped():
        path = shipped_path(name)
        info = read_info(path)
        assert info.tracker == name
        assert info.training_data
        assert info.licence != 'unknown'
        assert path.stat().st_size < (40e6 if name == 'fcot18' else 20e6)


def test_unshipped_weights_say_what_to_do():
    with pytest.raises(FileNotFoundError, match=r"weights='FILE.safetensors'"):
        shipped_path('nonexistent')


# ------------------------------------------------------------------ published checkpoints


@pytest.fixture
def published(tmp_path):
    """A file with the layout of siamfc_alexnet_e50.pth, without batch-norm counters."""
    network = build_network('siamfc')
    state = {k: v for k, v in network.state_dict().items() if 'num_batches' not in k}
    torch.save(state, tmp_path / 'siamfc_alexnet_e50.pth')
    return tmp_path / 'siamfc_alexnet_e50.pth', state


def test_published_siamfc_imports_and_builds(published, tmp_path, capsys):
    path, state = published
    assert main(['import', str(path)]) == 0
    assert 'siamfc_alexnet_e50.safetensors' in capsys.readouterr().out
    output = tmp_path / 'siamfc_alexnet_e50.safetensors'
    network = SiamFC()
    load_into(network, output, 'siamfc')
    for name, tensor in state.items():
        assert torch.equal(network.state_dict()[name], tensor)
    build_tracker('siamfc', output, device='cpu')


class _Payload:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize('zipped', [True, False])
def test_nothing_in_a_checkpoint_is_executed(tmp_path, capsys, zipped):
    bad, trace = tmp_path / 'siamfc.pth', tmp_path / 'trace'
    torch.save(
        {'net': {'a': _Payload(trace)}, 'constructor': _Payload(trace)},
        bad,
        _use_new_zipfile_serialization=zipped,
    )
    with pytest.raises(WeightsError, match='that can be read safely: WeightsUnpickler error'):
        import_checkpoint(bad, SiamFC())
    assert main(['import', str(bad)]) == 1
    assert 'Traceback' not in capsys.readouterr().err
    assert not trace.exists()
    assert not (tmp_path / 'siamfc.safetensors').exists()
    torch.load(bad, weights_only=False)
    assert trace.exists(), 'the payload does nothing, so that this test shows nothing'


@pytest.mark.parametrize('text', [b'', b'no checkpoint', b'PK\x03\x04broken'])
def test_files_that_are_no_checkpoints_are_refused(tmp_path, text):
    (tmp_path / 'bad.pth').write_bytes(text)
    with pytest.raises(WeightsError, match='not a checkpoint that can be read safely'):
        import_checkpoint(tmp_path / 'bad.pth', SiamFC())
    with pytest.raises(FileNotFoundError, match='no checkpoint'):
        import_checkpoint(tmp_path / 'absent.pth', SiamFC())


def test_checkpoint_of_another_network_is_refused(tmp_path):
    torch.save({'conv.weight': torch.zeros(3)}, tmp_path / 'other.pth')
    with pytest.raises(WeightsError, match=r'another network: \d+ tensors do not fit') as error:
        import_checkpoint(tmp_path / 'other.pth', SiamFC())
    assert len(str(error.value)) < 400


def test_one_wrong_tensor_is_named(tmp_path):
    state = SiamFC().state_dict()
    state['backbone.conv9.weight'] = state.pop('backbone.conv5.0.weight')
    torch.save(state, tmp_path / 'odd.pth')
    expected = r'missing backbone\.conv5\.0\.weight; unexpected backbone\.conv9\.weight'
    with pytest.raises(WeightsError, match=expected):
        import_checkpoint(tmp_path / 'odd.pth', SiamFC())


@pytest.mark.parametrize('module', ['ltr', 'dlframework'])
@pytest.mark.parametrize('layout', ['zip', 'legacy'])
def test_training_checkpoints_of_both_layouts_are_read(parity, module, layout):
    folder = parity / 'fixtures'
    found = read_checkpoint(folder / f'fake_dimp_{module}_{layout}.pth')
    expected = np.load(folder / f'expected_{module}.npz')
    kept = [
        str(name)
        for name in expected['net_order']
        if not str(name).startswith(('feature_extractor.layer4', 'feature_extractor.fc'))
    ]
    assert list(found.tensors) == kept
    for name in kept:
        np.testing.assert_array_equal(found.tensors[name], expected[f'net/{name}'])
    constructor = json.loads(str(expected['constructor']))
    assert found.builder == constructor['fun_name']
    assert found.arguments == constructor['kwds']


@pytest.mark.parametrize('name', ['dimp18', 'dimp50', 'prdimp50', 'super_dimp'])
def test_published_dimp_layout_imports(name, tmp_path, capsys):
    """A training checkpoint with unused stage, foreign objects and without counters."""
    state = build_network(name).state_dict()
    state = {key: value for key, value in state.items() if 'num_batches' not in key}
    unused = {'feature_extractor.layer4.0.conv1.weight': torch.zeros(2)}
    path = tmp_path / f'{name}.pth'
    torch.save({'epoch': 50, 'net': {**state, **unused}}, path)
    assert main(['import', str(path)]) == 0
    assert f"build_tracker('{name}'" in capsys.readouterr().out
    network = build_network(name)
    load_into(network, tmp_path / f'{name}.safetensors', name)
    for key, tensor in state.items():
        assert torch.equal(network.state_dict()[key], tensor)


class NetConstructor:
    """Looks like what published checkpoints hold."""

    def __init__(self, **arguments):
        self.fun_name, self.kwds = 'fcotnet', arguments


@pytest.mark.parametrize('noted', [{}, {'norm_scale_coef': 1.5}])
def test_published_fcot_installs_with_what_only_its_constructor_says(
    noted, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr('tracker_core.weights.INSTALLED', tmp_path / 'home' / 'weights')
    state = build_network('fcot').state_dict()
    constructor = NetConstructor(filter_size=4, **noted)
    torch.save({'net': state, 'constructor': constructor}, tmp_path / 'fcot.pth')
    assert main(['import', str(tmp_path / 'fcot.pth'), '--install']) == 0
    assert "build_tracker('fcot')" in capsys.readouterr().out
    assert read_info(default_path('fcot')).settings == noted
    tracker = build_tracker('fcot', device='cpu')
    norm = tracker.network.classifier_72.feature_extractor[-1]
    coefficient = noted.get('norm_scale_coef', 2.0)
    assert norm.scale == pytest.approx((coefficient / (256 * 16)) ** 0.5)


def test_checkpoints_of_several_gpus_are_unwrapped(tmp_path):
    state = SiamFC().state_dict()
    torch.save({'net': {f'module.{k}': v for k, v in state.items()}}, tmp_path / 'siamfc.pth')
    network = SiamFC()
    import_checkpoint(tmp_path / 'siamfc.pth', network)
    for name, tensor in state.items():
        assert torch.equal(network.state_dict()[name], tensor)


def test_names_that_are_no_text_are_refused(tmp_path):
    torch.save({'net': {1: torch.zeros(1)}}, tmp_path / 'odd.pth')
    with pytest.raises(WeightsError, match='neither a dictionary of tensors'):
        read_checkpoint(tmp_path / 'odd.pth')


def test_dimp50_is_not_taken_for_dimp18(tmp_path):
    torch.save({'net': build_network('dimp50').state_dict()}, tmp_path / 'dimp18.pth')
    with pytest.raises(WeightsError, match='belongs to another network'):
        import_checkpoint(tmp_path / 'dimp18.pth', build_network('dimp18'))


def test_nameless_checkpoint_asks_for_its_tracker(tmp_path, capsys):
    torch.save({}, tmp_path / 'best.pth')
    assert main(['import', str(tmp_path / 'best.pth')]) == 1
    assert 'with --tracker, one of siamfc' in capsys.readouterr().err


def test_show_prints_the_metadata(tmp_path, network, capsys):
    info = WeightsInfo('toy', ('clips',), 'MIT')
    path = save(tmp_path / 'toy.safetensors', network.state_dict(), info)
    assert main(['show', str(path)]) == 0
    assert 'licence: MIT' in capsys.readouterr().out


def test_show_takes_the_name_of_shipped_weights_too(tmp_path, monkeypatch, network, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(['show', 'siamfc']) == 0
    assert 'tracker: siamfc' in capsys.readouterr().out
    save(tmp_path / 'siamfc', network.state_dict(), WeightsInfo('toy'))
    assert main(['show', 'siamfc']) == 0
    assert 'tracker: toy' in capsys.readouterr().out, 'a file of that name comes first'
    assert main(['show', 'dimp51']) == 1
