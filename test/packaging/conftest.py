"""The sources as data: where they are and how they are parsed."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PACKAGES = ('tracker_core', 'tracker_ros', 'training')

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope='session')
def repository() -> Path:
    """Root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope='session')
def sources() -> dict[Path, ast.Module]:
    """Syntax trees of the packages' modules by their path below the root."""
    paths = (path for package in PACKAGES for path in (REPOSITORY / package).rglob('*.py'))
    return {path.relative_to(REPOSITORY): ast.parse(path.read_text()) for path in sorted(paths)}
