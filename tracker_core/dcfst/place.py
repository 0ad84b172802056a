"""Where a target of DCFST is, and the square that is searched around it."""

from __future__ import annotations

from dataclasses import dataclass

from tracker_core.tracker import Image

#: (width, height).
Size = tuple[float, float]


@dataclass(frozen=True)
class Place:
    """Where the target is: centre with integer coordinates at pixel centres, and size, pixels."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Region:
    """The square that is searched around a place."""

    place: Place
    scale: float
    """Image pixels per pixel of the region."""

    @property
    def target_size(self) -> Size:
        """Width and height of the target in the region; their product is always the same."""
        return self.place.width / self.scale, self.place.height / self.scale


def size_limits(width: float, height: float, image: Image) -> tuple[Size, Size]:
    """Smallest and largest size of a target: 10 px along the shorter side, the image.

    As published, a target that is less than 10 px wide or high becomes that large; but, unlike
    published, never larger than the image.
    """
    high = min(image.shape[1] / width, image.shape[0] / height)
    low = min(max(10 / width, 10 / height), high)
    return (low * width, low * height), (high * width, high * height)


def limit(place: Place, limits: tuple[Size, Size], image: Image) -> Place:
    """Keep the size within its limits and, unlike published, the centre in the image."""
    (low_width, low_height), (high_width, high_height) = limits
    return Place(
        x=max(min(place.x, image.shape[1] - 1), 0),
        y=max(min(place.y, image.shape[0] - 1), 0),
        width=max(min(place.width, high_width), low_width),
        height=max(min(place.height, high_height), low_height),
    )
