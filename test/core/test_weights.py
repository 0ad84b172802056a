import pickle

import pytest
import torch
from torch import nn

from tracker_core import build_tracker
from tracker_core.factory import build_network
from tracker_core.siamfc.network import SiamFC
from tracker_core.weights import (
    WeightsError,
    WeightsInfo,
    import_checkpoint,
    load_into,
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
        assert path.stat().st_size < 20e6


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
    def __reduce__(self):
        return pickle.loads, (b'',)


def test_nothing_in_a_checkpoint_is_executed(tmp_path, capsys):
    torch.save({'a': _Payload()}, tmp_path / 'bad.pth')
    with pytest.raises(WeightsError, match='read safely'):
        import_checkpoint(tmp_path / 'bad.pth', SiamFC())
    assert main(['import', str(tmp_path / 'bad.pth')]) == 1
    assert 'Traceback' not in capsys.readouterr().err
    assert not (tmp_path / 'bad.safetensors').exists()


def test_checkpoint_of_another_network_is_refused(tmp_path):
    torch.save({'conv.weight': torch.zeros(3)}, tmp_path / 'other.pth')
    with pytest.raises(WeightsError, match=r'unexpected conv\.weight'):
        import_checkpoint(tmp_path / 'other.pth', SiamFC())


def test_show_prints_the_metadata(tmp_path, network, capsys):
    info = WeightsInfo('toy', ('clips',), 'MIT')
    path = save(tmp_path / 'toy.safetensors', network.state_dict(), info)
    assert main(['show', str(path)]) == 0
    assert 'licence: MIT' in capsys.readouterr().out
