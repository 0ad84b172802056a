"""The Fast DDS profile is read and takes effect."""

import os
import subprocess
import sys

import pytest
from harness import rclpy

pytestmark = [
    pytest.mark.ros,
    pytest.mark.skipif(
        rclpy.get_rmw_implementation_identifier() != 'rmw_fastrtps_cpp',
        reason='the profile is for Fast DDS',
    ),
]

#: Prints the sizes of the shared-memory segments that a process with a node maps.
PROCESS = """
import re, rclpy
rclpy.init()
node = rclpy.create_node('segments')
maps = open('/proc/self/maps').read()
for first, last in re.findall(r'(\\w+)-(\\w+) .*/dev/shm/fastrtps_[0-9a-f]+$', maps, re.M):
    print(int(last, 16) - int(first, 16))
"""


@pytest.mark.parametrize(('with_profile', 'large'), [(False, False), (True, True)])
def test_segments_are_large_with_the_profile(request, with_profile, large):
    profile = request.config.rootpath / 'config' / 'fastdds_images.xml'
    environment = dict(os.environ)
    environment.pop('FASTRTPS_DEFAULT_PROFILES_FILE', None)
    environment.pop('FASTDDS_DEFAULT_PROFILES_FILE', None)
    if with_profile:
        environment['FASTRTPS_DEFAULT_PROFILES_FILE'] = str(profile)
    output = subprocess.run(
        [sys.executable, '-c', PROCESS],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    assert 'rror' not in output.stderr
    sizes = [int(line) for line in output.stdout.split()]
    assert sizes
    assert (max(sizes) >= 64 << 20) is large
