"""What goes into a script of the peer and out of it: settings and arrays in one folder."""

import json
import sys
from pathlib import Path

import numpy as np

FOLDER = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()


def read() -> tuple[dict, dict[str, np.ndarray]]:
    """The settings and the arrays that the caller left."""
    arrays = FOLDER / "arrays.npz"
    settings = json.loads((FOLDER / "settings.json").read_text(encoding="utf-8"))
    return settings, dict(np.load(arrays)) if arrays.is_file() else {}


def write(values: dict, arrays: dict[str, np.ndarray] | None = None) -> None:
    """Hand values (JSON) and arrays back to the caller."""
    text = json.dumps(values, default=_plain)
    (FOLDER / "result.json").write_text(text, encoding="utf-8")
    np.savez(FOLDER / "result.npz", **(arrays or {}))


def _plain(value: object) -> object:
    """NumPy's numbers and arrays as Python's."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be handed back")
