"""Files that appear whole or not at all."""

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from segttt.errors import ResourceError

TEMPORARY = ".tmp-"
"""Names of unfinished files start so; what a killed process left behind may be deleted."""


@contextmanager
def replace_atomically(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path`, on failure it is gone.

    The temporary file keeps the endings of the name. A `ResourceError` names `path` where the
    disk is full or may not be written.
    """
    temporary = path.parent / f"{TEMPORARY}{secrets.token_hex(6)}{''.join(path.suffixes[-2:])}"
    try:
        yield temporary
        _flush(temporary)
        temporary.replace(path)
        _flush(path.parent)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replace_folder(folder: Path) -> Iterator[Path]:
    """Yield a new folder beside `folder`; on success it takes its place, on failure it is gone."""
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
        raise unwritable(folder, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically, making its folder where needed."""
    make_folder(path.parent)
    with replace_atomically(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write a UTF-8 text file atomically, making its folder where needed."""
    write_bytes(path, content.encode())


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


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
            f"{folder}: {what} will take about {needed / 2**30:.1f} GiB, but only "
            f"{free / 2**30:.1f} GiB are free. Free some space, or use another folder."
        )


def make_folder(folder: Path) -> None:
    """Make a folder and those above it; a `ResourceError` names it where that is impossible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
def files_kept_open() -> int:
    """How many files may stay open: half of what the system lets this process have, 1024 mostly."""
    try:
        import resource
    except ImportError:  # not on Windows, where the C library allows 512
        return 256
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 4096 if allowed < 0 else max(16, min(4096, allowed // 2))


        raise unwritable(folder, error) from error


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def unwritable(path: Path, error: OSError) -> ResourceError:
    """The error to raise where `path` cannot be written."""
    return ResourceError(
        f"{path}: cannot be written ({error.strerror or error}). "
        "Free some space, or choose a folder that you may write to."
    )
