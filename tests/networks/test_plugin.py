"""A network of another package, installed as a user installs it."""

import subprocess
import sys
import zipfile

import pytest
import torch

from segttt.config.baselines import PluginSpec
from segttt.config.network import Topology
from segttt.errors import UsageError
from segttt.networks.build import build, entry, names

CODE = """
import torch

class Thin(torch.nn.Module):
    def __init__(self, in_channels, classes, width):
        super().__init__()
        self.first = torch.nn.Conv3d(in_channels, width, 3, padding=1)
        self.last = torch.nn.Conv3d(width, classes, 1)
        self.coarse = torch.nn.Conv3d(width, classes, 2, 2)

    def forward(self, x):
        x = torch.relu(self.first(x))
        return [self.last(x), self.coarse(x)]

def thin(topology, in_channels, classes, width=4):
    return Thin(in_channels, classes, width)

def wrong(topology, in_channels, classes):
    return torch.nn.Conv3d(in_channels, classes, 3)
"""
TOPOLOGY = Topology(
    patch=(4, 8, 8),
    strides=((1, 1, 1), (2, 2, 2)),
    kernels=((3, 3, 3),) * 2,
    features=(4, 8),
)


def wheel(folder):
    """The wheel of a package that offers two networks."""
    path = folder / "thinnet-1.0-py3-none-any.whl"
    info = "thinnet-1.0.dist-info"
    points = "[segttt.networks]\nthinnet = thinnet:thin\nwrongnet = thinnet:wrong\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("thinnet.py", CODE)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: thinnet\nVersion: 1.0\n")
        tag = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        archive.writestr(f"{info}/WHEEL", tag)
        archive.writestr(f"{info}/entry_points.txt", points)
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder into which pip has installed that package."""
    folder = tmp_path_factory.mktemp("plugin")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    done = subprocess.run(
        [*command, "--target", str(folder / "site"), str(wheel(folder))],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder / "site"


@pytest.fixture
def installed(site, monkeypatch):
    monkeypatch.syspath_prepend(str(site))


@pytest.mark.usefixtures("installed")
def test_it_is_in_the_table_and_can_be_built():
    assert "thinnet" in names()
    known = entry("thinnet")
    assert (known.family, known.source) == ("plugin", "package thinnet")
    network = build(known.spec, TOPOLOGY, 1, 3)
    x = torch.randn(2, 1, 4, 8, 8)
    assert [tuple(out.shape) for out in network(x)] == [(2, 3, 4, 8, 8), (2, 3, 2, 4, 4)]
    alone = build(known.spec, TOPOLOGY, 1, 3, deep_supervision=False)
    alone.load_state_dict(network.state_dict())
    torch.testing.assert_close(alone(x)[0], network(x)[0])


@pytest.mark.usefixtures("installed")
def test_its_options_are_checked():
    wide = build(PluginSpec(name="thinnet", options={"width": 16}), TOPOLOGY, 1, 3)
    assert wide.network.first.out_channels == 16
    with pytest.raises(UsageError, match=r"'thinnet' does not accept.*network\.options"):
        build(PluginSpec(name="thinnet", options={"depth": 16}), TOPOLOGY, 1, 3)


@pytest.mark.usefixtures("installed")
def test_logits_of_a_wrong_shape_are_refused():
    network = build(PluginSpec(name="wrongnet"), TOPOLOGY, 1, 3)
    with pytest.raises(
        UsageError, match=r"'wrongnet' gives logits.*first must be \[2, 3, 4, 8, 8\]"
    ):
        network(torch.randn(2, 1, 4, 8, 8))


def test_a_package_that_is_not_installed_is_named():
    assert "thinnet" not in names()
    with pytest.raises(UsageError, match="'thinnet' is of a package that is not installed here"):
        build(PluginSpec(name="thinnet"), TOPOLOGY, 1, 3)
    with pytest.raises(UsageError, match="There is no network 'thinnet'"):
        entry("thinnet")
