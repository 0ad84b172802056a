"""Synthetic tracking sequences with exact truth: demo scene, training data, stress tests."""

from tracker_core.synthetic.scene import Scene, SyntheticFrame, render_sequence
from tracker_core.synthetic.settings import DEMO_FPS, DEMO_SCENE, DEMO_SEED, SceneSettings

__all__ = [
    'DEMO_FPS',
    'DEMO_SCENE',
    'DEMO_SEED',
    'Scene',
    'SceneSettings',
    'SyntheticFrame',
    'render_sequence',
]
