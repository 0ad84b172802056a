"""Who may import whom: the rules that keep the library apart from ROS and trackers apart."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest
from imports import imports, inside, module_name, unconditional_imports

Sources = dict[Path, ast.Module]

FORBIDDEN = {
    'tracker_core': ('tracker_ros', 'training', 'rclpy', 'launch', 'ament_index_python'),
    'training': ('tracker_ros', 'rclpy'),
    'tracker_ros': ('training',),
}
# In a ROS installation but not among the wheels, or installed by choice.
OPTIONAL = (
    'cv_bridge',
    'launch',
    'launch_ros',
    'message_filters',
    'sensor_msgs_py',
    'tf2_msgs',
    'tf2_ros',
    'vision_msgs',
)
VAGUE_NAMES = {'utils', 'util', 'common', 'helpers', 'helper', 'misc', 'base'}
# Hands thread limits to the worker processes it starts, the only way to set them.
MAY_USE_ENVIRONMENT = {Path('tracker_core/benchmark/process_pool.py')}
# Distribution -> module, where they differ.
MODULES = {'opencv-python': 'cv2', 'pyyaml': 'yaml'}


def below(sources: Sources, package: str) -> Sources:
    return {path: tree for path, tree in sources.items() if path.parts[0] == package}


def tracker_folders(sources: Sources) -> set[str]:
    """Packages of `tracker_core` that hold a tracker: they have a `tracker.py`."""
    paths = below(sources, 'tracker_core')
    return {module_name(path.parent) for path in paths if path.match('tracker_core/*/tracker.py')}


def violations(sources: Sources, forbidden: tuple[str, ...]) -> list[str]:
    return [
        f'{path}: {name}'
        for path, tree in sources.items()
        for name in imports(path, tree)
        if any(inside(name, package) for package in forbidden)
    ]


@pytest.mark.parametrize('package', FORBIDDEN)
def test_package_imports_only_downwards(sources: Sources, package: str) -> None:
    modules = below(sources, package)
    assert modules
    assert violations(modules, FORBIDDEN[package]) == []


def test_tracker_folders_do_not_import_each_other(sources: Sources) -> None:
    folders = tracker_folders(sources)
    assert 'tracker_core.siamfc' in folders
    for folder in folders:
        own = {path: tree for path, tree in sources.items() if inside(module_name(path), folder)}
        assert violations(own, tuple(folders - {folder})) == []


def test_shared_modules_do_not_know_trackers(sources: Sources) -> None:
    """They take what varies as arguments; only the table of names knows the trackers."""
    folders = tuple(tracker_folders(sources))
    shared = {
        path: tree
        for path, tree in below(sources, 'tracker_core').items()
        if not any(inside(module_name(path), folder) for folder in folders)
        and path != Path('tracker_core/factory.py')
        and path.parts[1] != 'benchmark'
    }
    assert violations(shared, folders) == []


def test_networks_know_tensors_only(sources: Sources) -> None:
    """`network.py` neither sees images nor its tracker."""
    for folder in tracker_folders(sources):
        path = Path(*folder.split('.'), 'network.py')
        names = imports(path, sources[path])
        known = ('cv2', 'yaml', f'{folder}.tracker', 'tracker_core.box', 'tracker_core.tracker')
        assert [name for name in names if any(inside(name, other) for other in known)] == []


def test_only_entry_points_read_yaml_and_environment(sources: Sources) -> None:
    modules = {
        path: tree
        for path, tree in below(sources, 'tracker_core').items()
        if path.name != '__main__.py' and path not in MAY_USE_ENVIRONMENT
    }
    assert violations(modules, ('yaml', 'os.environ', 'os.getenv')) == []
    for path, tree in modules.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                used = f'{node.value.id}.{node.attr}'
                assert used not in ('os.environ', 'os.getenv'), f'{path}:{node.lineno}'


def test_optional_ros_packages_are_not_required(sources: Sources) -> None:
    for path, tree in below(sources, 'tracker_ros').items():
        for name in unconditional_imports(path, tree):
            assert not any(inside(name, package) for package in OPTIONAL), f'{path}: {name}'


def test_module_names_say_something(sources: Sources) -> None:
    for path in sources:
        assert not VAGUE_NAMES & {part.strip('_') for part in path.with_suffix('').parts}, path


def test_what_is_imported_is_declared(sources: Sources, repository: Path) -> None:
    """What the library and training cannot load without is a dependency in pyproject.toml."""
    text = (repository / 'pyproject.toml').read_text()
    block = re.search(r'^dependencies = \[(.*?)^\]', text, re.M | re.S)
    assert block
    declared = re.findall(r"'([A-Za-z0-9_.-]+)>=", block[1])
    allowed = {MODULES.get(name, name) for name in declared} | {'tracker_core', 'training'}
    for path, tree in sources.items():
        if path.parts[0] == 'tracker_ros':
            continue
        for name in unconditional_imports(path, tree):
            top = name.partition('.')[0]
            assert top in allowed or top in sys.stdlib_module_names, f'{path}: {name}'


def test_ros_packages_are_declared(sources: Sources, repository: Path) -> None:
    """Every ROS package that the nodes import has its key in package.xml."""
    text = (repository / 'package.xml').read_text()
    declared = set(re.findall(r'<(?:exec_)?depend>([\w-]+)<', text))
    packages = {
        name.partition('.')[0]
        for path, tree in below(sources, 'tracker_ros').items()
        for name in imports(path, tree)
        if re.search(r'^(rclpy|launch\w*|ament_\w+|cv_bridge|tf2_\w+|\w+_(msgs|srvs))\.', name)
    }
    assert {'rclpy', 'sensor_msgs'} <= packages
    assert packages - {'tracker_ros'} <= declared
