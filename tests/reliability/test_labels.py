"""Label maps of every kind: taken as they are meant, or refused with the value and the remedy."""

import json
import re
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
import SimpleITK as sitk

from segttt.cli.app import run
from segttt.errors import DataError
from segttt.io.volumes import read_labels
from tests.pipeline.conftest import write_volume
from tests.reliability.damage import BITS, SLOPE, TYPE, patched

SHAPE = (6, 9, 8)
DECLARED = {"background": 0, "a": 1, "b": 2, "c": 7, "d": 300}
OK = ""


def _map(dtype, *values):
    """Background and one block of each value."""
    array = np.zeros(SHAPE, dtype)
    for number, value in enumerate(values):
        array[number % 6, 1:4, 2:7] = value
    return array


def _header(*patches):
    def write(path: Path) -> None:
        plain = path.with_name("plain.nii")
        write_volume(plain, _map(np.uint8, 1, 2))
        path.write_bytes(patched(plain.read_bytes(), patches))
        plain.unlink()

    return write


def _moved(**changes):
    def write(path: Path) -> None:
        image = sitk.GetImageFromArray(_map(np.uint8, 1, 2))
        image.SetSpacing(changes.get("spacing", (1.5, 1.5, 3.0)))
        image.SetOrigin(changes.get("origin", (-20.0, 11.0, 5.0)))
        image.SetDirection(changes.get("direction", np.eye(3).ravel().tolist()))
        sitk.WriteImage(image, str(path))

    return write


def _rgb(path: Path) -> None:
    write = sitk.GetImageFromArray(np.stack([_map(np.uint8, 1)] * 3, -1), isVector=True)
    write.SetSpacing((1.5, 1.5, 3.0))
    sitk.WriteImage(write, str(path))


def _volumes(count):
    def write(path: Path) -> None:
        array = np.stack([_map(np.uint8, 1, 2)] * count)
        image = sitk.JoinSeries([sitk.GetImageFromArray(one) for one in array])
        image.SetSpacing((1.5, 1.5, 3.0, 1.0))
        image.SetOrigin((-20.0, 11.0, 5.0, 0.0))
        sitk.WriteImage(image, str(path))

    return write


def _bytes(content):
    return lambda path: path.write_bytes(content)


def _cut(path: Path) -> None:
    write_volume(path, _map(np.uint8, 1))
    path.write_bytes(path.read_bytes()[:-7])


LABELS = {
    "bytes": (_map(np.uint8, 1, 2), OK),
    "bool": (_map(bool, True).astype(np.uint8), OK),
    "shorts": (_map(np.int16, 1, 300), OK),
    "unsigned shorts": (_map(np.uint16, 7, 300), OK),
    "long integers": (_map(np.int64, 1, 300), OK),
    "whole floats": (_map(np.float32, 1, 2), OK),
    "whole doubles": (_map(np.float64, 1, 300), OK),
    "not contiguous": (_map(np.int32, 300, 7), OK),
    "above 255": (_map(np.uint16, 300), OK),
    "slope of one": (_header((SLOPE, "<2f", (1.0, 0.0))), OK),
    "one volume of four axes": (_volumes(1), OK),
    "background only": (_map(np.uint8), "warning: .*holds background only"),
    "slope of two": (_header((SLOPE, "<2f", (2.0, 0.0))), r"undeclared values 4 \(15 voxels\)"),
    "slope and intercept": (_header((SLOPE, "<2f", (1.0, 5.0))), "undeclared values 5 "),
    "slope of a half": (_header((SLOPE, "<2f", (0.5, 0.0))), "15 values that are no whole numbers"),
    "halves": (_map(np.float32, 1.5), "no whole numbers, such as 1.5.*Was it interpolated"),
    "interpolated": (_map(np.float64, 0.999999), "no whole numbers"),
    "NaN": (_map(np.float32, np.nan), "no whole numbers, such as nan"),
    "infinite": (_map(np.float32, np.inf), "holds values from 0 to inf"),
    "negative": (_map(np.int16, -1), "holds values from -1 to 0; labels are 0, 1, 2"),
    "negative bytes": (_map(np.int8, -128), "holds values from -128 to 0"),
    "255": (_map(np.uint8, 255), r"undeclared values 255 \(15 voxels\); declared are 0, 1, 2, 7"),
    "0 and 255 for foreground": (_map(np.uint8, 1, 255), r"undeclared values 255 \(15 voxels\)"),
    "65535": (_map(np.uint16, 65535), r"undeclared values 65535 \(15 voxels\)"),
    "4294967295": (_map(np.uint32, 2**32 - 1), "holds values from 0 to 4.29497e"),
    "2^40": (_map(np.int64, 2**40), "holds values from 0 to 1.09951e"),
    "1e30": (_map(np.float64, 1e30), "holds values from 0 to 1e"),
    "undeclared": (_map(np.uint8, 1, 3, 5), r"undeclared values 3 \(15 .*, 5 \(15 .*Declare them"),
    "many undeclared": (np.arange(432, dtype=np.int16).reshape(SHAPE), "and 419 more values"),
    "colours": (_header((TYPE, "<h", (128,)), (BITS, "<h", (24,))), "holds RGB colours"),
    "three components": (_rgb, "has 3 channels; a label map has one"),
    "complex": (_header((TYPE, "<h", (32,)), (BITS, "<h", (64,))), "holds complex numbers"),
    "single bits": (_header((TYPE, "<h", (1,)), (BITS, "<h", (1,))), "holds single bits"),
    "two volumes": (_volumes(2), "has 2 channels; a label map has one"),
    "another shape": (_map(np.uint8, 1)[:, :-1], "does not lie on the grid of"),
    "another spacing": (_moved(spacing=(1.5, 1.5, 3.1)), "does not lie on the grid of"),
    "another origin": (_moved(origin=(-20.0, 11.0, 6.0)), "does not lie on the grid of"),
    "mirrored": (_moved(direction=[-1, 0, 0, 0, 1, 0, 0, 0, 1]), "does not lie on the grid of"),
    "nothing": (_bytes(b""), "is not a NIfTI file"),
    "text": (_bytes(b"label 1, label 2 " * 40), "is not a NIfTI file"),
    "cut": (_cut, "is cut"),
}  # fmt: skip


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """What `data check` says of all of them at once, by their number."""
    folder = tmp_path_factory.mktemp("labels")
    (folder / "labelsTr").mkdir()
    for number, (label, _) in enumerate(LABELS.values()):
        image = np.random.default_rng(number).normal(size=SHAPE).astype(np.float32)
        write_volume(folder / "imagesTr" / f"case_{number:02}_0000.nii", image)
        path = folder / "labelsTr" / f"case_{number:02}.nii"
        if isinstance(label, np.ndarray):
            write_volume(path, label)
        else:
            label(path)
    names = {"channel_names": {"0": "MR"}, "labels": DECLARED, "file_ending": ".nii"}
    (folder / "dataset.json").write_text(json.dumps(names))
    return folder


@pytest.fixture(scope="module")
def said(checked):
    with pytest.MonkeyPatch.context() as patch:
        told = []
        patch.setattr("segttt.cli.console.emit_json", told.append)
        assert run(["data", "check", str(checked), "--json", "--workers", "1"]) == 4
    return told[0]


@pytest.mark.parametrize("kind", LABELS)
def test_what_a_label_map_may_hold(kind, said):
    number = list(LABELS).index(kind)
    problems = said["problems"].get(f"case_{number:02}", [])
    expected = LABELS[kind][1]
    if expected == OK:
        assert not problems
        return
    (problem,) = problems
    assert re.search(expected, problem, re.DOTALL), problem
    assert f"case_{number:02}.nii" in problem
    assert problem.rstrip().endswith((".", "?"))


def test_every_case_is_counted(said, table):
    bad = sum(bool(words) and not words.startswith("warning") for _, words in LABELS.values())
    assert (said["good"], said["bad"]) == (len(LABELS) - bad, bad)
    table("E12", "label maps: taken, or refused by name", len(LABELS), len(LABELS))
    assert len(LABELS) >= 20


@pytest.mark.parametrize("kind", ["slope of one", "whole doubles", "long integers", "above 255"])
def test_the_values_are_those_of_the_file(kind, checked):
    number = list(LABELS).index(kind)
    values, _ = read_labels(checked / "labelsTr" / f"case_{number:02}.nii")
    label = LABELS[kind][0]
    expected = label if isinstance(label, np.ndarray) else _map(np.uint8, 1, 2)
    assert values.dtype == np.int16
    assert np.array_equal(values, expected.astype(np.int16))


PICTURES = {
    "coloured.png": (np.dstack([_map(np.uint8, 1)[0]] * 2 + [_map(np.uint8, 2)[0]]), "is coloured"),
    "grey as colours.png": (np.dstack([_map(np.uint8, 255)[0]] * 3), OK),
    "grey.png": (_map(np.uint8, 255)[0], OK),
    "deep.png": (_map(np.uint16, 65535)[0], OK),
    "lossy.jpg": (_map(np.uint8, 255)[0], "JPEG changes label values"),
    "halves.tif": (_map(np.float32, 0.5)[0], "no whole numbers"),
    "pages.tif": (_map(np.uint8, 1), "is no single picture"),
}


@pytest.mark.parametrize("name", PICTURES)
def test_label_pictures(name, tmp_path):
    array, expected = PICTURES[name]
    plugin = "tifffile" if name.endswith("tif") else "pillow"
    imageio.imwrite(tmp_path / name, array, plugin=plugin)
    if expected == OK:
        values, _ = read_labels(tmp_path / name)
        assert values.max() == array.max()
        return
    with pytest.raises(DataError, match=rf"{name}.*{expected}"):
        read_labels(tmp_path / name)
