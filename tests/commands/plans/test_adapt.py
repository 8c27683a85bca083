"""Network, recipe and settings put onto a plan."""

import sys

import pytest

from segttt.commands.plans.adapt import check_settings, network_spec, settled, switched
from segttt.commands.watch import Silent
from segttt.config.preset import Preset
from segttt.config.recipe import Recipe
from segttt.errors import MissingDependencyError, UsageError
from segttt.networks.build import spec
from tests.engine.conftest import small_plan

LAPTOP = Recipe(optimizer="adamw", lr=3e-3, schedule="cosine", epochs=7, average=0.5)
PRESET = Preset(name="p", title="", train=LAPTOP)


def plan(network: str = "nnunet", train: Recipe = LAPTOP):
    return small_plan(network=spec(network), train=train)


class Notes(Silent):
    def __init__(self):
        self.said = []

    def note(self, text):
        self.said.append(text)


def test_a_network_brings_its_published_optimiser_and_schedule():
    train = switched(plan(), spec("swinunetr"), None, PRESET).train
    assert (train.optimizer, train.lr, train.weight_decay) == ("adamw", 8e-4, 0.01)
    assert (train.schedule, train.lr_end, train.warmup) == ("cosine", 1e-6, 0.0)
    assert (train.epochs, train.average) == (7, 0.5)


def test_networks_without_one_train_as_the_preset_says():
    assert switched(plan(), spec("mm-unet"), None, PRESET).train == LAPTOP


def test_recipes_can_be_chosen():
    ours = switched(plan(), spec("swinunetr"), "nnunet", PRESET).train
    assert (ours.optimizer, ours.lr, ours.momentum, ours.schedule) == ("sgd", 1e-2, 0.99, "poly")
    assert ours.epochs == 7
    assert switched(plan(), spec("swinunetr"), "preset", PRESET).train == LAPTOP


def test_switching_back_restores_the_presets_recipe():
    there = switched(plan(), spec("unetr"), None, PRESET)
    assert there.train.lr == 1e-4
    assert switched(there, spec("nnunet"), None, PRESET).train == LAPTOP


def test_what_the_user_set_stays_where_no_recipe_replaces_it():
    mine = plan(train=LAPTOP.model_copy(update={"lr": 0.5}))
    assert switched(mine, spec("ttt-unet-enc"), None, PRESET).train.lr == 0.5
    assert switched(mine, spec("ttt-unet-enc"), "preset", PRESET).train.lr == 3e-3


def test_the_patch_is_rounded_up_and_the_user_is_told():
    notes = Notes()
    fitted = settled(plan("segresnet"), {}, notes)
    assert fitted.topology.patch == (8, 16, 16)
    assert notes.said == []
    fitted = settled(plan("unetr"), {"train.lr": 0.1}, notes)
    assert fitted.topology.patch == (16, 16, 16)
    assert fitted.train.lr == 0.1
    assert notes.said == [
        "The patch is 16 x 16 x 16 instead of 8 x 16 x 16, since unetr needs it larger."
    ]


def test_stages_without_their_mixer_are_told():
    notes = Notes()
    settled(plan("mm-unet"), {"network.max_tokens": 300}, notes)
    assert len(notes.said) == 1
    assert notes.said[0].startswith("Stages 0 have more than 300 tokens")
    settled(plan("mm-unet"), {"network.max_tokens": 300, "network.faithful": True}, notes)
    assert len(notes.said) == 1


def test_options_of_a_preset_are_for_its_own_network():
    chosen = Preset(name="p", title="", network="ttt-unet-bot", network_options={"heads": 4})
    assert network_spec(None, chosen).heads == 4
    assert network_spec("ttt-unet-enc", chosen).heads == 8
    with pytest.raises(UsageError, match="no network 'nosuch'"):
        network_spec("nosuch", chosen)


@pytest.mark.parametrize(
    ("network", "settings", "error", "fault"),
    [
        ("mm-unet", {"network.orders": ["a", "z"]}, UsageError, "'z' is no scan order"),
        ("nnunet", {"network.encoder_blocks": [1, 1]}, UsageError, "2 numbers were given"),
        ("unetr", {"network.heads": 5}, UsageError, "heads"),
        ("segresnet", {}, MissingDependencyError, r"segttt\[baselines\]"),
    ],
)
def test_a_network_that_cannot_be_built_is_told_at_once(
    network, settings, error, fault, monkeypatch
):
    if error is MissingDependencyError:
        for name in [one for one in sys.modules if one.split(".")[0] == "monai"] or ["monai"]:
            monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(error, match=fault):
        settled(plan(network), settings, Silent())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"train.batch": 2}, "'batch'"),
        ({"patch": [8, 8, 8]}, "no field 'patch'"),
        ({"train.epochs": 0}, "train.epochs"),
        ({"augment.noise": 2}, "augment.noise"),
        ({"network.heads": "many"}, "heads"),
    ],
)
def test_settings_that_no_data_makes_right_are_told_before_any_is_read(settings, words):
    with pytest.raises(UsageError, match=words):
        check_settings(settings, spec("ttt-unet-bot"))


def test_settings_that_depend_on_the_data_wait_for_it():
    fine = {"train.epochs": 3, "network": {"heads": 8}, "labels.9": "x", "topology.patch": [8]}
    check_settings({**fine, "normalisation.1.scheme": "ct"}, spec("ttt-unet-bot"))


def test_a_patch_whose_deepest_map_is_one_voxel_is_enlarged():
    planned = plan()
    topology = planned.topology
    tiny = topology.model_copy(update={"patch": topology.total_stride})
    fitted = settled(planned.model_copy(update={"topology": tiny}), {}, Silent()).topology
    assert fitted.patch == (*topology.total_stride[:-1], 2 * topology.total_stride[-1])
