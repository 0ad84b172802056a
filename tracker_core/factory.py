"""The table of trackers and the one way to build them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from tracker_core import weights as weights_file
from tracker_core.settings import override
from tracker_core.siamfc.network import SiamFC, initialize_weights
from tracker_core.siamfc.tracker import FIVE_SCALES, SiamFCSettings, SiamFCTracker
from tracker_core.tracker import Tracker


@dataclass(frozen=True)
class _Entry:
    weights: str
    """Name of the weights, shared by the variants of one network."""
    network: Callable[[], nn.Module]
    randomize: Callable[[nn.Module, torch.Generator], None]
    settings: Any
    tracker: Callable[[Any, Any, torch.device], Tracker]


_TRACKERS = {
    'siamfc': _Entry('siamfc', SiamFC, initialize_weights, SiamFCSettings(), SiamFCTracker),
    'siamfc5': _Entry('siamfc', SiamFC, initialize_weights, FIVE_SCALES, SiamFCTracker),
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

    name: one of `tracker_names()`. weights: None for the shipped ones, a path to a file written by
    `tracker_core.weights`, or 'random' (from `seed`; for trials). device: 'auto' (CUDA where there
    is one), 'cpu', 'cuda' or 'cuda:N'. settings: changes of the tracker's settings; they win over
    those that belong to the weights.

    Raises ValueError for an unknown tracker, device or setting and for weights that do not fit,
    FileNotFoundError where there are none.
    """
    entry = _entry(name)
    target = choose_device(device)
    network = entry.network()
    defaults: Mapping[str, Any] = {}
    if weights == 'random':
        entry.randomize(network, torch.Generator().manual_seed(seed))
    else:
        path = weights_file.shipped_path(entry.weights) if weights is None else weights
        defaults = weights_file.load_into(network, path, entry.weights).settings
    chosen = override(override(entry.settings, defaults), settings or {})
    return entry.tracker(network, chosen, target)


def build_network(name: str) -> nn.Module:
    """Build the bare network of a tracker, uninitialised; ValueError for an unknown name."""
    return _entry(name).network()


def network_name(name: str) -> str:
    """Name under which the weights of a tracker are filed: 'siamfc5' uses those of 'siamfc'."""
    return _entry(name).weights


def default_settings(name: str) -> Any:
    """Return the settings dataclass with the published values of a tracker."""
    return _entry(name).settings


def choose_device(name: str) -> torch.device:
    """Turn 'auto', 'cpu', 'cuda' or 'cuda:N' into a device that exists, or raise ValueError."""
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
