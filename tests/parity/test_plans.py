"""Plans of random fingerprints are nnU-Net's."""

import pytest

from segttt.config.dataset import CaseFiles, Dataset
from segttt.config.fingerprint import CaseFacts, ChannelFacts, Fingerprint
from segttt.networks.table import spec
from segttt.planning.planner import make_plan

CHANNEL = ChannelFacts(mean=0, median=0, std=1, min=0, max=0, percentile_00_5=0, percentile_99_5=1)


def facts_of(spacings, shapes):
    return Fingerprint(
        cases=tuple(
            CaseFacts(
                id=f"{i}",
                shape=tuple(shape),
                full_shape=tuple(shape),
                spacing_mm=tuple(spacing),
                relative_size=1.0,
            )
            for i, (spacing, shape) in enumerate(zip(spacings, shapes, strict=True))
        ),
        channels=(CHANNEL,),
        class_voxels={},
    )


@pytest.mark.parametrize(("dims", "name"), [(2, "2d"), (3, "3d_fullres")])
@pytest.mark.parametrize("index", range(6))
def test_plan_is_nnunets(golden, index, dims, name):
    theirs = golden["plans"][index]
    facts = facts_of(theirs["spacings"], theirs["shapes"])
    cases = tuple(CaseFiles(id=case.id, images=("x",)) for case in facts.cases)
    dataset = Dataset(name="a", layout="nnunet", channels=("CT",), labels={1: "a"}, cases=cases)
    ours = make_plan(dataset, facts, preset=None, network=spec("nnunet"), planner="v2.8", dims=dims)
    wanted = theirs[name]
    assert list(ours.axes) == theirs["axes"]
    assert ours.spacing_mm[3 - dims :] == pytest.approx(wanted["spacing"], rel=1e-9)
    assert list(ours.topology.patch) == wanted["patch"]
    assert [list(one) for one in ours.topology.strides] == wanted["strides"]
    assert [list(one) for one in ours.topology.kernels] == wanted["kernels"]
    assert list(ours.topology.features) == wanted["features"]
    assert (ours.batch, ours.batch_dice) == (wanted["batch"], wanted["batch_dice"])


def test_the_plans_hold_what_they_are_there_for(golden):
    plans = golden["plans"]
    assert len(plans) == 6
    assert {one["lowres"] for one in plans} == {False, True}
    assert any(one["axes"] != [0, 1, 2] for one in plans)
    assert any(1 in one["3d_fullres"]["kernels"][0] for one in plans)
