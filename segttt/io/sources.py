"""Whether the files of a case are still those that it was prepared from."""

from collections.abc import Iterator
from pathlib import Path

from segttt.config.dataset import CaseFiles
from segttt.config.strict import Strict


class SourceFile(Strict):
    """What tells one version of a file from another without reading it."""

    bytes: int
    modified_ns: int


def source_files(files: CaseFiles) -> tuple[SourceFile, ...]:
    """Size and time of change of each file, images first; empty where one cannot be seen."""
    masks = [mask for _, names in sorted(files.masks.items()) for mask in names]
    names = [*files.images, *([files.label] if files.label else []), *masks]
    try:
        return tuple(_seen(one) for name in names for one in _contents(Path(name)))
    except OSError:
        return ()


def changed(before: tuple[SourceFile, ...], files: CaseFiles) -> bool:
    """Whether a case's files differ from before; what is unknown or out of reach has not."""
    now = source_files(files)
    return bool(before and now) and before != now


def _contents(path: Path) -> Iterator[Path]:
    """A file itself, of a folder of slices every file."""
    if path.is_dir():
        yield from sorted(one for one in path.iterdir() if one.is_file())
    else:
        yield path


def _seen(path: Path) -> SourceFile:
    found = path.stat()
    return SourceFile(bytes=found.st_size, modified_ns=found.st_mtime_ns)
