import pytest

from segttt.config.network import Topology, UNetSpec
from segttt.config.overrides import override, parse
from segttt.config.plan import Evaluation, Normalisation, Plan
from segttt.config.preset import Preset
from segttt.errors import UsageError

PLAN = Plan(
    name="toy",
    channels=("CT", "MR"),
    labels={1: "organ"},
    spacing_mm=(2.0, 1.0, 1.0),
    normalisation=(Normalisation(scheme="ct", mean=4.0), Normalisation(scheme="zscore")),
    topology=Topology(
        patch=(8, 8), strides=((1, 1), (2, 2)), kernels=((3, 3), (3, 3)), features=(4, 8)
    ),
    batch=2,
    batch_dice=True,
    evaluate=Evaluation(nsd_mm={1: 2.0}),
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("0.5", 0.5),
        ("1e-3", 0.001),
        ("-2.5E+2", -250.0),
        (".5e1", 5.0),
        ("true", True),
        ("null", None),
        ("none", "none"),
        ("3d_fullres", "3d_fullres"),
        ("1e", "1e"),
        ("[1, 2]", [1, 2]),
        ("[1, 2", "[1, 2"),
        ("a=b", "a=b"),
    ],
)
def test_values_are_yaml(text, value):
    parsed = parse([f"field={text}"])["field"]
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize("text", ["train.epochs", "=5"])
def test_assignments_need_both_sides(text):
    with pytest.raises(UsageError, match="write it as field=value"):
        parse([text])


def test_fields_at_any_depth_change_and_the_rest_stays():
    changed = override(PLAN, parse(["train.lr=5e-3", "name=new", "batch=4"]))
    assert (changed.train.lr, changed.name, changed.batch) == (0.005, "new", 4)
    assert changed.train.epochs == 1000
    assert (PLAN.train.lr, PLAN.name) == (0.01, "toy")
    undone = override(changed, {"train.lr": 0.01, "name": "toy", "batch": 2})
    assert undone == PLAN


def test_fields_that_only_agree_together_change_together():
    changed = override(PLAN, parse(["topology.patch=[12, 8]", "topology.strides=[[1, 1], [4, 2]]"]))
    assert changed.topology.total_stride == (4, 2)


def test_entries_of_dictionaries_and_lists():
    names = ["evaluate.nsd_mm.1=3", "evaluate.nsd_mm.2=5", "labels.2=tumour"]
    changed = override(PLAN, parse([*names, "normalisation.1.scheme=none"]))
    assert changed.evaluate.nsd_mm == {1: 3.0, 2: 5.0}
    assert changed.labels == {1: "organ", 2: "tumour"}
    assert [one.scheme for one in changed.normalisation] == ["ct", "none"]
    assert changed.normalisation[0].mean == 4.0


def test_a_mapping_changes_the_fields_that_it_names():
    changed = override(PLAN, parse(["network={encoder: mamba, decoder: cnn}", "train={lr: 1}"]))
    assert (changed.network.encoder, changed.network.decoder) == ("mamba", "cnn")
    assert changed.network.name == PLAN.network.name
    assert changed.train == PLAN.train.model_copy(update={"lr": 1.0})


def test_options_of_presets():
    preset = override(Preset(name="p", title=""), parse(["augment.mirror=0", "train.epochs=2"]))
    assert (preset.augment, preset.train.epochs) == ({"mirror": 0}, 2)
    with pytest.raises(UsageError, match=r"augment\.mirrors: Extra inputs"):
        override(preset, parse(["augment.mirrors=0"]))


def test_text_where_a_union_allows_it():
    spec = override(UNetSpec(), parse(["mixer_stages=[1, 3]", "full_resolution_skip=true"]))
    assert (spec.mixer_stages, spec.full_resolution_skip) == ((1, 3), True)
    assert override(spec, parse(["mixer_stages=all"])).mixer_stages == "all"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("train.epoch=5", r"train\.epoch: there is no field 'epoch'\. Known fields there: opt"),
        ("trains.epochs=5", r"there is no field 'trains'\. Known fields there: version, name"),
        ("name.first=x", "there is no field 'first'. There is nothing below it"),
        ("normalisation.2.mean=1", r"there is no field '2'\. There are 2 entries"),
        ("train.epochs=0", r"--set: train\.epochs: Input should be greater than 0"),
        ("train.epochs=many", r"train\.epochs: Input should be a valid integer"),
        ("topology.patch=[9, 8]", r"topology: .*each patch edge must be a multiple of \[2, 2\]"),
        ("train={epochs: 2, lrs: 1}", r"train\.lrs: there is no field 'lrs'"),
    ],
)
def test_faults_are_named(text, fault):
    with pytest.raises(UsageError, match=fault):
        override(PLAN, parse([text]))
