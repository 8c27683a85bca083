"""The base of all configuration: frozen, and unknown keys are refused."""

import hashlib
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from segttt.errors import UsageError

MAX_BYTES = 256 * 2**20  # a plan or a dataset of 100,000 cases stays far below

Record = TypeVar("Record", bound="Strict")


class Strict(BaseModel):
    """A frozen record that refuses unknown keys, NaN and infinity."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )

    @classmethod
    def load(cls: type[Record], path: Path) -> Record:
        """Read and validate a JSON file; a `UsageError` names the file and the first fault."""
        try:
            if path.stat().st_size > MAX_BYTES:
                raise UsageError(
                    f"{path}: is larger than {MAX_BYTES >> 20} MiB. Is it the right file?"
                )
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise UsageError(f"{path}: cannot be read ({error.strerror}).") from error
        except ValidationError as error:
            raise UsageError(
                f"{path}: {first_fault(error)}. Correct it or make it anew."
            ) from error

    def dump(self) -> str:
        """The JSON text that `load` reads back."""
        return self.model_dump_json(indent=1) + "\n"

    def digest(self) -> str:
        """Twelve hexadecimal digits that name this content."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]


def first_fault(error: ValidationError) -> str:
    """The first fault of a validation in one readable clause."""
    fault = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in fault["loc"]) or "the file"
    found = repr(fault.get("input"))
    return f"{where}: {fault['msg']} (found {found[:80]})"
