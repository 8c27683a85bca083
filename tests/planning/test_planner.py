import pytest

from segttt.config import preset as presets
from segttt.config.fingerprint import Fingerprint
from segttt.config.preset import Preset
from segttt.errors import DataError, UsageError
from segttt.networks.build import spec
from segttt.planning.planner import label_notice, make_plan

BOT = spec("ttt-unet-bot")


def planned(dataset, fingerprint, preset=None, network=BOT, **more):
    return make_plan(dataset, fingerprint, preset=preset, network=network, **more)


def test_isotropic_crops(dataset, fingerprint):
    plan = planned(dataset(channels=("MR",)), fingerprint((35, 50, 36), (1.0,) * 3, cases=260))
    assert plan.topology.patch == (40, 56, 40)
    assert plan.topology.strides == ((1, 1, 1), *[(2, 2, 2)] * 3)
    assert plan.batch == 9  # as nnU-Net plans the hippocampus task
    assert plan.axes == (0, 1, 2)
    assert plan.resample_z
    assert not plan.batch_dice
    assert (plan.augment.rotation_deg, plan.augment.dummy_2d) == (30, False)
    assert (plan.name, plan.preset) == ("Toy", None)


def test_anisotropic_volumes(dataset, fingerprint):
    plan = planned(dataset(), fingerprint((40, 512, 512), (5.0, 0.8, 0.8)))
    assert plan.spacing_mm == (5.0, 0.8, 0.8)
    assert plan.topology.kernels[:2] == ((1, 3, 3), (1, 3, 3))
    assert (plan.augment.rotation_deg, plan.augment.dummy_2d) == (180, True)


def test_sagittal_volumes_are_turned(dataset, fingerprint):
    axial = planned(dataset(), fingerprint((40, 400, 512), (5.0, 0.8, 0.8)))
    turned = planned(dataset(), fingerprint((400, 512, 40), (0.8, 0.8, 5.0)))
    assert turned.axes == (2, 0, 1)
    assert turned.spacing_mm == (5.0, 0.8, 0.8)
    assert turned.topology == axial.topology


@pytest.mark.parametrize(("shape", "degrees"), [((1, 352, 352), 180), ((1, 1080, 1920), 15)])
def test_pictures(shape, degrees, dataset, fingerprint):
    rgb = dataset(channels=("R", "G", "B"))
    plan = planned(rgb, fingerprint(shape, (1.0,) * 3, cases=800, channels=3))
    assert plan.topology.rank == 2
    assert plan.batch_dice
    assert not plan.resample_z
    assert (plan.augment.rotation_deg, plan.augment.dummy_2d) == (degrees, False)
    assert [one.scheme for one in plan.normalisation] == ["zscore"] * 3


@pytest.mark.parametrize("shape", [(1, 1, 2), (3, 4, 5), (2, 30, 7)])
@pytest.mark.parametrize("preset", [None, "laptop", "demo"])
def test_tiny_volumes(shape, preset, dataset, fingerprint):
    chosen = presets.load(preset) if preset else None
    plan = planned(dataset(), fingerprint(shape, (2.0, 1.0, 1.0)), chosen)
    assert plan.topology.stages >= 2


def test_a_paper_preset_is_taken_whatever_the_data(dataset, fingerprint):
    flare = presets.load("flare22")
    labels = flare.dataset.labels
    plan = planned(dataset(labels=labels), fingerprint((300, 300, 300), (1.0,) * 3), flare)
    assert plan.topology == flare.topology
    assert (plan.batch, plan.batch_dice, plan.spacing_mm) == (2, True, (2.5, 0.8, 0.8))
    assert plan.normalisation[0].scheme == "ct"
    assert plan.normalisation[0].clip == (-100.0, 250.0)
    assert (plan.train, plan.predict, plan.evaluate) == (
        flare.train,
        flare.predict,
        flare.evaluate,
    )
    assert (plan.name, plan.preset, plan.labels) == ("flare22", "flare22", labels)


def test_the_planner_agrees_with_the_paper_presets(dataset, fingerprint):
    flare = presets.load("flare22")
    data = dataset(labels=flare.dataset.labels)
    plan = planned(data, fingerprint((97, 512, 512), (2.5, 0.8, 0.8), cases=50))
    assert plan.topology == flare.topology
    assert (plan.batch, plan.batch_dice) == (flare.batch, flare.batch_dice)
    assert plan.augment.model_dump() | flare.augment == plan.augment.model_dump()


def test_slices_of_volumes(dataset, fingerprint):
    slices = presets.load("amos22-mr-2d")
    plan = planned(dataset(channels=("MR",)), fingerprint((72, 256, 320), (3.0, 1.2, 1.2)), slices)
    assert not plan.resample_z
    assert plan.spacing_mm == (3.0, 1.1875, 1.1875)
    assert plan.topology.patch == (320, 320)
    assert plan.batch == 30


def test_slices_of_sagittal_volumes_are_taken_across_the_coarse_axis(dataset, fingerprint):
    flat = Preset(name="flat", title="", rank=2, patch_voxels=50_000, batch=4)
    plan = planned(dataset(), fingerprint((200, 180, 20), (1.0, 1.0, 6.0)), flat)
    assert plan.axes == (2, 0, 1)
    assert plan.topology.patch == (224, 192)
    assert plan.batch == 4


def test_the_laptop_preset_bounds_window_and_width(dataset, fingerprint):
    laptop = presets.load("laptop")
    plan = planned(dataset(), fingerprint((97, 512, 512), (2.5, 0.8, 0.8)), laptop)
    depth, height, width = plan.topology.patch
    assert 30_000 < depth * height * width <= 100_000
    assert plan.topology.features[:3] == (16, 32, 64)
    assert max(plan.topology.features) <= 160
    assert (plan.batch, plan.train.optimizer, plan.augment.gamma) == (2, "adamw", 0.1)


def test_a_planned_batch_for_a_fixed_topology(dataset, fingerprint):
    flare = presets.load("flare22").model_copy(update={"batch": None, "batch_dice": None})
    plan = planned(dataset(), fingerprint((97, 512, 512), (2.5, 0.8, 0.8)), flare)
    assert (plan.batch, plan.batch_dice) == (2, True)


def test_residual_encoders_have_their_own_budget(dataset, fingerprint):
    facts = fingerprint((1, 1080, 1920), (1.0,) * 3, cases=1800)
    plain = planned(dataset(labels={value: str(value) for value in range(1, 8)}), facts)
    assert plain.topology.patch == (384, 640)
    residual = planned(dataset(), facts, network=spec("nnunet-resenc"))
    assert residual.topology.patch == (384, 704)
    assert residual.network.name == "nnunet-resenc"


def test_the_newer_planner_is_remembered(dataset, fingerprint):
    labels = {value: str(value) for value in range(1, 8)}
    facts = fingerprint((1, 1080, 1920), (1.0,) * 3, cases=1800)
    plan = planned(dataset(labels=labels), facts, planner="v2.8")
    assert (plan.planner, plan.topology.patch, plan.batch) == ("v2.8", (896, 1536), 2)


def test_label_notice(dataset):
    flare = presets.load("flare22")
    notice = label_notice(dataset(labels={1: "spleen"}), flare)
    assert notice is not None
    assert "Toy differ from those of preset 'flare22' in 13 values" in notice
    assert "value 1: spleen against liver" in notice
    assert label_notice(dataset(labels=flare.dataset.labels), flare) is None
    assert label_notice(dataset(), None) is None


def test_no_case_is_an_error(dataset):
    nothing = Fingerprint(cases=(), channels=(), class_voxels={})
    with pytest.raises(DataError, match="no training case"):
        planned(dataset(), nothing)


def test_impossible_plans_are_a_usage_error(dataset, fingerprint):
    wrong = Preset(name="p", title="", augment={"rotation_deg": 20}).model_copy(
        update={"augment": {"rotation_deg": 200}}
    )
    with pytest.raises(UsageError, match="Toy: cannot be planned: rotation_deg"):
        planned(dataset(), fingerprint((40, 40, 40), (1.0,) * 3), wrong)
