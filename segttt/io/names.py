"""File names: which endings are read, and what remains without them."""

from pathlib import Path

VOLUME_ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha")
PICTURE_ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
ENDINGS = VOLUME_ENDINGS + PICTURE_ENDINGS
OBJECT_ENDINGS = (".seg.dcm", ".rtstruct.dcm", ".dcm")
"""Of DICOM objects that are label maps; slices are told by their content."""


def ending(path: Path) -> str:
    """The image ending of a file name, in lower case; empty where it is none."""
    name = path.name.lower()
    return next((one for one in ENDINGS if name.endswith(one)), "")


def stem(path: Path) -> str:
    """The file name without its ending of an image or of a DICOM label."""
    return path.name[: len(path.name) - len(ending(path) or object_ending(path))]


def object_ending(path: Path) -> str:
    """The ending of a DICOM label, in lower case; empty where it is none."""
    name = path.name.lower()
    return next((one for one in OBJECT_ENDINGS if name.endswith(one)), "")


def is_picture(path: Path) -> bool:
    """Whether the file is a 2D picture by its ending."""
    return ending(path) in PICTURE_ENDINGS
