"""The parameters of the tracker node: the one table of names, defaults, meanings and ranges."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.exceptions import InvalidParameterValueException, InvalidTopicNameException
from rclpy.expand_topic_name import expand_topic_name
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.validate_full_topic_name import validate_full_topic_name
from rclpy.validate_topic_name import validate_topic_name


class ParameterError(ValueError):
    """A parameter that cannot be used; the message says which, why, and what is valid."""


def _parameter(
    default: Any,
    description: str,
    *,
    range: tuple[float, float] | None = None,
    choices: tuple[str, ...] = (),
    live: bool = False,
) -> Any:
    """Return the dataclass field of a parameter. `live`: may be changed while the node runs."""
    about = {'description': description, 'range': range, 'choices': choices, 'live': live}
    return dataclasses.field(default=default, metadata=about)


@dataclass(frozen=True)
class NodeSettings:
    """The values of all parameters. Defaults are written here and nowhere else."""

    model: str = _parameter(
        'dimp18', 'Tracker to run, by name; a wrong name is refused with the list of valid ones.'
    )
    weights: str = _parameter(
        '', "Weights file. Empty: the ones shipped for the model; 'random': none (for trials)."
    )
    device: str = _parameter(
        'auto', "Where to compute: 'auto' (GPU where there is one), 'cpu', 'cuda' or 'cuda:N'."
    )
    settings_file: str = _parameter(
        '', "YAML file with changes of the model's settings, as a mapping. Empty: none."
    )
    cameras: tuple[str, ...] = _parameter(
        ('',),
        'Names of the cameras, one per image topic. An empty name gives ~/target, '
        "'front' gives ~/front/target, and so on for all topics and services.",
    )
    image_topics: tuple[str, ...] = _parameter(
        ('image',), 'Image topic of each camera, in the order of cameras.'
    )
    image_transport: str = _parameter(
        'raw',
        "'raw' takes sensor_msgs/Image; 'compressed' takes sensor_msgs/CompressedImage from "
        'the image topic with /compressed behind it, as does a topic that is given with it.',
        choices=('raw', 'compressed'),
    )
    image_reliability: str = _parameter(
        'best_effort',
        "Reliability of the image subscription. 'best_effort' receives from every camera; "
        "'reliable' repeats lost images, at the price of delay.",
        choices=('best_effort', 'reliable'),
    )
    target_id: str = _parameter(
        'target', 'Name of a target whose initial box came without one.', live=True
    )
    publish_overlay: bool = _parameter(
        True, 'Publish ~/overlay and ~/response while somebody subscribes to them.', live=True
    )
    history_seconds: float = _parameter(
        5.0,
        'Time for which images are kept, so that a box drawn on an earlier one can be used.',
        range=(0.0, 600.0),
        live=True,
    )
    history_megabytes: int = _parameter(
        256,
        'Memory for kept images of one camera. Where it does not suffice for the time, images '
        'in between are left out.',
        range=(1, 65536),
        live=True,
    )
    init_timeout: float = _parameter(
        5.0,
        'Seconds that an initial box waits for its image, for example for the first one.',
        range=(0.1, 3600.0),
        live=True,
    )
    stale_seconds: float = _parameter(
        2.0,
        'Seconds without an image after which the diagnostics call a camera stale, and a box for '
        'the newest image waits for the next one.',
        range=(0.1, 3600.0),
        live=True,
    )
    clicked_point_topic: str = _parameter(
        '/clicked_point', "Topic of RViz's Publish Point tool; two clicks are two corners."
    )
    plane_frame: str = _parameter(
        'tracker_image',
        'Frame in which ~/image_plane shows the image to be clicked on. With several cameras '
        'the name of the camera follows, as in tracker_image_front.',
    )
    click_box_size: int = _parameter(
        0,
        'Side in pixels of the box around a single click. 0: two clicks are two corners.',
        range=(0, 10000),
        live=True,
    )
    click_timeout: float = _parameter(
        30.0,
        'Seconds after which a first corner without a second is forgotten.',
        range=(0.1, 3600.0),
        live=True,
    )


class Parameters:
    """Declares the parameters on a node; `current` follows the changes made while it runs.

    `current` is replaced as a whole, so that any thread may read it without a lock. The node must
    have been made with ``automatically_declare_parameters_from_overrides``: only so does ROS tell
    which names were given, and a mistyped one can be refused.

    Raises ParameterError for an override that cannot be used.
    """

    def __init__(self, node: Node) -> None:
        given = _take_overrides(node)
        fields = dataclasses.fields(NodeSettings)
        _refuse_unknown(given, [field.name for field in fields])
        defaults = NodeSettings()
        values = {}
        for field in fields:
            default = getattr(defaults, field.name)
            value = _converted(field.name, given.get(field.name, default), default)
            values[field.name] = _declare(node, field, value)
        self.current = NodeSettings(**values)
        _check(self.current)
        for topic in self.current.image_topics:
            _check_topic(node, 'image_topics', topic)
        _check_topic(node, 'clicked_point_topic', self.current.clicked_point_topic)
        node.add_on_set_parameters_callback(self._on_set)

    def _on_set(self, changes: list[Parameter]) -> SetParametersResult:
        """Take over changes, whose types and ranges rclpy has checked by the descriptors."""
        values = {c.name: c.value for c in changes if hasattr(self.current, c.name)}
        self.current = dataclasses.replace(self.current, **values)
        return SetParametersResult(successful=True)


def _take_overrides(node: Node) -> dict[str, Any]:
    """Return the overrides and undeclare them, to be declared again with descriptors."""
    # rclpy declares parameters of its own; those stay as they are.
    own = ('use_sim_time', 'start_type_description_service', 'qos_overrides')
    given = [name for name in node.get_parameters_by_prefix('') if name.split('.')[0] not in own]
    mine = {name: node.get_parameter(name).value for name in given}
    for name in mine:
        node.undeclare_parameter(name)
    return mine


def _refuse_unknown(given: Mapping[str, Any], known: list[str]) -> None:
    for name in given:
        if name not in known:
            similar = difflib.get_close_matches(name, known, 1)
            meant = f' (did you mean {similar[0]}?)' if similar else ''
            raise ParameterError(f'unknown parameter {name}{meant}; valid: {", ".join(known)}')


_KINDS = {
    str: 'a string (in quotes where it looks like a number)',
    bool: 'true or false',
    int: 'a whole number',
    float: 'a number',
    tuple: 'a list of strings',
}


def _converted(name: str, value: Any, default: Any) -> Any:
    """Return `value` as the type of the default: whole numbers count as numbers."""
    kind = type(default)
    if kind is float and type(value) is int:
        return float(value)
    if kind is tuple and isinstance(value, (list, tuple)) and value:
        if all(isinstance(item, str) for item in value):
            return tuple(value)
    elif type(value) is kind:
        return value
    raise ParameterError(f'parameter {name} must be {_KINDS[kind]}, not {value!r}')


def _declare(node: Node, field: dataclasses.Field[Any], value: Any) -> Any:
    choices = field.metadata['choices']
    if choices and value not in choices:
        raise ParameterError(
            f'parameter {field.name} must be one of {", ".join(choices)}, not {value!r}'
        )
    try:
        node.declare_parameter(field.name, value, _descriptor(field, value), True)
    except InvalidParameterValueException:
        low, high = field.metadata['range']
        raise ParameterError(
            f'parameter {field.name} must lie in {low:g} to {high:g}, not be {value:g}'
        ) from None
    return value


def _descriptor(field: dataclasses.Field[Any], value: Any) -> ParameterDescriptor:
    about = field.metadata
    descriptor = ParameterDescriptor(description=about['description'], read_only=not about['live'])
    if about['choices']:
        descriptor.additional_constraints = f'one of {", ".join(about["choices"])}'
    if about['range'] and isinstance(value, float):
        low, high = about['range']
        descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    elif about['range']:
        low, high = about['range']
        descriptor.integer_range = [IntegerRange(from_value=low, to_value=high, step=1)]
    return descriptor


def _check(settings: NodeSettings) -> None:
    """Raise ParameterError for values that do not fit together."""
    names, topics = settings.cameras, settings.image_topics
    if len(names) != len(topics):
        raise ParameterError(
            f'cameras has {len(names)} names ({", ".join(map(repr, names))}), but image_topics '
            f'has {len(topics)} topics ({", ".join(topics)}): give one name per topic'
        )
    if len(set(names)) < len(names):
        raise ParameterError(f'cameras must be different names, not {", ".join(names)}')
    for name in names:
        if not re.fullmatch(r'[A-Za-z][A-Za-z0-9_]*', name) and names != ('',):
            raise ParameterError(
                f'camera name {name!r} cannot be part of a topic: use letters, digits and _'
            )
    if not all(topics):
        raise ParameterError('image_topics has an empty topic: give each camera its topic')


def _check_topic(node: Node, parameter: str, topic: str) -> None:
    """Raise ParameterError for what is no name of a topic."""
    try:
        validate_topic_name(topic)
        full_name = expand_topic_name(topic, node.get_name(), node.get_namespace())
        validate_full_topic_name(full_name)
    except (InvalidTopicNameException, ValueError) as error:
        # Of several lines, the last with a mark below the wrong character.
        reason = ' '.join(str(error).split()).removesuffix(' ^')
        raise ParameterError(f'parameter {parameter}: {reason}') from None
