"""The NeurIPS 2022 cells as they are downloaded."""

import imageio.v3 as imageio
import numpy as np
import pytest

from segttt.io.check import case_of
from segttt.io.layouts.read import read_dataset
from segttt.io.volumes import read_volume


@pytest.mark.parametrize("home", ["", "Training-labeled/", "Train_Labeled/"])
def test_pictures_of_any_format(lay, home):
    endings = ("bmp", "png", "jpg", "tif", "tiff")
    folder = lay(
        *(f"{home}images/cell_{i:05d}.{end}" for i, end in enumerate(endings, start=1)),
        *(f"{home}labels/cell_{i:05d}_label.tiff" for i in range(1, 7)),
        "Train_Unlabeled/unlabeled_cell_00000.png",
    )
    dataset, failures = read_dataset(folder)
    assert (dataset.layout, dataset.channels) == ("cellseg", ("R", "G", "B"))
    assert dataset.instances
    assert [case.id for case in dataset.cases] == [f"cell_{i:05d}" for i in range(1, 6)]
    assert [failure.id for failure in failures] == ["cell_00006"]


@pytest.mark.parametrize(("ending", "colours"), [("png", ()), ("tif", (3,)), ("bmp", ())])
def test_grey_becomes_three_channels(tmp_path, ending, colours):
    pixels = np.random.default_rng(0).integers(0, 255, (6, 7, *colours), dtype=np.uint8)
    objects = np.arange(42, dtype=np.uint16).reshape(6, 7)
    for name, array in (
        (f"images/cell_00001.{ending}", pixels),
        ("labels/cell_00001_label.tiff", objects),
    ):
        (tmp_path / name).parent.mkdir()
        imageio.imwrite(tmp_path / name, array)
    dataset, _ = read_dataset(tmp_path)
    volume = read_volume(case_of(dataset.cases[0]), len(dataset.channels))
    expected = np.moveaxis(pixels, -1, 0) if colours else np.stack([pixels] * 3)
    np.testing.assert_array_equal(volume.image[:, 0], expected)
    assert volume.label.max() == 41
