"""What the whole job asks of a machine: of its drives, and of its memory."""

import json

import pytest

from segttt.cli.app import run
from segttt.cluster.memory import Gate
from segttt.io.check import BYTES_PER_VOXEL
from tests.io.recorded import record
from tests.pipeline.conftest import tiny_case, write_volume


def cohort(data, kind, spacings):
    """Cases of one size, with these spacings in mm along z."""
    for number, spacing in enumerate(spacings):
        image, label = tiny_case(number, (16, 96, 96))
        write_volume(data / "imagesTr" / f"case_{number}_0000.{kind}", image, (1, 1, spacing))
        write_volume(data / "labelsTr" / f"case_{number}.{kind}", label, (1, 1, spacing))
    content = {"channel_names": {"0": "MR"}, "labels": {"background": 0, "a": 1, "b": 2},
               "file_ending": f".{kind}"}  # fmt: skip
    (data / "dataset.json").write_text(json.dumps(content))
    return data


@pytest.mark.parametrize("kind", ["nii", "nii.gz"])
def test_preprocessing_goes_over_a_source_twice(tmp_path, monkeypatch, kind):
    """Once to check it and take the fingerprint, once to prepare it; before, its header is read."""
    data = cohort(tmp_path / "data", kind, (1, 1))
    opened = record(data, monkeypatch)
    assert run(["preprocess", "--data", str(data), "-w", str(tmp_path / "run")]) == 0
    sources = sorted(data.rglob(f"*.{kind}"))
    assert len(sources) == 4
    for source in sources:
        size = source.stat().st_size
        read = [sum(got for _, got in parts) for parts in opened[source.name]]
        assert sorted(read)[-2:] == [size, size]
        headers = sorted(read)[:-2]
        assert len(headers) <= (2 if "imagesTr" in str(source) else 0)
        assert all(header < size / 10 for header in headers)


def test_a_case_that_grows_counts_with_what_it_becomes(tmp_path, monkeypatch):
    """Of three cases the plan has the middle spacing; one becomes half as many voxels, one twice.

    The memory that they may take at once has room for any two on their own grids.
    """
    voxels = 16 * 96 * 96
    rooms = []

    class Told(Gate):
        def room(self, needed):
            rooms.append(needed)
            return super().room(needed)

    monkeypatch.setattr("segttt.cluster.local.Gate", Told)
    data = cohort(tmp_path / "data", "nii", (1, 2, 4))
    assert run(["preprocess", "--data", str(data), "-w", str(tmp_path / "run")]) == 0
    prepared = 2 * (4 + 2) * voxels
    read = BYTES_PER_VOXEL * voxels
    assert rooms[-3:] == [read + prepared // 2, read, read + 2 * prepared]
