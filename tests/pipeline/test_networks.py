"""Networks of both papers and their baselines from the command line, trained and used."""

import json

import pytest

from segttt.cli.app import run
from segttt.cli.train import run_label
from segttt.io.workspace import safe_name
from tests.pipeline.conftest import SMALL

SHORT = ["--epochs", "1", "--iters", "2", "--threads", "1", "--no-validate"]
ROWS = {  # Fig. 1(b) of MM-UNet
    "nnU-Net-like": ["network.encoder=cnn"],
    "Swin-UMamba-like": ["network.encoder=mamba"],
    "VM-UNet-like": ["network={encoder: mamba, decoder: mamba}"],
    "CNN encoder": ["network={encoder: cnn, bottleneck: mamba, decoder: mamba}"],
    "U-Mamba-like": ["network.encoder=hybrid_out"],
    "MM-UNet": [],
}


@pytest.fixture(scope="module")
def planned(tiny_cohort, tmp_path_factory):
    """A planned and preprocessed workspace that every network trains in."""
    folder = tmp_path_factory.mktemp("networks") / "run"
    command = ["plan", str(tiny_cohort), "-w", str(folder), "--preset", "laptop", "--no-measure"]
    assert run([*command, *SMALL]) == 0
    assert run(["preprocess", "-w", str(folder)]) == 0
    return folder


def folder(planned, label: str):
    return planned / "train" / safe_name(label)


def train(planned, network: str, *settings: str) -> int:
    changes = [word for setting in settings for word in ("--set", setting)]
    return run(["train", "-w", str(planned), "--network", network, *SHORT, *changes])


@pytest.mark.parametrize("row", ROWS)
def test_every_configuration_of_mm_unet_trains(row, planned):
    assert train(planned, "mm-unet", *ROWS[row]) == 0


@pytest.mark.parametrize("orders", [f"B{row}" for row in range(1, 10)])
def test_every_set_of_scan_orders_trains(orders, planned):
    assert train(planned, "mm-unet", f"network.orders={orders}") == 0


@pytest.mark.parametrize("network", ["mm-unet-ttt", "umamba-enc", "umamba-bot:v1"])
def test_a_trained_network_segments(network, planned, tiny_cohort, tmp_path):
    assert train(planned, network) == 0
    out = tmp_path / "out"
    model = folder(planned, network)
    assert run(["predict", str(tiny_cohort / "imagesTs"), "-m", str(model), "-o", str(out)]) == 0
    assert len(list(out.glob("*.nii.gz"))) == 2


@pytest.mark.parametrize("network", ["unetr:small", "nnformer:small"])
def test_a_baseline_segments_with_the_patch_that_it_needs(
    network, planned, tiny_cohort, tmp_path, capsys
):
    assert train(planned, network) == 0
    assert "The patch is 16 x" in capsys.readouterr().err
    model = folder(planned, network)
    plan = json.loads((model / "fold0" / "seed0" / "plan.json").read_text())
    assert plan["topology"]["patch"][0] == 16
    out = tmp_path / "out"
    assert run(["predict", str(tiny_cohort / "imagesTs"), "-m", str(model), "-o", str(out)]) == 0
    assert len(list(out.glob("*.nii.gz"))) == 2


def test_published_recipe_or_ours(planned):
    for recipe, name, optimizer in (("published", "theirs", "adamw"), ("nnunet", "ours", "sgd")):
        command = ["train", "-w", str(planned), "--network", "unetr:small", *SHORT, "--name", name]
        assert run([*command, "--recipe", recipe]) == 0
        plan = json.loads((planned / "train" / name / "fold0" / "seed0" / "plan.json").read_text())
        assert plan["train"]["optimizer"] == optimizer
        assert plan["train"]["epochs"] == 1
    assert run(["train", "-w", str(planned), "--recipe", "mine"]) == 2


@pytest.mark.parametrize(
    ("settings", "label"),
    [
        ({}, "x"),
        ({"train.lr": 1.0, "network.mixer": "none"}, "x+mixer=none"),
        ({"network": {"encoder": "cnn"}, "network.faithful": True}, "x+encoder=cnn+faithful=true"),
        ({"network.orders": ["a", "-k"]}, "x+orders=[a,-k]"),
    ],
)
def test_a_run_is_named_after_the_network_and_its_changes(settings, label):
    assert run_label("x", settings) == label


def test_networks_for_slices_plan_slices_of_volumes(tiny_cohort, planned, tmp_path, capsys):
    assert train(planned, "vm-unet:small") == 2
    assert "--dims 2" in capsys.readouterr().err
    folder = tmp_path / "slices"
    command = ["train", "--data", str(tiny_cohort), "-w", str(folder), "--preset", "laptop"]
    assert run([*command, *SHORT, "--network", "vm-unet:small", "--set", "batch=2"]) == 0
    assert run(["train", "-w", str(folder), "--dims", "3", *SHORT]) == 2
    assert "2D patches, not 3D" in capsys.readouterr().err
