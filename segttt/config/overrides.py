"""`--set a.b=c`: change fields of a validated record by their dotted names."""

import re
from typing import Any, TypeVar

from pydantic import ValidationError

from segttt.config.strict import Strict, first_fault
from segttt.errors import UsageError

Record = TypeVar("Record", bound=Strict)

EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")
"""3e-4, which YAML 1.1 takes for text because it has no point."""


def override(record: Record, settings: dict[str, Any]) -> Record:
    """A copy of `record` with the dotted fields of `settings` replaced, validated anew.

    Entries of a dictionary are named by their key (evaluate.nsd_mm.1) and may be new, those of a
    list by their place from 0 (normalisation.0.scheme). A mapping given for a record changes the
    fields that it names (network={encoder: mamba, decoder: mamba}). Faults raise `UsageError`.
    """
    changed: Any = record
    for name, value in settings.items():
        changed = _replaced(changed, name.split("."), value, name)
    try:
        # Values of a wrong type are what validation is for; dumping them need not warn.
        return type(record).model_validate(changed.model_dump(warnings=False))
    except ValidationError as error:
        raise UsageError(f"--set: {first_fault(error)}.") from error


def parse(assignments: list[str]) -> dict[str, Any]:
    """Read `a.b=c` pairs; values are YAML, so `[1,2]`, `true` and `3e-4` mean what they say."""
    settings: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not name:
            raise UsageError(
                f"--set {assignment}: write it as field=value, for example train.epochs=5."
            )
        settings[name.strip()] = _value(text)
    return settings


def _value(text: str) -> Any:
    from segttt.config.yaml_text import parse_yaml  # slow to import; most commands set nothing

    try:
        value = parse_yaml(text)
    except ValueError:
        return text
    if isinstance(value, str) and EXPONENT.fullmatch(value):
        return float(value)
    return value


def _replaced(place: Any, path: list[str], value: Any, name: str) -> Any:
    """A copy of `place` with the entry at `path` replaced, not yet validated."""
    if not path and isinstance(place, Strict) and isinstance(value, dict):
        for key, one in value.items():
            place = _replaced(place, [str(key)], one, f"{name}.{key}")
        return place
    if not path:
        return value
    key, *rest = path
    if isinstance(place, Strict) and key in type(place).model_fields:
        return place.model_copy(update={key: _replaced(getattr(place, key), rest, value, name)})
    if isinstance(place, dict):
        entry = int(key) if key.isdigit() else key
        return {**place, entry: _replaced(place.get(entry), rest, value, name)}
    if isinstance(place, list | tuple) and key.isdigit() and int(key) < len(place):
        index = int(key)
        return [*place[:index], _replaced(place[index], rest, value, name), *place[index + 1 :]]
    raise UsageError(f"--set {name}: there is no field '{key}'. {_known(place)}")


def _known(place: Any) -> str:
    if isinstance(place, Strict):
        return f"Known fields there: {', '.join(type(place).model_fields)}."
    if isinstance(place, list | tuple):
        return f"There are {len(place)} entries, counted from 0."
    return "There is nothing below it."
