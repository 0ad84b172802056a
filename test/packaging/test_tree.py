"""The checkout has what a visitor looks for, and nothing of the machine it was written on."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

EXPECTED = [
    '.ci/run', 'CHANGELOG.md', 'CMakeLists.txt', 'CONTRIBUTING.md', 'LICENSE', 'Makefile',
    'README.md', 'config/tracker.yaml', 'launch/tracker.launch.py', 'package.xml',
    'pyproject.toml', 'scripts/bootstrap', 'setup.py',
]  # fmt: skip
# A home directory or a working directory of somebody, not `/opt/ros` or `/dev/video0`.
MACHINE_PATH = re.compile(r'(?<![\w.~/<>$*-])/(?:work|root|home|Users|mnt|tmp)/\w[\w.-]*')


@pytest.fixture(scope='module')
def tracked(repository: Path) -> list[Path]:
    """Files under version control, or about to be."""
    if not (repository / '.git').exists():
        pytest.skip('not a git checkout')
    command = ['git', 'ls-files', '--cached', '--others', '--exclude-standard', '-z']
    names = subprocess.run(command, cwd=repository, check=True, capture_output=True, text=True)
    paths = (repository / name for name in names.stdout.split('\0') if name)
    return [path for path in paths if path.is_file()]


@pytest.mark.parametrize('name', EXPECTED)
def test_expected_file(repository: Path, name: str) -> None:
    assert (repository / name).stat().st_size > 0


@pytest.mark.parametrize('name', ['.ci/run', 'scripts/bootstrap', 'scripts/check', 'scripts/test'])
def test_scripts_are_executable(repository: Path, name: str) -> None:
    assert (repository / name).stat().st_mode & 0o111


def test_machine_paths_are_recognised() -> None:
    folder = '/'.join(('', 'home', 'somebody', 'checkout'))
    assert MACHINE_PATH.search(f"open('{folder}')")
    assert not MACHINE_PATH.search('.ros/work/x, $HOME/tmp/x and /opt/ros/jazzy')


def test_no_paths_of_a_machine(tracked: list[Path], repository: Path) -> None:
    found = []
    for path in tracked:
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        found += [f'{path.relative_to(repository)}: {m[0]}' for m in MACHINE_PATH.finditer(text)]
    assert found == []


def test_files_are_small_enough_for_version_control(tracked: list[Path]) -> None:
    """Weights and a few pictures; data sets lie elsewhere. The decoder makes FCOT-18 larger."""
    largest = {'fcot18.safetensors': 40_000_000}
    large = [p.name for p in tracked if p.stat().st_size > largest.get(p.name, 20_000_000)]
    assert large == []
