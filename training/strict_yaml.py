"""YAML in which no key stands twice, and 1e-3 is a number."""

from __future__ import annotations

import re
from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """Loader that refuses what YAML forbids and PyYAML lets pass: the last one would count."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a mapping; ConstructorError for a key that stands twice in it."""
        keys = [(each.tag, each.value) for each, _ in node.value if each.value != '<<']
        for number, key in enumerate(keys):
            if key in keys[:number]:
                mark = node.value[number][0].start_mark
                raise yaml.constructor.ConstructorError(
                    problem=f'the key {key[1]!r} stands twice', problem_mark=mark
                )
        return super().construct_mapping(node, deep)


# A word in YAML 1.1, which PyYAML reads.
_Loader.add_implicit_resolver(
    'tag:yaml.org,2002:float', re.compile(r'[-+]?\d+(\.\d*)?[eE][-+]?\d+$'), list('-+0123456789')
)


def load(text: str) -> Any:
    """Plain values of a YAML text; yaml.YAMLError where it is none or a key stands twice."""
    return yaml.load(text, _Loader)
