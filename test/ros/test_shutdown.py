"""A signal may shut ROS down at the same time as the process itself."""

import pytest
import rclpy

from tracker_ros.shutdown import shut_down


@pytest.mark.parametrize('running', [False, True])
def test_only_a_shutdown_that_has_happened_may_fail(monkeypatch, running):
    def fail():
        raise RuntimeError('rcl_shutdown already called on the given context')

    monkeypatch.setattr(rclpy, 'try_shutdown', fail)
    monkeypatch.setattr(rclpy, 'ok', lambda: running)
    if running:
        with pytest.raises(RuntimeError, match='already called'):
            shut_down()
    else:
        shut_down()
