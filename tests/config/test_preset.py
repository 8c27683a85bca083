from pathlib import Path

import pytest
import yaml

from segttt.config import preset as presets
from segttt.config.preset import Preset
from segttt.config.recipe import Augmentation, Recipe
from segttt.errors import UsageError

PAPER = [
    "amos22-ct",
    "amos22-mr",
    "amos22-mr-2d",
    "endovis17",
    "flare22",
    "neurips-cell",
    "synapse",
]
HALVINGS = {
    "flare22": ((40, 224, 192), 2, (3, 5, 5)),
    "amos22-mr": ((48, 160, 224), 2, (3, 5, 5)),
    "amos22-mr-2d": ((320, 320), 30, (6, 6)),
    "endovis17": ((384, 640), 13, (6, 6)),
    "neurips-cell": ((512, 512), 12, (7, 7)),
    "amos22-ct": ((64, 160, 160), 2, (4, 5, 5)),
    "synapse": ((48, 192, 192), 2, (3, 5, 5)),
}


def test_the_list_of_presets():
    assert presets.names() == sorted([*PAPER, "demo", "laptop"])


@pytest.mark.parametrize("name", [*PAPER, "demo", "laptop"])
def test_files_are_named_after_their_preset(name):
    assert presets.load(name).name == name
    assert presets.load(str(presets.folder() / f"{name}.yaml")) == presets.load(name)


@pytest.mark.parametrize("name", PAPER)
def test_patch_batch_and_poolings(name):
    preset = presets.load(name)
    patch, batch, pools = HALVINGS[name]
    assert preset.topology is not None
    assert (preset.topology.patch, preset.batch) == (patch, batch)
    assert preset.topology.total_stride == tuple(2**pool for pool in pools)
    limit = 320 if preset.rank == 3 else 512
    features = tuple(min(32 * 2**stage, limit) for stage in range(max(pools) + 1))
    assert preset.topology.features == features


@pytest.mark.parametrize("name", PAPER)
def test_augmentation_follows_the_rule_of_nnunet(name):
    preset = presets.load(name)
    assert preset.topology is not None
    patch = preset.topology.patch
    if preset.rank == 3:
        flat = max(patch) / patch[0] > 3
        expected = {"rotation_deg": 180 if flat else 30, "dummy_2d": flat}
    else:
        expected = {"rotation_deg": 15 if max(patch) / min(patch) > 1.5 else 180, "dummy_2d": False}
    assert preset.augment == expected


@pytest.mark.parametrize("name", PAPER)
def test_recipes(name):
    recipe = presets.load(name).train
    if name in ("amos22-ct", "synapse"):
        assert recipe == Recipe(lr=1e-3, deep_supervision="three_largest")
    else:
        assert recipe == Recipe()


@pytest.mark.parametrize("name", PAPER)
def test_scores_refer_to_declared_labels(name):
    preset = presets.load(name)
    assert preset.dataset is not None
    labels = set(preset.dataset.labels)
    assert labels == set(range(1, len(labels) + 1))
    assert set(preset.evaluate.nsd_mm) in (set(), labels)
    assert set(preset.evaluate.z_crop_labels) <= labels
    assert preset.normalisation is not None
    assert len(preset.normalisation) == len(preset.dataset.channels)


def test_tolerances_of_the_abdomen():
    by_name = {"liver": 5, "aorta": 2, "duodenum": 7, "stomach": 5, "left_kidney": 3}
    for name in ("flare22", "amos22-mr", "amos22-mr-2d"):
        preset = presets.load(name)
        assert preset.dataset is not None
        labels = preset.dataset.labels
        tolerance = {labels[value]: mm for value, mm in preset.evaluate.nsd_mm.items()}
        assert tolerance.items() >= by_name.items()
        assert [labels[v] for v in preset.evaluate.z_crop_labels] == ["aorta", "ivc", "esophagus"]


@pytest.mark.parametrize(
    ("name", "rows", "model", "metric", "mean", "sd"),
    [
        ("flare22", 14, "ttt-unet-bot", "dsc", 0.8709, 0.1011),
        ("flare22", 14, "umamba-bot", "nsd", 0.9049, 0.0821),
        ("amos22-mr", 14, "ttt-unet-bot", "nsd", 0.9247, 0.0631),
        ("amos22-mr-2d", 16, "ttt-unet-enc", "dsc", 0.7725, 0.1044),
        ("endovis17", 16, "ttt-unet-enc", "nsd", 0.6820, 0.3080),
        ("neurips-cell", 8, "ttt-unet-bot", "f1", 0.5818, 0.2410),
        ("amos22-ct", 185, "mm-unet", "dsc", 0.910, None),
        ("amos22-ct", 185, "nnunet", "dsc/left_adrenal", 0.809, None),
        ("synapse", 136, "mm-unet", "dsc", 0.871, None),
        ("synapse", 136, "umamba", "dsc/adrenals", 0.714, None),
    ],
)
def test_targets(name, rows, model, metric, mean, sd):
    targets = presets.load(name).targets
    assert len(targets) == rows
    found = [one for one in targets if (one.model, one.metric) == (model, metric)]
    assert (found[0].mean, found[0].sd) == (mean, sd)


@pytest.mark.parametrize("name", PAPER)
def test_rows_of_a_table_are_listed_once(name):
    keys = [(one.model, one.metric, one.source) for one in presets.load(name).targets]
    assert len(keys) == len(set(keys))
    assert all(0 < one.mean < 1 for one in presets.load(name).targets)


@pytest.mark.parametrize("name", PAPER)
def test_what_is_inferred_exists_and_is_explained(name):
    preset = presets.load(name)
    assert "batch_dice" in preset.inferred
    for field, reason in preset.inferred.items():
        place = preset
        for part in field.split("."):
            place = getattr(place, part)
        assert len(reason) > 20


@pytest.mark.parametrize("name", [*PAPER, "demo", "laptop"])
def test_files_spell_out_their_fields(name):
    written = yaml.safe_load((presets.folder() / f"{name}.yaml").read_text())
    needed = {"name", "title", "rank", "network", "batch", "train", "augment", "notes"}
    if name in PAPER:
        needed |= {"dataset", "topology", "spacing_mm", "normalisation", "batch_dice", "evaluate"}
    assert set(written) >= needed


def test_small_presets_plan_from_the_data():
    for name in ("demo", "laptop"):
        preset = presets.load(name)
        assert (preset.rank, preset.topology, preset.dataset) == (None, None, None)
        assert preset.patch_voxels is not None
        Augmentation.model_validate(preset.augment)


def test_unknown_names_list_the_known_ones():
    with pytest.raises(UsageError, match=r"no preset 'flare'\. Known presets: amos22-ct, "):
        presets.load("flare")
    with pytest.raises(UsageError, match=r"no preset '.*gone\.yaml'"):
        presets.load("/nowhere/gone.yaml")


TOPOLOGY = """
topology: {patch: [8, 8], strides: [[1, 1], [2, 2]], kernels: [[3, 3], [3, 3]], features: [4, 8]}
"""


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("epochs: 5", "epochs: Extra inputs are not permitted"),
        ("train: {epoch: 5}", r"train\.epoch: Extra inputs are not permitted"),
        ("augment: {rotate: 1}", r"augment\.rotate: Extra inputs"),
        ("augment: {mirror: 2}", r"augment\.mirror: Input should be less than or equal to 1"),
        ("network_options: {head: 2}", r"network_options\.head: Extra inputs"),
        ("width: 300", "width: Input should be less than or equal to 256"),
        ("rank: 3" + TOPOLOGY, "rank must be 2"),
        (TOPOLOGY, "rank must be 2"),
        ("rank: 3\nspacing_mm: [1, 1]", "spacing_mm needs as many axes"),
        ("rank: [", "is not readable as YAML"),
    ],
)
def test_faults_name_the_file_and_the_field(text, fault, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(f"name: mine\ntitle: mine\n{text}\n")
    with pytest.raises(UsageError, match=fault) as caught:
        presets.load(str(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="is not readable as YAML"):
        presets.load(str(path))


def test_presets_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        presets.load("flare22").batch = 3  # pyright: ignore[reportAttributeAccessIssue]


def test_the_folder_of_an_installed_wheel_comes_first(tmp_path, monkeypatch):
    monkeypatch.setattr(presets, "files", lambda name: tmp_path / name)
    (tmp_path / "presets").mkdir()
    assert presets.folder() == tmp_path / "presets"
    (tmp_path / "segttt" / "presets").mkdir(parents=True)
    assert presets.folder() == tmp_path / "segttt" / "presets"
    assert presets.names() == []
    assert isinstance(presets.folder(), Path)


def test_defaults_make_a_preset():
    assert Preset(name="p", title="").width == 32
