"""The file dataset.json of the Decathlon and of nnU-Net: channels and labels."""

import json
import re
from pathlib import Path
from typing import Any

from segttt.config.dataset import BOUNDARY, INTERIOR
from segttt.config.strict import MAX_BYTES
from segttt.errors import LayoutError

INSTANCE_LABELS = {1: INTERIOR, 2: BOUNDARY}
COUNTED = re.compile(r"1\s*\.\.\s*n", re.IGNORECASE)


def read_description(path: Path) -> dict[str, Any]:
    """The content of dataset.json; a `LayoutError` where it is no JSON object."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise LayoutError(
                f"{path}: is larger than {MAX_BYTES >> 20} MiB. Is it the right file?"
            )
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise LayoutError(f"{path}: cannot be read as JSON ({error}). Correct it.") from error
    if not isinstance(content, dict):
        raise LayoutError(f"{path}: must hold one JSON object with channels and labels.")
    return content


def channels_of(content: dict[str, Any], path: Path) -> tuple[str, ...]:
    """Names of the channels in order, from channel_names or modality."""
    found = content.get("channel_names") or content.get("modality")
    if isinstance(found, list):
        found = dict(enumerate(found))
    if not isinstance(found, dict) or not found or not all(str(key).isdigit() for key in found):
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


def _entry(key: str, value: Any, path: Path) -> tuple[int, str]:
    if key.isdigit() and isinstance(value, str):
        return int(key), value
    number = int(value) if isinstance(value, str) and value.isdigit() else value
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise LayoutError(
            f"{path}: the label {key} is {json.dumps(value)[:60]}, which is no whole number. "
            "Regions of several values are not read; give each value its own name."
        )
    if key.lower() == "ignore":
        raise LayoutError(f"{path}: the label 'ignore' is not supported. Remove it.")
    return number, key
