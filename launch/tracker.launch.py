"""Start the tracker node: ``ros2 launch tracker_ros tracker.launch.py model:=dimp18``.

``ros2 launch tracker_ros tracker.launch.py --show-args`` lists the arguments. An argument that is
not given leaves the parameter file, and what that leaves open the node, to decide.
"""

from pathlib import Path

from ament_index_python.packages import (
    PackageNotFoundError,
    get_package_prefix,
    get_package_share_directory,
)
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription

CONFIG = Path(get_package_share_directory('tracker_ros')) / 'config'

#: Freed memory of images and feature maps stays with the process instead of going back to the
#: system, which would have to clear it page by page for the next image. Measured with SiamFC on a
#: CPU: 45 page faults per image instead of 106 to 344, which is up to 2 ms of the 92 ms it takes.
ALLOCATOR = {'MALLOC_MMAP_THRESHOLD_': '33554432', 'MALLOC_TRIM_THRESHOLD_': '268435456'}

#: Topics in config/tracker.rviz, which hold for a node without a namespace.
RVIZ_TOPICS = ('tracker/image_plane', 'tracker/overlay', 'tracker/response')


def generate_launch_description() -> LaunchDescription:
    """Describe the node, its arguments, and RViz for those who ask for it."""
    arguments = {
        'model': ('', 'Tracker to run; a wrong name makes the node list the valid ones.'),
        'weights': ('', "Weights file, or 'random' for trials; not given: the shipped ones."),
        'device': ('', "Where to compute: 'auto', 'cpu', 'cuda' or 'cuda:N'."),
        'image_topic': ('', 'Image topic of a single camera; several go into params_file.'),
        'image_transport': ('', "Of all cameras: 'raw', or 'compressed' for JPEG or PNG images."),
        'params_file': (str(CONFIG / 'tracker.yaml'), 'YAML file with parameters of the node.'),
        'namespace': ('', 'Namespace of the node.'),
        'rviz': ('false', 'Also start RViz, to see the target and to click on it.'),
    }
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in arguments.items()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=_nodes)])


def _nodes(context: LaunchContext) -> list[Node]:
    with_rviz = IfCondition(LaunchConfiguration('rviz')).evaluate(context)
    return [_tracker(context), *([_rviz(context)] if with_rviz else [])]


def _tracker(context: LaunchContext) -> Node:
    names = ('model', 'weights', 'device', 'image_transport')
    given = {name: LaunchConfiguration(name).perform(context) for name in names}
    overrides = {name: value for name, value in given.items() if value}
    topic = LaunchConfiguration('image_topic').perform(context)
    if topic:
        overrides['image_topics'] = [topic]
    # No shell replaces ~ behind :=.
    parameters = Path(LaunchConfiguration('params_file').perform(context)).expanduser()
    if not parameters.is_file():  # launch itself would only warn
        raise RuntimeError(f'there is no params_file {parameters}')
    return Node(
        package='tracker_ros',
        executable='tracker_node',
        name='tracker',
        namespace=LaunchConfiguration('namespace'),
        parameters=[str(parameters), overrides],
        additional_env=ALLOCATOR,
        output='screen',
    )


def _rviz(context: LaunchContext) -> Node:
    try:
        get_package_prefix('rviz2')
    except PackageNotFoundError:
        raise RuntimeError(
            'rviz:=true needs RViz, which is not installed: install rviz2 or leave rviz:=true out'
        ) from None
    namespace = LaunchConfiguration('namespace').perform(context).strip('/')
    remappings = [(f'/{topic}', f'/{namespace}/{topic}') for topic in RVIZ_TOPICS]
    return Node(
        package='rviz2',
        executable='rviz2',
        arguments=['-d', str(CONFIG / 'tracker.rviz')],
        remappings=remappings if namespace else [],
        output='screen',
    )
