"""Make a virtual environment with the PyPI ROS wheels an underlay that colcon can build on.

Run with the environment's own interpreter after every installation of such wheels; repeating it
changes nothing. Two things are missing from the wheels:

1. They were built under /opt/python/cp3XX-cp3XX, and the CMake exports of the message packages
   still list header directories there. CMake refuses a target with an include directory that
   does not exist. Who compiles against these targets looks for Python's and NumPy's headers
   itself, so the entries are dropped.
2. There is no local_setup script that an overlay, or a user, could source.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

BUILDER = re.compile(r'/opt/python/cp3\d+-cp3\d+\b')
INCLUDES = re.compile(r'(?<=INTERFACE_INCLUDE_DIRECTORIES ")[^"]*(?=")')

# Works in sh, bash and zsh.
LOCAL_SETUP = """\
# Written by ros_wheels_setup.py: ROS 2 from PyPI wheels in a virtual environment.
_ros_wheels_prepend() {
  eval "_ros_wheels_value=\\"\\${$1:-}\\""
  case ":$_ros_wheels_value:" in
    *":$2:"*) ;;
    *) export "$1=$2${_ros_wheels_value:+:$_ros_wheels_value}" ;;
  esac
  unset _ros_wheels_value
}
_ros_wheels_prepend AMENT_PREFIX_PATH "@PREFIX@"
_ros_wheels_prepend CMAKE_PREFIX_PATH "@PREFIX@"
_ros_wheels_prepend PATH "@PREFIX@/bin"
unset -f _ros_wheels_prepend
export ROS_VERSION=2 ROS_PYTHON_VERSION=3 ROS_DISTRO=jazzy
"""


def drop_builder_includes(text: str) -> str:
    """Return CMake text without include directories of the machine that built the wheels."""

    def keep(match: re.Match[str]) -> str:
        return ';'.join(entry for entry in match[0].split(';') if not BUILDER.match(entry))

    return INCLUDES.sub(keep, text)


def write_changed(path: Path, text: str) -> None:
    """Write a file unless it says that already, never leaving half of it."""
    if path.exists() and path.read_text() == text:
        return
    new = path.with_name(path.name + '.new')
    new.write_text(text)
    new.replace(path)


def prepare(prefix: Path) -> list[Path]:
    """Prepare the environment at `prefix`; return the exports that still name the builder."""
    (prefix / 'COLCON_IGNORE').touch()  # share/*/package.xml are no sources
    for shell in ('sh', 'bash', 'zsh'):
        text = LOCAL_SETUP.replace('@PREFIX@', str(prefix))
        write_changed(prefix / f'local_setup.{shell}', text)
    exports = list(prefix.glob('share/*/cmake/*.cmake'))
    for path in exports:
        write_changed(path, drop_builder_includes(path.read_text()))
    # A prefix of the builder here would be taken for a further underlay.
    for path in (prefix / 'share/ament_index/resource_index/parent_prefix_path').glob('*'):
        if BUILDER.search(path.read_text()):
            write_changed(path, '')
    return [path for path in exports if BUILDER.search(path.read_text())]


def main() -> None:
    """Prepare the environment of the running interpreter."""
    if sys.prefix == sys.base_prefix:
        sys.exit(f'{sys.prefix} is not a virtual environment')
    stale = prepare(Path(sys.prefix))
    if stale:
        sys.exit('unknown mention of the wheel builder in ' + ', '.join(map(str, stale)))


if __name__ == '__main__':
    main()
