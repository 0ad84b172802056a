"""Settings of scenes that are hard in one way each."""

from __future__ import annotations

from dataclasses import replace

from tracker_core.synthetic.settings import SceneSettings

_EASY = SceneSettings(
    frames=120,
    size=(480, 360),
    target_size=(0.15, 0.22),
    speed=0.04,
    scale=(0.9, 1.1),
    rotation=5.0,
    tilt=5.0,
    camera_pan=0.1,
    camera_roll=1.0,
    light=0.05,
    tint=0.02,
    shading=0.05,
    shutter=0.2,
)

#: By the names under which the published benchmarks list attributes, where they have one.
CHALLENGES = {
    'nothing in particular': _EASY,
    'scale variation': replace(_EASY, target_size=(0.12, 0.14), scale=(0.4, 2.5)),
    'in-plane rotation': replace(_EASY, rotation=75.0),
    'out-of-plane rotation': replace(_EASY, tilt=55.0),
    'deformation': replace(_EASY, deformation=0.1),
    'illumination variation': replace(_EASY, light=0.6, tint=0.15, shading=0.4),
    'fast motion': replace(_EASY, speed=0.35),
    'motion blur': replace(_EASY, speed=0.2, shutter=1.0, camera_shake=3.0),
    'camera motion': replace(_EASY, camera_pan=0.4, camera_roll=20.0, camera_shake=5.0),
    'low resolution': replace(_EASY, target_size=(0.05, 0.06), blur=1.2),
    'image noise': replace(_EASY, noise=18.0),
    'similar object': replace(_EASY, distractors=4, distractor_distance=(0.8, 2.0)),
    'partial occlusion': replace(_EASY, partial_occlusions=2),
    'full occlusion': replace(_EASY, full_occlusions=1),
    'out of view': replace(_EASY, leave_and_return=True),
}
