"""Reference networks of both variants."""

import numpy as np
import pytest
import torch

from tracker_core.dcfst.network import dcfst18, dcfst50
from tracker_core.weights import load_tensors


@pytest.fixture(scope='session')
def reference_state(parity, rule):
    """Weights by the rule of the fixtures, as a function of the variant's name."""

    def state(name):
        data = np.load(parity / f'{name}.npz')
        keys = rule.read_keys(parity / f'keys_{name}.txt')
        state = rule.make_state_dict(keys, str(data['salt']), rule.GAINS[name])
        assert np.allclose(rule.state_dict_sums(state), data['weights_sums'], rtol=0, atol=1e-4)
        return {key: torch.from_numpy(np.asarray(value)) for key, value in state.items()}

    return state


@pytest.fixture(scope='session', params=['dcfst18', 'dcfst50'])
def reference(request, parity, reference_state):
    """Name, network with the reference weights, fixture arrays."""
    network = (dcfst18 if request.param == 'dcfst18' else dcfst50)().eval()
    load_tensors(network, reference_state(request.param), 'the rule')
    network.requires_grad_(False)
    return request.param, network, np.load(parity / f'{request.param}.npz')
