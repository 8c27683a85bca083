"""JSON texts as plain data: whatever is ambiguous, endless or no data is refused."""

import json
import math
import re
from pathlib import Path
from typing import Any

from segttt.errors import UsageError

MAX_BYTES = 64 * 2**20  # a dataset of 100,000 cases stays below
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


def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The mapping of the pairs; a `ValueError` where two have one key."""
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise ValueError(f"it names {twice[:80]!r} twice")
    return found


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:80]} is no finite number")
    return value
