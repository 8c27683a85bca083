"""EndoVis 2017 as it is downloaded: one folder of masks per tool."""

import imageio.v3 as imageio
import numpy as np
import pytest

from segttt.config.preset import load
from segttt.errors import GeometryError, LayoutError
from segttt.io.check import case_of, check_case
from segttt.io.layouts.read import discover_labels, read_dataset
from segttt.io.volumes import read_truth

TOOLS = {
    "Left_Prograsp_Forceps_labels": 2,
    "Right_Prograsp_Forceps_labels": 2,
    "Maryland_Bipolar_Forceps_labels": 1,
    "Large_Needle_Driver_Left_labels": 3,
    "Right_Large_Needle_Driver_labels": 3,
    "Vessel_Sealer_labels": 4,
    "Right_Vessel_Sealer": 4,
    "Left_Grasping_Retractor_labels": 5,
    "Monopolar_Curved_Scissors_labels": 6,
    "Other_labels": 7,
}


def picture(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    imageio.imwrite(path, array.astype(np.uint8))


@pytest.mark.parametrize("home", ["", "instrument_1_4_training"])
def test_frames_and_tools(lay, tmp_path, home):
    video = f"{home}/instrument_dataset_1".strip("/")
    lay(
        *(f"{video}/left_frames/frame{i:03d}.png" for i in range(3)),
        *(f"{video}/right_frames/frame{i:03d}.png" for i in range(3)),
        *(f"{video}/ground_truth/{tool}/frame{i:03d}.png" for tool in TOOLS for i in range(2)),
    )
    dataset, failures = read_dataset(tmp_path)
    assert (dataset.layout, dataset.channels) == ("endovis17", ("R", "G", "B"))
    assert dataset.labels == load("endovis17").dataset.labels
    assert [case.id for case in dataset.cases] == [
        "instrument_dataset_1_frame000", "instrument_dataset_1_frame001"
    ]  # fmt: skip
    found = {
        path.split("/")[-2]: v for v, paths in dataset.cases[0].masks.items() for path in paths
    }
    assert found == TOOLS
    assert {case.patient for case in dataset.cases} == {"instrument_dataset_1"}
    assert "has no mask" in failures[0].reason
    assert failures[0].id == "instrument_dataset_1_frame002"


def test_masks_become_one_label(tmp_path):
    video = tmp_path / "instrument_dataset_2"
    picture(video / "left_frames/frame000.png", np.zeros((2, 4, 3)))
    for tool, greys in {
        "Left_Prograsp_Forceps_labels": [[10, 20, 0, 0], [0, 0, 0, 0]],
        "Right_Prograsp_Forceps_labels": [[0, 0, 0, 30], [0, 0, 0, 0]],
        "Other_labels": [[40, 0, 0, 0], [0, 0, 40, 0]],
    }.items():
        picture(video / "ground_truth" / tool / "frame000.png", np.array(greys))
    dataset, _ = read_dataset(tmp_path)
    truth, _ = read_truth(case_of(dataset.cases[0]))
    np.testing.assert_array_equal(truth[0], [[7, 2, 0, 2], [0, 0, 7, 0]])  # the larger value wins
    assert discover_labels(dataset) == {2: "label_2", 7: "label_7"}
    assert check_case(dataset.cases[0], dataset)[0].startswith("warning")  # the black frame
    picture(video / "ground_truth/Other_labels/frame000.png", np.zeros((3, 4)))
    with pytest.raises(GeometryError, match="does not lie on the grid"):
        read_truth(case_of(dataset.cases[0]))


def test_an_unknown_tool_is_refused(lay):
    video = "instrument_dataset_1"
    folder = lay(f"{video}/left_frames/frame000.png", f"{video}/ground_truth/Stapler_labels/a.png")
    with pytest.raises(LayoutError, match=r"Stapler_labels: is no known instrument"):
        read_dataset(folder)
