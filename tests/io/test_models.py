"""Tensors on disk."""

import pickle

import pytest
import torch

from segttt.errors import ResourceError, UsageError
from segttt.io import models
from segttt.io.models import load_tensors, save_tensors

TENSORS = {
    "weight": torch.randn(3, 5, generator=torch.Generator().manual_seed(0)),
    "half": torch.tensor([1.5, -0.0]).half(),
    "brain": torch.tensor([[2.0]]).bfloat16(),
    "steps": torch.tensor(7),
    "flag": torch.tensor([True, False]),
    "none": torch.zeros(0, 4),
}


def test_tensors_and_metadata_survive(tmp_path):
    path = tmp_path / "run" / "model.safetensors"
    save_tensors(path, TENSORS, {"plan": '{"a": 1}'})
    tensors, metadata = load_tensors(path, finite=True)
    assert metadata == {"plan": '{"a": 1}'}
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)
    assert [file.name for file in path.parent.iterdir()] == ["model.safetensors"]


def test_shared_and_transposed_tensors(tmp_path):
    base = torch.arange(6.0).reshape(2, 3)
    save_tensors(tmp_path / "m.safetensors", {"a": base, "b": base, "t": base.T}, {})
    tensors, metadata = load_tensors(tmp_path / "m.safetensors")
    assert metadata == {}
    assert torch.equal(tensors["b"], base)
    assert torch.equal(tensors["t"], base.T)


def test_a_network_loads_what_it_saved(tmp_path):
    network = torch.nn.Conv2d(2, 3, 3)
    save_tensors(tmp_path / "m.safetensors", dict(network.state_dict()), {})
    tensors, _ = load_tensors(tmp_path / "m.safetensors")
    other = torch.nn.Conv2d(2, 3, 3)
    other.load_state_dict(tensors)
    assert torch.equal(other.weight, network.weight)


@pytest.mark.parametrize("name", ["model.pt", "model.pth", "model.ckpt", "model.pkl"])
def test_pickles_are_never_opened(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(UsageError, match=f"{name}: is a pickle"):
        load_tensors(path)
    disguised = path.rename(tmp_path / "model.safetensors")
    with pytest.raises(UsageError, match=r"model\.safetensors: is a pickle"):
        load_tensors(disguised)


def test_every_truncation_is_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    save_tensors(path, TENSORS, {"a": "b"})
    content = path.read_bytes()
    for size in range(len(content)):
        path.write_bytes(content[:size])
        with pytest.raises(UsageError, match=r"m\.safetensors"):
            load_tensors(path)


def test_nan_is_refused_on_request(tmp_path):
    path = tmp_path / "m.safetensors"
    save_tensors(path, {"good": torch.ones(2), "bad": torch.tensor([1.0, float("nan")])}, {})
    assert load_tensors(path)[0]["bad"].isnan().any()
    with pytest.raises(UsageError, match="bad holds NaN"):
        load_tensors(path, finite=True)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        load_tensors(tmp_path / "m.safetensors")


def test_what_differs_after_writing_is_noticed_and_the_old_file_kept(tmp_path, monkeypatch):
    path = tmp_path / "m.safetensors"
    save_tensors(path, {"a": torch.ones(3)}, {})
    before = path.read_bytes()
    save = models.save
    monkeypatch.setattr(models, "save", lambda t, metadata: save({"a": t["a"] + 1}, metadata))
    with pytest.raises(ResourceError, match="differs after writing"):
        save_tensors(path, {"a": torch.zeros(3)}, {})
    assert path.read_bytes() == before


def test_equal_content_gives_equal_bytes(tmp_path):
    tensors = {name: torch.arange(3.0) for name in "cab"}
    metadata = {key: key * 2 for key in ("plan", "about", "fold", "seed", "version")}
    contents = set()
    for number in range(20):
        path = tmp_path / f"{number}.safetensors"
        save_tensors(path, tensors, dict(sorted(metadata.items(), reverse=bool(number % 2))))
        contents.add(path.read_bytes())
        assert load_tensors(path)[1] == metadata
    assert len(contents) == 1
