"""The file dataset.json of the Decathlon and of nnU-Net: channels and labels."""

import json
import re
from pathlib import Path
from typing import Any

from segttt.cases import Failure
from segttt.config.dataset import BOUNDARY, INTERIOR, CaseFiles
from segttt.config.text import read_json
from segttt.errors import LayoutError, UsageError
from segttt.io.layouts.layout import Found

INSTANCE_LABELS = {1: INTERIOR, 2: BOUNDARY}
COUNTED = re.compile(r"1\s*\.\.\s*n", re.IGNORECASE)


def read_description(path: Path) -> dict[str, Any]:
    """The content of dataset.json; a `LayoutError` where it is no JSON object."""
    try:
        content = read_json(path)
    except UsageError as error:
        raise LayoutError(str(error)) from error
    if not isinstance(content, dict):
        raise LayoutError(f"{path}: must hold one JSON object with channels and labels.")
    return content


def channels_of(content: dict[str, Any], path: Path) -> tuple[str, ...]:
    """Names of the channels in order, from channel_names or modality."""
    found = content.get("channel_names") or content.get("modality")
    if isinstance(found, list):
        found = dict(enumerate(found))
    if not isinstance(found, dict) or not found or not all(_is_number(str(key)) for key in found):
        raise LayoutError(f'{path}: lacks channel_names, such as {{"0": "CT"}}. Add them.')
    ordered = sorted(found.items(), key=lambda item: int(item[0]))
    return tuple(str(name) for _, name in ordered)


def labels_of(content: dict[str, Any], path: Path) -> tuple[dict[int, str], bool]:
    """Value -> name without background, and whether the labels number objects ("1..N")."""
    found = content.get("labels")
    if not isinstance(found, dict) or not found:
        raise LayoutError(
            f'{path}: lacks labels, such as {{"background": 0, "liver": 1}}. Add them.'
        )
    labels: dict[int, str] = {}
    for key, value in found.items():
        if COUNTED.fullmatch(str(key)) or COUNTED.fullmatch(str(value)):
            return INSTANCE_LABELS, True
        number, name = _entry(str(key), value, path)
        if number in labels:
            raise LayoutError(f"{path}: declares the label {number} twice. Correct it.")
        labels[number] = name
    labels.pop(0, None)
    return dict(sorted(labels.items())), False


def described(
    content: dict[str, Any], path: Path, cases: list[CaseFiles], failures: list[Failure]
) -> Found:
    """The cases with the names that dataset.json gives to channels and labels."""
    labels, instances = labels_of(content, path)
    name = content.get("name")
    return Found(
        cases, failures, channels_of(content, path), labels, instances,
        name if isinstance(name, str) else "",
    )  # fmt: skip


def _entry(key: str, value: Any, path: Path) -> tuple[int, str]:
    if _is_number(key) and isinstance(value, str):
        return int(key), value
    number = int(value) if isinstance(value, str) and _is_number(value) else value
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 2**24:
        raise LayoutError(
            f"{path}: the label {key[:60]} is {json.dumps(value)[:60]}, which is no whole number "
            "below 2^24. Regions of several values are not read; give each value its own name."
        )
    if key.lower() == "ignore":
        raise LayoutError(f"{path}: the label 'ignore' is not supported. Remove it.")
    return number, key


def _is_number(text: str) -> bool:
    """Whether the text is a number of a label or channel."""
    return text.isascii() and text.isdigit() and len(text) <= 8 and int(text) < 2**24
