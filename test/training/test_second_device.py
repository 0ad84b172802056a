"""The stand-in for a GPU is as strict as one."""

from __future__ import annotations

import copy

import pytest
import torch
from second_device import SecondDevice
from torch import nn


def test_results_lie_where_their_inputs_do(second_device: SecondDevice) -> None:
    there = torch.ones(3, device='cuda')
    assert there.is_cuda and (2 * there).device.type == 'cuda'
    assert torch.zeros(3).to(there.device).is_cuda and torch.zeros(3).to(there).is_cuda
    assert not there.cpu().is_cuda
    assert [each.is_cuda for each in there.split(2)] == [True, True]
    assert torch.zeros_like(there).is_cuda and there.new_zeros(2).is_cuda


def test_devices_are_not_mixed(second_device: SecondDevice) -> None:
    here, there = torch.ones(3), torch.ones(3, device='cuda')
    for mix in (
        lambda: here + there,
        lambda: torch.stack([there, here]),
        lambda: there.add_(here),
    ):
        with pytest.raises(RuntimeError, match='same device'):
            mix()
    with pytest.raises(TypeError, match='NumPy'):
        there.numpy()
    assert (there + torch.tensor(2)).tolist() == [3, 3, 3], 'a single number is no matter'


def test_waits_are_noted(second_device: SecondDevice) -> None:
    there = torch.arange(4.0, device='cuda')
    there[there.long()] = 1
    assert second_device.waits == []
    float(there[0]), there[there > 0], there.tolist()
    assert len(second_device.waits) == 3


def test_networks_learn_there(second_device: SecondDevice) -> None:
    network = nn.Linear(2, 1).to('cuda')
    twin = copy.deepcopy(network)
    before = network.weight.detach().cpu().clone()
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    network(torch.ones(1, 2, device='cuda')).sum().backward()
    optimizer.step()
    assert network.weight.is_cuda and twin.weight.is_cuda
    assert torch.equal(network.weight.cpu(), before - 1)
    assert torch.equal(twin.weight.cpu(), before)
    with pytest.raises(RuntimeError, match='same device'):
        network(torch.ones(1, 2))
