"""Plain layout: two folders, such as images and labels, whose files share their names."""

from pathlib import Path

from segttt.cases import Case, Failure
from segttt.config.dataset import CaseFiles
from segttt.errors import DataError, LayoutError
from segttt.io.layouts.layout import Found, Layout
from segttt.io.layouts.nnunet import read_pairs
from segttt.io.names import is_picture
from segttt.io.volumes import read_volume

IMAGES = ("images", "image", "imgs", "img")
LABELS = ("labels", "label", "masks", "mask")


def is_plain(folder: Path) -> bool:
    """Whether the folder holds one folder of images and one of labels."""
    return all(any((folder / one).is_dir() for one in names) for names in (IMAGES, LABELS))


def read_plain(folder: Path) -> tuple[list[CaseFiles], list[Failure]]:
    """Complete cases sorted by id, and the files that lack a partner."""
    images, labels = (
        next(folder / one for one in names if (folder / one).is_dir()) for names in (IMAGES, LABELS)
    )
    return read_pairs(images, labels, None)


def discover_channels(cases: list[CaseFiles], folder: Path) -> tuple[str, ...]:
    """Names of the channels, from the first case that can be read.

    Colours are R, G and B; scans are called image, as nothing says what they are.
    """
    for files in cases:
        case = Case(files.id, tuple(Path(path) for path in files.images))
        try:
            count = len(read_volume(case, None, label=False).image)
        except DataError:
            continue  # named when the cases are checked
        if is_picture(case.images[0]) and count == 3 and len(case.images) == 1:
            return ("R", "G", "B")
        return ("image",) if count == 1 else tuple(f"image_{i}" for i in range(count))
    raise LayoutError(f"{folder}: holds no image that can be read. Check the files.")


PLAIN = Layout(
    "plain",
    "images (or image, imgs, img) with labels (or label, masks, mask), files of equal names up to "
    "_label, _seg, _mask",
    lambda folder: folder if is_plain(folder) else None,
    lambda home: Found(*read_plain(home)),
)
