"""The base of all configuration: frozen, and unknown keys are refused."""

import hashlib
import reprlib
from pathlib import Path
from typing import ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from segttt.config.text import parse_json, read_bounded
from segttt.errors import UsageError

SHOWN = reprlib.Repr()  # a fault is told in a line, however large what was found is
SHOWN.maxstring = SHOWN.maxother = LONGEST = 80

Record = TypeVar("Record", bound="Strict")


class Strict(BaseModel):
    """A frozen record that refuses unknown keys, NaN and infinity."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False,
        defer_build=True,  # a record that a command does not use costs nothing
    )  # fmt: skip
    largest_bytes: ClassVar[int] = 16 * 2**20
    """Of the JSON file."""

    @classmethod
    def load(cls: type[Record], path: Path) -> Record:
        """Read and validate a JSON file; a `UsageError` names the file and the first fault."""
        content = read_bounded(path, cls.largest_bytes)
        try:
            return cls.parse(content)
        except ValueError as error:
            raise UsageError(f"{path}: {error}. Correct it or make it anew.") from error

    @classmethod
    def parse(cls: type[Record], content: bytes) -> Record:
        """Validate JSON; a `ValueError` tells the first fault."""
        if len(content) > cls.largest_bytes:
            raise ValueError(f"it is larger than {cls.largest_bytes >> 20} MiB")
        try:
            record = cls.model_validate_json(content)
        except ValidationError as error:
            raise ValueError(first_fault(error)) from None
        parse_json(content)  # of two equal keys the line above takes the last
        return record

    def dump(self) -> str:
        """The JSON text that `load` reads back."""
        return self.model_dump_json(indent=1) + "\n"

    def digest(self) -> str:
        """Twelve hexadecimal digits that name this content."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]


def first_fault(error: ValidationError) -> str:
    """The first fault of a validation in one readable clause."""
    fault = error.errors(include_url=False)[0]
    where = ".".join(_line(str(part)) for part in fault["loc"]) or "the file"
    try:
        found = SHOWN.repr(fault.get("input"))
    except ValueError:  # a number of thousands of digits is not spelt out
        found = "a huge number"
    return f"{where}: {_line(fault['msg'], 4 * LONGEST)} (found {found[:LONGEST]})"


def _line(text: str, longest: int = LONGEST) -> str:
    """The text as a part of one line."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:longest])
