"""The set-up: what it refuses, what it installs, and how make hands arguments on."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

INCLUDES = """\
set_target_properties(std_msgs::std_msgs__rosidl_generator_py PROPERTIES
  INTERFACE_INCLUDE_DIRECTORIES "/opt/python/cp311-cp311/include/python3.11;\
${_IMPORT_PREFIX}/include/std_msgs"
  INTERFACE_LINK_LIBRARIES "Python3::NumPy"
)
"""


def load_script(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def checkout(repository: Path, tmp_path: Path) -> Path:
    """A checkout with the scripts only."""
    folder = tmp_path / 'checkout'
    for name in ('scripts', 'requirements'):
        shutil.copytree(repository / name, folder / name)
    return folder


def bootstrap(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the set-up without any ROS; it is to end before it installs something."""
    keep = {key: os.environ[key] for key in ('PATH', 'HOME') if key in os.environ}
    return subprocess.run(
        [folder / 'scripts/bootstrap'],
        env={**keep, 'ROS_FROM_WHEELS': '1', **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_path_with_spaces_is_refused(checkout: Path) -> None:
    folder = checkout.rename(checkout.with_name('my checkout'))
    result = bootstrap(folder)
    assert result.returncode == 1
    assert 'colcon cannot build in a path with spaces' in result.stderr
    assert str(folder) in result.stderr
    assert not (folder / '.ros').exists()


def test_missing_compiler_is_named(checkout: Path) -> None:
    result = bootstrap(checkout, CXX='/nowhere/c++')
    assert result.returncode == 1
    assert 'sudo apt install g++' in result.stderr
    assert not (checkout / '.ros/venv').exists()


def test_missing_python_is_named(checkout: Path) -> None:
    result = bootstrap(checkout, PYTHON='python2.7')
    assert result.returncode == 1
    assert 'CPython 3.10 to 3.13 (looked for python2.7)' in result.stderr
    assert 'sudo apt install python3 python3-venv python3-dev' in result.stderr


def test_incomplete_python_is_named(checkout: Path, tmp_path: Path) -> None:
    """An interpreter without headers: Debian's python3 without python3-dev."""
    broken = tmp_path / 'python3'
    hide = "import sysconfig; sysconfig.get_path = lambda name: '/nowhere'; "
    broken.write_text(
        f'#!/bin/sh\nif [ "$1" = - ]; then (echo "{hide}"; cat) | {sys.executable} -; '
        f'else exec {sys.executable} "$@"; fi\n'
    )
    broken.chmod(0o755)
    result = bootstrap(checkout, PYTHON=str(broken))
    version = f'{sys.version_info.major}.{sys.version_info.minor}'
    assert result.returncode == 1
    assert f'sudo apt install python{version}-dev' in result.stderr


def test_second_setup_waits_for_the_first(checkout: Path) -> None:
    (checkout / '.ros').mkdir()
    with (checkout / '.ros/lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(subprocess.TimeoutExpired) as caught:
            subprocess.run(
                [checkout / 'scripts/bootstrap'],
                env={'PATH': os.environ['PATH'], 'CXX': '/nowhere/c++'},
                capture_output=True,
                timeout=3,
                check=False,
            )
    assert b'waiting for another set-up' in (caught.value.stdout or b'')
    assert 'g++' in bootstrap(checkout, CXX='/nowhere/c++').stderr


def step(folder: Path, command: str, **environment: str) -> str:
    """Output of a step of the set-up."""
    result = subprocess.run(
        ['bash', '-c', f'source {folder}/scripts/bootstrap; {command}'],
        env={'PATH': os.environ['PATH'], **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout.strip()


def ros_prefix(folder: Path) -> Path:
    """What shows that ROS is installed somewhere."""
    marker = folder / 'share/ament_index/resource_index/packages/rclpy'
    marker.parent.mkdir(parents=True)
    marker.touch()
    (folder / 'setup.bash').touch()
    return folder


def test_sourced_ros_is_used(checkout: Path, tmp_path: Path) -> None:
    ros = ros_prefix(tmp_path / 'ros')
    overlay = tmp_path / 'overlay'
    assert step(checkout, 'find_ros', AMENT_PREFIX_PATH=f'{overlay}:{ros}') == str(ros)


def test_wheels_of_a_checkout_are_no_ros_installation(checkout: Path, tmp_path: Path) -> None:
    venv = ros_prefix(tmp_path / 'venv')
    (venv / 'pyvenv.cfg').touch()
    assert step(checkout, 'find_ros', AMENT_PREFIX_PATH=str(venv)) != str(venv)
    ros = ros_prefix(tmp_path / 'ros')
    assert step(checkout, 'find_ros', AMENT_PREFIX_PATH=str(ros), ROS_FROM_WHEELS='1') == ''


def test_environment_stamp_is_of_path_and_requirements(checkout: Path) -> None:
    """It does not trip over caches, which a test of these scripts leaves beside them."""
    (checkout / 'scripts/__pycache__').mkdir(exist_ok=True)
    first = step(checkout, 'ros= environment_stamp')
    assert f'path {checkout}' in first
    assert 'requirements/python.txt' in first
    with (checkout / 'requirements/python.txt').open('a') as file:
        file.write('# another\n')
    assert step(checkout, 'ros= environment_stamp') != first


def test_moved_environment_does_not_fit(checkout: Path) -> None:
    environment = checkout / '.ros/venv'
    subprocess.run([sys.executable, '-m', 'venv', environment], check=True)
    fits = 'ros= venv_fits && echo yes || echo no'
    assert step(checkout, fits) == 'yes'
    assert step(checkout, 'ros=/opt/ros/x venv_fits && echo yes || echo no') == 'no'
    moved = checkout.rename(checkout.with_name('moved'))
    assert step(moved, fits) == 'no'


def test_failure_of_pip_says_what_failed(checkout: Path) -> None:
    python = checkout / '.ros/venv/bin/python'
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    install = 'pip_install --no-index no-such-package==1.0'
    output = step(checkout, f'({install}) 2>&1 || echo "status $?"')
    assert 'No matching distribution found for no-such-package==1.0' in output
    assert 'pip could not install --no-index no-such-package==1.0' in output
    assert output.endswith('status 1')


def test_includes_of_the_wheel_builder_are_dropped(repository: Path) -> None:
    script = load_script(repository / 'scripts/ros_wheels_setup.py')
    cleaned = script.drop_builder_includes(INCLUDES)
    assert '"${_IMPORT_PREFIX}/include/std_msgs"' in cleaned
    assert '/opt/python' not in cleaned
    assert 'Python3::NumPy' in cleaned
    assert script.drop_builder_includes(cleaned) == cleaned


def test_wheels_become_an_underlay(repository: Path, tmp_path: Path) -> None:
    script = load_script(repository / 'scripts/ros_wheels_setup.py')
    export = tmp_path / 'share/std_msgs/cmake/std_msgs__rosidl_generator_pyExport.cmake'
    export.parent.mkdir(parents=True)
    export.write_text(INCLUDES)
    assert script.prepare(tmp_path) == []
    command = (
        f'. {tmp_path}/local_setup.sh; . {tmp_path}/local_setup.sh; echo "$AMENT_PREFIX_PATH"'
    )
    shell = ['env', '-i', 'sh', '-c', command]
    output = subprocess.run(shell, capture_output=True, text=True, check=True).stdout
    assert output.strip() == str(tmp_path)
    export.write_text('set(x /opt/python/cp311-cp311/lib)')
    assert script.prepare(tmp_path) == [export]


@pytest.mark.parametrize(
    ('line', 'numpy', 'expected'),
    [
        ('no-such-package==1.0', None, 'no-such-package==1.0'),
        ("no-such-package==1.0; python_version < '3'", None, None),
        ('numpy==2.4.6', '1.26.4', 'numpy==1.26.4'),
    ],
)
def test_requirements_fit_the_machine(
    repository: Path, line: str, numpy: str | None, expected: str | None
) -> None:
    script = load_script(repository / 'scripts/select_requirements.py')
    assert script.fitting(line, numpy) == expected


def test_requirements_beside_a_ros_installation(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What apt has stays, and what is bound to a NumPy finds its own version."""
    script = load_script(repository / 'scripts/select_requirements.py')
    system = {'pyyaml': '6.0.1', 'numpy': '1.26.4'}
    monkeypatch.setattr(script, 'outside_version', system.get)
    monkeypatch.setattr(script, 'outside_module', lambda name: False)
    monkeypatch.setattr(script, 'is_installed', lambda name: False)
    assert script.fitting('pyyaml==6.0.3', '1.26.4') is None
    opencv = 'opencv-contrib-python==4.13.0.92'
    assert script.fitting(opencv, '1.26.4') == 'opencv-contrib-python<4.12'
    assert script.fitting(opencv, '2.1.0') == opencv
    assert script.fitting('ruff==0.17.5', '1.26.4') == 'ruff==0.17.5'
    monkeypatch.setattr(script, 'outside_module', lambda name: name == 'cv2')
    assert script.fitting(opencv, '1.26.4') is None


def test_headless_opencv_stays(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = load_script(repository / 'scripts/select_requirements.py')
    monkeypatch.setattr(script, 'outside_version', lambda name: None)
    monkeypatch.setattr(script, 'outside_module', lambda name: False)
    monkeypatch.setattr(script, 'is_installed', lambda name: name.endswith('-headless'))
    wanted = script.fitting('opencv-contrib-python==4.13.0.92', None)
    assert wanted == 'opencv-contrib-python-headless==4.13.0.92'


def test_make_passes_arguments_on(repository: Path) -> None:
    arguments = ["VIDEO=it's  a clip.mp4", 'BOX=1,2,3,4', 'MODEL=siamfc']
    command = ['make', '--dry-run', 'demo', *arguments]
    environment = {'PATH': os.environ['PATH']}
    output = subprocess.run(
        command, cwd=repository, env=environment, capture_output=True, text=True, check=True
    ).stdout
    words = shlex.split(output.partition('-m tracker_ros.demo')[2])
    expected = ['--video', "it's  a clip.mp4", '--box', '1,2,3,4', '--model', 'siamfc']
    assert words == expected


def test_make_explains_itself(repository: Path) -> None:
    output = subprocess.run(['make'], cwd=repository, capture_output=True, text=True, check=True)
    for target in ('demo', 'test', 'check', 'bench', 'clean'):
        assert f'\n  {target} ' in output.stdout
