"""Every error that segttt raises on purpose.

SegtttError
├── UsageError             2   the request itself (option, preset, override, model) cannot be met
│   └── NonFiniteError         a training came to a loss or gradient that is no number
├── DataError              3   the user's data cannot be used
│   ├── ImageError             one image cannot be read, or holds what a scan must not hold
│   ├── LabelError             one label map holds undeclared values, or lacks its image
│   ├── GeometryError          grids that must agree do not
│   └── LayoutError            a folder is not laid out in any way that we read
├── ResourceError          5   memory or disk does not suffice
│   └── CaseMemoryError        memory does not suffice for one case; the others go on
├── MissingDependencyError 6   an optional package or a driver is missing
└── StoppedEarlyError     75   stopped on request; the same command resumes

The number is the exit code of the command line. A message says the file, what was found, what was
expected and the remedy, in one sentence or two.
"""

from typing import ClassVar


class SegtttError(Exception):
    """Root of all errors that are meant for the user."""

    exit_code: ClassVar[int] = 1


class UsageError(SegtttError):
    """The request itself cannot be met."""

    exit_code = 2


class NonFiniteError(UsageError):
    """A training came to a loss or a gradient that is no number."""


class DataError(SegtttError):
    """The data cannot be used."""

    exit_code = 3


class ImageError(DataError):
    """One image cannot be read or used."""


class LabelError(DataError):
    """One label map cannot be used."""


class GeometryError(DataError):
    """Two grids that must agree do not."""


class LayoutError(DataError):
    """A folder is not laid out in a way that segttt reads."""


class ResourceError(SegtttError):
    """Memory or disk does not suffice."""

    exit_code = 5


class CaseMemoryError(ResourceError):
    """One case does not fit into memory."""


CASE_ERRORS = (DataError, CaseMemoryError)
"""What keeps one case from being done, and no other."""


class MissingDependencyError(SegtttError):
    """An optional package or a driver is missing."""

    exit_code = 6


class StoppedEarlyError(SegtttError):
    """Stopped on request; the same command resumes."""

    exit_code = 75


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether Python, the CPU's allocator or a GPU ran out of memory; PyTorch is not imported."""
    named = type(error).__name__ in ("MemoryError", "OutOfMemoryError", "_ArrayMemoryError")
    marks = (
        "can't allocate memory", "Cannot allocate memory", "allocate memory for image",
        "bad_alloc", "failed to map segment", "CUDA out of memory", "STATUS_ALLOC_FAILED",
        "CUDA error: out of memory",  # of the driver: a GPU that others fill, page-locked memory
    )  # fmt: skip
    return named or any(mark in str(error) for mark in marks)


def last_line(error: BaseException) -> str:
    """The last line of what a library says, which is where C++ libraries put the reason."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1].strip()[-160:]
