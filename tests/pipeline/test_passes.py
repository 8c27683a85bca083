"""How often the whole job goes over the sources, which may lie on a network drive."""

import json

import pytest

from segttt.cli.app import run
from tests.io.recorded import record
from tests.pipeline.conftest import tiny_case, write_volume


@pytest.mark.parametrize("kind", ["nii", "nii.gz"])
def test_preprocessing_goes_over_a_source_twice(tmp_path, monkeypatch, kind):
    """Once to check it and take the fingerprint, once to prepare it; before, its header is read."""
    data = tmp_path / "data"
    for number in range(2):
        image, label = tiny_case(number, (16, 96, 96))
        write_volume(data / "imagesTr" / f"case_{number}_0000.{kind}", image)
        write_volume(data / "labelsTr" / f"case_{number}.{kind}", label)
    content = {"channel_names": {"0": "MR"}, "labels": {"background": 0, "a": 1, "b": 2},
               "file_ending": f".{kind}"}  # fmt: skip
    (data / "dataset.json").write_text(json.dumps(content))
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
