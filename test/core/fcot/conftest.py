"""The FCOT network with the weights of the rule."""

import json

import numpy as np
import pytest
import torch

from tracker_core.fcot.network import fcot
from tracker_core.weights import load_tensors


@pytest.fixture(scope='package')
def published(parity, rule):
    """Build a full FCOT for a file of reference values; all of them have the same salt."""
    keys = rule.read_keys(parity / 'keys_fcot.txt')
    common = rule.make_state_dict(keys, 'open', rule.GAINS['fcot'])

    def build(data):
        assert str(data['salt']) == 'open'
        edits = json.loads(str(data['weight_edits'])) if 'weight_edits' in data else {}
        state = common | {name: common[name] * np.float32(edits[name]) for name in edits}
        sums = rule.state_dict_sums(state)
        np.testing.assert_allclose(sums, data['weights_sums'], rtol=0, atol=1e-4)
        with torch.device('meta'):
            network = fcot().eval().requires_grad_(False)
        network.to_empty(device='cpu').set_norm_scale(1.5)
        tensors = {key: torch.from_numpy(np.asarray(value)) for key, value in state.items()}
        load_tensors(network, tensors, 'keys_fcot.txt')
        return network

    return build
