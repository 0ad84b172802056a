"""What is declared in several places agrees, and what is shipped is found once installed."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import tracker_core

DATA_SUFFIXES = {'.safetensors', '.typed', '.csv', '.json'}


def cmake_list(repository: Path, name: str) -> list[str]:
    text = (repository / 'CMakeLists.txt').read_text()
    block = re.search(rf'set\({name}\s([^)]*)\)', text)
    assert block, name
    return block[1].split()


def requirement_lines(path: Path) -> list[str]:
    lines = (line.partition('#')[0].strip() for line in path.read_text().splitlines())
    return [line for line in lines if line]


def project_bounds(repository: Path) -> list[Requirement]:
    """Dependencies of pyproject.toml with those of the extras; Python 3.10 has no tomllib."""
    text = (repository / 'pyproject.toml').read_text()
    project = text[text.index('[project]') : text.index('[tool.')]
    lists = re.findall(r'^\w+ = \[(.*?)\]$', project, re.M | re.S)
    return [Requirement(entry) for block in lists for entry in re.findall(r"'([^']+)'", block)]


def test_versions_agree(repository: Path) -> None:
    manifest = re.search(r'<version>(.+)</version>', (repository / 'package.xml').read_text())
    project = re.search(r"^version = '(.+)'", (repository / 'pyproject.toml').read_text(), re.M)
    newest = re.search(r'^## (\S+)', (repository / 'CHANGELOG.md').read_text(), re.M)
    assert manifest and project and newest
    assert manifest[1] == project[1] == newest[1] == tracker_core.__version__


def test_requirements_are_exact(repository: Path) -> None:
    for path in (repository / 'requirements').glob('*.txt'):
        for line in requirement_lines(path):
            assert re.fullmatch(r'==[\w.]+', str(Requirement(line).specifier)), line


def test_pins_lie_within_the_declared_bounds(repository: Path) -> None:
    pins: dict[str, list[Version]] = {}
    for line in requirement_lines(repository / 'requirements/python.txt'):
        pin = Requirement(line)
        version = Version(str(pin.specifier).removeprefix('=='))
        pins.setdefault(pin.name.lower().replace('-contrib', ''), []).append(version)
    bounds = project_bounds(repository)
    assert {'numpy', 'torch', 'tensorboard', 'pytest'} <= {bound.name for bound in bounds}
    for bound in bounds:
        assert bound.name.lower() in pins, f'{bound.name} has no pin in requirements/python.txt'
        for version in pins[bound.name.lower()]:
            assert version in bound.specifier, bound


def test_every_interface_is_generated(repository: Path) -> None:
    text = (repository / 'CMakeLists.txt').read_text()
    listed = set(re.findall(r'"((?:msg|srv)/\w+\.(?:msg|srv))"', text))
    present = {
        str(path.relative_to(repository))
        for kind in ('msg', 'srv')
        for path in (repository / kind).glob(f'*.{kind}')
    }
    assert listed == present != set()


def test_cmake_packages_are_declared(repository: Path) -> None:
    needed = re.findall(r'find_package\((\w+) ', (repository / 'CMakeLists.txt').read_text())
    manifest = (repository / 'package.xml').read_text()
    declared = re.findall(r'<(?:\w+_)?depend>([\w-]+)<', manifest)
    assert 'std_msgs' in needed
    assert set(needed) <= set(declared)


def test_executables_are_the_modules_with_a_main(repository: Path) -> None:
    programs = [
        path.stem
        for path in sorted((repository / 'tracker_ros').glob('*.py'))
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name == 'main'
    ]
    assert 'tracker_node' in programs
    assert cmake_list(repository, '_executables') == programs


@pytest.mark.ros
def test_executables_can_be_imported(repository: Path) -> None:
    pytest.importorskip('rclpy')
    pytest.importorskip('tracker_ros.msg', reason='the messages are not built')
    for name in cmake_list(repository, '_executables'):
        assert callable(importlib.import_module(f'tracker_ros.{name}').main)


@pytest.mark.ros
def test_installed_share_and_programs(repository: Path) -> None:
    """colcon installs launch files, settings and a program per executable."""
    packages = pytest.importorskip('ament_index_python.packages')
    try:
        prefix = Path(packages.get_package_prefix('tracker_ros'))
    except (packages.PackageNotFoundError, OSError):  # OSError: no environment sourced at all
        pytest.skip('tracker_ros is not built and sourced')
    share = prefix / 'share' / 'tracker_ros'
    for folder in ('launch', 'config'):
        for path in (repository / folder).rglob('*.*'):
            installed = share / path.relative_to(repository)
            assert installed.read_bytes() == path.read_bytes()
    for name in cmake_list(repository, '_executables'):
        program = prefix / 'lib' / 'tracker_ros' / name
        assert program.stat().st_mode & 0o111
        assert f'from tracker_ros.{name} import main' in program.read_text()


def test_package_data_is_beside_the_imported_library(repository: Path) -> None:
    """Wherever `tracker_core` is imported from, it has every data file of the checkout."""
    imported = Path(importlib.import_module('tracker_core').__file__ or '').parent
    data = [p for p in (repository / 'tracker_core').rglob('*') if p.suffix in DATA_SUFFIXES]
    assert data
    for path in data:
        relative = path.relative_to(repository / 'tracker_core')
        assert (imported / relative).read_bytes() == path.read_bytes()


def test_wheel_holds_library_training_and_data(repository: Path, tmp_path: Path) -> None:
    """`pip install` without ROS: everything of both packages, and nothing else."""
    setuptools = importlib.metadata.version('setuptools')
    if Version(setuptools) < Version('77'):
        pytest.skip(f'setuptools {setuptools} is older than pyproject.toml requires')
    source = tmp_path / 'source'
    source.mkdir()
    for name in ('tracker_core', 'tracker_ros', 'training', 'test', 'README.md', 'LICENSE'):
        (source / name).symlink_to(repository / name)
    for name in ('pyproject.toml', 'setup.py'):
        (source / name).write_bytes((repository / name).read_bytes())
    options = ['--no-deps', '--no-build-isolation', '--quiet', '--wheel-dir', str(tmp_path)]
    subprocess.run([sys.executable, '-m', 'pip', 'wheel', *options, str(source)], check=True)
    (wheel,) = tmp_path.glob('*.whl')
    expected = {
        str(path.relative_to(repository))
        for package in ('tracker_core', 'training')
        for path in (repository / package).rglob('*')
        if path.suffix in DATA_SUFFIXES | {'.py'}
    }
    contents = {name for name in zipfile.ZipFile(wheel).namelist() if '.dist-info/' not in name}
    assert contents == expected
