"""What is evaluated: a tracker with its weights and settings, under a name of its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tracker_core import Tracker, __version__, build_tracker, tracker_names
from tracker_core import weights as weights_file
from tracker_core.benchmark.baselines import (
    BASELINE_NAMES,
    ONNX_FILES,
    build_baseline,
    find_networks,
)
from tracker_core.factory import default_settings, weights_name


@dataclass(frozen=True)
class TrackerSpec:
    """How to build a tracker in a worker process."""

    name: str
    label: str
    """Name of the folder of its results and in tables; the tracker's own name by default."""
    weights: str | None = None
    """As for `build_tracker`; for OpenCV's deep trackers the folder of their ONNX files."""
    device: str = 'auto'
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0

    def build(self, draws: int | None = None) -> Tracker:
        """Build the tracker; raises what `build_tracker` and `build_baseline` raise.

        draws: seed of the random numbers of trackers that have a setting for it, unless
        `settings` gives one; None leaves the tracker's own.
        """
        if self.name in BASELINE_NAMES:
            return build_baseline(self.name, self.weights, dict(self.settings))
        if self.name not in tracker_names():
            valid = ', '.join(known_trackers())
            raise ValueError(f'unknown tracker {self.name!r}; valid: {valid}')
        settings = dict(self.settings)
        if draws is not None and hasattr(default_settings(self.name), 'seed'):
            settings.setdefault('seed', draws)
        return build_tracker(
            self.name, self.weights, device=self.device, settings=settings, seed=self.seed
        )

    def describe(self) -> dict[str, Any]:
        """Everything that decides the results, for the record beside them."""
        return {
            'tracker': self.name,
            'label': self.label,
            'weights': self._fingerprints(),
            'settings': json.loads(json.dumps(dict(self.settings))),
            'seed': self.seed,
            'version': __version__,
        }

    def _fingerprints(self) -> dict[str, str]:
        """First digits of the SHA-256 of each weights file by its name."""
        if self.name in BASELINE_NAMES:
            needed = find_networks(self.name, self.weights) if self.name in ONNX_FILES else {}
            paths = list(needed.values())
        elif self.weights == 'random':
            return {'random': str(self.seed)}
        else:
            path = self.weights or weights_file.default_path(weights_name(self.name))
            paths = [Path(path)]
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in paths}


def known_trackers() -> tuple[str, ...]:
    """Names of all trackers that can be evaluated."""
    return (*tracker_names(), *BASELINE_NAMES)
