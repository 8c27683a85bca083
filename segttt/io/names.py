"""File names: which endings are read, and what remains without them."""

from pathlib import Path

VOLUME_ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha")
PICTURE_ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
ENDINGS = VOLUME_ENDINGS + PICTURE_ENDINGS


def ending(path: Path) -> str:
    """The image ending of a file name, in lower case; empty where it is none."""
    name = path.name.lower()
    return next((one for one in ENDINGS if name.endswith(one)), "")


def stem(path: Path) -> str:
    """The file name without its image ending."""
    return path.name[: len(path.name) - len(ending(path))]


def is_picture(path: Path) -> bool:
    """Whether the file is a 2D picture by its ending."""
    return ending(path) in PICTURE_ENDINGS
