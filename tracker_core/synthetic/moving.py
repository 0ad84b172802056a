"""An object and where it is in every frame."""

from __future__ import annotations

from copy import copy

import numpy as np
from numpy.typing import NDArray

from tracker_core.synthetic.motion import transform
from tracker_core.synthetic.sprite import Patch, Sprite

Floats = NDArray[np.float64]


class Moving:
    """A cut-out that moves and may bend."""

    def __init__(self, sprite: Sprite, places: Floats, bends: Floats | None = None) -> None:
        """Take its places (N, 3, 3), from its coordinates to the image, and bends (N, 2, 3).

        Bends are as of `tracker_core.synthetic.bending`; None: it is rigid.
        """
        self.sprite, self.places, self.bends = sprite, places, bends
        self.rims = transform(places, sprite.rim_in_plane(bends))
        """Points (N, M, 2) around everything of it that is seen in each image."""

    def outlines(self, frames: slice = slice(None)) -> Floats:
        """Points (n, M, 2) of its outline in the images of some frames."""
        bends = None if self.bends is None else self.bends[frames]
        return transform(self.places[frames], self.sprite.outline_in_plane(bends))

    def bounds(self, frames: slice = slice(None)) -> Floats:
        """Tight boxes (n, 4) left, top, right, bottom in the images of some frames."""
        points = self.outlines(frames)
        return np.concatenate([points.min(-2), points.max(-2)], -1)

    def warp(self, index: int, margin: int = 0) -> Patch:
        """Draw it as it is in a frame, in a patch wider by `margin` pixels."""
        bend = None if self.bends is None else self.bends[index]
        return self.sprite.warp(self.places[index], self.rims[index], margin=margin, bend=bend)

    def moved(self, matrices: Floats) -> Moving:
        """Return it as moved once more, by (N, 3, 3)."""
        other = copy(self)
        other.places = matrices @ self.places
        other.rims = transform(matrices, self.rims)
        return other
