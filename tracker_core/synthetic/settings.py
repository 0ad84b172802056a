"""What happens in a synthetic scene."""

from __future__ import annotations

from dataclasses import dataclass

from tracker_core.synthetic.bending import MOST


@dataclass(frozen=True, slots=True)
class SceneSettings:
    """Length, size and difficulty of a synthetic sequence.

    Ranges are (low, high). "Size" of an object is the square root of the area of its upright box.
    Slow changes (scale, rotation, tilt, light, camera) swing back and forth about once per
    `period` frames. Raises ValueError for values that make no scene.
    """

    frames: int = 60
    #: Width and height of the images in pixels.
    size: tuple[int, int] = (320, 240)
    period: float = 120.0

    #: Mean size of the target as a fraction of the shorter side of the image.
    target_size: tuple[float, float] = (0.15, 0.3)
    #: Highest speed of the target across the image, in target sizes per frame.
    speed: float = 0.06
    #: Size of the target relative to its mean size.
    scale: tuple[float, float] = (0.75, 1.5)
    #: Largest rotation in the image plane, degrees.
    rotation: float = 20.0
    #: Largest rotation out of the image plane (perspective), degrees.
    tilt: float = 15.0

    #: Largest shift of parts of the target and its look-alikes against each other, relative to
    #: their size, when they bend; they swing twice per period. At most 0.1.
    deformation: float = 0.0

    #: Largest shift of the camera's view as a fraction of the image size.
    camera_pan: float = 0.2
    #: Largest zoom of the background.
    camera_zoom: float = 1.15
    #: Largest roll of the camera, degrees.
    camera_roll: float = 4.0
    #: Amplitude of hand-held shake in pixels.
    camera_shake: float = 1.0

    #: Relative amplitude of changes of brightness.
    light: float = 0.2
    #: Relative amplitude of changes of colour.
    tint: float = 0.06
    #: Relative amplitude of a brightness gradient over the image.
    shading: float = 0.2
    #: Darkness of the soft shadow below objects, 0..1.
    shadow: float = 0.4
    #: Exposure as a fraction of the frame interval (motion blur).
    shutter: float = 0.4
    #: Largest standard deviation of defocus in pixels.
    blur: float = 0.6
    #: Standard deviation of sensor noise in grey levels.
    noise: float = 2.5

    #: Number of times something passes in front of the target and hides all of it.
    full_occlusions: int = 0
    #: Number of times something narrower than the target passes in front of it.
    partial_occlusions: int = 0
    #: Frames for which the target is completely hidden (or for which a bar is in front of it).
    occlusion_frames: tuple[int, int] = (10, 20)
    #: Speed of the target around an occlusion relative to its usual speed.
    occlusion_speed: float = 0.5
    #: The target leaves the image completely and comes back.
    leave_and_return: bool = False
    #: Frames for which it is away.
    absence_frames: tuple[int, int] = (10, 20)
    #: Number of look-alikes moving around the target.
    distractors: int = 0
    #: Distance of look-alikes to the target, in target diameters between the centres.
    distractor_distance: tuple[float, float] = (1.0, 2.5)

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise ValueError(f'a scene needs at least one frame, not {self.frames}')
        if min(self.size) < 16:
            raise ValueError(f'a scene must be at least 16 x 16 pixels, not {self.size}')
        if not 0 < self.target_size[0] <= self.target_size[1] <= 0.8:
            raise ValueError(
                f'target_size must be a range within (0, 0.8], not {self.target_size}'
            )
        if not 0 < self.scale[0] <= 1 <= self.scale[1]:
            raise ValueError(f'scale must be a range around 1, not {self.scale}')
        if not 0 <= self.tilt <= 60:
            raise ValueError(f'tilt must be within [0, 60] degrees, not {self.tilt}')
        if not 0 <= self.deformation <= MOST:
            raise ValueError(f'deformation must be within [0, {MOST}], not {self.deformation}')
        if self.period <= 0 or self.speed < 0:
            raise ValueError('period must be positive and speed not negative')


#: Frame rate at which the demo scene looks natural.
DEMO_FPS = 30.0
DEMO_SEED = 26
#: Twenty seconds, hard but fair: at six tracked frames per second the target still moves less
#: than a third of its size between two of them.
DEMO_SCENE = SceneSettings(
    frames=600,
    size=(640, 480),
    period=450.0,
    target_size=(0.17, 0.17),
    speed=0.04,
    scale=(0.75, 1.5),
    rotation=20.0,
    tilt=20.0,
    camera_pan=0.25,
    light=0.3,
    full_occlusions=1,
    occlusion_frames=(16, 20),
    occlusion_speed=0.3,
    distractors=1,
)
