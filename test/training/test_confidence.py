"""The curve from response peak to confidence."""

import math

import numpy as np
import pytest
import torch

from tracker_core import weights
from tracker_core.sequence import write_boxes
from tracker_core.siamfc.network import SiamFC, initialize_weights
from tracker_core.video import VideoWriter
from training.__main__ import main
from training.confidence import fit
from training.datasets import DataError


def test_fit_recovers_the_curve_that_made_the_labels():
    rng = np.random.default_rng(0)
    values = rng.uniform(0, 1, 20000)
    labels = rng.uniform(size=20000) < 1 / (1 + np.exp(-12 * (values - 0.5)))
    result = fit(values, labels)
    assert result.offset == pytest.approx(0.5, abs=0.02)
    assert result.slope == pytest.approx(12, rel=0.05)


def test_both_kinds_weigh_the_same_whatever_their_number():
    values = np.array([0.2] * 10 + [0.8] * 1000)
    labels = values > 0.5
    assert fit(values, labels).offset == pytest.approx(0.5, abs=0.01)


def test_shares_of_mistakes_by_hand():
    values = np.array([0.1, 0.2, 0.3, 0.9, 0.1, 0.7, 0.8, 0.9])
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1], bool)
    result = fit(values, labels)
    assert (result.on_target, result.off_target) == (4, 4)
    assert (result.confident_off_target, result.doubtful_on_target) == (0.25, 0.25)


@pytest.mark.parametrize('labels', [np.ones(3, bool), np.zeros(3, bool)])
def test_one_kind_alone_is_an_error(labels):
    with pytest.raises(DataError, match='add clips'):
        fit(np.arange(3.0), labels)


def _clip(folder, seed):
    rng = np.random.default_rng(seed)
    background = rng.integers(0, 90, (90, 120, 3), dtype=np.uint8)
    target = rng.integers(0, 255, (4, 4, 3), dtype=np.uint8).repeat(7, 0).repeat(7, 1)
    folder.mkdir()
    with VideoWriter(folder / 'clip.mp4') as writer:
        for index in range(7):
            frame = background.copy()
            frame[30:58, 40 + 2 * index : 68 + 2 * index] = target
            writer.write(frame)
    write_boxes(folder / 'groundtruth.txt', np.array([[40 + 2 * i, 30, 28, 28] for i in range(7)]))
    return str(folder)


def test_command_stores_the_curve_and_keeps_the_weights(tmp_path, capsys):
    network = SiamFC()
    initialize_weights(network, torch.Generator().manual_seed(0))
    path = tmp_path / 'w.safetensors'
    weights.save(path, network.state_dict(), weights.WeightsInfo('siamfc', licence='MIT'))
    clips = [_clip(tmp_path / 'a', 1), _clip(tmp_path / 'b', 2)]
    assert main(['calibrate', str(path), *clips]) == 0
    assert 'confident off target' in capsys.readouterr().out
    info = weights.read_info(path)
    assert info.licence == 'MIT'
    assert all(math.isfinite(value) for value in info.settings.values())
    assert set(info.settings) == {'confidence_offset', 'confidence_slope'}
    loaded = SiamFC()
    weights.load_into(loaded, path, 'siamfc')
    for name, tensor in network.state_dict().items():
        stored = tensor.half().float() if tensor.is_floating_point() else tensor
        assert torch.equal(loaded.state_dict()[name], stored)


def test_a_single_clip_is_not_enough(tmp_path, capsys):
    network = SiamFC()
    path = tmp_path / 'w.safetensors'
    weights.save(path, network.state_dict(), weights.WeightsInfo('siamfc'))
    assert main(['calibrate', str(path), _clip(tmp_path / 'a', 1)]) == 1
    assert 'at least two clips' in capsys.readouterr().err


def test_a_file_that_is_no_weights_file(tmp_path, capsys):
    (tmp_path / 'w.safetensors').write_bytes(b'nonsense')
    assert main(['calibrate', str(tmp_path / 'w.safetensors'), 'a', 'b']) == 1
    assert 'not a safetensors file' in capsys.readouterr().err
