"""EndoVis 2017: instrument_dataset_1/left_frames/frame000.png and one folder of masks per tool.

Source layout: the training set of the robotic instrument challenge (arXiv 1902.06426), eight videos
whose ground_truth holds folders such as Left_Prograsp_Forceps_labels. The grey values of a mask
tell parts of the tool; all of them count. Both hands, and "Maryland" bipolar forceps, are one
class; "Other" is the ultrasound probe. Values are those of the challenge's type segmentation. Where
masks overlap the larger value is kept. Frames of one video share its name as their patient.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from segttt.cases import Failure
from segttt.config.dataset import CaseFiles
from segttt.errors import LayoutError
from segttt.io.layouts.folders import STAGE, image_files
from segttt.io.layouts.layout import Found, Layout
from segttt.io.names import stem

INSTRUMENTS = {
    1: "bipolar_forceps",
    2: "prograsp_forceps",
    3: "large_needle_driver",
    4: "vessel_sealer",
    5: "grasping_retractor",
    6: "monopolar_curved_scissors",
    7: "ultrasound_probe",
}
VALUES = {name: value for value, name in INSTRUMENTS.items()} | {"other": 7}
DECORATION = re.compile(r"(^|_)(left|right|maryland|labels?)(?=_|$)")
VIDEOS = ("instrument_dataset_*", "*/instrument_dataset_*")


def find_endovis(folder: Path) -> Path | None:
    """The folder, where it or folders in it hold such videos with their masks."""
    return folder if next(_videos(folder), None) else None


def read_endovis(home: Path) -> Found:
    """The frames that have a mask of every tool of their video."""
    cases: list[CaseFiles] = []
    failures: list[Failure] = []
    for video in sorted(_videos(home), key=lambda one: one.name):
        masks = {tool: (_value(tool), _masks(tool)) for tool in _tools(video)}
        for frame in image_files(video / "left_frames"):
            case = f"{video.name}_{stem(frame)}"
            missing = [tool for tool, (_, files) in masks.items() if stem(frame) not in files]
            if missing:
                reason = f"{frame} has no mask in {missing[0]}. Add it, or take the frame away."
                failures.append(Failure(case, STAGE, reason))
                continue
            values: dict[int, tuple[str, ...]] = {}
            for value, files in masks.values():
                values[value] = (*values.get(value, ()), str(files[stem(frame)].absolute()))
            image = str(frame.absolute())
            cases.append(CaseFiles(id=case, images=(image,), masks=values, patient=video.name))
    cases.sort(key=lambda one: one.id)
    return Found(cases, failures, ("R", "G", "B"), INSTRUMENTS, name="EndoVis17")


def _videos(folder: Path) -> Iterator[Path]:
    for pattern in VIDEOS:
        for video in folder.glob(pattern):
            if (video / "left_frames").is_dir() and (video / "ground_truth").is_dir():
                yield video


def _tools(video: Path) -> list[Path]:
    return sorted(one for one in (video / "ground_truth").iterdir() if one.is_dir())


def _masks(tool: Path) -> dict[str, Path]:
    return {stem(path): path for path in image_files(tool)}


def _value(tool: Path) -> int:
    name = DECORATION.sub("", tool.name.lower()).strip("_")
    if name not in VALUES:
        known = ", ".join(VALUES)
        raise LayoutError(f"{tool}: is no known instrument. Rename it; known are {known}.")
    return VALUES[name]


ENDOVIS17 = Layout(
    "endovis17",
    "instrument_dataset_1/left_frames/frame000.png with ground_truth/*_labels (EndoVis 2017)",
    find_endovis,
    read_endovis,
)
