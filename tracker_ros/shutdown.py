"""The end of a ROS process."""

import rclpy


def shut_down() -> None:
    """Shut ROS down unless a signal has done, or does, so.

    The signal handler runs in a thread of its own: it may come in between the look at the state
    and the shutdown of `rclpy.try_shutdown`, which then complains.
    """
    try:
        rclpy.try_shutdown()
    except RuntimeError:
        if rclpy.ok():
            raise
