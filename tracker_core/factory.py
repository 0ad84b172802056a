"""The table of trackers and the one way to build them."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from tracker_core.settings import override
from tracker_core.tracker import Tracker

if TYPE_CHECKING:
    import torch
    from torch import nn

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Entry:
    """One tracker. Names, not objects: importing the table must not load PyTorch."""

    weights: str
    """Name of the weights, shared by the variants of one network."""
    network: str
    tracker: str
    settings: str
    initialize: str = ''
    """Draws random weights where the constructor of the network does not."""
    instead: str = ''
    """Network that runs, with a warning, where there are no weights of this one."""
    as_published: tuple[str, ...] = ()
    """Settings that weights do not change, besides those that make it a variant."""


def _siamfc(settings: str) -> _Entry:
    package = 'tracker_core.siamfc'
    return _Entry(
        'siamfc',
        network=f'{package}.network:SiamFC',
        tracker=f'{package}.tracker:SiamFCTracker',
        settings=f'{package}.tracker:{settings}',
        initialize=f'{package}.network:initialize_weights',
    )


def _dimp(network: str, settings: str) -> _Entry:
    package = 'tracker_core.dimp'
    return _Entry(
        network,
        network=f'{package}.network:{network}',
        tracker=f'{package}.tracker:DiMPTracker',
        settings=f'{package}.settings:{settings}',
        as_published=('min_region',) if 'VOT' in settings else (),
    )


def _fcot(network: str, settings: str, instead: str = '') -> _Entry:
    package = 'tracker_core.fcot'
    return _Entry(
        network,
        network=f'{package}.network:{network}',
        tracker=f'{package}.tracker:FCOTTracker',
        settings=f'{package}.settings:{settings}',
        instead=instead,
    )


def _dcfst(network: str, settings: str) -> _Entry:
    package = 'tracker_core.dcfst'
    return _Entry(
        network,
        network=f'{package}.network:{network}',
        tracker=f'{package}.tracker:DCFSTTracker',
        settings=f'{package}.settings:{settings}',
        initialize=f'{package}.network:initialize_weights',
    )


_TRACKERS = {
    'siamfc': _siamfc('SiamFCSettings'),
    'siamfc5': _siamfc('FIVE_SCALES'),
    'dimp18': _dimp('dimp18', 'DiMPSettings'),
    'dimp18_vot18': _dimp('dimp18', 'VOT18'),
    'dimp50': _dimp('dimp50', 'DiMPSettings'),
    'dimp50_vot18': _dimp('dimp50', 'VOT18'),
    'dimp50_vot19': _dimp('dimp50', 'VOT19'),
    'prdimp18': _dimp('prdimp18', 'PRDIMP18'),
    'prdimp50': _dimp('prdimp50', 'PRDIMP50'),
    'prdimp50_vot18': _dimp('prdimp50', 'PRDIMP50_VOT18'),
    'super_dimp': _dimp('super_dimp', 'SUPER_DIMP'),
    'fcot': _fcot('fcot', 'LASOT', instead='fcot18'),
    'fcot_otb': _fcot('fcot', 'OTB', instead='fcot18'),
    'fcot_nfs': _fcot('fcot', 'NFS', instead='fcot18'),
    'fcot_trackingnet': _fcot('fcot', 'TRACKINGNET', instead='fcot18'),
    'fcot_uav123': _fcot('fcot', 'UAV123', instead='fcot18'),
    'fcot_vot18': _fcot('fcot', 'VOT18', instead='fcot18'),
    'fcot18': _fcot('fcot18', 'FCOTSettings'),
    'dcfst18': _dcfst('dcfst18', 'DCFST18'),
    'dcfst18_got10k': _dcfst('dcfst18', 'DCFST18_GOT10K'),
    'dcfst18_nfs': _dcfst('dcfst18', 'DCFST18_NFS'),
    'dcfst18_trackingnet': _dcfst('dcfst18', 'DCFST18_TRACKINGNET'),
    'dcfst18_vot19': _dcfst('dcfst18', 'DCFST18_VOT19'),
    'dcfst50': _dcfst('dcfst50', 'DCFST50'),
    'dcfst50_trackingnet': _dcfst('dcfst50', 'DCFST50_TRACKINGNET'),
    'dcfst50_vot18': _dcfst('dcfst50', 'DCFST50_VOT18'),
}


def tracker_names() -> tuple[str, ...]:
    """Names that `build_tracker` accepts."""
    return tuple(_TRACKERS)


def build_tracker(
    name: str,
    weights: str | os.PathLike[str] | None = None,
    *,
    device: str = 'auto',
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Tracker:
    """Build a tracker that is ready for `initialize`.

    name: one of `tracker_names()`. weights: None for the user's installed ones, else the shipped
    ones, else, with a warning, the network of a lighter relative with its own ('fcot18' for
    'fcot'); a path to a file written by `tracker_core.weights`; or 'random' (from `seed`; for
    trials). device: 'auto' (CUDA where there is one), 'cpu', 'cuda' or 'cuda:N'. settings: changes
    of the tracker's settings; they win over those that make a variant ('fcot_vot18' of 'fcot'),
    and these over those that belong to the weights.

    Raises ValueError for an unknown tracker, device or setting and for weights that do not fit,
    FileNotFoundError where there are none.
    """
    from tracker_core import weights as weights_file

    entry = _entry(name)
    target = choose_device(device)
    defaults: Mapping[str, Any] = {}
    if weights == 'random':
        network = _random_network(entry, seed)
    else:
        used = entry.weights if weights else weights_name(name)
        path = weights or weights_file.default_path(used)
        if used != entry.weights:
            _warn_of_replacement(name, used)
        network = _empty_network(used)
        defaults = weights_file.load_into(network, path, used).settings
    chosen = override(_fitted_to(defaults, entry), settings or {})
    tracker: Tracker = resolve_name(entry.tracker)(network, chosen, target)
    return tracker


def build_network(name: str) -> nn.Module:
    """Build the bare network of a tracker, uninitialised; ValueError for an unknown name."""
    network: nn.Module = resolve_name(_entry(name).network)()
    return network


def network_name(name: str) -> str:
    """Name under which the weights of a tracker are filed: 'siamfc5' uses those of 'siamfc'."""
    return _entry(name).weights


def weights_name(name: str) -> str:
    """Name of the weights that `build_tracker` takes where it is given none.

    Those of `network_name`, or, where there are none, those of the network that runs instead.
    """
    from tracker_core.weights import has_weights

    entry = _entry(name)
    replaced = entry.instead and not has_weights(entry.weights) and has_weights(entry.instead)
    return entry.instead if replaced else entry.weights


def default_settings(name: str) -> Any:
    """Return the settings dataclass with the published values of a tracker, for any weights."""
    return _settings(_entry(name))


def _settings(entry: _Entry) -> Any:
    settings = resolve_name(entry.settings)
    return settings() if isinstance(settings, type) else settings


def _fitted_to(defaults: Mapping[str, Any], entry: _Entry) -> Any:
    """Settings of a tracker with those that belong to weights, but for what makes it a variant."""
    own, base = _settings(entry), default_settings(entry.weights)
    varied = {key for key, value in vars(own).items() if value != getattr(base, key)}
    kept = varied.union(entry.as_published)
    return override(own, {key: value for key, value in defaults.items() if key not in kept})


def _warn_of_replacement(name: str, used: str) -> None:
    _LOG.warning(
        'no weights of %s are installed (python -m tracker_core.weights import FILE --install): '
        'running %s with the settings of %s',
        network_name(name),
        used,
        name,
    )


def _empty_network(name: str) -> nn.Module:
    """Network to be filled; PyTorch's random numbers and default dtype make no difference."""
    import torch

    with torch.random.fork_rng(devices=[]):
        return build_network(name).float()


def _random_network(entry: _Entry, seed: int) -> nn.Module:
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network: nn.Module = resolve_name(entry.network)()
        if entry.initialize:
            resolve_name(entry.initialize)(network)
    return network.float()


def choose_device(name: str) -> torch.device:
    """Turn 'auto', 'cpu', 'cuda' or 'cuda:N' into a device that exists, or raise ValueError."""
    import torch

    if name == 'auto':
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    kind, _, index = name.partition(':')
    if kind not in ('cpu', 'cuda') or (index and not index.isdigit()):
        raise ValueError(f"unknown device {name!r}; valid: 'auto', 'cpu', 'cuda', 'cuda:N'")
    if kind == 'cuda' and int(index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f'device {name!r} is not there: PyTorch {torch.__version__} sees '
            f"{torch.cuda.device_count()} CUDA devices; use 'auto' or 'cpu'"
        )
    return torch.device(name)


def _entry(name: str) -> _Entry:
    if name not in _TRACKERS:
        raise ValueError(f'unknown tracker {name!r}; valid: {", ".join(_TRACKERS)}')
    return _TRACKERS[name]
