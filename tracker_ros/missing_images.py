"""Why no image arrives at a camera, as far as the graph of nodes and topics tells."""

from __future__ import annotations

import time
from typing import Any

from rclpy.node import Node
from rclpy.qos import ReliabilityPolicy

#: Seconds without an image until the log says so.
PATIENCE = 5.0
_IMAGES = {'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'}


class MissingImages:
    """Watches one topic, and says in the log, once, what is wrong while no image arrives."""

    def __init__(self, node: Node, log: Any, topic: str, kind: type, *, reliable: bool) -> None:
        """Watch `topic`, to which the node subscribes with messages of a kind and reliability."""
        self._node, self._log, self._topic, self._reliable = node, log, topic, reliable
        self._kind = f'sensor_msgs/msg/{kind.__name__}'
        self._since = time.monotonic()
        self._told = ''

    def reason(self, image_age: float | None, stale_seconds: float) -> str:
        """Return why the last image is older than it may be, or ''.

        image_age: in seconds; None: there was none so far.
        """
        if image_age is not None and image_age <= stale_seconds:
            self._told = ''
            return ''
        reason = self._find()
        age = time.monotonic() - self._since if image_age is None else image_age
        if age >= PATIENCE and reason != self._told:
            self._log.warning(f'no image for {age:.0f} s: {reason}')
            self._told = reason
        return reason

    def _find(self) -> str:
        publishers = self._node.get_publishers_info_by_topic(self._topic)
        if not publishers:
            others = self._topics_of_images()
            if f'{self._topic}/compressed' in others:
                return (
                    f'nobody publishes {self._topic}, but {self._topic}/compressed: set '
                    'image_transport to compressed'
                )
            there = f' (there are images on {", ".join(others)})' if others else ''
            return f'nobody publishes {self._topic}{there}'
        fitting = [each for each in publishers if each.topic_type == self._kind]
        if not fitting:
            kinds = ', '.join(sorted({each.topic_type for each in publishers}))
            return f'{self._topic} has messages of {kinds}, not of {self._kind}'
        best_effort = ReliabilityPolicy.BEST_EFFORT
        if self._reliable and all(e.qos_profile.reliability == best_effort for e in fitting):
            return (
                f'{self._topic} is published best effort, which a reliable subscription does not '
                'get: set image_reliability to best_effort'
            )
        return f'the publisher of {self._topic} sends none'

    def _topics_of_images(self) -> list[str]:
        """Topics with images of other nodes."""
        own = {publisher.topic_name for publisher in self._node.publishers}
        return sorted(
            name
            for name, kinds in self._node.get_topic_names_and_types()
            if _IMAGES & set(kinds) and name not in own and self._node.count_publishers(name)
        )
