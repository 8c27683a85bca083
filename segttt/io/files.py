"""Files that appear whole or not at all."""

import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from segttt.errors import ResourceError
from segttt.io.names import ending

TEMPORARY = ".tmp-"
"""Names of unfinished files start so; what a killed process left behind may be deleted."""
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextmanager
def replace_atomically(path: Path, size: int | None = None) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path`, on failure it is gone.

    The temporary file keeps the ending of the name. A `ResourceError` names `path` where the
    disk is full or may not be written; it takes `size` bytes at most.
    """
    kept = ending(path) or path.suffix
    temporary = path.parent / f"{TEMPORARY}{secrets.token_hex(6)}{kept}"
    try:
        yield temporary
        _flush(temporary)
        temporary.replace(path)
        _flush(path.parent)
    except OSError as error:
        raise unwritable(path, error, size) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replace_folder(folder: Path, size: int | None = None) -> Iterator[Path]:
    """Yield a new folder beside `folder`; on success it takes its place, on failure it is gone.

    A `ResourceError` as in `replace_atomically`.
    """
    temporary = folder.parent / f"{TEMPORARY}{secrets.token_hex(6)}"
    try:
        temporary.mkdir(parents=True)
        yield temporary
        for file in temporary.iterdir():
            _flush(file)
        _flush(temporary)
        if folder.exists():
            shutil.rmtree(folder)
        temporary.replace(folder)
        _flush(folder.parent)
    except OSError as error:
        raise unwritable(folder, error, size) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically, making its folder where needed."""
    make_folder(path.parent)
    with replace_atomically(path, len(content)) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write a UTF-8 text file atomically, making its folder where needed."""
    write_bytes(path, content.encode())


def write_together(contents: Mapping[Path, str]) -> None:
    """Write texts that mean nothing without each other; the last one is there only with the others.

    All are on the disk before the first takes its place.
    """
    if all(path.is_file() and path.read_bytes() == one.encode() for path, one in contents.items()):
        return
    *_, last = contents
    with ExitStack() as stack:
        for path, content in reversed(list(contents.items())):  # left in the other order
            make_folder(path.parent)
            size = len(content.encode())
            temporary = stack.enter_context(replace_atomically(path, size))
            temporary.write_bytes(content.encode())
        last.unlink(missing_ok=True)


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def files_kept_open() -> int:
    """How many files may stay open: half of what the system lets this process have, 1024 mostly."""
    try:
        import resource
    except ImportError:  # not on Windows, where the C library allows 512
        return 256
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 4096 if allowed < 0 else max(16, min(4096, allowed // 2))


def sweep(folder: Path) -> None:
    """Delete what killed processes left unfinished in a folder that no other one writes to."""
    for path in folder.glob(f"{TEMPORARY}*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def require_space(folder: Path, needed: int, what: str) -> None:
    """A `ResourceError` where the disk of `folder` has not the bytes that `what` will take."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ResourceError(
            f"{folder}: {what} will take about {_amount(needed)}, but only {_amount(free)} are "
            "free. Free some space, or use another folder."
        )


def make_folder(folder: Path) -> None:
    """Make a folder and those above it; a `ResourceError` names it where that is impossible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from error


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def unwritable(path: Path, reason: OSError | str, size: int | None = None) -> ResourceError:
    """The error to raise where `path` cannot be written, which takes `size` bytes at most."""
    told, room = str(reason), ""
    if isinstance(reason, OSError):
        told = reason.strerror or told
    if not isinstance(reason, OSError) or reason.errno not in FORBIDDEN:
        place = next((one for one in path.parents if one.is_dir()), Path())
        needs = "" if size is None else f"It takes up to {_amount(size)}; "
        room = f"{needs}{_amount(shutil.disk_usage(place).free)} are free there. "
    return ResourceError(
        f"{path}: cannot be written ({told}). {room}"
        "Free some space, or choose a folder that you may write to."
    )


def _amount(size: int) -> str:
    """Bytes in words."""
    for unit, bytes_of in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= bytes_of:
            return f"{size / bytes_of:.1f} {unit}"
    return f"{size} bytes"
