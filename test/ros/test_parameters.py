"""The table of parameters, bad values, and changes while the node runs."""

import dataclasses

import pytest
import yaml
from harness import PATIENCE, scene, until
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient

from tracker_ros.parameters import NodeSettings, ParameterError, Parameters

pytestmark = pytest.mark.ros


def declare(ros, **overrides):
    """Declare the parameters on a node of this process, as overridden from outside."""
    given = [Parameter(name, value=value) for name, value in overrides.items()]
    node = Node(
        'parameters_tester',
        automatically_declare_parameters_from_overrides=True,
        parameter_overrides=given,
    )
    try:
        return Parameters(node), {name: node.describe_parameter(name) for name in node._parameters}
    finally:
        node.destroy_node()


def test_defaults_and_descriptors(ros):
    parameters, descriptors = declare(ros)
    assert parameters.current == NodeSettings()
    for field in dataclasses.fields(NodeSettings):
        descriptor = descriptors[field.name]
        assert len(descriptor.description) > 15, field.name
        assert descriptor.read_only is not field.metadata['live']
    assert descriptors['history_seconds'].floating_point_range[0].to_value == 600
    assert descriptors['history_megabytes'].integer_range[0].from_value == 1
    assert descriptors['image_transport'].additional_constraints == 'one of raw, compressed'


def test_overrides_win_and_whole_numbers_are_numbers(ros):
    parameters, _ = declare(
        ros, history_seconds=3, cameras=['a', 'b'], image_topics=['/a', '/b'], model='siamfc5'
    )
    assert parameters.current == NodeSettings(
        history_seconds=3.0, cameras=('a', 'b'), image_topics=('/a', '/b'), model='siamfc5'
    )


@pytest.mark.parametrize(
    ('overrides', 'reason'),
    [
        ({'modle': 'x'}, r'unknown parameter modle \(did you mean model\?\); valid: model, wei'),
        ({'xyz': 1}, 'unknown parameter xyz; valid: model'),
        ({'history_seconds': -1.0}, 'history_seconds must lie in 0 to 600, not be -1'),
        ({'history_megabytes': 0}, 'history_megabytes must lie in 1 to 65536, not be 0'),
        ({'publish_overlay': 'maybe'}, "publish_overlay must be true or false, not 'maybe'"),
        ({'click_box_size': 1.5}, 'click_box_size must be a whole number, not 1.5'),
        ({'target_id': 7}, r'target_id must be a string \(in quotes .*\), not 7'),
        ({'image_topics': 'image'}, "image_topics must be a list of strings, not 'image'"),
        ({'image_transport': 'tcp'}, "image_transport must be one of raw, compressed, not 'tcp'"),
        ({'image_reliability': ''}, 'image_reliability must be one of best_effort, reliable'),
        ({'cameras': ['a', 'b']}, "has 2 names .*'a', 'b'.*has 1 topics .*one name per topic"),
        ({'cameras': ['a', 'a'], 'image_topics': ['x', 'y']}, 'must be different names, not a, a'),
        ({'cameras': ['a', ''], 'image_topics': ['x', 'y']}, "camera name '' cannot be part"),
        ({'cameras': ['a b']}, "camera name 'a b' cannot be part of a topic"),
        ({'image_topics': ['']}, 'image_topics has an empty topic'),
        ({'image_topics': ['bad topic']}, "image_topics: Invalid topic name: .*: 'bad topic'$"),
        ({'image_topics': ['{x}']}, 'image_topics: .*unknown substitution'),
        ({'clicked_point_topic': ''}, 'clicked_point_topic: .* must not be empty'),
        ({'clicked_point_topic': '/a//b'}, "clicked_point_topic: .*repeated '/'"),
    ],
)
def test_bad_values_are_refused_with_the_valid_ones(ros, overrides, reason):
    with pytest.raises(ParameterError, match=reason):
        declare(ros, **overrides)


def test_some_parameters_change_while_the_node_runs(ros, tracker, camera):
    change = ros.set_parameter('tracker', Parameter('target_id', value='mug'))
    try:
        assert change.successful
        targets = tracker.targets()
        camera.deliver(0)
        assert tracker.set_target(scene(0)[1]).success
        assert targets.wait().target_id == 'mug'
    finally:
        ros.set_parameter('tracker', Parameter('target_id', value='target'))


@pytest.mark.parametrize(
    ('name', 'value', 'reason'),
    [
        ('model', 'siamfc5', 'read-only'),
        ('cameras', ['a'], 'read-only'),
        ('history_seconds', -2.0, 'range'),
        ('history_seconds', 'long', 'type'),
        ('publish_overlay', 1, 'type'),
    ],
)
def test_other_changes_are_refused_with_a_reason(ros, tracker, name, value, reason):
    answer = ros.set_parameter('tracker', Parameter(name, value=value))
    assert not answer.successful
    assert reason in answer.reason


def test_the_node_lists_its_parameters(ros, tracker):
    client = AsyncParameterClient(ros.node, 'tracker')
    assert client.wait_for_services(PATIENCE)
    answer = client.list_parameters()
    until(answer.done, 'the list of parameters')
    assert {f.name for f in dataclasses.fields(NodeSettings)} <= set(answer.result().result.names)


def test_the_shipped_file_names_parameters_and_repeats_no_default(request):
    text = (request.config.rootpath / 'config' / 'tracker.yaml').read_text()
    lines = text.splitlines()
    active = yaml.safe_load(text)['/**']['ros__parameters']
    examples = [
        line.split('# ')[1] for line in lines if line.startswith('    # ') and ': ' in line
    ]
    examples = [yaml.safe_load(line) for line in examples if line.split(':')[0].isidentifier()]
    assert len(examples) >= 6
    for values in [active, *examples]:
        for name, value in values.items():
            default = getattr(NodeSettings(), name)
            assert value != (list(default) if isinstance(default, tuple) else default), name
