"""JSON and YAML texts as plain data: whatever is ambiguous, endless or no data is refused."""

import json
import math
import re
from pathlib import Path
from typing import Any

import yaml

from segttt.errors import UsageError

MAX_BYTES = 64 * 2**20  # a dataset of 100,000 cases stays below
MAX_YAML_BYTES = 64 * 2**10  # presets have 4 KiB; PyYAML reads some 200 KiB in a second
DEEPEST = 64
OPENING = (
    yaml.FlowSequenceStartToken, yaml.FlowMappingStartToken, yaml.BlockSequenceStartToken,
    yaml.BlockMappingStartToken,
)  # fmt: skip
CLOSING = (yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken, yaml.BlockEndToken)
HALF = re.compile(r"\\u[dD][89a-fA-F]")


def parse_json(text: str | bytes) -> Any:
    """What the text says; a `ValueError` where it is no JSON, names a key twice or holds NaN."""
    try:
        found = json.loads(
            text, object_pairs_hook=distinct, parse_constant=_number, parse_float=_number
        )
        if HALF.search(text if isinstance(text, str) else text.decode()):
            json.dumps(found, ensure_ascii=False).encode()  # halves of a letter cannot be written
        return found
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_json(path: Path) -> Any:
    """What a file says; a `UsageError` where it cannot be read, is too large or is no such JSON."""
    try:
        return parse_json(read_bounded(path, MAX_BYTES).decode())
    except ValueError as error:
        raise UsageError(f"{path}: is no JSON ({error}). Correct it or make it anew.") from error


def read_bounded(path: Path, limit: int) -> bytes:
    """The content of a regular file of at most `limit` bytes; else a `UsageError`."""
    try:
        if not path.is_file():
            raise UsageError(f"{path}: cannot be read (No such file). Is it the right name?")
        if path.stat().st_size > limit:
            raise UsageError(f"{path}: is larger than {limit / 2**20:g} MiB. Is it the right file?")
        with path.open("rb") as file:
            return file.read(limit)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}).") from error


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


def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The mapping of the pairs; a `ValueError` where two have one key."""
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise ValueError(f"it names {twice[:80]!r} twice")
    return found


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


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:80]} is no finite number")
    return value
