import subprocess
import sys
from dataclasses import is_dataclass, replace

import numpy as np
import pytest
import torch

from tracker_core import Box, build_tracker, tracker_names
from tracker_core.factory import (
    build_network,
    choose_device,
    default_settings,
    network_name,
    weights_name,
)
from tracker_core.siamfc.network import SiamFC, initialize_weights
from tracker_core.weights import WeightsInfo, save


def test_unknown_tracker_names_the_valid_ones():
    with pytest.raises(ValueError, match="unknown tracker 'siamfx'; valid: siamfc, siamfc5"):
        build_tracker('siamfx')


def test_unknown_setting_is_refused():
    with pytest.raises(ValueError, match='valid settings: exemplar_size'):
        build_tracker('siamfc', 'random', settings={'scale': 3})


@pytest.mark.parametrize(
    ('name', 'setting', 'value'),
    [
        *((name, 'image_size', 0) for name in ('dimp18', 'fcot18', 'dcfst18')),
        *((name, 'image_size', -32) for name in ('dimp18', 'fcot18', 'dcfst18')),
        *((name, 'search_factor', 0) for name in ('dimp18', 'fcot18')),
        *((name, 'update_interval', 0) for name in ('dimp18', 'fcot18', 'dcfst18')),
        ('dcfst18', 'refit_interval', 0),
        ('dimp18', 'dropout', 1.0),
        ('siamfc', 'upsampling', 0),
        ('siamfc', 'exemplar_size', 50),
        ('siamfc', 'search_size', 100),
        *((name, 'confidence_offset', float('nan')) for name in ('siamfc', 'dimp18', 'fcot18')),
    ],
)
def test_settings_that_cannot_work_are_refused_when_a_tracker_is_built(name, setting, value):
    with pytest.raises(ValueError, match=rf'{setting} must be '):
        build_tracker(name, 'random', device='cpu', settings={setting: value})


def test_missing_weights_are_never_silently_random(tmp_path, monkeypatch):
    monkeypatch.setattr('tracker_core.weights.PRETRAINED', tmp_path)
    with pytest.raises(FileNotFoundError, match='no weights are shipped for siamfc'):
        build_tracker('siamfc')


@pytest.mark.parametrize('name', ['dimp50', 'prdimp50', 'super_dimp'])
def test_trackers_without_shipped_weights_say_what_to_pass(name):
    with pytest.raises(FileNotFoundError, match=rf'no weights are shipped for {name} .*import'):
        build_tracker(name)


@pytest.fixture
def no_weights(tmp_path, monkeypatch):
    """Nothing is shipped and nothing installed; the folders are (shipped, installed)."""
    folders = tmp_path / 'shipped', tmp_path / 'installed'
    monkeypatch.setattr('tracker_core.weights.PRETRAINED', folders[0])
    monkeypatch.setattr('tracker_core.weights.INSTALLED', folders[1])
    for folder in folders:
        folder.mkdir()
    return folders


def _save_random(name, folder, **settings):
    path = folder / f'{name}.safetensors'
    save(path, build_network(name).state_dict(), WeightsInfo(name, settings=settings))


def test_fcot_without_weights_runs_the_shipped_fcot18_and_says_so(no_weights, caplog):
    shipped, _ = no_weights
    with pytest.raises(FileNotFoundError, match='no weights are shipped for fcot '):
        build_tracker('fcot')
    _save_random('fcot18', shipped)
    tracker = build_tracker('fcot', device='cpu', settings={'confidence_slope': 9.0})
    (record,) = caplog.records
    assert record.levelname == 'WARNING' and 'running fcot18' in record.getMessage()
    assert '\n' not in record.getMessage()
    assert tracker.network.feature_extractor.channels['layer3'] == 256
    assert tracker.settings.confidence_slope == 9.0
    build_tracker('fcot18', device='cpu')
    assert len(caplog.records) == 1


def test_a_variant_keeps_its_settings_whatever_the_weights(no_weights, caplog):
    shipped, _ = no_weights
    tuned = {'confidence_slope': 9.0, 'side_latest': 0.5, 'early_side_iterations': 0}
    _save_random('fcot18', shipped, **tuned)
    settings = build_tracker('fcot_vot18', device='cpu').settings
    assert 'fcot18 with the settings of fcot_vot18' in caplog.records[0].getMessage()
    published = default_settings('fcot_vot18')
    assert (settings.search_factor, settings.memory_size) == (4.0, 250)
    assert settings == replace(published, confidence_slope=9.0, early_side_iterations=0)
    for name in ('fcot', 'fcot18'):
        settings = build_tracker(name, device='cpu').settings
        assert settings == replace(default_settings(name), **tuned)


def test_only_the_plain_tracker_looks_further_than_published(no_weights):
    shipped, _ = no_weights
    _save_random('dimp18', shipped, min_region=64.0)
    assert build_tracker('dimp18', device='cpu').settings.min_region == 64
    assert build_tracker('dimp18_vot18', device='cpu').settings.min_region == 0
    changes = {'min_region': 32.0, 'window': False}
    settings = build_tracker('dimp18_vot18', device='cpu', settings=changes).settings
    assert settings.min_region == 32 and not settings.window and settings.memory_size == 250


def test_name_of_the_weights_that_are_taken(no_weights):
    shipped, installed = no_weights
    assert weights_name('siamfc5') == 'siamfc' and weights_name('fcot_otb') == 'fcot'
    _save_random('fcot18', shipped)
    assert weights_name('fcot') == weights_name('fcot_otb') == 'fcot18'
    _save_random('fcot', installed)
    assert weights_name('fcot_otb') == 'fcot'


def test_installed_weights_come_first(no_weights, caplog):
    shipped, installed = no_weights
    for folder, offset in ((shipped, 0.2), (installed, 0.4)):
        info = WeightsInfo('siamfc', settings={'confidence_offset': offset})
        save(folder / 'siamfc.safetensors', build_network('siamfc').state_dict(), info)
        assert build_tracker('siamfc', device='cpu').settings.confidence_offset == offset
    _save_random('fcot18', shipped)
    _save_random('fcot', installed)
    tracker = build_tracker('fcot', device='cpu')
    assert tracker.network.feature_extractor.channels['layer3'] == 1024
    assert not caplog.records


def test_every_name_of_the_table_exists():
    for name in tracker_names():
        assert is_dataclass(default_settings(name))
        with torch.device('meta'):
            assert len(list(build_network(name).parameters())) >= 10, name
        assert network_name(network_name(name)) == network_name(name)


def test_the_table_does_not_load_pytorch():
    """Programs that only want names and boxes, such as a camera node, start without it."""
    code = 'import sys, tracker_core; tracker_core.tracker_names(); print("torch" in sys.modules)'
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert result.stdout.strip() == 'False', result.stderr


@pytest.mark.parametrize('device', ['gpu', 'cuda:x', 'cpu:-1', ''])
def test_unknown_device(device):
    with pytest.raises(ValueError, match='unknown device'):
        choose_device(device)


def test_absent_cuda_device_says_how_many_there_are():
    with pytest.raises(ValueError, match=rf'sees {torch.cuda.device_count()} CUDA devices'):
        choose_device('cuda:99')


def test_settings_of_the_weights_are_defaults_and_arguments_win(tmp_path):
    network = SiamFC()
    initialize_weights(network, torch.Generator().manual_seed(1))
    info = WeightsInfo('siamfc', settings={'window_influence': 0.3, 'confidence_slope': 2.0})
    path = save(tmp_path / 'w.safetensors', network.state_dict(), info)
    tracker = build_tracker('siamfc5', path, device='cpu', settings={'confidence_slope': 5.0})
    assert tracker.settings.window_influence == 0.3
    assert tracker.settings.confidence_slope == 5.0
    assert tracker.settings.scales == default_settings('siamfc5').scales == 5


def test_random_weights_follow_the_seed(frames):
    def response(seed):
        tracker = build_tracker('siamfc', 'random', device='cpu', seed=seed)
        tracker.initialize(frames[0], Box(50, 40, 30, 30))
        tracker.track(frames[1])
        return tracker.response_map

    assert np.array_equal(response(1), response(1))
    assert not np.array_equal(response(1), response(2))


@pytest.mark.parametrize('name', ['siamfc', 'dimp18', 'fcot18', 'dcfst18'])
def test_the_state_of_pytorch_is_neither_used_nor_changed(name, frames):
    light = {'image_size': 96, 'blurs': [], 'rotations': []} if name != 'siamfc' else {}

    def run():
        tracker = build_tracker(name, device='cpu', settings=light | {'precision': 'float32'})
        tracker.initialize(frames[0], Box(50.3, 40.2, 30, 30))
        return [tracker.track(frame) for frame in frames[1:3]]

    state = torch.get_rng_state()
    expected = run()
    assert torch.equal(torch.get_rng_state(), state)
    torch.set_default_dtype(torch.float64)
    try:
        assert run() == expected
    finally:
        torch.set_default_dtype(torch.float32)


def test_all_names_are_unique():
    assert len(set(tracker_names())) == len(tracker_names()) >= 2
