"""How long a run is, in which portions, and how its rates change; see `training.recipe`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from tracker_core.settings import Count, Natural, NonNegative, Part, Range, check_ranges

#: A rate that falls geometrically never reaches zero.
_FallingTo = Annotated[float, Range(1e-12)]


@dataclass(frozen=True)
class Schedule:
    """How long, in which portions and where; what else a recipe needs is added by its own."""

    epochs: Count = 50
    examples_per_epoch: Natural = 0
    """0: as many as there are sequences."""
    batch_size: Count = 8
    average: Part = 0.0
    """Decay per step of a running average of the weights, which is then validated and exported
    (0: none, as published; 0.999 averages over about 1000 steps)."""
    precision: Literal['float32', 'bfloat16'] = 'float32'
    warmup_steps: Natural = 0
    """Rates rise from zero over this many first steps."""
    clip_gradient: NonNegative = 0.0
    """Largest norm of the gradient over all parameters (0: no limit)."""
    device: str = 'auto'
    workers: Natural = 1
    seed: Natural = 1
    augment_on_device: bool = False
    """Whether light, blur, noise and loss of colour are left to the device that trains; what is
    drawn then depends on the number of processes."""
    crop_on_device: bool = False
    """Whether all frames are kept, decoded, in the memory of the device that trains, which then
    cuts search areas itself and does what `augment_on_device` says. For data that fit there."""
    render_on_device: bool = False
    """With `crop_on_device`: whether synthetic sources are rendered there when they are drawn, any
    of their frames, instead of the `max_frames` that are kept. All scenes are laid out before the
    training starts: some minutes of one core and 10 GB of memory for 2000."""
    checkpoint_minutes: NonNegative = 5.0
    validation_examples: Natural = 400
    """Of the held-out scenes or of `validation` (0: the run does not validate)."""
    validation_every: Count = 1
    """Epochs from one validation to the next; the last epoch has one in any case."""

    def __post_init__(self) -> None:
        """Raise ValueError for a value out of its range."""
        check_ranges(self, 'schedule')

    def rate_factor(self, epoch: int) -> float:
        """Learning rates of an epoch relative to those of the first."""
        return 1.0

    def validates(self, epoch: int) -> bool:
        """Whether the run validates after an epoch (the first is 0)."""
        return (epoch + 1) % self.validation_every == 0 or epoch + 1 == self.epochs


@dataclass(frozen=True)
class FallingRate(Schedule):
    """Stochastic gradient descent whose rate falls geometrically; SiamFC's published values."""

    initial_rate: _FallingTo = 1e-2
    final_rate: _FallingTo = 1e-5
    """The learning rate falls geometrically, once per epoch, towards this."""
    momentum: float = 0.9
    weight_decay: float = 5e-4

    def rate_factor(self, epoch: int) -> float:
        """Fall geometrically (published: by 0.871 per epoch)."""
        ratio = self.final_rate / self.initial_rate
        return float((ratio ** (1 / self.epochs)) ** epoch)


@dataclass(frozen=True)
class SteppedSchedule(Schedule):
    """Rates that are lowered in steps."""

    decay: Literal['steps', 'cosine'] = 'steps'
    """`steps`: by `step_factor` every `step_epochs` epochs; `cosine`: to zero along a cosine."""
    step_epochs: Count = 15
    step_factor: float = 0.2

    def rate_factor(self, epoch: int) -> float:
        """Fall in steps (published) or along a cosine."""
        if self.decay == 'cosine':
            return 0.5 + 0.5 * math.cos(math.pi * epoch / self.epochs)
        return float(self.step_factor ** (epoch // self.step_epochs))


@dataclass(frozen=True)
class SteppedRates(SteppedSchedule):
    """Adam with a rate per part of the network, lowered in steps; DiMP's published values."""

    batch_size: Count = 26
    examples_per_epoch: Natural = 26000
    validation_examples: Natural = 5000
    validation_every: Count = 5
    backbone_rate: NonNegative = 2e-4
    """A rate of 0 freezes the part."""
    features_rate: NonNegative = 5e-5
    initializer_rate: NonNegative = 5e-5
    optimizer_rate: NonNegative = 5e-4
    bb_regressor_rate: NonNegative = 1e-3


@dataclass(frozen=True)
class DCFSTSchedule(SteppedSchedule):
    """Adam with a rate per part of the network; the published values of DCFST-18."""

    epochs: Count = 40
    batch_size: Count = 48
    examples_per_epoch: Natural = 144000
    validation_examples: Natural = 4800
    location_predictor_rate: NonNegative = 5e-3
    bb_regressor_rate: NonNegative = 1e-3


@dataclass(frozen=True)
class FCOTSchedule(Schedule):
    """Adam with a rate per part of the network; the authors' values of the first stage."""

    epochs: Count = 70
    batch_size: Count = 40
    examples_per_epoch: Natural = 40000
    validation_examples: Natural = 5000
    backbone_rate: NonNegative = 2e-5
    """A rate of 0 freezes the part."""
    features_rate: NonNegative = 5e-5
    """Of the classifiers' features."""
    initializer_rate: NonNegative = 5e-5
    """Of the first filters of the classifiers."""
    optimizer_rate: NonNegative = 5e-4
    """Of the optimisers of classifiers and regressor."""
    regressor_rate: NonNegative = 2e-4
    """Of the regressor and of the decoder."""
    decay: Literal['milestones', 'cosine'] = 'milestones'
    """`milestones`: by `step_factor` after each of these epochs; `cosine`: to zero."""
    milestones: tuple[int, ...] = (35, 46, 60)
    step_factor: float = 0.2

    def rate_factor(self, epoch: int) -> float:
        """Fall at the milestones (published) or along a cosine."""
        if self.decay == 'cosine':
            return 0.5 + 0.5 * math.cos(math.pi * epoch / self.epochs)
        passed = sum(epoch >= milestone for milestone in self.milestones)
        return float(self.step_factor**passed)


@dataclass(frozen=True)
class UDTSchedule(FallingRate):
    """Stochastic gradient descent; the published values for a network that starts anew."""

    batch_size: Count = 32
    weight_decay: float = 5e-5
