"""ROS 2 nodes around tracker_core.

The messages (``tracker_ros.msg``, ``tracker_ros.srv``) are generated when the package is built.
`extend_path` lets a source checkout that comes first on ``sys.path`` still find them there.
"""

from pkgutil import extend_path

__path__ = extend_path(__path__, __name__)
