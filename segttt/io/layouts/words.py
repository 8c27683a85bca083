"""The words by which people tell images from labels, in the names of files and folders."""

import re
from collections.abc import Collection, Sequence

WORDS = "labels?|masks?|segmentations?|segs?|gts?|annotations?|annots?|ground[-_ ]?truths?|truths?"
AFTER = re.compile(rf"[-_. ]+(?:{WORDS})$", re.IGNORECASE)
BEFORE = re.compile(rf"^(?:{WORDS})(?:[-_. ]+|(?=\d))", re.IGNORECASE)
IMAGES = "images?|imgs?|scans?|frames?|volumes?"
IMAGE_BEFORE = re.compile(rf"^(?:{IMAGES})(?:[-_. ]+|(?=\d))", re.IGNORECASE)
PARTS = "(?=tr|ts|te|va|val|train|test|$|[-_. ])"
LABEL_ROOM, IMAGE_ROOM = (
    re.compile(rf"(?:^|(?<=[-_. ]))(?:{words}){PARTS}", re.IGNORECASE) for words in (WORDS, IMAGES)
)


def bare(name: str) -> str:
    """A label's name without the word that says so: a of a_seg, 0001 of label0001, "" of mask."""
    if re.fullmatch(WORDS, name, re.IGNORECASE):
        return ""
    return BEFORE.sub("", AFTER.sub("", name))


def bare_image(name: str) -> str:
    """An image's name without the word that says so: 0001 of img0001."""
    return IMAGE_BEFORE.sub("", name)


def room_of(folders: Sequence[str]) -> tuple[str, bool | None]:
    """Where a file lies but for such words, and whether they say labels (None: they say nothing).

    imagesTr and labelsTr are both the room Tr; a/masks is "a".
    """
    says: bool | None = None
    parts = []
    for folder in folders:
        if LABEL_ROOM.search(folder):
            says = True
        elif IMAGE_ROOM.search(folder) and says is None:
            says = False
        rest = IMAGE_ROOM.sub("", LABEL_ROOM.sub("", folder)).strip("-_. ")
        parts += [rest] if rest else []
    return "/".join(parts), says


def partner(label: str, images: Collection[str]) -> str:
    """The id of a label among the names of the images: equal, or equal without such a word."""
    return label if label in images else AFTER.sub("", label)
