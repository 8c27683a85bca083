"""YAML texts as plain data: whatever is ambiguous, endless or no data is refused."""

from typing import Any

import yaml

from segttt.config.text import distinct

MAX_YAML_BYTES = 64 * 2**10  # presets have 4 KiB; PyYAML reads some 200 KiB in a second
DEEPEST = 64
OPENING = (
    yaml.FlowSequenceStartToken, yaml.FlowMappingStartToken, yaml.BlockSequenceStartToken,
    yaml.BlockMappingStartToken,
)  # fmt: skip
CLOSING = (yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken, yaml.BlockEndToken)


def parse_yaml(text: str) -> Any:
    """What the text says; a `ValueError` where it is no YAML, or has aliases or a key twice.

    Aliases are refused, since a page of them stands for more than any memory holds.
    """
    try:
        _refuse_bombs(text)
        _refuse_doubles(yaml.compose(text, yaml.SafeLoader))
        return yaml.safe_load(text)
    except (yaml.YAMLError, LookupError, AttributeError) as error:  # of odd tagged scalars
        raise ValueError(" ".join(str(error).split())) from error


def _refuse_bombs(text: str) -> None:
    depth = 0
    for token in yaml.scan(text):  # whose time grows with the square of the depth
        depth += isinstance(token, OPENING) - isinstance(token, CLOSING)
        if depth > DEEPEST:
            raise ValueError("it is nested too deeply")
        if isinstance(token, yaml.AliasToken):
            raise ValueError("it has aliases; write their content out")


def _refuse_doubles(node: yaml.Node | None) -> None:
    if isinstance(node, yaml.MappingNode):
        distinct([(str(key.value), None) for key, _ in node.value])
        for _, value in node.value:
            _refuse_doubles(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _refuse_doubles(value)
