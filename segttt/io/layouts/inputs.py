"""Images to segment: one file, or a folder of them."""

from pathlib import Path

from segttt.cases import Case, Failure
from segttt.config.dataset import CaseFiles
from segttt.errors import LayoutError
from segttt.io.layouts.folders import group, image_files, refuse_lookalikes
from segttt.io.names import ENDINGS, ending


def list_inputs(path: Path, channels: int) -> tuple[list[Case], list[Failure]]:
    """Cases sorted by id (the file name without ending and channel), and incomplete ones.

    CASE_0000, CASE_0001 ... form one case where the network takes several channels.
    A `LayoutError` where there is no image at all.
    """
    if path.is_dir():
        files = image_files(path)
    elif path.is_file() and ending(path):
        files = [path]
    else:
        found = "is no image that is read" if path.is_file() else "does not exist"
        raise LayoutError(f"{path}: {found}. Known endings: {', '.join(ENDINGS)}.")
    if not files:
        raise LayoutError(f"{path}: holds no image. Known endings: {', '.join(ENDINGS)}.")
    groups, failures = group(files, channels)
    named = [
        CaseFiles(id=case, images=tuple(str(one.absolute()) for one in paths))
        for case, paths in sorted(groups.items())
    ]
    kept, failures = refuse_lookalikes(named, failures)
    return [Case(one.id, tuple(Path(image) for image in one.images)) for one in kept], failures
