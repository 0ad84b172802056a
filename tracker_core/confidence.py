"""How sure a tracker is: a number in [0, 1] that is calibrated, and the state it leads to."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tracker_core.tracker import TrackState


def logistic(value: float, offset: float, slope: float) -> float:
    """Map any number to (0, 1); 0.5 where `value` equals `offset`."""
    exponent = max(min(-slope * (value - offset), 30.0), -30.0)
    return 1.0 / (1.0 + math.exp(exponent))


@dataclass
class StateJudge:
    """Turns confidences into states; LOST needs several doubtful frames in a row."""

    tracking_threshold: float
    """Confidence from which the state is TRACKING."""
    lost_threshold: float
    """Confidence below which a frame counts as lost ..."""
    lost_after: int
    """... and the state is LOST from this many such frames in a row; until then UNCERTAIN."""
    frames_lost: int = 0
    """Such frames in a row, and once they were enough, all frames until one is TRACKING."""

    @property
    def astray(self) -> bool:
        """Whether the state was LOST and not TRACKING since."""
        return self.frames_lost >= self.lost_after

    @property
    def learning_threshold(self) -> float:
        """Confidence from which a target that is astray may be learnt from; not published.

        What is seen weakly then is often something else, and is taken for the target once it was
        learnt. Midway between the two thresholds is enough: some targets are never seen better.
        """
        return (self.lost_threshold + self.tracking_threshold) / 2

    def judge(self, confidence: float, *, found: bool = True, certain: bool = True) -> TrackState:
        """State of the next frame.

        found, certain: what the tracker itself decided; a frame without its target counts as
        lost, an uncertain one is never TRACKING.
        """
        lost = not found or confidence < self.lost_threshold
        if certain and not lost and confidence >= self.tracking_threshold:
            self.frames_lost = 0
            return TrackState.TRACKING
        self.frames_lost = self.frames_lost + 1 if lost or self.astray else 0
        return TrackState.LOST if lost and self.astray else TrackState.UNCERTAIN
