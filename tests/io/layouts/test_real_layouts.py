"""Real files under the names that challenges and clinics give them."""

import shutil

import imageio.v3 as imageio
import numpy as np

from segttt.io.check import WARNING, case_of, check_case
from segttt.io.layouts.guess import guess
from segttt.io.layouts.read import discover_labels, read_dataset
from segttt.io.volumes import read_truth


def usable(folder, **wishes):
    """The dataset, of which every case can be used."""
    dataset, failures = read_dataset(folder, **wishes)
    assert failures == []
    for files in dataset.cases:
        assert all(problem.startswith(WARNING) for problem in check_case(files, dataset))
    return dataset


def copy(source, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


def test_amos_and_synapse(shared_data, tmp_path):
    scans = shared_data / "abdomen_ct"
    for number, kind in (("0001", "ct_small"), ("0507", "mr_small")):
        copy(scans / f"{kind}.nii.gz", tmp_path / f"amos/imagesTr/amos_{number}.nii.gz")
        copy(scans / f"{kind}_flare13.nii.gz", tmp_path / f"amos/labelsTr/amos_{number}.nii.gz")
    for modality in ("CT", "MR"):
        assert usable(tmp_path / "amos", channels=(modality,)).channels == (modality,)
    home = tmp_path / "synapse/RawData/Training"
    copy(scans / "ct_small.nii.gz", home / "img/img0001.nii.gz")
    copy(scans / "ct_small_flare13.nii.gz", home / "label/label0001.nii.gz")
    assert len(usable(tmp_path / "synapse").cases) == 1


def test_cells_of_every_format(shared_data, tmp_path):
    nuclei = sorted((shared_data / "nuclei/imagesTr").iterdir())[:4]
    for number, (path, ending) in enumerate(zip(nuclei, ("png", "bmp", "jpg", "tif"), strict=True)):
        pixels = imageio.imread(path)[..., :3]
        target = tmp_path / f"images/cell_{number:05d}.{ending}"
        target.parent.mkdir(exist_ok=True)
        imageio.imwrite(target, pixels[..., 0] if number % 2 else pixels)
        label = next((shared_data / "nuclei/labelsTr").glob(f"{path.stem.removesuffix('_0000')}.*"))
        (tmp_path / "labels").mkdir(exist_ok=True)
        named = tmp_path / f"labels/cell_{number:05d}_label.tiff"
        imageio.imwrite(named, imageio.imread(label), plugin="tifffile")
    assert usable(tmp_path).instances


def test_instruments_painted_on_endoscopy(shared_data, tmp_path):
    polyps = sorted((shared_data / "polyps/imagesTr").iterdir())[:2]
    video = tmp_path / "instrument_dataset_1"
    for number, path in enumerate(polyps):
        copy(path, video / f"left_frames/frame{number:03d}{path.suffix}")
        mask = imageio.imread(
            shared_data / "polyps/labelsTr" / f"{path.stem.removesuffix('_0000')}.png"
        )
        left = mask * (np.arange(mask.shape[1]) < mask.shape[1] // 2)
        for tool, part in (("Left_Prograsp_Forceps", left), ("Vessel_Sealer", mask - left)):
            folder = video / "ground_truth" / f"{tool}_labels"
            folder.mkdir(parents=True, exist_ok=True)
            imageio.imwrite(folder / f"frame{number:03d}.png", (part * 20).astype(np.uint8))
    dataset = usable(tmp_path)
    for files, path in zip(dataset.cases, polyps, strict=True):
        expected = imageio.imread(
            shared_data / "polyps/labelsTr" / f"{path.stem.removesuffix('_0000')}.png"
        )
        truth, _ = read_truth(case_of(files))
        np.testing.assert_array_equal(truth[0] > 0, expected > 0)
        assert set(np.unique(truth)) <= {0, 2, 4}


def test_one_folder_per_patient(shared_data, tmp_path):
    for path in sorted((shared_data / "hippocampus/imagesTr").iterdir())[:3]:
        name = path.name.removesuffix(".nii.gz")
        for kind in ("t1", "t2"):
            copy(path, tmp_path / f"{name}/{name}_{kind}.nii.gz")
        copy(
            shared_data / "hippocampus/labelsTr" / path.name, tmp_path / f"{name}/{name}_seg.nii.gz"
        )
    found = guess(tmp_path)
    assert (len(found.cases), found.channels, found.failures) == (3, ("t1", "t2"), [])
    copy(shared_data / "hippocampus/dataset.json", tmp_path / "of_another_layout.json")
    assert guess(tmp_path).cases == found.cases


def test_values_of_real_labels_are_named(shared_data, tmp_path):
    for path in sorted((shared_data / "hippocampus/imagesTr").iterdir())[:2]:
        copy(path, tmp_path / "img" / path.name)
        label = shared_data / "hippocampus/labelsTr" / path.name
        copy(label, tmp_path / "mask" / path.name.replace(".nii", "_seg.nii"))
    assert discover_labels(usable(tmp_path)) == {1: "label_1", 2: "label_2"}
