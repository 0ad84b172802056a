"""Print the lines of a requirements file that fit this virtual environment.

Beside the packages of a ROS installation only what is missing is wanted, and nothing that
replaces its NumPy: ROS's compiled message modules load only with the one they were built for.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from pathlib import Path

from pip._vendor.packaging.requirements import Requirement

HEADLESS = 'opencv-contrib-python-headless'
# The pinned releases need NumPy 2, these do not.
WITH_NUMPY_1 = {'matplotlib': '<3.11', 'opencv-contrib-python': '<4.12'}


def outside_version(name: str) -> str | None:
    """Version of an installed distribution that lies outside the virtual environment."""
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return None
    inside = Path(str(distribution.locate_file(''))).is_relative_to(sys.prefix)
    return None if inside else distribution.version


def outside_module(name: str) -> bool:
    """Whether a module comes from outside the environment (apt's cv2 is no distribution)."""
    spec = importlib.util.find_spec(name)
    return spec is not None and not Path(spec.origin or '').is_relative_to(sys.prefix)


def is_installed(name: str) -> bool:
    """Whether a distribution of this name is installed anywhere."""
    return any(importlib.metadata.distributions(name=name))


def fitting(line: str, numpy: str | None) -> str | None:
    """Return the requirement as it is to be installed here, None where it is met already.

    `numpy` is the version of the NumPy that must stay, None where there is none.
    """
    requirement = Requirement(line)
    name = requirement.name
    if requirement.marker and not requirement.marker.evaluate():
        return None
    if name == 'numpy' and numpy:
        return f'numpy=={numpy}'
    if outside_version(name) or (name.startswith('opencv') and outside_module('cv2')):
        return None
    specifier = str(requirement.specifier)
    if numpy and numpy.startswith('1.'):
        specifier = WITH_NUMPY_1.get(name, specifier)
    if name == 'opencv-contrib-python' and is_installed(HEADLESS):
        name = HEADLESS
    return f'{name}{specifier}'


def main() -> None:
    """Read the file named on the command line."""
    numpy = outside_version('numpy')
    for line in Path(sys.argv[1]).read_text().splitlines():
        text = line.partition('#')[0].strip()
        wanted = fitting(text, numpy) if text else None
        if wanted:
            print(wanted)


if __name__ == '__main__':
    main()
