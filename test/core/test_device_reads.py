"""How often a frame needs something back from the device, without one.

Tensors without data (`meta`) stand for those of a GPU: whatever reads one, or mixes it with one
of the CPU, is an error, but for the two ways in which results are read. Those give random numbers.
"""

import pytest
import torch

from tracker_core import Box
from tracker_core.dcfst.network import dcfst18
from tracker_core.dcfst.settings import DCFST18, DCFST50
from tracker_core.dcfst.tracker import DCFSTTracker
from tracker_core.dimp.network import dimp18, prdimp18
from tracker_core.dimp.settings import PRDIMP18, DiMPSettings
from tracker_core.dimp.tracker import DiMPTracker
from tracker_core.fcot.network import fcot, fcot18
from tracker_core.fcot.settings import FCOTSettings
from tracker_core.fcot.tracker import FCOTTracker
from tracker_core.settings import override
from tracker_core.siamfc.network import SiamFC
from tracker_core.siamfc.tracker import SiamFCSettings, SiamFCTracker

BOX = Box(50, 40, 30, 30)
#: Every frame counts as found and is learnt from.
EAGER = {'image_size': 96, 'not_found': -1e9, 'update_interval': 1}
CLEAR = {**EAGER, 'distractor_threshold': 1e9, 'hard_negative_threshold': 1e9}
#: Tracker, network, settings, changes, results that a frame reads.
TRACKERS = {
    'siamfc': (SiamFCTracker, SiamFC, SiamFCSettings(), {}, 1),
    'dimp18': (DiMPTracker, dimp18, DiMPSettings(), CLEAR, 2),
    'prdimp18': (DiMPTracker, prdimp18, PRDIMP18, CLEAR, 2),
    'fcot18': (FCOTTracker, fcot18, FCOTSettings(), CLEAR, 2),
    'fcot': (FCOTTracker, fcot, FCOTSettings(), CLEAR, 2),
    'dcfst18': (DCFSTTracker, dcfst18, DCFST18, {**EAGER, 'refit_interval': 1}, 3),
    'dcfst with products': (DCFSTTracker, dcfst18, DCFST50, {**EAGER, 'refit_interval': 1}, 3),
}


@pytest.fixture
def reads(monkeypatch):
    """Shapes of what was read."""
    shapes = []

    def replace(name):
        original = getattr(torch.Tensor, name)

        def read(tensor):
            if tensor.device.type == 'meta':
                shapes.append(tuple(tensor.shape))
                tensor = 20 + torch.rand(tensor.shape, dtype=tensor.dtype)
            return original(tensor)

        monkeypatch.setattr(torch.Tensor, name, read)

    replace('cpu')
    replace('tolist')
    return shapes


@pytest.mark.parametrize('name', TRACKERS)
def test_a_frame_reads_nothing_but_its_results(name, frames, reads):
    kind, network, settings, changes, count = TRACKERS[name]
    tracker = kind(network(), override(settings, changes), 'meta')
    tracker.initialize(frames[0], BOX)
    for frame in frames[1:4]:
        reads.clear()
        tracker.track(frame)
        assert len(reads) == count, reads
